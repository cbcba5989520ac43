"""Updates whose numbers are not finite: they are skipped, counted and named, and several in a row stop the training.

A skipped update changes neither the weights nor the state of the optimizer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cai_lite.errors import TrainingError

IN_A_ROW = 3  # number of skipped updates in a row that stops a training
NAMED = 16  # number of rows that a message names
MENDS = (
    "lower train.learning_rate or train.max_grad_norm, load bfloat16 in place of float16, or look at these rows of the "
    "data; any of these begins a new training, and the old output is moved aside"
)


class Skipped:
    """The skipped updates of a training: `total` of them, and the last ones without a good update since.

    `record` is what a checkpoint stores of it, and `resume` reads.
    """

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self.total = 0
        self._streak: list[dict[str, Any]] = []

    def resume(self, record: Mapping[str, Any] | None) -> None:
        """Continue from the record of a checkpoint."""
        if record:
            self.total, self._streak = record["total"], list(record["streak"])

    def record(self) -> dict[str, Any] | None:
        """Return what a checkpoint has to store; None if no update was skipped."""
        return {"total": self.total, "streak": self._streak} if self.total else None

    def took(self) -> None:
        """Note that an update was good."""
        self._streak.clear()

    def skip(self, step: int, numbers: Mapping[str, float], rows: Sequence[str]) -> None:
        """Note that an update was skipped, and say so. `rows`: the names of those that its numbers came from."""
        self.total += 1
        which = _listed(rows)
        self._streak.append({"step": step, "fault": _fault(numbers), "rows": which})
        self._log(
            f"step {step}: warning: {_fault(numbers)}, so the update is skipped: the weights stay as they were; rows "
            f"of the update: {which}"
        )

    def check(self, saved: int) -> None:
        """Check that fewer than `IN_A_ROW` updates in a row were skipped. `saved`: step of the newest checkpoint.

        Raises:
            TrainingError: so many were; the message names steps and rows.
        """
        if len(self._streak) < IN_A_ROW:
            return
        steps = "\n".join(f"step {each['step']}: {each['fault']} (rows {each['rows']})" for each in self._streak)
        kept = f"the checkpoint of step {saved} is kept" if saved else "there was no checkpoint yet"
        raise TrainingError(
            f"{IN_A_ROW} updates in a row were skipped, because their numbers are not finite:\n{steps}\n"
            f"Their weights were not changed, and {kept}; but going on with the same settings and data meets the same "
            f"numbers again: {MENDS}"
        )

    def check_any(self, total: int) -> None:
        """Check that not every update of a training of `total` was skipped. Raises TrainingError."""
        if total and self.total >= total:
            raise TrainingError(f"all {total} updates were skipped, so nothing was trained: {MENDS}")


def finite(numbers: Mapping[str, float]) -> bool:
    """Return whether all numbers of an update are finite."""
    return all(math.isfinite(value) for value in numbers.values())


def _fault(numbers: Mapping[str, float]) -> str:
    """Return which number is not finite, in words; the loss first, since it decides the others."""
    names = {"loss": "the loss", "grad_norm": "the gradient norm"}
    name = next(name for name in (*names, *numbers) if not math.isfinite(numbers.get(name, 0.0)))
    return f"{names.get(name, name)} is {numbers[name]}"


def _listed(rows: Sequence[str]) -> str:
    more = f" and {len(rows) - NAMED} more" if len(rows) > NAMED else ""
    return ", ".join(rows[:NAMED]) + more
