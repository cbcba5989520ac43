"""Read labels.jsonl: what people say of answers, whether each keeps a principle.

{"answer": "5b0c...", "principle": "kind-tone", "keeps": true, "by": "ada", "at": "2026-05-01T10:00:00Z"}
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from cai_lite.errors import LabelError, did_you_mean, shortened
from cai_lite.inputs.textfile import RowFault, read_valid

LABELS = "labels.jsonl"  # its name in a run directory
LATEST = 253402300800  # seconds since 1970 of the year 10000, which a date cannot name
_FIELDS = ("answer", "principle", "keeps", "by", "at", "weight")

Cell = tuple[str, str]
"""What a label is about: the key of an answer, and the id of a principle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerLabel:
    """What one person says of one answer under one principle.

    `answer`: its key in answers.jsonl. `by`: the person. `at`: seconds since 1970. `weight`: how many answers this one
    stands for, relative to the others; all alike (1) where the answers to label were drawn at random.
    """

    answer: str
    principle: str
    keeps: bool
    by: str
    at: float
    weight: float = 1.0

    @property
    def cell(self) -> Cell:
        """The answer and the principle."""
        return self.answer, self.principle


class Settled(NamedTuple):
    """Labels of several people as one for each cell.

    `keeps`: what the majority says. `votes`: what each person says last. `weights`: by cell. `ties`: cells on which as
    many people say yes as no, which count as unlabelled. `superseded`: labels whose author changed their mind later.
    """

    keeps: Mapping[Cell, bool]
    votes: Mapping[Cell, Mapping[str, bool]]
    weights: Mapping[Cell, float]
    ties: int
    superseded: int


def load_labels(path: str | Path) -> list[AnswerLabel]:
    """Read a labels file, in the order of its lines; an empty file has none.

    `at` is a time as ISO 8601 writes it (UTC, unless it names its zone) or a number of seconds since 1970.

    Raises:
        LabelError: the file cannot be read, or lines of it are invalid, with file, line and field.
    """
    return read_valid(Path(path), _read, LabelError)


def seconds(at: Any) -> float:
    """Return a time of a file in seconds since 1970: a number of them, or as ISO 8601 writes it, UTC without a zone.

    Raises:
        RowFault: it is no time.
    """
    if _is_number(at) and abs(at) < LATEST:
        return float(at)
    try:
        time = datetime.fromisoformat(at)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        raise RowFault(
            "wrong type", f"'at' should be a time such as 2026-05-01T10:00:00Z, or seconds, got {shortened(at)}"
        ) from None


def settle(labels: Iterable[AnswerLabel]) -> Settled:
    """Join the labels: of one person the latest counts, of several people the majority."""
    latest: dict[tuple[Cell, str], AnswerLabel] = {}
    superseded = 0
    for label in labels:
        known = latest.get((label.cell, label.by))
        superseded += known is not None
        if known is None or label.at >= known.at:
            latest[label.cell, label.by] = label
    votes: dict[Cell, dict[str, bool]] = {}
    weights: dict[Cell, float] = {}
    for (cell, person), label in latest.items():
        votes.setdefault(cell, {})[person] = label.keeps
        weights[cell] = max(label.weight, weights.get(cell, 0.0))
    counts = {cell: Counter(said.values()) for cell, said in votes.items()}
    keeps = {cell: n[True] > n[False] for cell, n in counts.items() if n[True] != n[False]}
    return Settled(keeps, votes, weights, len(counts) - len(keeps), superseded)


def _read(row: Any) -> AnswerLabel:
    if not isinstance(row, Mapping):
        raise RowFault("wrong type", f"should be an object with {', '.join(_FIELDS[:5])}, got {shortened(row)}")
    for name in row:
        if name not in _FIELDS:
            raise RowFault("unknown field", f"unknown field '{shortened(name)[1:-1]}'{did_you_mean(name, _FIELDS)}")
    for name in _FIELDS[:5]:
        if name not in row:
            raise RowFault("missing field", f"'{name}' is missing")
    for name in ("answer", "principle", "by"):
        if not isinstance(row[name], str) or not row[name].strip():
            raise RowFault("wrong type", f"'{name}' should be a text, got {shortened(row[name])}")
    if not isinstance(row["keeps"], bool):
        raise RowFault("wrong type", f"'keeps' should be true or false, got {shortened(row['keeps'])}")
    weight = row.get("weight", 1.0)
    if not _is_number(weight) or weight <= 0:
        raise RowFault("wrong type", f"'weight' should be a number above 0, got {shortened(weight)}")
    return AnswerLabel(
        answer=row["answer"],
        principle=row["principle"],
        keeps=row["keeps"],
        by=row["by"].strip(),
        at=seconds(row["at"]),
        weight=float(weight),
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
