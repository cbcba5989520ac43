"""Evaluation during a training: the method's own loss on held-out examples, and which weights are kept.

The examples are given, or split off the training data by family, so that no prompt is on both sides.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cai_lite.errors import TrainingError
from cai_lite.records import digest
from cai_lite.run.mapped import Mapped, Subset
from cai_lite.training import checkpoint
from cai_lite.training.batch import total_steps
from cai_lite.training.config import TrainingConfig
from cai_lite.training.losses import Logps
from cai_lite.training.methods import Method
from cai_lite.training.tokens import Row
from cai_lite.training.update import Objective

PREFIX = "eval/"
AUTO = 100  # least number of updates at which eval_every: auto evaluates
EVALUATIONS = 10  # number of evaluations of a training under eval_every: auto
FAMILIES = 10  # least number of families of which some are held out
SHARE = 0.1  # largest share of the examples that is held out
LIMIT = 256  # largest number of examples that is held out, so that evaluations stay cheap beside the training


def interval(config: TrainingConfig, examples: int, *, given: bool) -> int:
    """Return the number of updates between two evaluations; 0 means none. `given`: held-out examples are given."""
    if config.eval_every != "auto":
        return config.eval_every
    total = total_steps(examples, config)
    return max(1, round(total / EVALUATIONS)) if given or total >= AUTO else 0


def split(data: Sequence[Any], method: Method, log: Callable[[str], None]) -> tuple[Sequence[Any], list[Any]]:
    """Return the examples to train on and those held out, a tenth of them by family, in the order of their digests.

    As many families are held out as the method needs, but no more than a third. Nothing is where the examples come from
    fewer than ten families.
    """
    # A family is known by the beginning of its digest: 8 bytes for each example, however many there are.
    places = array("Q", (_place(method.family(example)) for example in data))
    families, sizes = np.unique(np.frombuffer(places, dtype=np.uint64), return_counts=True)  # in the order of digests
    if len(families) < FAMILIES:
        log(
            f"no evaluation during training: the {len(data)} examples come from {len(families)} prompt families, and "
            f"at least {FAMILIES} are needed to hold some out"
        )
        return data, []
    held, taken, limit = set[int](), 0, min(int(SHARE * len(data)), LIMIT)
    needed = min(method.held_out_families, len(families) // 3)
    for family, size in zip(families, sizes, strict=True):
        if taken + size <= (limit if len(held) >= needed else LIMIT):
            held.add(int(family))
            taken += int(size)
        if taken >= limit and len(held) >= needed:
            break
    log(
        f"evaluation during training: {taken} of {len(data)} examples, those of {len(held)} of {len(families)} prompt "
        "families, are held out and not trained on; train.eval_every: 0 trains on all of them"
    )
    is_held = [array("q", (i for i, at in enumerate(places) if (at in held) == side)) for side in (False, True)]
    kept, held_out = (Subset(data, places) for places in is_held)
    return kept if isinstance(data, Mapped) else list(kept), list(held_out)


def _place(family: str) -> int:
    return int(digest("held out of the training", family)[:16], 16)


@dataclass(frozen=True, slots=True)
class Best:
    """The evaluation with the least loss so far. `since`: the number of evaluations after it."""

    step: int
    loss: float
    sha256: str
    since: int = 0


class HeldOut:
    """Evaluate every `every` updates, keep the best weights in checkpoints/, and say when to stop.

    `record` is what a checkpoint stores of it, and `resume` reads.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        reference: Logps | None,
        *,
        every: int,
        config: TrainingConfig,
        checkpoints: Path,
    ) -> None:
        self._rows, self._reference, self._every, self._config = rows, reference, every, config
        self._checkpoints = checkpoints
        self.best: Best | None = None

    def resume(self, record: dict[str, Any] | None) -> None:
        """Continue from the record of a checkpoint."""
        self.best = Best(**record) if record else None

    def record(self) -> dict[str, Any] | None:
        """Return what a checkpoint has to store."""
        return asdict(self.best) if self.best else None

    def begin(self, parameters: dict[str, Any], log: Callable[[str], None]) -> None:
        """Look before the first update; a loss on fixed rows needs no such look."""

    def due(self, step: int, total: int) -> bool:
        """Return whether there is an evaluation after this update; there is always one after the last."""
        return step % self._every == 0 or step == total

    def look(self, training: Objective, step: int, parameters: dict[str, Any]) -> dict[str, float]:
        """Evaluate after update `step`, remember the weights if they are the best, and return the numbers by name.

        `training`: the objective of the training, whose model and limit of a pass are used.

        Raises:
            TrainingError: a number is not finite.
        """
        found = replace(training, rows=self._rows, reference=self._reference).measure()
        if not all(math.isfinite(value) for value in found.values()):
            raise TrainingError(f"step {step}: a held-out number is not finite ({found}); lower train.learning_rate")
        if self.best is None or found["loss"] < self.best.loss:
            keeps = self._config.keep == "best" and training.passes.ranks.first
            sha256 = checkpoint.save_best(self._checkpoints, step, parameters) if keeps else ""
            self.best = Best(step, found["loss"], sha256)
        else:
            self.best = Best(self.best.step, self.best.loss, self.best.sha256, self.best.since + 1)
        return {PREFIX + name: value for name, value in found.items()}

    def says(self) -> str:
        """Return a warning of the last evaluation, or "" where there is none."""
        return ""

    def stops(self) -> str:
        """Return why the training should stop: the loss has not improved for as many evaluations as `early_stop` says.

        It is "" where it should go on.
        """
        patience = self._config.early_stop
        stale = patience and self.best and self.best.since >= patience
        return f"{patience} evaluations without a lower loss" if stale else ""

    def restore(self, parameters: dict[str, Any]) -> None:
        """Put the best weights back, if the settings say so."""
        if self.best is not None and self._config.keep == "best" and self.best.since:
            checkpoint.load_best(self._checkpoints, self.best.step, self.best.sha256, parameters)

    def summary(self) -> str:
        """Return which weights are kept, in words."""
        assert self.best is not None
        if self._config.keep == "last":
            return (
                f"kept: the last weights; the lowest held-out loss was {self.best.loss:.4f}, at step {self.best.step}"
            )
        return f"kept: the weights of step {self.best.step}, which have the lowest held-out loss, {self.best.loss:.4f}"
