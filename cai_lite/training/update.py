"""One update: the gradients of its rows, in as many passes of the model as memory takes.

Shapes: B rows of a pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from cai_lite.errors import TrainingError
from cai_lite.training.batch import Passes, tokens_read
from cai_lite.training.config import TrainingConfig
from cai_lite.training.losses import Logps
from cai_lite.training.memory import recompute_more
from cai_lite.training.methods import METHODS
from cai_lite.training.reference import part_of
from cai_lite.training.tokens import Row


class Sums(NamedTuple):
    """The numbers of some rows: their loss, and the means of what the method reports.

    `faulty`: the rows whose own loss is NaN or infinite.
    """

    numbers: dict[str, float]
    faulty: list[int]


@dataclass(frozen=True, slots=True)
class Objective:
    """The loss of rows under a model: all that an update and an evaluation read."""

    model: Any
    rows: Sequence[Row]
    reference: Logps | None
    config: TrainingConfig
    passes: Passes

    def loss_of_pass(
        self, part: Sequence[int], update: Sequence[Row]
    ) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """Return the weighted loss of each row of `part` and the method's numbers, each of shape [B].

        `update`: the rows of the whole update that the pass belongs to.
        """
        some = [self.rows[i] for i in part]
        method = METHODS[self.config.method]
        compute: Callable[..., Any] = self.passes.token_logps if method.on_policy else self.passes.logps
        policy = compute(self.model, some)
        before = None if self.reference is None else part_of(self.reference, part, like=policy)
        loss_B, numbers = method.loss(policy, before, some, update=update, config=self.config)
        if any(row.weight != 1 for row in some):
            loss_B = loss_B * loss_B.new_tensor([row.weight for row in some])
        return loss_B, numbers

    def accumulate(self, batch: Sequence[int]) -> Sums:
        """Add up the gradients of one update in as many passes as it takes."""
        parts = self.passes.cut(batch, self.rows, at_least=self.config.gradient_accumulation)
        return self._summed(parts, [self.rows[i] for i in batch], backward=True)

    def measure(self) -> dict[str, float]:
        """Return loss and numbers of all rows as one update would have them, but without gradient or dropout."""
        training = self.model.training
        self.model.eval()
        try:
            with torch.no_grad():
                parts = self.passes.cut(range(len(self.rows)), self.rows)
                return self._summed(parts, self.rows, backward=False).numbers
        finally:
            self.model.train(training)

    def update(self, batch: Sequence[int], log: Callable[[str], None]) -> Sums:
        """Accumulate an update; where memory runs out, recompute more layers, then take smaller passes.

        The rows of the update stay the same.

        Raises:
            TrainingError: memory runs out with a single row and every layer recomputed.
        """
        while True:
            with suppress(torch.OutOfMemoryError):
                return self.accumulate(batch)
            # Here the error and what its frames held are gone.
            self.model.zero_grad(set_to_none=True)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            if (more := recompute_more(self.model, self.config)) is not None:
                log(f"out of memory: {more} from here on; the updates stay the same")
                continue
            cut = self.passes.cut(batch, self.rows, at_least=self.config.gradient_accumulation)
            if len(cut) == len(batch):
                raise TrainingError(
                    "out of memory with one row (a pair) a pass: lower train.max_tokens, or set "
                    "train.activation_checkpointing: true, or load: nf4"
                )
            self.passes.tokens = max(tokens_read(part, self.rows, self.passes.layout) for part in cut) // 2
            log(f"out of memory: passes of at most {self.passes.tokens} tokens from here on; the updates stay the same")

    def _summed(self, parts: Sequence[Sequence[int]], update: Sequence[Row], *, backward: bool) -> Sums:
        total, columns, faulty = 0.0, dict[str, list[torch.Tensor]](), list[int]()
        for part in parts:
            loss_B, numbers = self.loss_of_pass(part, update)
            loss = loss_B.sum()
            if backward:
                loss.backward()  # type: ignore[no-untyped-call]
            value = loss.item()
            if not math.isfinite(value):
                faulty += [i for i, finite in zip(part, loss_B.isfinite().tolist(), strict=True) if not finite]
            total += value
            for name, values_B in numbers.items():
                columns.setdefault(name, []).append(values_B.detach().double().cpu())
        means = {name: torch.cat(values).mean().item() for name, values in columns.items()}
        return Sums({"loss": total, **means}, sorted(faulty))
