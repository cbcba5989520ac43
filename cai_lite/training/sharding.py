"""The frozen layers of a model in parts: each rank holds its share of every layer, and all gather one when it is used.

These are FSDP2's layers (`fully_shard`). What is trained stays whole on every rank, so that sums, steps, checkpoints
and files are those of ranks that hold the whole model; so do the embedding and the output layer, whose weights the
log-probabilities read. Ranks gather a layer together, so all of them make the same number of passes: `Passes.in_step`.

Source: Zhao et al. 2023, arXiv:2304.11277.
"""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

import torch
from torch import distributed
from torch.distributed.device_mesh import DeviceMesh

from cai_lite.errors import InputError
from cai_lite.logps.head import base_of, text_body
from cai_lite.training.ranks import Ranks
from cai_lite.training.student import lora_parameters


def shard(model: Any, ranks: Ranks) -> None:
    """Split the layers of a peft model, which lies in host memory, over all ranks; the parts go to their GPUs.

    Call it after `fuse`, which tries the layers.

    Raises:
        InputError: the weights are quantised, torch is too old, or the model has no layers as transformers builds them.
    """
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import DTensor

    if getattr(base_of(model), "is_loaded_in_4bit", False):
        raise InputError("train.shard splits 16- and 32-bit weights; with load: nf4, leave it out")
    if "ignored_params" not in inspect.signature(fully_shard).parameters:
        raise InputError(
            f"train.shard needs a torch whose fully_shard takes ignored_params, newer than {torch.__version__}"
        )
    if not (layers := _layers(model)):
        raise InputError("train.shard: no layers are found in this model; leave it out")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    group: Any = ranks.group if ranks.group is not None else distributed.group.WORLD
    mesh = DeviceMesh.from_group(group, device)
    trained = set(lora_parameters(model).values())
    for layer in layers:
        fully_shard(layer, mesh=mesh, reshard_after_forward=True, ignored_params=trained & set(layer.parameters()))
    # Around them the body, with no weights of its own: so the next layer is gathered while one computes.
    body = text_body(model)
    fully_shard(body, mesh=mesh, ignored_params={p for p in body.parameters() if not isinstance(p, DTensor)})
    if device != "cpu":
        for parameter in model.parameters():
            if not isinstance(parameter, DTensor):
                parameter.data = parameter.data.to(device)
        for module in model.modules():
            for name, buffer in module.named_buffers(recurse=False):
                setattr(module, name, buffer.to(device))


class Held(NamedTuple):
    """Bytes of frozen weights on this rank: between passes, and at most, with two whole layers (one computes, the next
    is there already)."""

    between: int
    most: int


def held(model: Any) -> Held:
    """Return what this rank holds of the frozen weights; call it before the first pass, or between two."""
    from torch.distributed.tensor import DTensor

    frozen = [p for p in model.parameters() if not p.requires_grad]
    between = sum((p.to_local() if isinstance(p, DTensor) else p).nbytes for p in frozen)
    layers = [sum(p.nbytes for p in layer.parameters() if isinstance(p, DTensor)) for layer in _layers(model)]
    return Held(between, between + sum(sorted(layers)[-2:]))


def _layers(model: Any) -> list[Any]:
    from transformers.modeling_layers import GradientCheckpointingLayer

    return [module for module in text_body(model).modules() if isinstance(module, GradientCheckpointingLayer)]
