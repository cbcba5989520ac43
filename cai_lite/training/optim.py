"""Optimizers and learning-rate schedules, one table each. torch is imported when an optimizer is made.

To add an optimizer, name it in `OPTIMIZERS` with the function that makes it and the memory of its state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple


class Optimizer(NamedTuple):
    """An optimizer to choose from.

    `make(parameters, lr=..., weight_decay=...)` returns it. `moment_bytes`: bytes of device memory that its state
    takes for each adapter weight; a paged optimizer keeps it in host memory.
    """

    make: Callable[..., Any]
    moment_bytes: float


def _torch(name: str) -> Callable[..., Any]:
    def make(parameters: Iterable[Any], **settings: float) -> Any:
        import torch

        return getattr(torch.optim, name)(parameters, **settings)

    return make


def _bitsandbytes(name: str) -> Callable[..., Any]:
    def make(parameters: Iterable[Any], **settings: float) -> Any:
        import bitsandbytes

        optim: Any = bitsandbytes.optim
        return getattr(optim, name)(parameters, **settings)

    return make


OPTIMIZERS: dict[str, Optimizer] = {
    "adamw": Optimizer(_torch("AdamW"), 8.0),
    "sgd": Optimizer(_torch("SGD"), 0.0),
    "adamw_8bit": Optimizer(_bitsandbytes("AdamW8bit"), 2.0),
    "adamw_8bit_paged": Optimizer(_bitsandbytes("PagedAdamW8bit"), 0.0),
}

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda share: 1.0,
    "linear": lambda share: 1 - share,
    "cosine": lambda share: 0.5 * (1 + math.cos(math.pi * share)),
}
"""Factor of the learning rate by the share (0 to 1) of the steps after the warm-up that are done."""


def learning_rates(peak: float, schedule: str, *, warmup: int, total: int) -> Callable[[int], float]:
    """Return the function from a step, counted from 1, to its learning rate: linear warm-up to `peak`, then `schedule`.

    `warmup`, `total`: steps. The values are those of transformers' `get_scheduler`, so that trainers can be compared
    step by step.
    """

    def rate(step: int) -> float:
        done = step - 1
        if done < warmup:
            return peak * done / warmup
        return peak * SCHEDULES[schedule]((done - warmup) / max(1, total - warmup))

    return rate
