"""Fit a training into memory: predict what its heaviest pass takes, and choose how many layers are recomputed.

The order of all updates is known beforehand, and so is every pass of the training; no pass is above the plan.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import torch

from cai_lite.chat.weights import random_state_kept
from cai_lite.logps.attention import attention_of
from cai_lite.logps.footprint import Footprint, footprint
from cai_lite.logps.fused import fuse
from cai_lite.logps.layout import Layout
from cai_lite.training.batch import Passes, total_steps, updates
from cai_lite.training.config import MEMORY_SHARE, TrainingConfig
from cai_lite.training.methods import METHODS
from cai_lite.training.optim import OPTIMIZERS
from cai_lite.training.sharding import held
from cai_lite.training.student import set_checkpointing, with_adapter
from cai_lite.training.tokens import Row


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

    reads = METHODS[config.method].reads

    def prepare(model: Any) -> Any:
        return with_adapter(model, lora=config.lora, init_adapter=None, seed=0, score=reads == "score")

    def walk(model: Any, recomputed: int) -> None:
        fuse(model)
        set_checkpointing(model, recomputed)
        with attention_of(model, layout):
            found = Passes(layout, 1 << 40, 0, reads).values(model, rows)
            found.sums_BK.sum().backward()

    with random_state_kept():  # making the adapter sets the seed
        return footprint(
            model_config,
            prepare=prepare,
            walk=walk,
            quantised=quantised,
            dtype=dtype,
            moment_bytes=OPTIMIZERS[config.optimizer].moment_bytes,
        )


def heaviest(rows: Sequence[Row], passes: Passes, config: TrainingConfig) -> list[list[int]]:
    """Return the passes of the whole training that may take the most memory, as indices of rows.

    One has the most tokens, which decide in most models; one the most completion tokens, which the output layer keeps;
    one the longest sequences, where attention stores its scores. They are often the same.
    """
    found: dict[str, tuple[int, list[int]]] = {}
    for _, batch in islice(updates(len(rows), config), total_steps(len(rows), config)):
        for part in passes.cut(batch, rows, at_least=config.gradient_accumulation):
            weights = {
                "tokens": passes.read(part, rows),
                "completions": sum(len(ids) for i in part for ids in rows[i].completions),
                "attention": sum(
                    (len(rows[i].prompt_ids) + len(ids)) ** 2 for i in part for ids in rows[i].completions
                ),
            }
            for what, weight in weights.items():
                if weight > found.get(what, (0, []))[0]:
                    found[what] = weight, part
    return list({tuple(sorted(part)): part for _, part in found.values()}.values())


def fit(model: Any, rows: Sequence[Row], passes: Passes, config: TrainingConfig, log: Callable[[str], None]) -> None:
    """Recompute as many layers as the memory limit asks for; where all are not enough, halve the tokens of a pass.

    With a memory limit, `passes` is limited to the heaviest pass of the training, so that the passes of the reference
    and of evaluations, which are cut from other rows, stay below the plan, too.
    """
    base = model.get_base_model()
    layers, budget = base.config.get_text_config().num_hidden_layers, _budget(model, config)
    if config.activation_checkpointing != "auto" or budget is None:
        set_checkpointing(model, layers if config.activation_checkpointing is True else 0)
        return
    quantised, dtype = bool(getattr(base, "is_loaded_in_4bit", False)), model.get_input_embeddings().weight.dtype
    while True:
        parts, found, needed = heaviest(rows, passes, config), [], []
        most = max(passes.read(part, rows) for part in parts)
        passes.tokens = min(passes.tokens, most)
        for part in parts:
            some = [rows[i] for i in part]
            taken = footprint_of(base.config, some, config, layout=passes.layout, quantised=quantised, dtype=dtype)
            found.append(replace(taken, weights=held(model).most) if passes.in_step else taken)
            needed.append(found[-1].layers_to_recompute(budget * MEMORY_SHARE - found[-1].weights - found[-1].adapter))
            if needed[-1] is None:
                break
        fits = None not in needed
        if fits or all(len(part) == 1 for part in parts):
            break
        passes.tokens //= 2
    recomputed = max(layers if count is None else count for count in needed)
    peak = max(each.peak(recomputed) for each in found) / 1e9
    if not fits:
        log(
            f"memory: one row takes about {peak:.2f} GB of {budget / 1e9:.2f} GB available; trying all the same, with "
            f"every layer recomputed; if it fails, lower train.max_tokens or {_smaller(passes)}"
        )
    set_checkpointing(model, recomputed)
    log(f"memory: {recomputed} of {layers} layers recomputed, at most {most} tokens a pass; peak about {peak:.2f} GB")


def _smaller(passes: Passes) -> str:
    """Return what makes the weights on a GPU fewer, in words."""
    if passes.ranks.world_size == 1 or passes.in_step:
        return "set load: nf4"
    return "set load: nf4; each GPU holds the whole model, which train.shard: true splits over them"


def recompute_more(model: Any, config: TrainingConfig) -> str | None:
    """Recompute a quarter of the layers more, and return how many are recomputed now, in words.

    None where all are recomputed already, or where the settings say how many.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer

    found = (module for module in model.get_base_model().modules() if isinstance(module, GradientCheckpointingLayer))
    on = [bool(module.gradient_checkpointing) for module in found]
    if config.activation_checkpointing != "auto" or all(on):
        return None
    count = min(len(on), sum(on) + max(1, len(on) // 4))
    set_checkpointing(model, count)
    return f"{count} of {len(on)} layers recomputed"


def _budget(model: Any, config: TrainingConfig) -> float | None:
    """Return the memory limit of the whole training in bytes, or None for no limit."""
    if config.memory != "auto":
        return config.memory * 1e9
    device = model.get_input_embeddings().weight.device
    if device.type != "cuda":
        return None
    return float(torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device))
