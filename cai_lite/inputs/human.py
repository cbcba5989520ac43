"""Read and write human.jsonl: which of two answers people prefer, and how they would have written one.

{"kind": "vote", "prompt": [{"role": "user", "content": "Hi"}], "a": "Hello!", "b": "What?", "choice": "a",
 "principle": "kind-tone", "confidence": 1.0, "by": "ada", "at": "2026-05-01T10:00:00Z", "pair": "5b0c..."}
{"kind": "edit", "prompt": [...], "before": "What?", "after": "Hello!", "principle": null, "by": "ada",
 "at": "2026-05-01T10:00:00Z", "from": "77f1..."}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast

from cai_lite.errors import LabelError, did_you_mean, shortened
from cai_lite.inputs.forms import RAW, answered
from cai_lite.inputs.labels import seconds
from cai_lite.inputs.textfile import RowFault, check_writable, read_valid
from cai_lite.records import Messages, dicts_of, digest
from cai_lite.run.disk import writing

HUMAN = "human.jsonl"  # its name in a run directory
CHOICES = ("a", "b", "tie")
_VOTE = ("kind", "prompt", "a", "b", "choice", "principle", "confidence", "by", "at", "pair")
_EDIT = ("kind", "prompt", "before", "after", "principle", "by", "at", "from")
_OPTIONAL = ("principle", "confidence", "pair", "from")


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanVote:
    """Which of two answers to a prompt one person prefers.

    `confidence`: from 0, a guess, to 1, sure. `principle`: id of the one that the two were compared under; None where
    it was none in particular. `at`: seconds since 1970. `pair`: key of what was voted on; "" if it has none.
    """

    prompt: Messages
    a: str
    b: str
    choice: Literal["a", "b", "tie"]
    principle: str | None = None
    confidence: float = 1.0
    by: str
    at: float
    pair: str = ""

    @property
    def key(self) -> str:
        """Return the digest of all that the line says."""
        return digest("human", self.as_row())

    def as_row(self) -> dict[str, Any]:
        """Return the object that stands in human.jsonl."""
        return {
            "kind": "vote",
            "prompt": dicts_of(self.prompt),
            "a": self.a,
            "b": self.b,
            "choice": self.choice,
            "principle": self.principle,
            "confidence": self.confidence,
            "by": self.by,
            "at": iso(self.at),
            "pair": self.pair,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanEdit:
    """An answer as one person would have written it.

    `before`: the answer of a model. `principle`: id of the one that the edit mends, or None. `at`: seconds since 1970.
    `source`: key of the answer, the field `from` of the file; "" if it has none.
    """

    prompt: Messages
    before: str
    after: str
    principle: str | None = None
    by: str
    at: float
    source: str = ""

    @property
    def key(self) -> str:
        """Return the digest of all that the line says."""
        return digest("human", self.as_row())

    def as_row(self) -> dict[str, Any]:
        """Return the object that stands in human.jsonl."""
        return {
            "kind": "edit",
            "prompt": dicts_of(self.prompt),
            "before": self.before,
            "after": self.after,
            "principle": self.principle,
            "by": self.by,
            "at": iso(self.at),
            "from": self.source,
        }


def read_human(path: str | Path) -> list[HumanVote | HumanEdit]:
    """Read a file of votes and edits, in the order of its lines; an empty file has none.

    `at` is a time as ISO 8601 writes it (UTC, unless it names its zone) or a number of seconds since 1970. `principle`,
    `confidence`, `pair` and `from` may be absent.

    Raises:
        LabelError: the file cannot be read, or lines of it are invalid, with file, line and field.
    """
    return read_valid(Path(path), human_of, LabelError)


def human_of(row: Any) -> HumanVote | HumanEdit:
    """Return the vote or edit of a row.

    Raises:
        RowFault: the row is neither, or a value of it is unusable.
    """
    kind = row.get("kind") if isinstance(row, Mapping) else None
    if kind not in ("vote", "edit"):
        raise RowFault("wrong type", f"should be an object whose 'kind' is vote or edit, got {shortened(row)}")
    fields = _VOTE if kind == "vote" else _EDIT
    for name in row:
        if name not in fields:
            raise RowFault("unknown field", f"unknown field '{shortened(name)[1:-1]}'{did_you_mean(name, fields)}")
    for name in fields:
        if name not in row and name not in _OPTIONAL:
            raise RowFault("missing field", f"'{name}' is missing")
    principle = row.get("principle")
    if principle is not None:
        principle = _text(row, "principle")
    prompt, by, at = _prompt(row), _text(row, "by").strip(), seconds(row["at"])
    if kind == "edit":
        before, after = _text(row, "before", blank=True), _text(row, "after")
        if before == after:
            raise RowFault("equal sides", "'after' equals 'before', so nothing was edited")
        source = _text({"from": "", **row}, "from", blank=True)
        return HumanEdit(prompt=prompt, before=before, after=after, principle=principle, by=by, at=at, source=source)
    a, b = _text(row, "a", blank=True), _text(row, "b", blank=True)
    if a == b:
        raise RowFault("equal sides", "'a' equals 'b', so there is nothing to prefer")
    if row["choice"] not in CHOICES:
        raise RowFault("wrong type", f"'choice' should be a, b or tie, got {shortened(row['choice'])}")
    confidence = row.get("confidence", 1.0)
    if isinstance(confidence, bool) or not isinstance(confidence, (int, float)) or not 0 <= confidence <= 1:
        raise RowFault("wrong type", f"'confidence' should be a number from 0 to 1, got {shortened(confidence)}")
    return HumanVote(
        prompt=prompt,
        a=a,
        b=b,
        choice=cast(Literal["a", "b", "tie"], row["choice"]),
        principle=principle,
        confidence=float(confidence),
        by=by,
        at=at,
        pair=_text({"pair": "", **row}, "pair", blank=True),
    )


def append_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append objects to a JSONL file, one a line, also to one whose last line has no end yet.

    Raises:
        DiskError: the disk is full, read-only or gone.
    """
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if not text:
        return
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            if file.tell():
                file.seek(-1, 2)
                text = text if file.read(1) == b"\n" else "\n" + text
            file.write(text.encode("utf-8"))


def iso(at: float) -> str:
    """Return a time in seconds since 1970 as files write it: 2026-05-01T10:00:00.123Z."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _prompt(row: Mapping[str, Any]) -> Messages:
    prompt, _ = answered({"prompt": row["prompt"]}, {})
    if prompt[0].role == RAW:
        raise RowFault("wrong type", f"'prompt' should be a list of messages, got {shortened(row['prompt'])}")
    return prompt


def _text(row: Mapping[str, Any], name: str, *, blank: bool = False) -> str:
    value = row[name]
    if not isinstance(value, str) or not (blank or value.strip()):
        raise RowFault("wrong type", f"'{name}' should be a text, got {shortened(value)}")
    check_writable(value, name)
    return value
