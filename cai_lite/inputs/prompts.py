"""Read prompts, remove duplicates, group them into families, and split them into training and held-out prompts.

    prompts = load_prompts("prompts.jsonl", held_out=0.2)
    draft(student, prompts.train, ...); evaluate(..., prompts=prompts.held_out)

The split of a prompt depends only on a hash of its family, so prompts added at the end of a file do not change the
split of the others.
"""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import re
import sys
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cai_lite.errors import PromptError, shortened
from cai_lite.inputs.forms import LONGEST, PROMPT_COLUMNS, is_blank
from cai_lite.inputs.near import Features, NearIndex, features_of, jaccard
from cai_lite.inputs.quarantine import MAX_BAD, BadRow, sift
from cai_lite.inputs.textfile import RowFault, check_writable, path_of, read_rows
from cai_lite.records import Message, Messages, Prompt, dicts_of, digest

Split = Literal["train", "held_out"]

SAME_FAMILY = 0.5  # threshold of the Jaccard index over words and word pairs for two prompts of one family
NEAR_IDENTICAL = 0.8  # threshold for a training prompt to count as a copy of a held-out one
BUCKET = 8  # prompts per bucket that a prompt is compared with; keeps the cost linear in the number of prompts


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """Prompts split into `train` and `held_out`, each in the order of the file.

    `report` counts: `rows` read; `duplicates` dropped (repeated messages); `families`; `contaminated` dropped (training
    prompts identical or nearly identical to a held-out one); `beyond_limit` left out; `train` and `held_out` kept;
    `families_on_both_sides` (only if the file itself gives the rows of a family different splits);
    `rows_with_other_keys` (with keys that are ignored); `unusable` rows, which `bad` lists with their reasons.

    `seeds`: those of `train` that came of failures in production. `regression`: failures that are kept as tests, apart
    from `held_out`, since they were chosen for having failed.
    """

    train: list[Prompt]
    held_out: list[Prompt]
    report: dict[str, int]
    bad: list[BadRow] = field(default_factory=list)
    seeds: list[Prompt] = field(default_factory=list)
    regression: list[Prompt] = field(default_factory=list)


def load_prompts(
    source: str | Path | Iterable[Any],
    held_out: float = 0.2,
    limit: int | None = None,
    eval_limit: int | None = None,
    *,
    max_bad: float = MAX_BAD,
) -> Prompts:
    """Read prompts from a file of JSONL or of one JSON list, or take a list of texts, dictionaries or `Prompt`.

    A line is `{"messages": [{"role": ..., "content": ...}, ...]}` or `{"prompt": "text"}`, with optional `system`,
    `family`, `tags` and `split` ("train" or "held_out", which overrides the hash). `held_out` is the share of families
    to hold out, 0 to 1. `limit` and `eval_limit` are the largest numbers of training and held-out prompts; they are
    chosen by hash, so a higher limit only adds prompts. `max_bad`: share of unusable rows above which the file is
    refused, from 0 to below 1; below it they are left out and listed.

    Raises:
        PromptError: the file cannot be read or has too many unusable rows, or no training prompt is left; the message
            names file and line.
    """
    if not 0 <= held_out < 1:
        raise PromptError(f"'held_out' should be at least 0 and below 1, got {held_out}")
    for name, value in (("limit", limit), ("eval_limit", eval_limit)):
        if value is not None and value < 1:
            raise PromptError(f"'{name}' should be at least 1, got {value}")
    if isinstance(source, (str, Path)):
        where, (rows, bad) = str(source), _read(source, max_bad)
    else:
        where, rows, bad = "the prompts", _given_rows(source), []
        if not rows:
            raise PromptError(f"{where}: contains no prompts")
    report = {"rows": len(rows), "rows_with_other_keys": sum(row.other_keys for row in rows)}
    if bad:
        report["unusable"] = len(bad)
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
    held_out_prompts = _limited([prompt for prompt in prompts if prompt.split == "held_out"], eval_limit)
    report |= {
        "beyond_limit": len(prompts) - len(train) - len(held_out_prompts),
        "train": len(train),
        "held_out": len(held_out_prompts),
    }
    if not train:
        raise PromptError(
            f"{where}: no prompts to train on: of {len(kept)} prompts in {len(sides)} families, "
            f"{splits.count('held_out')} are held out and {len(contaminated)} are too similar to these; "
            "add prompts or lower 'held_out'"
        )
    return Prompts(train=train, held_out=held_out_prompts, report=report, bad=bad)


def all_prompts(source: str | Path) -> list[Prompt]:
    """Return every distinct prompt of a file, with the split that the file gives it ("train" by default).

    Unlike `load_prompts`, this holds nothing out by hash and drops no prompt that is similar to a held-out one.

    Raises:
        PromptError: the file cannot be read, or a line is invalid; the message names file and line.
    """
    rows, _ = _read(source, 0.0)
    return _prompts_of(_without_duplicates(rows))


def repeating(prompts: Sequence[Prompt], others: Sequence[Prompt]) -> list[bool]:
    """Return, for each prompt, whether it shares a family with one of the others or is nearly identical to one."""
    index, families = NearIndex[Features](), {other.family for other in others if other.family}
    for features in {_features(other.messages) for other in others}:
        index.add(features, features)
    return [
        prompt.family in families
        or any(
            jaccard(own, other) >= NEAR_IDENTICAL for own in [_features(prompt.messages)] for other in index.near(own)
        )
        for prompt in prompts
    ]


PROMPTS_TAKEN = "a path, Prompts, or a list of texts, of {'prompt': ...} or {'messages': ...}, or of Prompt"


def as_prompts(given: Any, side: Split) -> list[Prompt]:
    """Return the prompts of whatever people have.

    A list (or a `datasets.Dataset`) of texts, dictionaries or `Prompt` is taken as it is. Of a path or of `Prompts`,
    which have two sides, it is `side`; a file that does not name the splits itself is split as by `load_prompts`.

    Raises:
        PromptError: it is none of these, a row is invalid, or there is no prompt on this side.
    """
    if isinstance(given, Prompts):
        return given.train if side == "train" else given.held_out
    if isinstance(given, (str, Path)):
        rows, _ = _read(given, 0.0)
        whole = all_prompts(given) if all(row.split for row in rows) else None
        split = load_prompts(given, max_bad=0.0) if whole is None else None
        found = [p for p in whole if p.split == side] if whole is not None else as_prompts(split, side)
        if not found:
            kind, other = ("training", "held_out") if side == "train" else ("held-out", "train")
            raise PromptError(f"{given}: no {kind} prompts; every line has the split '{other}'")
        return found
    if isinstance(given, (bytes, Mapping)) or not isinstance(given, Iterable):
        raise PromptError(f"prompts should be {PROMPTS_TAKEN}; got {shortened(given)}")
    prompts = list(given)
    if all(isinstance(prompt, Prompt) for prompt in prompts):
        return prompts
    return _prompts_of(_without_duplicates([_given_row(row, i) for i, row in enumerate(prompts, 1)]))


def _given_row(value: Any, number: int) -> _Row:
    if isinstance(value, Prompt):
        return _Row(
            place=f"prompt {number}", messages=value.messages, family=value.family, tags=value.tags, split=value.split
        )
    if not isinstance(value, (str, Mapping)):
        raise PromptError(f"prompts should be {PROMPTS_TAKEN}; prompt {number} is {shortened(value)}")
    row = {"prompt": value} if isinstance(value, str) else {k: v for k, v in value.items() if v is not None}
    try:
        return _row(row, f"prompt {number}")
    except RowFault as fault:
        raise PromptError(f"prompt {number}: {fault}") from None


def _prompts_of(kept: Sequence[_Row]) -> list[Prompt]:
    families = _families(kept, [_features(row.messages) for row in kept])
    return [
        Prompt(
            key=key_of(row.messages), messages=row.messages, family=family, tags=row.tags, split=row.split or "train"
        )
        for row, family in zip(kept, families, strict=True)
    ]


def key_of(messages: Messages) -> str:
    """Return the key of a prompt, a digest of its messages alone, so that changing a tag or family repeats no work."""
    return digest("prompt", dicts_of(messages))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A prompt as it was read. `family` is "" and `split` is None if the input does not give them."""

    place: str
    messages: Messages
    family: str
    tags: tuple[str, ...]
    split: Split | None
    other_keys: bool = False


def _read(source: str | Path, max_bad: float) -> tuple[Sequence[_Row], list[BadRow]]:
    path = path_of(source, PromptError)

    def make(line: int, value: Any) -> _Row:
        return _row(value, f"{path}:{line}")

    rows = read_rows(path, PromptError)
    return sift(rows, make, file=str(path), what="prompts", max_bad=max_bad, error=PromptError)


_KEYS = ("messages", "prompt", "family", "tags", "split")


def _row(value: Any, place: str) -> _Row:
    """Return the row of one parsed line; `place` names it in messages.

    Raises:
        RowFault: the line is invalid; the message says what was expected.
    """
    if not isinstance(value, dict):
        message = f'a line should be an object such as {{"prompt": "..."}}, got {type(value).__name__}'
        raise RowFault("wrong type", message)
    others = [key for key in value if key not in _KEYS]
    for key in others:
        if near := difflib.get_close_matches(key[:40], _KEYS, n=1, cutoff=0.85):
            raise RowFault("unknown key", f"unknown key {shortened(key)}; did you mean '{near[0]}'?")
    if ("messages" in value) == ("prompt" in value):
        raise RowFault("no prompt", "a line should have either 'prompt' or 'messages'")
    given, system = value.get("messages", value.get("prompt")), value.get("system")
    if isinstance(given, str) and "prompt" in value:
        given = [{"role": "user", "content": given}]
    if isinstance(system, str) and system.strip() and isinstance(given, list):
        given = [{"role": "system", "content": system}, *given]
    for key in others:
        if key in PROMPT_COLUMNS and not is_blank(value[key]) and not (key == "system" and isinstance(system, str)):
            message = (
                f"the column '{key}' may belong to the prompt, but is not read; join it to the prompt, or remove it"
            )
            raise RowFault("a column that is not read", message)
    family, tags, split = value.get("family") or "", value.get("tags") or [], value.get("split")
    if not isinstance(family, str):
        raise RowFault("wrong type", f"'family' should be a string, got {shortened(family)}")
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise RowFault("wrong type", f"'tags' should be a list of strings, got {shortened(tags)}")
    if split not in (None, "train", "held_out"):
        raise RowFault("wrong split", f"'split' should be 'train' or 'held_out', got {shortened(split)}")
    for name, text in (("family", family), *(("tags", tag) for tag in tags)):
        check_writable(text, name)
    return _Row(
        place=place, messages=_messages(given), family=family, tags=tuple(tags), split=split, other_keys=bool(others)
    )


def _messages(given: Any) -> Messages:
    """Return the messages, stripped; only the first may be a system message, and the last must be the user's.

    Raises:
        RowFault: a message is invalid; the message says which and why.
    """
    if not isinstance(given, list) or not given:
        raise RowFault("wrong type", 'the prompt should be a string, or a list of {"role": ..., "content": ...}')
    messages = []
    for i, message in enumerate(given):
        if not isinstance(message, Mapping) or not isinstance(message.get("content"), str):
            text = f'message {i + 1} should be {{"role": ..., "content": ...}} with strings'
            raise RowFault("wrong type", text)
        role, content = message.get("role"), message["content"].strip()
        if role not in ("system", "user", "assistant"):
            text = f"message {i + 1}: 'role' should be system, user or assistant, got {shortened(role)}"
            raise RowFault("wrong speaker", text)
        if role == "system" and i > 0:
            raise RowFault("wrong speaker", f"message {i + 1}: only the first message may be a system message")
        if not content:
            raise RowFault("blank text", f"message {i + 1} is empty" if len(given) > 1 else "the prompt is empty")
        if len(content) > LONGEST:
            raise RowFault("too long", f"message {i + 1} has {len(content):,} characters, more than {LONGEST:,}")
        check_writable(content, f"message {i + 1}")
        messages.append(Message(sys.intern(role), content))
    if messages[-1].role != "user":
        raise RowFault(
            "wrong speaker",
            f"the last message should be the user's, as the model writes the reply; it is the {messages[-1].role}'s",
        )
    return tuple(messages)


def _given_rows(prompts: Iterable[Any]) -> list[_Row]:
    """Return rows of prompts given by a caller; a `Prompt`'s split counts only if at least one of them is held out."""
    given = list(prompts)
    split_given = any(isinstance(prompt, Prompt) and prompt.split == "held_out" for prompt in given)
    rows = [(prompt, _given_row(prompt, i)) for i, prompt in enumerate(given, start=1)]
    return [
        row if split_given or not isinstance(prompt, Prompt) else dataclasses.replace(row, split=None)
        for prompt, row in rows
    ]


def _without_duplicates(rows: Sequence[_Row]) -> list[_Row]:
    kept: dict[Messages, _Row] = {}
    for row in rows:
        first = kept.setdefault(row.messages, row)
        if first.split and row.split and first.split != row.split:
            raise PromptError(
                f"{row.place}: the same prompt appears in {first.place} with the split '{first.split}'; keep one"
            )
    return list(kept.values())


def _features(messages: Messages) -> Features:
    """Return hashes of the words and word pairs, without the system message, which many prompts share."""
    text = " ".join(message.content for message in messages if message.role != "system").lower()
    words = re.findall(r"\w+", text) or [text]
    pairs = [f"{first} {second}" for first, second in itertools.pairwise(words)]
    return features_of(zlib.crc32(piece.encode("utf-8", "surrogatepass")) for piece in (*words, *pairs))


def _families(rows: Sequence[_Row], words: Sequence[Features]) -> list[str]:
    """Return the family of each row: the given one, else that of the first similar earlier row, else a new one.

    Rows with a given family count as earlier than all others. A row can join a family but never merges two, so a row
    added at the end changes no earlier family.
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
    """Return the split of each row: its own, else that of its family ("held_out" if both occur), else by hash."""
    given: dict[str, Split] = {}
    for row, family in zip(rows, families, strict=True):
        if row.split and given.get(family) != "held_out":
            given[family] = row.split

    return [
        row.split or given.get(family) or split_of(family, held_out) for row, family in zip(rows, families, strict=True)
    ]


def split_of(family: str, held_out: float) -> Split:
    """Return the split of a family by its hash alone; `held_out` is the share of families to hold out, 0 to 1."""
    return "held_out" if int(digest("held_out", family)[:13], 16) / 16**13 < held_out else "train"


def _contaminated(rows: Sequence[_Row], words: Sequence[Features], splits: Sequence[Split]) -> set[int]:
    """Return the indices of training rows that are too similar to a held-out row.

    If the file itself gives the split of both rows, only identical words count: its author chose how similar they are
    (for example a held-out word in a known template).
    """
    index = NearIndex[int](bucket=BUCKET)
    held_out_rows = [i for i, split in enumerate(splits) if split == "held_out"]
    for i in held_out_rows:
        index.add(i, words[i])
    copies = {words[i] for i in held_out_rows}

    def too_near(i: int, j: int) -> bool:
        return not (rows[i].split and rows[j].split) and jaccard(words[i], words[j]) >= NEAR_IDENTICAL

    return {
        i
        for i, split in enumerate(splits)
        if split == "train" and (words[i] in copies or any(too_near(i, j) for j in index.near(words[i])))
    }


def _limited(prompts: list[Prompt], limit: int | None) -> list[Prompt]:
    """Return up to `limit` prompts, those with the smallest hashes, in their original order."""
    if limit is None or len(prompts) <= limit:
        return prompts
    kept = set(sorted(digest("limit", prompt.key) for prompt in prompts)[:limit])
    return [prompt for prompt in prompts if digest("limit", prompt.key) in kept]
