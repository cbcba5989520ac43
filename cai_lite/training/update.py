"""One update: the gradients of its rows, in as many passes of the model as memory takes.

Shapes: B rows of a pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, NamedTuple

import torch

from cai_lite.errors import TrainingError
from cai_lite.training.batch import Passes
from cai_lite.training.config import TrainingConfig
from cai_lite.training.losses import Logps
from cai_lite.training.memory import recompute_more
from cai_lite.training.methods import METHODS
from cai_lite.training.ranks import GradientSums, dealt
from cai_lite.training.reference import part_of
from cai_lite.training.tokens import Row


class Sums(NamedTuple):
    """The numbers of some rows: their loss, and the means of what the method reports.

    `faulty`: the rows whose own loss is NaN or infinite.
    """

    numbers: dict[str, float]
    faulty: list[int]


class _Share(NamedTuple):
    """What came of one pass. `columns`: what the method reports, of each row, on the CPU."""

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
        return _merged(self.passes.ranks.gathered(self._shares(batch)))

    def measure(self) -> dict[str, float]:
        """Return loss and numbers of all rows as one update would have them, but without gradient or dropout."""
        training = self.model.training
        self.model.eval()
        try:
            with torch.no_grad():
                cut = self.passes.cut(range(len(self.rows)), self.rows)
                parts = self.passes.share(cut, self.model, self.rows)
                shares = [self._share(part, self.rows, backward=False) for part in parts]
            return _merged(self.passes.ranks.gathered(shares)).numbers
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
            shares: list[_Share] | None = None
            with suppress(torch.OutOfMemoryError):
                shares = self._shares(batch)
            found = ranks.gathered(shares)
            if None not in found:
                return _merged([each for each in found if each is not None])
            # Here the error and what its frames held are gone.
            self.model.zero_grad(set_to_none=True)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            more = recompute_more(self.model, self.config)
            if ranks.any(more is not None):
                if more is not None:
                    log(f"out of memory: {more} from here on; the updates stay the same")
                continue
            cut = [part for each in ranks.gathered(self._rounds(batch)) for parts in each for part in parts]
            if len(cut) == len(batch):
                raise TrainingError(
                    "out of memory with one row (a pair) a pass: lower train.max_tokens, or set "
                    "train.activation_checkpointing: true, or load: nf4"
                )
            self.passes.tokens = max(self.passes.read(part, self.rows) for part in cut) // 2
            log(f"out of memory: passes of at most {self.passes.tokens} tokens from here on; the updates stay the same")

    def _rounds(self, batch: Sequence[int]) -> list[list[list[int]]]:
        """Return the passes of this rank in rounds, after each of which the ranks add up their gradients.

        With at least as many passes asked for as there are ranks, these are the passes of one process, and a round has
        one of each rank: then the sums are those of one process to the bit, for float32 addition depends on its order.
        With fewer, rows are dealt: the ranks read about as many tokens each, and exchange gradients once an update;
        unless they have to keep in step.
        """
        passes, asked = self.passes, self.config.gradient_accumulation
        rank, world_size = passes.ranks.rank, passes.ranks.world_size
        if passes.in_step or asked >= world_size:
            cut = passes.cut(batch, self.rows, at_least=max(asked, world_size))
            return [cut[i : i + world_size][rank : rank + 1] for i in range(0, len(cut), world_size)]
        places = dealt([self.rows[i].tokens for i in batch], world_size)[rank]
        return [passes.cut([batch[place] for place in places], self.rows)]

    def _shares(self, batch: Sequence[int]) -> list[_Share]:
        """Add up the gradients of an update over all ranks; return what came of the passes of this one.

        Raises:
            torch.OutOfMemoryError: memory ran out here. The others are not kept waiting: this rank adds nothing more.
        """
        update, shares, failed = [self.rows[i] for i in batch], list[_Share](), False
        sums = GradientSums(self.passes.ranks, [p for _, p in sorted(self.model.named_parameters()) if p.requires_grad])
        for parts in self._rounds(batch):
            try:
                shares += [self._share(part, update, backward=True) for part in parts if not failed]
                if self.passes.in_step and not parts:
                    self._share(batch[:1], update, backward=True)
                    self.model.zero_grad(set_to_none=True)
            except torch.OutOfMemoryError as error:
                if self.passes.in_step:  # the others wait for this rank in the middle of a pass
                    raise TrainingError(
                        "out of memory, and with train.shard an update cannot begin anew: lower train.tokens_per_batch "
                        "or train.max_tokens, or set train.activation_checkpointing: true"
                    ) from error
                failed = True
            sums.add()
        sums.put()
        if failed:
            raise torch.OutOfMemoryError("memory ran out in a pass of this update")
        return shares

    def _share(self, part: Sequence[int], update: Sequence[Row], *, backward: bool) -> _Share:
        loss_B, numbers = self.loss_of_pass(part, update)
        loss = loss_B.sum()
        if backward:
            loss.backward()  # type: ignore[no-untyped-call]
        value, faulty = loss.item(), list[int]()
        if not math.isfinite(value):
            faulty = [i for i, finite in zip(part, loss_B.isfinite().tolist(), strict=True) if not finite]
        columns = {name: values_B.detach().double().cpu() for name, values_B in numbers.items()}
        return _Share(value, columns, faulty)


def _merged(found: Sequence[Sequence[_Share]]) -> Sums:
    """Return the numbers of an update from what came of the passes of each rank, in the order of one process."""
    shares = [share for each in zip_longest(*found) for share in each if share is not None]
    names = dict.fromkeys(name for share in shares for name in share.columns)
    means = {
        name: torch.cat([share.columns[name] for share in shares if name in share.columns]).mean().item()
        for name in names
    }
    loss = sum((share.loss for share in shares), 0.0)
    return Sums({"loss": loss, **means}, sorted(i for share in shares for i in share.faulty))
