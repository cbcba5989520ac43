"""Prompts: read, clean, sort into families, hold some out, and keep the two sides apart.

    prompts = load_prompts("prompts.jsonl", held_out=0.2)
    draft(student, prompts.train, ...); evaluate(..., prompts=prompts.held_out)

Which side a prompt falls on is a hash of its family alone, so prompts added at the end of a file move no other prompt.
"""

from __future__ import annotations

import difflib
import itertools
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cai_lite.errors import PromptError
from cai_lite.inputs.near import Features, NearIndex, jaccard
from cai_lite.inputs.yamlfile import read_text
from cai_lite.records import Message, Messages, Prompt, dicts_of, digest

Split = Literal["train", "held_out"]

SAME_FAMILY = 0.5  # share of common words and word pairs (Jaccard) from which two prompts count as one template
NEAR_IDENTICAL = 0.8  # from which a training prompt counts as a copy of a held-out one
BUCKET = 8  # members of one bucket that a prompt is compared with: keeps the cost linear in the number of prompts


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """The two sides, in file order. Each prompt bears its `family` and its `split`.

    `report` counts: `rows` read; `duplicates` dropped (the same messages again); `families`; `contaminated` dropped
    (training prompts identical or nearly identical to a held-out one); `beyond_limit` left out; `train` and `held_out`
    kept; `families_on_both_sides` (only where the file itself gives their rows different splits);
    `rows_with_other_keys` (keys that nothing here reads).
    """

    train: list[Prompt]
    held_out: list[Prompt]
    report: dict[str, int]


def load_prompts(
    source: str | Path | Iterable[Prompt],
    held_out: float = 0.2,
    limit: int | None = None,
    eval_limit: int | None = None,
) -> Prompts:
    """Read a JSONL file, or take rows, and split them.

    A line is `{"messages": [{"role", "content"}, ...]}` or `{"prompt": "text"}`, with optional `family`, `tags` and
    `split` ("train" or "held_out", which wins over the hash). `held_out`: share of the families, 0 to 1. `limit`,
    `eval_limit`: at most so many prompts to train and to evaluate on, taken by hash, so that a greater limit only adds.
    Raises PromptError with file and line.
    """
    if not 0 <= held_out < 1:
        raise PromptError(f"'held_out' should be from 0 to below 1, got {held_out}")
    for name, value in (("limit", limit), ("eval_limit", eval_limit)):
        if value is not None and value < 1:
            raise PromptError(f"'{name}' should be at least 1, got {value}")
    if isinstance(source, (str, Path)):
        where, rows = str(source), list(_read_rows(Path(source).expanduser()))
    else:
        where, rows = "the prompts", _given_rows(source)
    if not rows:
        raise PromptError(f'{where}: holds no prompts; write a line {{"prompt": "..."}} for each')
    report = {"rows": len(rows), "rows_with_other_keys": sum(row.other_keys for row in rows)}
    kept = _without_duplicates(rows)
    report["duplicates"] = len(rows) - len(kept)
    words = [_features(row.messages) for row in kept]
    families = _families(kept, words)
    splits = _splits(kept, families, held_out)
    sides: dict[str, set[Split]] = {}
    for family, split in zip(families, splits, strict=True):
        sides.setdefault(family, set()).add(split)
    report["families"] = len(sides)
    report["families_on_both_sides"] = sum(len(found) == 2 for found in sides.values())
    contaminated = _contaminated(kept, words, splits)
    report["contaminated"] = len(contaminated)
    prompts = [
        Prompt(key=key_of(row.messages), messages=row.messages, family=family, tags=row.tags, split=split)
        for i, (row, family, split) in enumerate(zip(kept, families, splits, strict=True))
        if i not in contaminated
    ]
    train = _limited([prompt for prompt in prompts if prompt.split == "train"], limit)
    aside = _limited([prompt for prompt in prompts if prompt.split == "held_out"], eval_limit)
    report |= {"beyond_limit": len(prompts) - len(train) - len(aside), "train": len(train), "held_out": len(aside)}
    if not train:
        raise PromptError(
            f"{where}: no prompt is left to train on ({len(sides)} families, {len(aside)} prompts held out); "
            "give more prompts or a smaller 'held_out'"
        )
    return Prompts(train=train, held_out=aside, report=report)


def all_prompts(source: str | Path) -> list[Prompt]:
    """Every prompt of a file, each once, on the side that the file itself names ("train" where it names none).

    For whoever asks them all: nothing is held out by hash, and nothing dropped for being near something held out.
    Raises PromptError with file and line.
    """
    rows = list(_read_rows(Path(source).expanduser()))
    if not rows:
        raise PromptError(f'{source}: holds no prompts; write a line {{"prompt": "..."}} for each')
    kept = _without_duplicates(rows)
    families = _families(kept, [_features(row.messages) for row in kept])
    return [
        Prompt(
            key=key_of(row.messages), messages=row.messages, family=family, tags=row.tags, split=row.split or "train"
        )
        for row, family in zip(kept, families, strict=True)
    ]


def key_of(messages: Messages) -> str:
    """The key of a prompt: its messages alone, so that another tag or family re-does nothing."""
    return digest("prompt", dicts_of(messages))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A prompt as it was given. `family` "" and `split` None: not said."""

    place: str
    messages: Messages
    family: str
    tags: tuple[str, ...]
    split: Split | None
    other_keys: bool = False


def _read_rows(path: Path) -> Iterator[_Row]:
    for number, line in enumerate(read_text(path, PromptError).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as fault:
            raise PromptError.at(path, number, f"not JSON: {fault.msg} (column {fault.colno})") from None
        try:
            yield _row(value, f"{path}:{number}")
        except ValueError as fault:
            raise PromptError.at(path, number, str(fault)) from None


_KEYS = ("messages", "prompt", "family", "tags", "split")


def _row(value: Any, place: str) -> _Row:
    """Raises ValueError in words."""
    if not isinstance(value, dict):
        raise ValueError(f'a line should be an object such as {{"prompt": "..."}}, got {type(value).__name__}')
    others = [key for key in value if key not in _KEYS]
    for key in others:
        if near := difflib.get_close_matches(key, _KEYS, n=1, cutoff=0.85):
            raise ValueError(f"unknown key '{key}'; did you mean '{near[0]}'?")
    if ("messages" in value) == ("prompt" in value):
        raise ValueError("a line should have either 'prompt' or 'messages'")
    given = value.get("messages", value.get("prompt"))
    if isinstance(given, str) and "prompt" in value:
        given = [{"role": "user", "content": given}]
    family, tags, split = value.get("family") or "", value.get("tags") or [], value.get("split")
    if not isinstance(family, str):
        raise ValueError(f"'family' should be text, got {family!r}")
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise ValueError(f"'tags' should be a list of texts, got {tags!r}")
    if split not in (None, "train", "held_out"):
        raise ValueError(f"'split' should be 'train' or 'held_out', got {split!r}")
    return _Row(
        place=place, messages=_messages(given), family=family, tags=tuple(tags), split=split, other_keys=bool(others)
    )


def _messages(given: Any) -> Messages:
    """Stripped and checked: a system message at most at the start, and the user has the last word."""
    if not isinstance(given, list) or not given:
        raise ValueError('the prompt should be text, or a list of {"role", "content"}')
    messages = []
    for i, message in enumerate(given):
        if not isinstance(message, Mapping) or not isinstance(message.get("content"), str):
            raise ValueError(f'message {i + 1} should be {{"role": ..., "content": text}}')
        role, content = message.get("role"), message["content"].strip()
        if role not in ("system", "user", "assistant"):
            raise ValueError(f"message {i + 1}: 'role' should be system, user or assistant, got {role!r}")
        if role == "system" and i > 0:
            raise ValueError(f"message {i + 1}: a system message stands only at the start")
        if not content:
            raise ValueError(f"message {i + 1} is empty" if len(given) > 1 else "the prompt is empty")
        messages.append(Message(role, content))
    if messages[-1].role != "user":
        raise ValueError(
            f"the last message should be the user's, since a reply is wanted; it is the {messages[-1].role}'s"
        )
    return tuple(messages)


def _given_rows(prompts: Iterable[Prompt]) -> list[_Row]:
    """Rows of a caller. "train" is the default of a Prompt: it counts as said only where another row is held out."""
    given = list(prompts)
    said = any(prompt.split == "held_out" for prompt in given)
    return [
        _Row(
            place=f"prompt {i}",
            messages=prompt.messages,
            family=prompt.family,
            tags=prompt.tags,
            split=prompt.split if said else None,
        )
        for i, prompt in enumerate(given, start=1)
    ]


def _without_duplicates(rows: Sequence[_Row]) -> list[_Row]:
    kept: dict[Messages, _Row] = {}
    for row in rows:
        first = kept.setdefault(row.messages, row)
        if first.split and row.split and first.split != row.split:
            raise PromptError(
                f"{row.place}: the same prompt stands in {first.place} with the split '{first.split}'; keep one"
            )
    return list(kept.values())


def _features(messages: Messages) -> Features:
    """Hashes of the words and word pairs of what was said, without the system message, which many prompts share."""
    text = " ".join(message.content for message in messages if message.role != "system").lower()
    words = re.findall(r"\w+", text) or [text]
    pairs = [f"{first} {second}" for first, second in itertools.pairwise(words)]
    return frozenset(zlib.crc32(piece.encode("utf-8", "surrogatepass")) for piece in (*words, *pairs))


def _families(rows: Sequence[_Row], words: Sequence[Features]) -> list[str]:
    """The given families; for the other rows that of the first earlier row which is near enough, else one of their own.

    Rows with a given family count as earlier than all others. A row joins and never merges, so a row added at the end
    changes no family before it.
    """
    families = [row.family for row in rows]
    index = NearIndex[int](bucket=BUCKET)
    for i, row in enumerate(rows):
        if row.family:
            index.add(i, words[i])
    for i, row in enumerate(rows):
        if row.family:
            continue
        near = min((j for j in index.near(words[i]) if jaccard(words[i], words[j]) >= SAME_FAMILY), default=None)
        families[i] = families[near] if near is not None else f"near-{key_of(row.messages)[:12]}"
        index.add(i, words[i])
    return families


def _splits(rows: Sequence[_Row], families: Sequence[str], held_out: float) -> list[Split]:
    """The split of the row, else what another row of its family says (held out, if both are said), else the hash."""
    said: dict[str, Split] = {}
    for row, family in zip(rows, families, strict=True):
        if row.split and said.get(family) != "held_out":
            said[family] = row.split

    def by_hash(family: str) -> Split:
        return "held_out" if int(digest("held_out", family)[:13], 16) / 16**13 < held_out else "train"

    return [row.split or said.get(family) or by_hash(family) for row, family in zip(rows, families, strict=True)]


def _contaminated(rows: Sequence[_Row], words: Sequence[Features], splits: Sequence[Split]) -> set[int]:
    """Positions of training rows that are too near to a held-out row.

    Where the file itself puts both on their sides, only a copy of the same words counts: its author knows how near they
    are (a held-out word in a known template, say).
    """
    index = NearIndex[int](bucket=BUCKET)
    held = [i for i, split in enumerate(splits) if split == "held_out"]
    for i in held:
        index.add(i, words[i])
    copies = {words[i] for i in held}

    def too_near(i: int, j: int) -> bool:
        return not (rows[i].split and rows[j].split) and jaccard(words[i], words[j]) >= NEAR_IDENTICAL

    return {
        i
        for i, split in enumerate(splits)
        if split == "train" and (words[i] in copies or any(too_near(i, j) for j in index.near(words[i])))
    }


def _limited(prompts: list[Prompt], limit: int | None) -> list[Prompt]:
    """At most `limit` prompts, those with the smallest hashes, in their order."""
    if limit is None or len(prompts) <= limit:
        return prompts
    kept = set(sorted(digest("limit", prompt.key) for prompt in prompts)[:limit])
    return [prompt for prompt in prompts if digest("limit", prompt.key) in kept]
