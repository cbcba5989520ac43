"""One update: the gradients of its rows, in as many passes of the model as memory takes.

Shapes: B rows of a pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch

from cai_lite.errors import TrainingError
from cai_lite.training.batch import Passes, tokens_read
from cai_lite.training.config import TrainingConfig
from cai_lite.training.losses import Logps
from cai_lite.training.memory import recompute_more
from cai_lite.training.methods import METHODS
from cai_lite.training.reference import part_of
from cai_lite.training.tokens import Row


def loss_of_pass(
    model: Any,
    rows: Sequence[Row],
    part: Sequence[int],
    reference: Logps | None,
    config: TrainingConfig,
    passes: Passes,
    *,
    update: Sequence[Row],
) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
    """Return the loss of the rows `part`, weighted and added up, and the method's numbers, each of shape [B].

    `update`: the rows of the whole update that the pass belongs to.
    """
    some = [rows[i] for i in part]
    policy = passes.logps(model, some)
    before = None if reference is None else part_of(reference, part, like=policy)
    loss_B, numbers = METHODS[config.method].loss(policy, before, some, update=update, config=config)
    if any(row.weight != 1 for row in some):
        loss_B = loss_B * loss_B.new_tensor([row.weight for row in some])
    return loss_B.sum(), numbers


def accumulate(
    model: Any,
    rows: Sequence[Row],
    batch: Sequence[int],
    reference: Logps | None,
    config: TrainingConfig,
    passes: Passes,
) -> dict[str, float]:
    """Add up the gradients of one update in as many passes as it takes; return its loss and the method's numbers."""
    whole = [rows[i] for i in batch]
    total, columns = 0.0, dict[str, list[torch.Tensor]]()
    for part in passes.cut(batch, rows, at_least=config.gradient_accumulation):
        loss, numbers = loss_of_pass(model, rows, part, reference, config, passes, update=whole)
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.item()
        for name, values_B in numbers.items():
            columns.setdefault(name, []).append(values_B.detach().double().cpu())
    return {"loss": total, **{name: torch.cat(values).mean().item() for name, values in columns.items()}}


def update(
    model: Any,
    rows: Sequence[Row],
    batch: Sequence[int],
    reference: Logps | None,
    config: TrainingConfig,
    passes: Passes,
    log: Callable[[str], None],
) -> dict[str, float]:
    """Accumulate an update; where memory runs out, recompute more layers, then take smaller passes.

    The rows of the update stay the same.

    Raises:
        TrainingError: memory runs out with a single row and every layer recomputed.
    """
    while True:
        with suppress(torch.OutOfMemoryError):
            return accumulate(model, rows, batch, reference, config, passes)
        # Here the error and what its frames held are gone.
        model.zero_grad(set_to_none=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if (more := recompute_more(model, config)) is not None:
            log(f"out of memory: {more} from here on; the updates stay the same")
            continue
        cut = passes.cut(batch, rows, at_least=config.gradient_accumulation)
        if len(cut) == len(batch):
            raise TrainingError(
                "out of memory with one row (a pair) a pass: lower train.max_tokens, or set "
                "train.activation_checkpointing: true, or load: nf4"
            )
        passes.tokens = max(tokens_read(part, rows, passes.layout) for part in cut) // 2
        log(f"out of memory: passes of at most {passes.tokens} tokens from here on; the updates stay the same")
