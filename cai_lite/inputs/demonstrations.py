"""Demonstrations, the rows of supervised training: a prompt and the answer to learn, read from what people have.

| form | prompt | answer |
| --- | --- | --- |
| TRL, prompt and completion | `prompt`: messages or text, `system` | `completion`: messages or text |
| conversation | `messages` or `conversations`, without the last message | the last message |
| Alpaca, question | `instruction`, `question` or `input`, `system`, `history` | `output`, `response` or `answer` |

Plain text on both sides is trained as it is, without a chat template.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cai_lite.errors import PairError, shortened
from cai_lite.inputs.forms import answered, is_blank, last_answer
from cai_lite.inputs.pairs import only_split, rows_of, without_none
from cai_lite.inputs.quarantine import MAX_BAD, BadRow, sift
from cai_lite.inputs.textfile import RowFault
from cai_lite.records import Demonstration

TAKEN = "rows with 'prompt' and 'completion', or with 'messages': a list, a datasets.Dataset, or a JSONL file's path"
_ANSWERS = ("completion", "output", "response", "answer")


def read_demonstrations(path: str | Path, *, max_bad: float = MAX_BAD) -> tuple[Sequence[Demonstration], list[BadRow]]:
    """Read a JSONL, JSON or Parquet file; return the demonstrations, and the rows that cannot be used.

    `max_bad`: share of unusable rows above which the file is refused, from 0 to below 1.

    Raises:
        PairError: the file cannot be read, has no demonstrations, or has too many unusable rows.
    """
    return sift(rows_of(path), _read, file=str(path), what="demonstrations", max_bad=max_bad, error=PairError)


def as_demonstrations(given: Any) -> Sequence[Demonstration]:
    """Return the demonstrations of whatever people have: a path, a data set, a list of dictionaries or of records.

    Raises:
        PairError: it is none of these, or a row is invalid.
    """
    if isinstance(given, (str, Path)):
        return read_demonstrations(given)[0]
    if isinstance(given, Iterable) and not isinstance(given, (bytes, set, frozenset)):
        rows = enumerate(map(without_none, only_split(given, PairError)), 1)
        return sift(rows, _read, file="data set", what="demonstrations", max_bad=0.0, error=PairError)[0]
    raise PairError(f"demonstrations should be {TAKEN}; got {shortened(given)}")


def _read(_: int, row: Any) -> Demonstration:
    if isinstance(row, Demonstration):
        return row
    if not isinstance(row, Mapping):
        found = type(row).__name__
        raise RowFault("wrong type", f"should be an object with 'prompt' and 'completion', got {found}")
    named = {name: str(row.get(name) or "") for name in ("key", "family")}
    column = next((name for name in _ANSWERS if not is_blank(row.get(name))), "")
    if column:
        prompt, (completion,) = answered(row, {column: row[column]})
        return Demonstration(prompt=prompt, completion=completion, **named)
    if any(not is_blank(row.get(name)) for name in ("messages", "conversations")):
        prompt, completion = last_answer(row)
        return Demonstration(prompt=prompt, completion=completion, **named)
    if "chosen" in row and "rejected" in row:
        raise RowFault(
            "a pair", "is a preference pair; take method 'dpo', or 'on': 'chosen' to train on its chosen side"
        )
    found = ", ".join(sorted(map(str, row))[:20]) or "none"
    raise RowFault("no 'completion'", f"has no 'completion'; fields found: {found}")
