"""Choose the layers of a model that get a LoRA adapter where a recipe says "all-linear"."""

from __future__ import annotations

from typing import Any

from torch import nn

from cai_lite.logps.head import base_of, text_body

ALL = "all-linear"
# Kernels of Mamba layers read these weights directly, past an adapter; peft refuses some of them by name.
_READ_DIRECTLY = ("out_proj", "x_proj", "dt_proj")


def lora_targets(model: Any, targets: tuple[str, ...]) -> str | list[str]:
    """Return `target_modules` for peft.

    "all-linear" means the linear layers of the text model: not the output layer, not a vision or audio tower and its
    projector, not a score head, not the router of a mixture of experts. Experts that are stored as one parameter are no
    linear layers.
    """
    if targets != (ALL,):
        return list(targets)
    base = base_of(model)
    head = base.get_output_embeddings()
    every = {name for name, module in base.named_modules() if isinstance(module, nn.Linear) and module is not head}
    chosen = sorted(every & set(_linear_of_text(base)))
    return ALL if len(chosen) == len(every) else chosen


def _linear_of_text(base: Any) -> list[str]:
    body = text_body(base)
    modules = dict(base.named_modules())
    start = next(name for name, module in modules.items() if module is body)
    inside = [name for name in modules if name.startswith(f"{start}." if start else "")]
    return [
        name
        for name in inside
        if isinstance(modules[name], nn.Linear) and not _left_out(name, modules[name.rpartition(".")[0]])
    ]


def _left_out(name: str, parent: Any) -> bool:
    """Return True for routers of experts, and for layers whose weights are read directly."""
    last = name.rpartition(".")[2]
    if "router" in name.rsplit(".", 2)[-2:][0] or "router" in last or last == "shared_expert_gate":
        return True
    if last == "gate" and hasattr(parent, "experts"):
        return True
    return last in _READ_DIRECTLY and hasattr(parent, "A_log") and hasattr(parent, "D")
