"""Log-probabilities of completions, without ever holding the logits of a whole batch.

Shapes: R rows (a prompt with one completion), T positions, N completion tokens of all rows, V vocabulary, H hidden.
Hidden states are taken at the positions that predict a completion token; the head, the log-softmax and the gather run
in chunks. The head is frozen under LoRA, so the gradient of each log-probability with respect to its hidden state is
known in the forward pass: it is kept (N x H) in place of the logits (N x V), and the backward pass needs no second
product with the head.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from cai_lite.errors import ModelError
from cai_lite.training.tokens import TokenPair

CHUNK = 1024  # completion tokens whose logits exist at a time


def row_logps(model: Any, ids_RT: Tensor, lengths_R: Tensor, prompts_R: Tensor, *, chunk: int = CHUNK) -> Tensor:
    """Summed log-probability of each row's completion, in nats. Shape [R].

    `ids_RT`: rows padded on the right; `lengths_R`: tokens of prompt and completion; `prompts_R`: tokens of the prompt.
    """
    positions_T = torch.arange(ids_RT.shape[1], device=ids_RT.device)
    mask_RT = positions_T < lengths_R[:, None]
    hidden_RTH = _body(model)(input_ids=ids_RT, attention_mask=mask_RT.long(), use_cache=False).last_hidden_state
    # The state at t predicts the token at t + 1: completion tokens stand at prompt .. length - 1.
    wanted_RT = (positions_T >= prompts_R[:, None] - 1) & (positions_T < lengths_R[:, None] - 1)
    hidden_NH = hidden_RTH[wanted_RT]
    targets_N = ids_RT[:, 1:][wanted_RT[:, :-1]]
    logps_N = head_logps(model, hidden_NH, targets_N, chunk=chunk)
    row_N = torch.arange(ids_RT.shape[0], device=ids_RT.device)[:, None].expand_as(wanted_RT)[wanted_RT]
    return torch.zeros(ids_RT.shape[0], dtype=torch.float32, device=ids_RT.device).index_add(0, row_N, logps_N)


def head_logps(model: Any, hidden_NH: Tensor, targets_N: Tensor, *, chunk: int = CHUNK) -> Tensor:
    """log P(target) at each hidden state, float32, shape [N]."""
    head, cap = _head(model)
    apply: Any = _HeadLogps.apply
    return cast(Tensor, apply(hidden_NH, head.weight, head.bias, targets_N, cap, chunk))


def check_head(model: Any, pair: TokenPair) -> None:
    """Compare `row_logps` on one row with the logits of the model itself: a head may scale or shift in its own way.

    Raises:
        ModelError: they differ by more than the rounding of the model's type allows.
    """
    row = pair.prompt_ids + pair.chosen_ids
    ids_1T = torch.tensor([row], device=model.get_input_embeddings().weight.device)
    length, prompt = ids_1T.new_tensor([len(row)]), ids_1T.new_tensor([len(pair.prompt_ids)])
    with torch.no_grad():
        ours = float(row_logps(model, ids_1T, length, prompt))
        logits_1TV = _base(model)(input_ids=ids_1T, use_cache=False).logits
        log_probs_CV = logits_1TV[0, len(pair.prompt_ids) - 1 : -1].float().log_softmax(-1)
        theirs = float(log_probs_CV.gather(1, ids_1T[0, len(pair.prompt_ids) :, None]).sum())
    slack = 1e-4 if logits_1TV.dtype == torch.float32 else 2e-2
    if abs(ours - theirs) > slack * max(1.0, abs(theirs)):
        kind = _base(model).config.model_type
        raise ModelError(f"{kind}: its head gives {theirs:.3f} nats where ours gives {ours:.3f}; it is not supported")


class _HeadLogps(torch.autograd.Function):
    """hidden -> head -> (soft cap) -> log-softmax -> gather, in chunks, its gradient taken on the way."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_NH: Tensor,
        weight_VH: Tensor,
        bias_V: Tensor | None,
        targets_N: Tensor,
        cap: float | None,
        chunk: int,
    ) -> Tensor:
        logps_N = hidden_NH.new_empty(len(hidden_NH), dtype=torch.float32)
        grad_NH = torch.empty_like(hidden_NH) if ctx.needs_input_grad[0] else None
        for start in range(0, len(hidden_NH), chunk):
            part = slice(start, start + chunk)
            logits_CV = torch.nn.functional.linear(hidden_NH[part], weight_VH, bias_V).float()
            if cap is not None:
                logits_CV = cap * torch.tanh(logits_CV / cap)
            log_probs_CV = logits_CV.log_softmax(-1)
            targets_C1 = targets_N[part, None]
            logps_N[part] = log_probs_CV.gather(1, targets_C1)[:, 0]
            if grad_NH is not None:
                # d log p_y / d logits = onehot(y) - p; through the cap: times 1 - (logits / cap)^2; then back through
                # the head.
                slope_CV = log_probs_CV.exp_().neg_()
                slope_CV.scatter_add_(1, targets_C1, torch.ones_like(targets_C1, dtype=slope_CV.dtype))
                if cap is not None:
                    slope_CV *= 1 - (logits_CV / cap) ** 2
                grad_NH[part] = slope_CV.to(weight_VH.dtype) @ weight_VH
        ctx.save_for_backward(grad_NH)
        return logps_N

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, None, None, None, None]:
        (grad_NH,) = ctx.saved_tensors
        return (grads[0][:, None] * grad_NH).to(grad_NH.dtype), None, None, None, None, None


def _base(model: Any) -> Any:
    """The transformers model inside a peft model."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _body(model: Any) -> Any:
    base = _base(model)
    return getattr(base, base.base_model_prefix)


def _head(model: Any) -> tuple[Any, float | None]:
    """The output layer and its soft cap (Gemma 2). Raises ModelError for a head that would be computed wrongly."""
    base = _base(model)
    head = base.get_output_embeddings()
    if not isinstance(head, torch.nn.Linear) or any(p.requires_grad for p in head.parameters()):
        raise ModelError(
            "the output layer carries an adapter or is trained, which is not supported: leave it out of lora.targets"
        )
    return head, getattr(base.config, "final_logit_softcapping", None)
