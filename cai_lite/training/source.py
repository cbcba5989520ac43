"""Where the updates of a training take their rows from: rows that are fixed, or samples of the policy as it is.

The loop asks a source for one update after another, and knows no more of it. `Fixed` walks the rows of the data, epoch
by epoch; `on_policy.OnPolicy` draws new ones from the model as often as it likes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from cai_lite.chat.turns import Turns
from cai_lite.training.batch import total_steps, updates
from cai_lite.training.held_out import HeldOut
from cai_lite.training.losses import Logps
from cai_lite.training.rewards import Feedback
from cai_lite.training.tokens import Row
from cai_lite.training.update import Objective


class Batch(NamedTuple):
    """The rows of one update, as places in the rows of `objective`."""

    epoch: int
    objective: Objective
    rows: list[int]


class Asked(NamedTuple):
    """What a method may need to make a source of: the student's turns, the examples, and what rewards its samples."""

    turns: Turns
    data: Sequence[Any]
    feedback: Feedback | None
    log: Callable[[str], None]


class Source(Protocol):
    """What the loop asks of a source. `total`: number of updates; `ended`: why there are fewer, or ""."""

    total: int
    ended: str

    def batches(self, start: int) -> Iterator[Batch]:
        """Yield the batch of each update after the first `start`; the next is made once the last is learnt from."""
        ...

    def takes(self, numbers: Mapping[str, float]) -> bool:
        """Return whether an update is made that has these numbers; if not, `ended` says why the training ends.

        Raises:
            TrainingError: the numbers of the first update show that policy and reference differ.
        """
        ...

    def held_out(
        self, rows: Sequence[Row], data: Sequence[Any], reference: Logps | None, *, every: int, checkpoints: Path
    ) -> HeldOut:
        """Return what evaluates on held-out rows, every so many updates."""
        ...

    def record(self) -> dict[str, Any] | None:
        """Return what a checkpoint has to store, besides the number of updates."""
        ...

    def resume(self, record: dict[str, Any] | None) -> None:
        """Continue from the record of a checkpoint."""
        ...


class Fixed:
    """The rows of the data, the same in each epoch but for their order."""

    ended = ""

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self.total = total_steps(len(objective.rows), objective.config)

    def batches(self, start: int) -> Iterator[Batch]:
        """Yield the batch of each update after the first `start`."""
        objective = self._objective
        for epoch, rows in islice(updates(len(objective.rows), objective.config), start, self.total):
            yield Batch(epoch, objective, rows)

    def takes(self, numbers: Mapping[str, float]) -> bool:
        """Return True."""
        return True

    def held_out(
        self, rows: Sequence[Row], data: Sequence[Any], reference: Logps | None, *, every: int, checkpoints: Path
    ) -> HeldOut:
        """Return what evaluates the loss on held-out rows."""
        return HeldOut(rows, reference, every=every, config=self._objective.config, checkpoints=checkpoints)

    def record(self) -> dict[str, Any] | None:
        """Return None: the order of the rows is known from the number of updates."""
        return None

    def resume(self, record: dict[str, Any] | None) -> None:
        """Do nothing, since nothing was stored."""
