"""Models that the caller has loaded: they get a name, by which everything that takes a model's name can open them.

Opening one copies its modules but not its weights, so that neither an adapter, nor the training mode, nor anything
else that is done to the copy reaches the caller's model.
"""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from cai_lite.errors import ModelError
from cai_lite.records import digest

PREFIX = "loaded:"
SAMPLED = 4096  # values of each end of a parameter that enter the digest


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model in memory and its tokenizer. `name`: "loaded:...", with the beginning of `digest`."""

    model: Any
    tokenizer: Any
    name: str
    digest: str

    @property
    def source(self) -> str:
        """The folder or hub id that the model was loaded from; "" where it was made in memory."""
        return str(getattr(self.model, "name_or_path", "") or "")

    def opened(self) -> tuple[Any, Any]:
        """Return a copy of the model that shares its weights, in evaluation mode, and the tokenizer."""
        tokenizer = self.tokenizer
        if tokenizer.pad_token_id is None:
            tokenizer = copy.deepcopy(tokenizer)
            tokenizer.pad_token = tokenizer.eos_token
        return _sharing(self.model).eval(), tokenizer


_BY_NAME: WeakValueDictionary[str, Loaded] = WeakValueDictionary()
_HELD: WeakKeyDictionary[Any, Loaded] = WeakKeyDictionary()


def named(model: Any, tokenizer: Any) -> Loaded:
    """Return a loaded model with its name; see `hold` for how long the name can be opened.

    Raises:
        ModelError: the tokenizer is missing, the model has an adapter already, or not all weights are in memory.
    """
    if tokenizer is None:
        raise ModelError("a loaded model needs its tokenizer; give (model, tokenizer)")
    if not callable(getattr(tokenizer, "apply_chat_template", None)):
        raise ModelError(f"(model, tokenizer): the second should be a tokenizer, got {type(tokenizer).__name__}")
    if hasattr(model, "peft_config") or getattr(model, "_hf_peft_config_loaded", False):
        raise ModelError(
            "the loaded model has an adapter already; merge it (model.merge_and_unload()), or give the base model by "
            "name and the adapter's folder as 'adapter'"
        )
    found = _digest(model, tokenizer)
    base = Path(str(getattr(model, "name_or_path", "") or "")).name or type(model).__name__
    loaded = Loaded(model, tokenizer, f"{PREFIX}{base}:{found[:8]}", found)
    return _BY_NAME.setdefault(loaded.name, loaded)


def hold(handle: Any, loaded: Loaded) -> None:
    """Keep the loaded model in memory for as long as `handle` exists."""
    _HELD[handle] = loaded


def find(name: str) -> Loaded:
    """Return the loaded model of this name.

    Raises:
        ModelError: the caller holds it no more.
    """
    if name not in _BY_NAME:
        raise ModelError(f"{name} is no longer in memory; keep what open_model((model, tokenizer)) returned")
    return _BY_NAME[name]


def is_transformers_model(value: Any) -> bool:
    """Return whether the value is a causal language model in memory, without importing transformers."""
    return callable(getattr(value, "get_input_embeddings", None)) and hasattr(value, "generation_config")


def _digest(model: Any, tokenizer: Any) -> str:
    """Return a digest of names, shapes, dtypes and both ends of all parameters, and of the tokenizer's template."""
    import torch

    parts = []
    for name, parameter in model.named_parameters():
        if parameter.device.type == "meta":
            raise ModelError(f"the loaded model is partly offloaded: {name} is not in memory; load it whole")
        flat = parameter.detach().reshape(-1)
        ends = torch.cat([flat[:SAMPLED], flat[-SAMPLED:]]).cpu().contiguous().view(torch.uint8).numpy().tobytes()
        shape, dtype = list(parameter.shape), str(parameter.dtype)
        parts.append((name, shape, dtype, hashlib.sha256(ends).hexdigest()))
    return digest("loaded", parts, len(tokenizer), str(tokenizer.chat_template))


def _sharing(model: Any) -> Any:
    """Return a copy of the model whose parameters and buffers are the storage of the original's."""
    import torch

    shared: dict[int, Any] = {id(buffer): buffer for buffer in model.buffers()}
    for parameter in model.parameters():
        # A parameter of its own, because requires_grad belongs to it; packed 4-bit weights never take a gradient.
        shared[id(parameter)] = (
            torch.nn.Parameter(parameter.detach(), requires_grad=False)
            if type(parameter) is torch.nn.Parameter
            else parameter
        )
    return copy.deepcopy(model, shared)
