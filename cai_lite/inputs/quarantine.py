"""Set rows aside that cannot be used: they are counted and listed with their reasons, and the others go on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from cai_lite.errors import InputError
from cai_lite.inputs.textfile import RowFault
from cai_lite.run.files import write_lines
from cai_lite.run.mapped import Spill

QUARANTINE = "quarantine.jsonl"  # its name in a run directory
MAX_BAD = 0.05  # share of unusable rows above which a file is refused
SHOWN = 3  # rows that the error lists

Row = TypeVar("Row")


class BadRow(NamedTuple):
    """A row that was set aside. `line`: its line in the file, or its number in a data set, from 1."""

    file: str
    line: int
    kind: str
    reason: str


class InShard(int):
    """A line of one file among several: a number that knows its file."""

    def __new__(cls, line: int, file: str) -> InShard:
        """Return the number with its file."""
        made = super().__new__(cls, line)
        made.file = file
        return made

    file: str


def sift(
    rows: Iterable[tuple[int, Any]],
    make: Callable[[int, Any], Row],
    *,
    file: str,
    what: str,
    max_bad: float,
    error: type[InputError],
    into: Spill[Row] | None = None,
) -> tuple[Sequence[Row], list[BadRow]]:
    """Return what `make` returns for each row, and the rows for which it raises a `RowFault`.

    `rows`: line and value, or line and `RowFault`. `what`: the name of a usable row, in the plural. `max_bad`: the
    largest share of unusable rows, from 0 to below 1. `into`: keeps usable rows that are too many for memory.

    Raises:
        InputError: (as `error`) there are no rows, no usable rows, or too many unusable ones.
    """
    if not 0 <= max_bad < 1:
        raise error(f"'max_bad' should be from 0 to below 1, got {max_bad}")
    good: list[Row] | Spill[Row] = [] if into is None else into
    bad: list[BadRow] = []
    for line, value in rows:
        try:
            if isinstance(value, RowFault):
                raise value
            good.append(make(line, value))
        except RowFault as fault:
            bad.append(BadRow(getattr(line, "file", file), int(line), fault.kind, str(fault)))
        except RecursionError:
            bad.append(BadRow(getattr(line, "file", file), int(line), "not valid JSON", "nested too deeply"))
    total = len(good) + len(bad)
    if not total:
        raise error(f"{file}: contains no {what}")
    if bad and (not good or len(bad) > max_bad * total):
        first = [f"{row.file}:{row.line}: {row.reason}" for row in bad[:SHOWN]]
        limit = f"'max_bad' allows {max_bad:.3g} of them" if good else f"so there are no {what}"
        counts = f"{len(bad):,} of {total:,} rows cannot be used ({reasons(bad)})"
        raise error("\n".join([*first, f"{file}: {counts}; {limit}"]))
    return good.done() if isinstance(good, Spill) else good, bad


def reasons(bad: Sequence[BadRow]) -> str:
    """Return the number of rows set aside for each reason: `2 blank text, 1 equal sides`."""
    return ", ".join(f"{n:,} {kind}" for kind, n in Counter(row.kind for row in bad).most_common())


def write_quarantine(path: Path, bad: Sequence[BadRow]) -> None:
    """Write the rows set aside, one JSON object per line; without any, remove the file of an earlier reading."""
    if bad:
        write_lines(path, (json.dumps(row._asdict(), ensure_ascii=True) + "\n" for row in bad))
    else:
        path.unlink(missing_ok=True)
