"""Make a training fit: what a pass of it takes, and how many layers are recomputed so that it stays within memory."""

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
from cai_lite.training.student import set_checkpointing, with_adapter
from cai_lite.training.tokens import TokenPair

MOMENT_BYTES = {"adamw": 8.0, "sgd": 0.0, "adamw_8bit": 2.0, "adamw_8bit_paged": 0.0}  # for each adapter weight
SLACK = 0.92  # share of the memory that may be planned for; the rest is fragmentation


def footprint_of(
    model_config: Any,
    pairs: Sequence[TokenPair],
    config: TrainingConfig,
    *,
    layout: Layout,
    quantised: bool,
    kind: torch.dtype,
) -> Footprint:
    """Of one pass with these pairs. `model_config`: as transformers has it; `kind`: the type of the activations."""

    def prepare(model: Any) -> Any:
        return with_adapter(model, lora=config.lora, init_adapter=None, seed=0)

    def walk(model: Any, recomputed: int) -> None:
        fuse(model)
        set_checkpointing(model, recomputed)
        with attention_of(model, layout):
            logps = Passes(layout, 1 << 40, 0).logps(model, pairs)
            (logps.chosen_B - logps.rejected_B).sum().backward()  # type: ignore[no-untyped-call]

    return footprint(
        model_config,
        prepare=prepare,
        walk=walk,
        quantised=quantised,
        dtype=kind,
        moment_bytes=MOMENT_BYTES[config.optimizer],
    )


def fit(
    model: Any, pairs: Sequence[TokenPair], passes: Passes, config: TrainingConfig, log: Callable[[str], None]
) -> None:
    """Checkpoint as many layers as the budget asks for; where all are not enough, halve the tokens of a pass."""
    base = model.get_base_model()
    layers, budget = base.config.get_text_config().num_hidden_layers, _budget(model, config)
    if config.activation_checkpointing != "auto" or budget is None:
        set_checkpointing(model, layers if config.activation_checkpointing is True else 0)
        return
    while True:
        widest = passes.cut(range(len(pairs)), pairs)[0]
        found = footprint_of(
            base.config,
            [pairs[i] for i in widest],
            config,
            layout=passes.layout,
            quantised=bool(getattr(base, "is_loaded_in_4bit", False)),
            kind=model.get_input_embeddings().weight.dtype,
        )
        recomputed = found.layers_to_recompute(budget * SLACK - found.weights - found.adapter)
        if recomputed is not None or len(widest) == 1:
            break
        passes.tokens //= 2
    if recomputed is None:
        recomputed = layers
        log(
            f"memory: one pair takes about {found.peak(layers) / 1e9:.2f} GB, and there are {budget / 1e9:.2f} GB; "
            "trying all the same, with every layer recomputed: lower train.max_tokens or take load: nf4 if it fails"
        )
    set_checkpointing(model, recomputed)
    log(
        f"memory: {recomputed} of {layers} layers recomputed, at most {passes.tokens} tokens a pass; "
        f"about {found.peak(recomputed) / 1e9:.2f} GB at the peak"
    )


def _budget(model: Any, config: TrainingConfig) -> float | None:
    """Bytes for the whole training; None: no bound."""
    if config.memory != "auto":
        return config.memory * 1e9
    device = model.get_input_embeddings().weight.device
    if device.type != "cuda":
        return None
    return float(torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device))
