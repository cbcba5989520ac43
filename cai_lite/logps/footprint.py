"""How much memory a pass takes, found by walking it through without numbers.

The model's own code runs on fake tensors, which have shapes and no contents, with two and with four layers; every
storage that comes and goes is counted. Layers are alike, so that these give the slope for all. What is counted is what
is allocated: the allocator's own slack and, on a GPU, the context (about 0.6 GB) come on top.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Bytes, but for `layers` and `matrices` (elements of the layers' linear weights).

    `weights` and `adapter` (with gradients and moments) stand all the time; the others come with a pass. `plain` and
    `checkpointed`: what one layer more adds to the peak. `base_plain`, `base_checkpointed`: the peak of a single layer,
    with all that does not depend on the number of layers.
    """

    layers: int
    matrices: int
    weights: int
    adapter: int
    base_plain: int
    base_checkpointed: int
    plain: int
    checkpointed: int

    def pass_bytes(self, recomputed: int) -> int:
        """Beyond weights and adapter, with the first so many layers checkpointed.

        The backward pass goes from the last layer to the first: when it comes to recompute one, the layers that kept
        everything are done with.
        """
        kept = self.layers - recomputed
        at_the_top = self.base_plain + self.plain * (kept - 1) + self.checkpointed * recomputed if kept else 0
        recomputing = self.base_checkpointed + self.checkpointed * (recomputed - 1) if recomputed else 0
        return max(at_the_top, recomputing)

    def peak(self, recomputed: int) -> int:
        """Of the whole training."""
        return self.weights + self.adapter + self.pass_bytes(recomputed)

    def layers_to_recompute(self, budget: float) -> int | None:
        """The fewest that keep a pass within `budget` bytes; None if not even all of them do."""
        fitting = (k for k in range(self.layers + 1) if self.pass_bytes(k) <= budget)
        return next(fitting, None)


def footprint(
    config: Any,
    *,
    prepare: Callable[[Any], Any],
    walk: Callable[[Any, int], None],
    quantised: bool,
    kind: torch.dtype,
    moment_bytes: float,
) -> Footprint:
    """Of one pass. `config`: the model's, as transformers has it; no weights are needed.

    `prepare` puts the adapter on a model without contents; `walk(model, recomputed)` is the pass, forward and backward,
    with so many layers checkpointed. `kind`: the type in which activations are computed; `moment_bytes`: of the
    optimiser, for each adapter weight.
    """
    few, more = 2, 4  # with a single layer, the peak stands at another moment than with many
    plain, checkpointed = (
        [_simulated(config, prepare, walk, kind, layers, layers if recompute else 0) for layers in (few, more)]
        for recompute in (False, True)
    )
    layers = config.get_text_config().num_hidden_layers

    def per_layer(what: str, walks: Sequence[Any]) -> int:
        return int(getattr(walks[1], what) - getattr(walks[0], what)) // (more - few)

    def single(what: str, walks: Sequence[Any]) -> int:
        return int(getattr(walks[0], what)) - (few - 1) * per_layer(what, walks)

    width = torch.finfo(kind).bits // 8
    # NF4 with double quantisation: half a byte, one byte for each 64, four bytes for each 64 * 256 (Dettmers 2023).
    matrix_bytes = 1 / 2 + 1 / 64 + 4 / (64 * 256) if quantised else width
    matrices = layers * per_layer("matrices", plain)
    others = single("weights", plain) + (layers - 1) * per_layer("weights", plain) - matrices
    adapter = single("adapter", plain) + (layers - 1) * per_layer("adapter", plain)
    written_out = plain[0].largest * width if quantised else 0  # a quantised weight is written out to be used
    return Footprint(
        layers=layers,
        matrices=matrices,
        weights=round(matrices * matrix_bytes + others * width),
        adapter=round(adapter * (4 + 4 + moment_bytes)),
        base_plain=single("peak", plain) + written_out,
        base_checkpointed=single("peak", checkpointed) + written_out,
        plain=per_layer("peak", plain),
        checkpointed=per_layer("peak", checkpointed),
    )


@dataclass(slots=True)
class _Walk:
    """`weights`, `matrices`, `adapter`: elements; `largest`: of one linear weight; `peak`: bytes."""

    weights: int
    matrices: int
    adapter: int
    largest: int
    peak: int


def _simulated(
    config: Any,
    prepare: Callable[[Any], Any],
    walk: Callable[[Any, int], None],
    kind: torch.dtype,
    layers: int,
    recomputed: int,
) -> _Walk:
    """The walk on fake tensors, in a model of so many layers."""
    from torch._subclasses.fake_tensor import FakeTensorMode
    from transformers import AutoModelForCausalLM

    small = copy.deepcopy(config)
    text = small.get_text_config()
    text.num_hidden_layers = layers
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[:layers]
    if getattr(small, "quantization_config", None) is not None:
        del small.quantization_config
    build: Any = AutoModelForCausalLM
    with torch.device("meta"):
        model = build.from_config(small, dtype=kind)
        head = model.get_output_embeddings()
        linear = [m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not head]
        weights = sum(p.numel() for p in model.parameters())
        model = prepare(model)
    live = Live()
    with FakeTensorMode():
        for module in model.modules():
            for name, p in list(module._parameters.items()):
                if p is not None:
                    module._parameters[name] = torch.nn.Parameter(torch.empty(p.shape, dtype=p.dtype), p.requires_grad)
            for name, buffer in list(module._buffers.items()):
                if buffer is not None:
                    module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)
        trained = [p for p in model.parameters() if p.requires_grad]
        for p in trained:
            p.grad = torch.zeros_like(p)  # as after an earlier pass of the same update; counted with the adapter
        with live:
            walk(model.train(), recomputed)
    return _Walk(
        weights=weights,
        matrices=sum(linear),
        adapter=sum(p.numel() for p in trained),
        largest=max(linear),
        peak=live.peak,
    )


_weak: Any = StorageWeakRef


class Live(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all storages that live, as operations make them and their last tensors go."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._held: dict[int, tuple[Any, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in given:  # a view, or what was changed in place, is nothing new
                    self._held[storage._cdata] = (_weak(storage), storage.nbytes())
        self._held = {key: held for key, held in self._held.items() if not held[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self._held.values()))
        return out
