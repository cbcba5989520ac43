"""LoRA layers and gated MLPs that save less memory for the backward pass than those of peft and transformers.

A LoRA layer computes the same as peft's, y = W x + scale * B A x, as a single autograd node: it saves only x, in its
own dtype (peft saves a 32-bit copy of a 16-bit x in each layer), and adds to W x in place. In a gated MLP, the product
act(gate) * up is recomputed in the backward pass instead of being saved.

Source: Hu et al. 2021, arXiv:2106.09685, eq. 3.

Shapes: T tokens, I inputs, O outputs, R rank.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor


def fuse(model: Any) -> int:
    """Replace forward passes of a peft model wherever the fused ones are exact; return how many LoRA layers changed.

    A layer whose adapter is disabled, merged, or combined with other adapters still runs peft's own code.
    """
    from peft.tuners.lora import LoraLayer

    modules: list[Any] = list(model.modules())
    plain: list[Any] = [module for module in modules if isinstance(module, LoraLayer) and _is_plain(module)]
    for module in plain:
        module.forward = MethodType(_lora_forward(module.forward), module)
    for module in modules:
        if _is_gated(module):
            module.forward = MethodType(_gated_forward(module.forward), module)
    return len(plain)


def _is_plain(layer: Any) -> bool:
    """Return True for a layer with one adapter, without dropout, bias or DoRA, on a Linear or Linear4bit layer."""
    name = layer.active_adapters[0]
    dropout = layer.lora_dropout[name]
    return (
        len(layer.lora_A) == 1
        and isinstance(layer.lora_A[name], torch.nn.Linear)
        and (isinstance(dropout, torch.nn.Identity) or dropout.p == 0)
        and not layer.use_dora.get(name, False)
        and layer.lora_B[name].bias is None
        and type(layer.get_base_layer()).__name__ in {"Linear", "Linear4bit"}
    )


def _is_gated(module: Any) -> bool:
    """Return True if the module computes down(act(gate(x)) * up(x)); it is tried, because names prove nothing."""
    if not all(hasattr(module, name) for name in ("gate_proj", "up_proj", "down_proj", "act_fn")):
        return False
    base = getattr(module.gate_proj, "base_layer", None)
    if base is None or not _is_fused(module.down_proj):
        return False
    parameter = next(module.down_proj.lora_A.parameters())
    x_TI = torch.linspace(-1, 1, 2 * base.in_features, device=parameter.device, dtype=_compute_dtype(base))
    x_TI = x_TI.view(2, base.in_features)
    if isinstance(x_TI, FakeTensor):  # fake tensors have no data to compare
        return True
    with torch.no_grad():
        expected = module.down_proj(module.act_fn(module.gate_proj(x_TI)) * module.up_proj(x_TI))
        return torch.equal(module(x_TI), expected)


def _compute_dtype(base: Any) -> torch.dtype:
    dtype = getattr(base, "compute_dtype", None) or base.weight.dtype
    return dtype if isinstance(dtype, torch.dtype) else torch.float32


def _is_fused(layer: Any) -> bool:
    return isinstance(getattr(layer, "forward", None), MethodType) and hasattr(layer.forward.__func__, "fused")


def _on(layer: Any) -> bool:
    return not layer.disable_adapters and not layer.merged and len(layer.active_adapters) == 1


def _parts(layer: Any) -> tuple[Any, Tensor, Tensor, float]:
    name = layer.active_adapters[0]
    return layer.get_base_layer(), layer.lora_A[name].weight, layer.lora_B[name].weight, layer.scaling[name]


def _lora_forward(before: Callable[..., Any]) -> Callable[..., Any]:
    def forward(self: Any, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        if args or kwargs or not _on(self):
            return before(x, *args, **kwargs)
        apply: Any = _LoraLinear.apply
        return apply(x, *_parts(self))

    forward.fused = True  # type: ignore[attr-defined]
    return forward


def _gated_forward(before: Callable[..., Any]) -> Callable[..., Any]:
    def forward(self: Any, x: Tensor) -> Any:
        if not _on(self.down_proj):
            return before(x)
        apply: Any = _GatedDown.apply
        return apply(self.gate_proj(x), self.up_proj(x), self.act_fn, *_parts(self.down_proj))

    return forward


class _LoraLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, base: Any, a_RI: Tensor, b_OR: Tensor, scale: float) -> Tensor:
        ctx.base, ctx.scale = base, scale
        ctx.save_for_backward(x, a_RI, b_OR)
        return _forward(x, base, a_RI, b_OR, scale)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, a_RI, b_OR = ctx.saved_tensors
        grad_x, grad_a, grad_b = _backward(grads[0], x, ctx.base, a_RI, b_OR, ctx.scale, ctx.needs_input_grad[0])
        return grad_x, None, grad_a, grad_b, None


class _GatedDown(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, gate: Tensor, up: Tensor, act: Any, base: Any, a_RI: Tensor, b_OR: Tensor, scale: float
    ) -> Tensor:
        ctx.act, ctx.base, ctx.scale = act, base, scale
        ctx.save_for_backward(gate, up, a_RI, b_OR)
        return _forward(act(gate) * up, base, a_RI, b_OR, scale)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        gate, up, a_RI, b_OR = ctx.saved_tensors
        with torch.enable_grad():
            gate, up = gate.detach().requires_grad_(), up.detach().requires_grad_()
            product = ctx.act(gate) * up
        grad_product, grad_a, grad_b = _backward(
            grads[0], product.detach(), ctx.base, a_RI, b_OR, ctx.scale, inputs=True
        )
        grad_gate, grad_up = torch.autograd.grad(product, (gate, up), grad_product)
        return grad_gate, grad_up, None, None, grad_a, grad_b, None


def _forward(x: Tensor, base: Any, a_RI: Tensor, b_OR: Tensor, scale: float) -> Tensor:
    y: Tensor = base(x)
    low_TR = x.flatten(0, -2) @ a_RI.to(x.dtype).T
    y.view(-1, y.shape[-1]).addmm_(low_TR.to(y.dtype), b_OR.to(y.dtype).T, alpha=scale)
    return y


def _backward(
    grad_y: Tensor, x: Tensor, base: Any, a_RI: Tensor, b_OR: Tensor, scale: float, inputs: bool
) -> tuple[Tensor | None, Tensor, Tensor]:
    grad_TO, x_TI = grad_y.flatten(0, -2), x.flatten(0, -2)
    a, b = a_RI.to(x.dtype), b_OR.to(x.dtype)
    low_TR = x_TI @ a.T
    grad_low_TR = (grad_TO @ b).mul_(scale)
    grad_a = (grad_low_TR.T @ x_TI).to(a_RI.dtype)
    grad_b = (grad_TO.T @ low_TR).mul_(scale).to(b_OR.dtype)
    if not inputs:
        return None, grad_a, grad_b
    grad_TI = (grad_TO @ _weight(base, x.dtype)).addmm_(grad_low_TR, a)
    return grad_TI.view(x.shape), grad_a, grad_b


def _weight(base: Any, dtype: torch.dtype) -> Tensor:
    """Return the base layer's weight, shape [O, I], dequantised if necessary."""
    state = getattr(base.weight, "quant_state", None)
    weight: Any = base.weight
    if state is not None:
        from bitsandbytes.functional import dequantize_4bit

        weight = dequantize_4bit(base.weight.data, state)
    converted: Tensor = weight.to(dtype)
    return converted
