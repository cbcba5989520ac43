"""Fit a training into memory: predict what a pass takes, and choose how many layers are recomputed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from cai_lite.logps.attention import attention_of
from cai_lite.logps.footprint import Footprint, footprint
from cai_lite.logps.fused import fuse
from cai_lite.logps.layout import Layout
from cai_lite.training.batch import Passes
from cai_lite.training.config import TrainingConfig
from cai_lite.training.optim import OPTIMIZERS
from cai_lite.training.student import set_checkpointing, with_adapter
from cai_lite.training.tokens import Row

SLACK = 0.92  # share of the memory that may be planned for; the rest is fragmentation


def footprint_of(
    model_config: Any,
    rows: Sequence[Row],
    config: TrainingConfig,
    *,
    layout: Layout,
    quantised: bool,
    dtype: torch.dtype,
) -> Footprint:
    """Return the memory of one pass with these rows.

    `model_config`: as transformers has it; `dtype`: of the activations.
    """

    def prepare(model: Any) -> Any:
        return with_adapter(model, lora=config.lora, init_adapter=None, seed=0)

    def walk(model: Any, recomputed: int) -> None:
        fuse(model)
        set_checkpointing(model, recomputed)
        with attention_of(model, layout):
            logps = Passes(layout, 1 << 40, 0).logps(model, rows)
            logps.sums_BK.sum().backward()  # type: ignore[no-untyped-call]

    return footprint(
        model_config,
        prepare=prepare,
        walk=walk,
        quantised=quantised,
        dtype=dtype,
        moment_bytes=OPTIMIZERS[config.optimizer].moment_bytes,
    )


def fit(model: Any, rows: Sequence[Row], passes: Passes, config: TrainingConfig, log: Callable[[str], None]) -> None:
    """Recompute as many layers as the memory limit asks for; where all are not enough, halve the tokens of a pass."""
    base = model.get_base_model()
    layers, budget = base.config.get_text_config().num_hidden_layers, _budget(model, config)
    if config.activation_checkpointing != "auto" or budget is None:
        set_checkpointing(model, layers if config.activation_checkpointing is True else 0)
        return
    while True:
        widest = passes.cut(range(len(rows)), rows)[0]
        found = footprint_of(
            base.config,
            [rows[i] for i in widest],
            config,
            layout=passes.layout,
            quantised=bool(getattr(base, "is_loaded_in_4bit", False)),
            dtype=model.get_input_embeddings().weight.dtype,
        )
        recomputed = found.layers_to_recompute(budget * SLACK - found.weights - found.adapter)
        if recomputed is not None or len(widest) == 1:
            break
        passes.tokens //= 2
    if recomputed is None:
        recomputed = layers
        log(
            f"memory: one row takes about {found.peak(layers) / 1e9:.2f} GB of {budget / 1e9:.2f} GB available; trying "
            "all the same, with every layer recomputed; if it fails, lower train.max_tokens or set load: nf4"
        )
    set_checkpointing(model, recomputed)
    log(
        f"memory: {recomputed} of {layers} layers recomputed, at most {passes.tokens} tokens a pass; "
        f"peak about {found.peak(recomputed) / 1e9:.2f} GB"
    )


def _budget(model: Any, config: TrainingConfig) -> float | None:
    """Return the memory limit of the whole training in bytes, or None for no limit."""
    if config.memory != "auto":
        return config.memory * 1e9
    device = model.get_input_embeddings().weight.device
    if device.type != "cuda":
        return None
    return float(torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device))
