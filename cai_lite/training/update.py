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
from cai_lite.training.batch import Passes
from cai_lite.training.config import TrainingConfig
from cai_lite.training.losses import Logps
from cai_lite.training.memory import recompute_more
from cai_lite.training.methods import METHODS
from cai_lite.training.ranks import dealt
from cai_lite.training.reference import part_of
from cai_lite.training.tokens import Row


class Sums(NamedTuple):
    """The numbers of some rows: their loss, and the means of what the method reports.

    `faulty`: the rows whose own loss is NaN or infinite.
    """

    numbers: dict[str, float]
    faulty: list[int]


class _Share(NamedTuple):
    """What one rank computed of some rows. `columns`: what the method reports, of each row, on the CPU."""

    loss: float
    columns: dict[str, torch.Tensor]
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
        policy = self.passes.values(self.model, some)
        before = None if self.reference is None else part_of(self.reference, part, like=policy)
        loss_B, numbers = METHODS[self.config.method].loss(policy, before, some, update=update, config=self.config)
        if any(row.weight != 1 for row in some):
            loss_B = loss_B * loss_B.new_tensor([row.weight for row in some])
        return loss_B, numbers

    def accumulate(self, batch: Sequence[int]) -> Sums:
        """Add up the gradients of one update in as many passes as it takes, over all ranks."""
        return self._added_up(self._share(batch))

    def measure(self) -> dict[str, float]:
        """Return loss and numbers of all rows as one update would have them, but without gradient or dropout."""
        training = self.model.training
        self.model.eval()
        try:
            with torch.no_grad():
                parts = self.passes.share(self.passes.cut(range(len(self.rows)), self.rows), self.rows)
                share = self._summed(parts, self.rows, backward=False)
            return _merged(self.passes.ranks.gathered(share)).numbers
        finally:
            self.model.train(training)

    def update(self, batch: Sequence[int], log: Callable[[str], None]) -> Sums:
        """Accumulate an update; where memory runs out, recompute more layers, then take smaller passes.

        The rows of the update stay the same. Where one of several ranks runs out of memory, all begin the update anew.

        Raises:
            TrainingError: memory runs out with a single row and every layer recomputed.
        """
        ranks = self.passes.ranks
        while True:
            share: _Share | None = None
            with suppress(torch.OutOfMemoryError):
                share = self._share(batch)
            if not ranks.any(share is None):
                assert share is not None
                return self._added_up(share)
            # Here the error and what its frames held are gone.
            self.model.zero_grad(set_to_none=True)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            more = recompute_more(self.model, self.config)
            if ranks.any(more is not None):
                if more is not None:
                    log(f"out of memory: {more} from here on; the updates stay the same")
                continue
            cut = [part for hand in self._hands(batch) for part in self._cut(hand)]
            if len(cut) == len(batch):
                raise TrainingError(
                    "out of memory with one row (a pair) a pass: lower train.max_tokens, or set "
                    "train.activation_checkpointing: true, or load: nf4"
                )
            self.passes.tokens = max(self.passes.read(part, self.rows) for part in cut) // 2
            log(f"out of memory: passes of at most {self.passes.tokens} tokens from here on; the updates stay the same")

    def _hands(self, batch: Sequence[int]) -> list[list[int]]:
        """Return the rows of an update that each rank gets, of about as many tokens."""
        world_size = self.passes.ranks.world_size
        if world_size == 1:
            return [list(batch)]
        places = dealt([self.rows[i].tokens for i in batch], world_size)
        return [[batch[place] for place in hand] for hand in places]

    def _cut(self, hand: Sequence[int]) -> list[list[int]]:
        at_least = math.ceil(self.config.gradient_accumulation / self.passes.ranks.world_size)
        return self.passes.cut(hand, self.rows, at_least=at_least)

    def _share(self, batch: Sequence[int]) -> _Share:
        """Add up the gradients of this rank's rows of an update."""
        parts = self._cut(self._hands(batch)[self.passes.ranks.rank])
        return self._summed(parts, [self.rows[i] for i in batch], backward=True)

    def _added_up(self, share: _Share) -> Sums:
        """Add up gradients and numbers over all ranks."""
        ranks = self.passes.ranks
        ranks.add_gradients(p for _, p in sorted(self.model.named_parameters()) if p.requires_grad)
        return _merged(ranks.gathered(share))

    def _summed(self, parts: Sequence[Sequence[int]], update: Sequence[Row], *, backward: bool) -> _Share:
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
        return _Share(total, {name: torch.cat(values) for name, values in columns.items()}, faulty)


def _merged(shares: Sequence[_Share]) -> Sums:
    """Return the numbers of an update from what each rank computed of it."""
    names = dict.fromkeys(name for share in shares for name in share.columns)
    means = {
        name: torch.cat([share.columns[name] for share in shares if name in share.columns]).mean().item()
        for name in names
    }
    loss = sum((share.loss for share in shares), 0.0)
    return Sums({"loss": loss, **means}, sorted(i for share in shares for i in share.faulty))
