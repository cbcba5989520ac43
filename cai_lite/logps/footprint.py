"""Predict the memory of a training pass by running it on fake tensors.

The model's own code runs on tensors that have shapes but no data, with two and with four layers, while the bytes of all
live storages are counted. The difference gives the memory per layer, from which the whole model is extrapolated. Only
allocated bytes are counted: the allocator's fragmentation and, on a GPU, the CUDA context (about 0.6 GB) come on top.
"""

from __future__ import annotations

import copy
import re
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
    """The memory of a model in training, in bytes.

    `layers`: the number of layers. `matrices`: the number of elements of the layers' linear weights.
    `weights`, `adapter`: bytes that are always allocated; the adapter includes gradients and optimiser moments.
    `base_plain`, `base_checkpointed`: the peak of a pass through a model with one layer, without and with activation
    checkpointing. `plain`, `checkpointed`: what each further layer adds to that peak.
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
        """Return the peak bytes of a pass with the first `recomputed` layers checkpointed, without weights and adapter.

        The backward pass goes from the last layer to the first, so by the time it recomputes a layer, the activations
        of all layers that kept them are free.
        """
        kept = self.layers - recomputed
        before_backward = self.base_plain + self.plain * (kept - 1) + self.checkpointed * recomputed if kept else 0
        recomputing = self.base_checkpointed + self.checkpointed * (recomputed - 1) if recomputed else 0
        return max(before_backward, recomputing)

    def peak(self, recomputed: int) -> int:
        """Return the peak bytes of the whole training, weights and adapter included."""
        return self.weights + self.adapter + self.pass_bytes(recomputed)

    def layers_to_recompute(self, budget: float) -> int | None:
        """Return the fewest checkpointed layers with which a pass fits `budget` bytes, or None if none does."""
        fitting = (k for k in range(self.layers + 1) if self.pass_bytes(k) <= budget)
        return next(fitting, None)


def footprint(
    config: Any,
    *,
    prepare: Callable[[Any], Any],
    walk: Callable[[Any, int], None],
    quantised: bool,
    dtype: torch.dtype,
    moment_bytes: float,
) -> Footprint:
    """Return the footprint of one pass of the model with this transformers configuration; no weights are needed.

    `prepare(model)` adds the adapter to a model without data. `walk(model, recomputed)` runs the pass, forward and
    backward, with the first `recomputed` layers checkpointed. `dtype` is that of the activations. `moment_bytes` is the
    size of the optimiser's moments per adapter weight. `quantised`: the linear weights are stored in NF4.
    """
    few, more = 2, 4  # with a single layer, the peak occurs at another moment than with many
    plain, checkpointed = (
        [_simulated(config, prepare, walk, dtype, layers, layers if recompute else 0) for layers in (few, more)]
        for recompute in (False, True)
    )
    layers = config.get_text_config().num_hidden_layers

    def per_layer(name: str, walks: Sequence[Any]) -> int:
        return int(getattr(walks[1], name) - getattr(walks[0], name)) // (more - few)

    def single(name: str, walks: Sequence[Any]) -> int:
        return int(getattr(walks[0], name)) - (few - 1) * per_layer(name, walks)

    width = torch.finfo(dtype).bits // 8
    # NF4 with double quantisation takes half a byte per weight, one byte per 64 weights and four bytes per 64 * 256
    # weights (Dettmers et al. 2023, arXiv:2305.14314).
    matrix_bytes = 1 / 2 + 1 / 64 + 4 / (64 * 256) if quantised else width
    matrices = layers * per_layer("matrices", plain)
    others = single("weights", plain) + (layers - 1) * per_layer("weights", plain) - matrices
    adapter = single("adapter", plain) + (layers - 1) * per_layer("adapter", plain)
    dequantised = plain[0].largest * width if quantised else 0  # one weight at a time is dequantised to be used
    return Footprint(
        layers=layers,
        matrices=matrices,
        weights=round(matrices * matrix_bytes + others * width),
        adapter=round(adapter * (4 + 4 + moment_bytes)),
        base_plain=single("peak", plain) + dequantised,
        base_checkpointed=single("peak", checkpointed) + dequantised,
        plain=per_layer("peak", plain),
        checkpointed=per_layer("peak", checkpointed),
    )


@dataclass(slots=True)
class _Walk:
    """Counts of one simulated pass.

    `weights`, `matrices`, `adapter`: numbers of elements. `largest`: elements of the largest linear weight. `peak`:
    bytes.
    """

    weights: int
    matrices: int
    adapter: int
    largest: int
    peak: int


def _simulated(
    config: Any,
    prepare: Callable[[Any], Any],
    walk: Callable[[Any, int], None],
    dtype: torch.dtype,
    layers: int,
    recomputed: int,
) -> _Walk:
    """Run the pass on fake tensors, in a model cut to `layers` layers."""
    from torch._subclasses.fake_tensor import FakeTensorMode
    from transformers import AutoModelForCausalLM

    small = copy.deepcopy(config)
    text = small.get_text_config()
    _set_layers(text, layers)
    if getattr(small, "quantization_config", None) is not None:
        del small.quantization_config
    build: Any = AutoModelForCausalLM
    with torch.device("meta"):
        model = build.from_config(small, dtype=dtype)
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


def _set_layers(text: Any, layers: int) -> None:
    """Set the number of layers of a configuration; a list with an entry for each layer is cut, or repeated from its
    beginning."""
    before = text.num_hidden_layers
    per_layer = {
        name: value
        for name, value in vars(text).items()
        if isinstance(value, (list, tuple)) and len(value) == before and _LAYERS.search(name)
    }
    text.num_hidden_layers = layers
    for name, value in per_layer.items():
        setattr(text, name, type(value)([*value] * (1 + layers // before))[:layers])


_LAYERS = re.compile("layer")  # layer_types, no_rope_layers, moe_layers_enum
_weak: Any = StorageWeakRef


class Live(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A dispatch mode that counts the bytes of all live storages and keeps the `peak`.

    Freed storages are looked for only where the peak might have been exceeded, since looking at all of them after each
    operation takes most of the time of a pass on fake tensors.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._bytes = 0  # of all storages in the table, freed ones included
        self._storages: dict[int, tuple[Any, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in given:  # views and tensors changed in place allocate nothing
                    self._add(storage)
        if self._bytes > self.peak:
            self._storages = {key: entry for key, entry in self._storages.items() if not entry[0].expired()}
            self._bytes = sum(size for _, size in self._storages.values())
            self.peak = max(self.peak, self._bytes)
        return out

    def _add(self, storage: Any) -> None:
        _, before = self._storages.get(storage._cdata, (None, 0))  # of a freed storage at the same address
        self._storages[storage._cdata] = (_weak(storage), storage.nbytes())
        self._bytes += storage.nbytes() - before
