"""Audit a run: trace a pair back to its prompt and principle, and verify that nothing was changed afterwards."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from cai_lite.errors import DiskError, InputError
from cai_lite.inputs.pairs import load_pairs
from cai_lite.records import dicts_of, digest, messages_of
from cai_lite.run.files import MANIFEST, differences, file_digests, is_sealed, read_manifest, training_folders, unfit
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Terminal


def chain(run: Run, key: str) -> dict[str, Any]:
    """Return the row of `key` (a prefix is enough) with its parents down to the prompt, and the principles it names.

    A principle that was reworded during the run is returned in each wording.

    Raises:
        InputError: no row, or several rows, begin with `key`.
    """
    matches = run.keys_beginning(key)
    if len(matches) != 1:
        found = "no row begins" if not matches else f"{len(matches)} rows begin"
        raise InputError(f"{found} with '{key}' in {run.directory}; pairs.jsonl lists the keys of the pairs")
    node = _node(run, matches[0])
    named = set(_principles(node))
    node["principles"] = [payload for _, _, payload in run.rows("principle") if payload["id"] in named]
    return node


def show_chain(node: dict[str, Any], console: Console | None = None) -> None:
    """Print a chain as a tree with the pair at its root. A repeated row is printed by its key alone."""
    console = console or Terminal()
    tree = _tree(node, set())
    for principle in node["principles"]:
        source = f" ({principle['source']})" if principle["source"] else ""
        tree.add(Text.assemble(("principle ", "bold"), f"{principle['id']}: {principle['text']}{source}"))
    console.print(tree)


def verify(directory: Path) -> list[str]:
    """Return a sentence for each thing that no longer matches; empty if everything does.

    Checked are the files' SHA-256 against manifest.json, training.json and the checkpoint; every reply, row, result
    and count of run.db against its digest, and that none was removed; every prompt's key from its messages; every pair
    of pairs.jsonl against its row, and both of its texts against the candidates that it names as parents; that every
    parent of every row is there.
    """
    if not (directory / "run.db").is_file():
        raise InputError(f"{directory} is not a run directory (run.db not found)")
    wrong = [*_files(directory), *_training(directory)]
    try:
        with _opened(directory) as run:
            wrong += [*run.damage(), *_rows(run)]
            if (directory / "pairs.jsonl").is_file() and (directory / "pairs.jsonl").stat().st_size:
                wrong += _pairs(run, directory / "pairs.jsonl")
    except InputError as error:  # a line of pairs.jsonl
        wrong.append(str(error))
    except (sqlite3.DatabaseError, ValueError, LookupError, TypeError, AttributeError) as error:  # a row of any shape
        wrong.append(f"run.db cannot be read: {type(error).__name__}: {error}")
    return list(dict.fromkeys(wrong))


def uncovered(directory: Path) -> int:
    """Return how many rows of run.db an earlier version stored, without digests."""
    try:
        with _opened(directory) as run:
            return run.uncovered()
    except (sqlite3.DatabaseError, InputError):
        return 0


def _opened(directory: Path) -> Run:
    """Return a run that nobody else can change meanwhile; where the disk is read-only or full, nobody can anyway."""
    try:
        return Run(directory)
    except DiskError:
        return Run.reading(directory)


def _files(directory: Path) -> Iterator[str]:
    path = directory / MANIFEST
    if not path.is_file():
        yield f"{MANIFEST} is missing: the run did not end, or is older than it"
        return
    recorded, wrong = read_manifest(directory)
    yield from wrong
    yield from differences(recorded or {}, file_digests(directory))


def _training(directory: Path) -> Iterator[str]:
    folders = training_folders(directory)
    checkpoints = [path for folder in folders for path in (folder / "checkpoints").glob("step-*/state.json")]
    for path in [*(folder / "training.json" for folder in folders), *checkpoints]:
        if not path.exists():
            continue
        try:
            record = dict(json.loads(path.read_text(encoding="utf-8")))
            digests = dict(record.get("sha256", {}))
        except (ValueError, TypeError):
            yield f"{path.relative_to(directory)} cannot be read"
            continue
        if not is_sealed(record):
            yield f"{path.relative_to(directory)} was changed after the run wrote it"
        for name in unfit(path.parent, digests):
            yield f"{(path.parent / name).relative_to(directory)} is not what the training wrote"


def _rows(run: Run) -> Iterator[str]:
    keys = set(run.keys_beginning(""))
    for kind in ("candidate", "critique", "score", "verdict", "pair"):
        for key, parents, _ in run.rows(kind):
            # A revision names the critiques and drafts that it was made from; all of them are rows.
            for parent in parents:
                if parent not in keys:
                    yield f"{kind} {key}: its parent {parent} is missing"
    for key, _, payload in run.rows("prompt"):
        messages = messages_of({"role": role, "content": content} for role, content in payload["messages"])
        if digest("prompt", dicts_of(messages)) != key:
            yield f"prompt {key}: its messages are not those that its key was made of"


def _pairs(run: Run, path: Path) -> Iterator[str]:
    for number, pair in enumerate(load_pairs(path, max_bad=0), 1):
        if pair.rule == "human" or not pair.key:
            continue
        row = run.row(pair.key)
        if row is None:
            yield f"pairs.jsonl:{number}: no row {pair.key} in the run"
            continue
        _, parents, payload = row
        for name in ("principle", "p_chosen", "margin", "rule"):
            if payload.get(name) != getattr(pair, name):
                made = payload.get(name)
                yield f"pairs.jsonl:{number}: '{name}' is {getattr(pair, name)!r}, the run made it {made!r}"
        for side, messages, parent in zip(
            ("chosen", "rejected"), (pair.chosen, pair.rejected), [*parents, "", ""], strict=False
        ):
            candidate = run.row(parent)
            if candidate is None or candidate[2].get("text") != messages[-1].content:
                yield f"pairs.jsonl:{number}: '{side}' is not the text of candidate {parent or '(none)'}"


def _node(run: Run, key: str) -> dict[str, Any]:
    row = run.row(key)
    if row is None:
        return {"key": key, "kind": "missing", "payload": {}, "parents": []}
    kind, parents, payload = row
    return {"key": key, "kind": kind, "payload": payload, "parents": [_node(run, parent) for parent in parents]}


def _principles(node: dict[str, Any]) -> Iterator[str]:
    if name := node["payload"].get("principle"):
        yield name
    for parent in node["parents"]:
        yield from _principles(parent)


def _tree(node: dict[str, Any], shown: set[str]) -> Tree:
    payload = node["payload"]
    label = Text.assemble((node["kind"], "bold"), f" {node['key']} ")
    if node["key"] in shown:
        return Tree(label.append("(above)", style="dim"))
    shown.add(node["key"])
    facts = [
        f"{name} {round(value, 4) if isinstance(value, float) else value}"
        for name, value in payload.items()
        if name not in ("text", "messages", "quotes") and value not in (None, "", [])
    ]
    label.append(", ".join(facts), style="dim")
    tree = Tree(label)
    for role, content in payload.get("messages", []):
        tree.add(Text(f"{role}: {content}"))
    if payload.get("text"):
        tree.add(Text(payload["text"]))
    for parent in node["parents"]:
        tree.add(_tree(parent, shown))
    return tree
