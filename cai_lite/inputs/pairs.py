"""Read and write preference pairs: `pairs.jsonl`, other preference files in JSONL, and `datasets.Dataset`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Any, cast

from cai_lite.errors import InputError, PairError, shortened
from cai_lite.records import Message, Messages, PreferencePair, dicts_of, messages_of

_MORE = ("key", "principle", "p_chosen", "margin", "rule", "family", "parents", "evidence")
_SURROGATE = re.compile("[\ud800-\udfff]")
RAW = ""  # the role of a message that is plain text, to which no chat template is applied


def load_pairs(path: str | Path) -> list[PreferencePair]:
    """Read a preference file: JSONL with `chosen`, `rejected` and usually `prompt`.

    Three forms are read. Conversational: all three are lists of messages. Plain: all three are strings, which become
    messages with the role "". Implicit prompt: there is no `prompt`; what `chosen` and `rejected` have in common at the
    beginning is the prompt, in whole messages or in whole words. Other known fields (`key`, `principle`, `p_chosen`,
    ...) are kept.

    Raises:
        PairError: a line is not valid JSON, lacks a field, has a value of the wrong type, or prefers nothing because
            `chosen` equals `rejected`; the message names file and line.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise PairError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PairError(f"{path}: not UTF-8 text (byte {error.start}); save the file as UTF-8") from error
    pairs = [_pair(path, number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not pairs:
        raise PairError(f"{path}: contains no pairs")
    return pairs


PAIRS_TAKEN = "PreferencePairs or rows with 'chosen' and 'rejected': a list, a datasets.Dataset, or a JSONL file's path"


def as_pairs(given: Any) -> list[PreferencePair]:
    """Return the pairs of whatever people have: a path, a `datasets.Dataset`, a list of dictionaries or of pairs.

    Raises:
        PairError: it is none of these, or a row is invalid.
    """
    if isinstance(given, (str, Path)):
        return load_pairs(given)
    if isinstance(given, Iterable) and not isinstance(given, (bytes, set, frozenset)):
        rows = given if isinstance(given, Mapping) or hasattr(given, "column_names") else list(given)
        if isinstance(rows, list) and all(isinstance(row, PreferencePair) for row in rows):
            return rows
        return from_dataset(rows)
    raise PairError(f"pairs should be {PAIRS_TAKEN}; got {shortened(given)}")


def to_dataset(pairs: Iterable[PreferencePair]) -> Any:
    """Return the pairs as a `datasets.Dataset` in the conversational form that TRL reads.

    The column `evidence` is JSON text, because its structure differs from row to row.

    Raises:
        PairError: some pairs are plain text and others are messages, but a column can have only one type.
    """
    from datasets import Dataset  # type: ignore[import-untyped]

    rows = [_row(pair) for pair in pairs]
    if len({isinstance(row["chosen"], str) for row in rows}) > 1:
        raise PairError("a data set cannot contain both plain strings and message lists; convert one of them first")
    return Dataset.from_list([row | {"evidence": json.dumps(row["evidence"], ensure_ascii=False)} for row in rows])


def from_dataset(dataset: Iterable[Mapping[str, Any]] | Mapping[str, Any]) -> list[PreferencePair]:
    """Return the pairs of a `datasets.Dataset` in any of the forms that `load_pairs` reads.

    A `DatasetDict` with a single split is that split.

    Raises:
        PairError: a row is invalid, with its number, from 1; or there are several splits.
    """
    rows = only_split(dataset, PairError)
    pairs = [
        row
        if isinstance(row, PreferencePair)
        else _pair_of(
            Path("data set"),
            number,
            {name: value for name, value in row.items() if value is not None} if isinstance(row, Mapping) else row,
        )
        for number, row in enumerate(rows, 1)
    ]
    if not pairs:
        raise PairError("the data set contains no pairs")
    return pairs


def only_split(dataset: Any, error: type[InputError]) -> Iterable[Any]:
    """Return the data set itself, or the only split of a `DatasetDict`.

    Raises:
        InputError: (as `error`) there are several splits, or it is a single row.
    """
    if not isinstance(dataset, Mapping):
        return cast(Iterable[Any], dataset)
    if not all(hasattr(split, "column_names") for split in dataset.values()):
        raise error("this is a single row; give a list of rows")
    if len(dataset) != 1:
        raise error(f"the data set has the splits {', '.join(map(str, dataset))}; choose one: data['NAME']")
    return cast(Iterable[Any], next(iter(dataset.values())))


def save_pairs(path: str | Path, pairs: Iterable[PreferencePair]) -> None:
    """Write pairs as JSONL, one per line, in the conversational form."""
    Path(path).write_text(pairs_text(pairs), encoding="utf-8", newline="\n")


def pairs_text(pairs: Iterable[PreferencePair]) -> str:
    """Return the text that `save_pairs` writes. Lone surrogates, which UTF-8 cannot encode, are written as escapes."""
    text = "".join(json.dumps(_row(pair), ensure_ascii=False) + "\n" for pair in pairs)
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _row(pair: PreferencePair) -> dict[str, Any]:
    row = {"prompt": _side(pair.prompt), "chosen": _side(pair.chosen), "rejected": _side(pair.rejected)}
    return {**row, **{name: getattr(pair, name) for name in _MORE}}


def _side(messages: Messages) -> Any:
    return "".join(m.content for m in messages) if all(m.role == RAW for m in messages) else dicts_of(messages)


def _pair(path: Path, number: int, line: str) -> PreferencePair:
    def wrong(message: str) -> PairError:
        return PairError(f"{path}:{number}: {message}")

    try:
        return _pair_of(path, number, json.loads(line))
    except json.JSONDecodeError as error:
        raise wrong(f"not valid JSON: {error.msg} at column {error.colno}") from error
    except RecursionError as error:
        raise wrong("nested too deeply") from error


def _pair_of(path: Path, number: int, row: Any) -> PreferencePair:
    def wrong(message: str) -> PairError:
        return PairError(f"{path}:{number}: {message}")

    if not isinstance(row, dict):
        raise wrong(f"should be an object with 'chosen' and 'rejected', got {type(row).__name__}")
    sides = {}
    for name in ("prompt", "chosen", "rejected"):
        if name not in row:
            if name == "prompt":
                continue
            raise wrong(f"has no '{name}'; fields found: {', '.join(row) or 'none'}")
        sides[name] = _messages(row[name], name, wrong)
    forms = {all(m.role == RAW for m in side) for side in sides.values()}
    if len(forms) > 1:
        raise wrong("mixes plain strings and message lists; write all sides in one form")
    prompt, chosen, rejected = _split(sides, wrong)
    if chosen == rejected:
        raise wrong("'chosen' equals 'rejected', so there is no preference; remove the line")
    p_chosen = row.get("p_chosen", 1.0)
    if not isinstance(p_chosen, (int, float)) or isinstance(p_chosen, bool) or not 0 <= p_chosen <= 1:
        raise wrong(f"'p_chosen' should be a number from 0 to 1, got {shortened(p_chosen)}")
    margin, evidence = row.get("margin", 0.5), row.get("evidence") or {}
    if isinstance(evidence, str):  # as `to_dataset` stores it
        with suppress(ValueError):
            evidence = json.loads(evidence)
    if isinstance(margin, bool) or not isinstance(margin, (int, float)) or not math.isfinite(margin):
        raise wrong(f"'margin' should be a number, got {shortened(margin)}")
    if not isinstance(evidence, Mapping):
        raise wrong(f"'evidence' should be an object, got {type(evidence).__name__}")
    parents = row.get("parents") or []
    if not isinstance(parents, list) or not all(isinstance(parent, str) for parent in parents):
        raise wrong("'parents' should be a list of strings")
    words = {name: str(row.get(name) or "") for name in ("key", "principle", "rule", "family")}
    return PreferencePair(
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        p_chosen=float(p_chosen),
        margin=float(margin),
        parents=tuple(parents),
        evidence=evidence,
        **words,
    )


def _messages(value: Any, name: str, wrong: Any) -> Messages:
    if isinstance(value, str):
        if not value and name != "prompt":
            raise wrong(f"'{name}' is empty")
        return (Message(RAW, value),)
    if not isinstance(value, list) or not value:
        raise wrong(f"'{name}' should be a string or a list of messages, got {json.dumps(value)[:60]}")
    value = [_joined(message) for message in value]
    for place, message in enumerate(value):
        if (
            not isinstance(message, dict)
            or not isinstance(message.get("role"), str)
            or not isinstance(message.get("content"), str)
        ):
            found = json.dumps(message)[:60]
            raise wrong(f'\'{name}[{place}]\' should be {{"role": ..., "content": ...}} with strings, got {found}')
        if message["role"] not in ("system", "user", "assistant", "tool"):
            raise wrong(f"'{name}[{place}].role' should be system, user, assistant or tool, got '{message['role']}'")
    return messages_of(value)


def _joined(message: Any) -> Any:
    """Return a message with `content` as one string, if it is a list of parts that are all text."""
    parts = message.get("content") if isinstance(message, dict) else None
    if not isinstance(parts, list) or not parts:
        return message
    texts = [part.get("text") for part in parts if isinstance(part, dict) and part.get("type") == "text"]
    joined = [text for text in texts if isinstance(text, str)]
    return {**message, "content": "".join(joined)} if len(joined) == len(parts) else message


def _split(sides: Mapping[str, Messages], wrong: Any) -> tuple[Messages, Messages, Messages]:
    chosen, rejected = sides["chosen"], sides["rejected"]
    if "prompt" in sides:
        return sides["prompt"], chosen, rejected
    if chosen[0].role == RAW:
        good, bad = chosen[0].content, rejected[0].content
        common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(good, bad, strict=False)))
        if common < len(good) or common < len(bad):
            common = good.rfind(" ", 0, common + 1) if " " in good[: common + 1] else 0  # never inside a word
        return (Message(RAW, good[:common]),), (Message(RAW, good[common:]),), (Message(RAW, bad[common:]),)
    common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(chosen, rejected, strict=False)))
    common = min(common, len(chosen) - 1, len(rejected) - 1)
    if common < 1:
        raise wrong("has no 'prompt', and 'chosen' and 'rejected' begin with different messages")
    return chosen[:common], chosen[common:], rejected[common:]
