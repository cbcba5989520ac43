"""Read and write preference pairs: `pairs.jsonl`, other preference files (JSONL, JSON, Parquet), `datasets.Dataset`."""

from __future__ import annotations

import glob
import json
import logging
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from cai_lite.errors import InputError, PairError, shortened
from cai_lite.inputs.forms import RAW, sides_of
from cai_lite.inputs.quarantine import MAX_BAD, BadRow, InShard, reasons, sift, write_quarantine
from cai_lite.inputs.stored import FORM
from cai_lite.inputs.textfile import RowFault, check_regular, parse_json, path_of, read_rows
from cai_lite.records import Messages, PreferencePair, dicts_of
from cai_lite.run import mapped
from cai_lite.run.files import write_lines
from cai_lite.run.mapped import Spill

__all__ = [
    "PAIRS_TAKEN",
    "RAW",
    "as_pairs",
    "from_dataset",
    "load_pairs",
    "only_split",
    "pair_lines",
    "read_pairs",
    "rows_of",
    "save_pairs",
    "to_dataset",
    "without_none",
]

_MORE = ("key", "principle", "p_chosen", "margin", "rule", "family", "parents", "evidence")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LOG = logging.getLogger(__name__)
_PARQUET = b"PAR1"  # the first bytes of such a file
_SHARDS = (".parquet", ".jsonl", ".json")


def load_pairs(
    path: str | Path, *, quarantine: str | Path | None = None, max_bad: float = MAX_BAD
) -> list[PreferencePair]:
    """Read a preference file: JSONL, one JSON list, or Parquet, in any of the forms that `inputs.forms` lists.

    Known fields (`key`, `principle`, `p_chosen`, `margin`, ...) are kept. Rows that cannot be used are left out: they
    are written to `quarantine` with file, line and reason; without it, the logger `cai_lite.inputs.pairs` warns.

    `max_bad`: share of unusable rows above which the file is refused, from 0 to below 1.

    Raises:
        PairError: the file cannot be read, has no pairs, or has too many unusable rows; the message names file and
            line of the first ones.
    """
    return list(_loaded(path, quarantine, max_bad, None))


def _loaded(
    path: str | Path, quarantine: str | Path | None, max_bad: float, aside: Path | None
) -> Sequence[PreferencePair]:
    pairs, bad = read_pairs(path, max_bad=max_bad, aside=aside)
    if quarantine is not None:
        write_quarantine(Path(quarantine), bad)
    elif bad:
        total, first = len(pairs) + len(bad), bad[0]
        _LOG.warning(
            "%s: %s of %s rows left out (%s); line %s: %s",
            path,
            len(bad),
            total,
            reasons(bad),
            first.line,
            first.reason,
        )
    return pairs


def read_pairs(
    path: str | Path, *, max_bad: float = MAX_BAD, aside: Path | None = None
) -> tuple[Sequence[PreferencePair], list[BadRow]]:
    """Read a preference file as `load_pairs` does; return the pairs, and the rows that cannot be used.

    `aside`: the file in which pairs are kept, without their evidence, that are too many for memory.

    Raises:
        PairError: as for `load_pairs`.
    """
    return _pairs_of(rows_of(path), str(path), max_bad, aside)


def rows_of(path: str | Path) -> Iterator[tuple[int, Any]]:
    """Return the rows of a JSONL, JSON or Parquet file, each with its line or number, from 1.

    The rows of a folder are those of the files of these kinds in it, by name, numbers in names as numbers; each has the
    place in its file.

    Raises:
        PairError: the file cannot be read.
    """
    path = path_of(path, PairError)
    if os.path.isdir(path):  # unlike Path.is_dir, it says no to a name that is too long
        return _rows_of_shards(path)
    check_regular(path, PairError)
    try:
        with path.open("rb") as file:
            return _parquet_rows(path) if file.read(4) == _PARQUET else read_rows(path, PairError)
    except OSError as error:
        raise PairError(f"{path}: cannot be read: {error.strerror}") from None


PAIRS_TAKEN = "PreferencePairs or rows with 'chosen' and 'rejected': a list, a datasets.Dataset, or a JSONL file's path"


def as_pairs(given: Any, aside: Path | None = None) -> Sequence[PreferencePair]:
    """Return the pairs of whatever people have: a path, a `datasets.Dataset`, a list of dictionaries or of pairs.

    `aside`: the file in which pairs are kept, without their evidence, that are too many for memory.

    Raises:
        PairError: it is none of these, or a row is invalid.
    """
    if isinstance(given, (str, Path)):
        return _loaded(given, None, MAX_BAD, aside)
    if isinstance(given, Iterable) and not isinstance(given, (bytes, set, frozenset)):
        rows = given if isinstance(given, Mapping) or hasattr(given, "column_names") else list(given)
        if isinstance(rows, list) and all(isinstance(row, PreferencePair) for row in rows):
            return rows
        return _from_rows(rows, aside)
    raise PairError(f"pairs should be {PAIRS_TAKEN}; got {shortened(given)}")


def to_dataset(pairs: Iterable[PreferencePair]) -> Any:
    """Return the pairs as a `datasets.Dataset` in the conversational form that TRL reads.

    The column `evidence` is JSON text, because its structure differs from row to row.

    Raises:
        PairError: some pairs are plain text and others are messages, but a column can have only one type; or a text
            cannot be written as UTF-8.
    """
    from datasets import Dataset  # type: ignore[import-untyped]

    rows = [_row(pair) for pair in pairs]
    if len({isinstance(row["chosen"], str) for row in rows}) > 1:
        raise PairError("a data set cannot contain both plain strings and message lists; convert one of them first")
    if any("weight" in row for row in rows):
        rows = [{**row, "weight": row.get("weight", 1.0)} for row in rows]
    try:
        for row in rows:
            row["evidence"] = _escaped(json.dumps(row["evidence"], ensure_ascii=False))
        return Dataset.from_list(rows)
    except UnicodeEncodeError as error:
        raise PairError(f"a text contains half of a surrogate pair, which a data set cannot store: {error}") from None


def from_dataset(dataset: Iterable[Mapping[str, Any]] | Mapping[str, Any]) -> list[PreferencePair]:
    """Return the pairs of a `datasets.Dataset` in any of the forms that `load_pairs` reads.

    A `DatasetDict` with a single split is that split.

    Raises:
        PairError: a row is invalid, with its number, from 1; or there are several splits.
    """
    return list(_from_rows(dataset, None))


def _from_rows(dataset: Any, aside: Path | None) -> Sequence[PreferencePair]:
    rows = only_split(dataset, PairError)
    return _pairs_of(enumerate(map(without_none, rows), 1), "data set", 0.0, aside)[0]


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
    """Write pairs as JSONL, one per line, in the conversational form; an old file is replaced in one step."""
    write_lines(Path(path), pair_lines(pairs))


def pair_lines(pairs: Iterable[PreferencePair]) -> Iterator[str]:
    """Yield the lines that `save_pairs` writes. Lone surrogates, which UTF-8 cannot encode, are written as escapes."""
    for pair in pairs:
        yield _escaped(json.dumps(_row(pair), ensure_ascii=False)) + "\n"


def _escaped(text: str) -> str:
    return text if text.isascii() else _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _row(pair: PreferencePair) -> dict[str, Any]:
    row = {"prompt": _side(pair.prompt), "chosen": _side(pair.chosen), "rejected": _side(pair.rejected)}
    weight = {"weight": pair.weight} if pair.weight != 1 else {}
    return {**row, **{name: getattr(pair, name) for name in _MORE}, **weight}


def _side(messages: Messages) -> Any:
    return "".join(m.content for m in messages) if all(m.role == RAW for m in messages) else dicts_of(messages)


def _pairs_of(
    rows: Iterable[tuple[int, Any]], file: str, max_bad: float, aside: Path | None
) -> tuple[Sequence[PreferencePair], list[BadRow]]:
    same = _Same()
    into = Spill(aside, FORM) if aside is not None else None

    def make(_: int, row: Any) -> PreferencePair:
        return _pair(row, same)

    return sift(rows, make, file=file, what="pairs", max_bad=max_bad, error=PairError, into=into)


class _Same:
    """Return, for equal values, one object: thousands of pairs share a prompt, a principle and a rule."""

    def __init__(self) -> None:
        self._known: dict[Any, Any] = {}

    def __call__(self, value: Any) -> Any:
        if len(self._known) > mapped.IN_MEMORY:
            self._known.clear()
        return self._known.setdefault(value, value)


def _pair(row: Any, same: Callable[[Any], Any]) -> PreferencePair:
    if isinstance(row, PreferencePair):
        return row
    if not isinstance(row, Mapping):
        raise RowFault("wrong type", f"should be an object with 'chosen' and 'rejected', got {type(row).__name__}")
    prompt, chosen, rejected = sides_of(row)
    p_chosen, margin = row.get("p_chosen"), row.get("margin")
    p_chosen, margin = 1.0 if p_chosen is None else p_chosen, 0.5 if margin is None else margin
    if not isinstance(p_chosen, (int, float)) or isinstance(p_chosen, bool) or not 0 < p_chosen <= 1:
        raise RowFault("number out of range", f"'p_chosen' should be above 0 and at most 1, got {shortened(p_chosen)}")
    if isinstance(margin, bool) or not isinstance(margin, (int, float)) or not math.isfinite(margin):
        raise RowFault("number out of range", f"'margin' should be a number, got {shortened(margin)}")
    weight = 1.0 if row.get("weight") is None else row["weight"]
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight < math.inf:
        raise RowFault("number out of range", f"'weight' should be above 0 and finite, got {shortened(weight)}")
    evidence = row.get("evidence") or {}
    if isinstance(evidence, str):  # as `to_dataset` stores it
        with suppress(RowFault):
            evidence = parse_json(evidence)
    if not isinstance(evidence, Mapping):
        raise RowFault("wrong type", f"'evidence' should be an object, got {type(evidence).__name__}")
    parents = row.get("parents") or []
    if not isinstance(parents, list) or not all(isinstance(parent, str) for parent in parents):
        raise RowFault("wrong type", "'parents' should be a list of strings")
    return PreferencePair(
        prompt=same(prompt),
        chosen=chosen,
        rejected=rejected,
        p_chosen=float(p_chosen),
        margin=float(margin),
        weight=float(weight),
        parents=tuple(parents),
        evidence=evidence,
        key=_word(row, "key"),
        **{name: same(_word(row, name)) for name in ("principle", "rule", "family")},
    )


def _word(row: Mapping[str, Any], name: str) -> str:
    return str(row.get(name) or "")


def without_none(row: Any) -> Any:
    """Return a row of a data set without its empty columns, which a row of another form may fill."""
    return {name: value for name, value in row.items() if value is not None} if isinstance(row, Mapping) else row


def _rows_of_shards(folder: Path) -> Iterator[tuple[InShard, Any]]:
    shards = [path for path in folder.iterdir() if path.suffix in _SHARDS and not path.name.startswith(".")]
    if not shards:
        raise PairError(f"{folder} is a folder; give a file, or a folder of .parquet, .jsonl or .json files")

    def rows() -> Iterator[tuple[InShard, Any]]:
        for shard in sorted(shards, key=_by_number):
            yield from ((InShard(line, str(shard)), row) for line, row in rows_of(shard))

    return rows()


def _by_number(path: Path) -> tuple[list[str | int], str]:
    """Return a sort key by which `part-9` stands before `part-10`; texts and numbers alternate, text first."""
    parts = re.split(r"(\d+)", path.name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], path.name


def _parquet_rows(path: Path) -> Iterator[tuple[int, Any]]:
    from datasets import load_dataset

    try:  # streamed, so that no copy is put into the cache; a path is otherwise read as a glob pattern
        rows = load_dataset("parquet", data_files=glob.escape(str(path)), split="train", streaming=True)
        yield from enumerate(map(without_none, rows), 1)
    except (OSError, ValueError, RuntimeError) as error:
        raise PairError(f"{path}: cannot be read as Parquet: {error}") from None
