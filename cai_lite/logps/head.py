"""Compute log-probabilities of completions without storing the logits of a whole batch.

Hidden states are taken at the positions that predict a completion token; the output head, the log-softmax and the
gather run in chunks. The head is frozen under LoRA, so the gradient of each log-probability with respect to its hidden
state is known in the forward pass. It is saved, [N, H], instead of the logits, [N, V], and the backward pass needs no
second product with the head.

Shapes: R rows, T positions, N completion tokens of all sequences, V vocabulary, H hidden, C states of a chunk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from cai_lite.errors import ModelError
from cai_lite.logps.attention import check_segments
from cai_lite.logps.layout import Packed

LOGITS = 1 << 22  # number of logits stored at a time: 16 MB in float32
GPU_STATES = 512  # least states of a chunk on a GPU: each chunk reads the head's whole weight, 1 GB at 150,000 tokens


def completion_logps(model: Any, packed: Packed) -> Tensor:
    """Return the summed log-probability of each sequence's completion, in nats, float32, shape [sequences]."""
    logps_N = token_logps(model, packed)
    total_S = torch.zeros(packed.sequences, dtype=torch.float32, device=logps_N.device)
    return total_S.index_add(0, packed.sequence_N, logps_N)


def token_logps(model: Any, packed: Packed) -> Tensor:
    """Return the log-probability of each token of `packed.targets_N`, in nats, float32, shape [N]."""
    if packed.segments is not None:
        check_segments(model)
    hidden_RTH = text_body(model)(**packed.inputs()).last_hidden_state
    return head_logps(model, hidden_RTH.flatten(0, 1)[packed.predicts_N], packed.targets_N)


def completion_scores(model: Any, packed: Packed) -> Tensor:
    """Return the score of each sequence, a scalar read at its last token, float32, shape [sequences].

    `model`: one with a score head, see `add_score`; `packed`: with its completions whole. The frozen output layer takes
    no part.
    """
    if packed.segments is not None:
        check_segments(model)
    hidden_RTH = text_body(model)(**packed.inputs()).last_hidden_state
    hidden_SH = hidden_RTH.flatten(0, 1)[packed.last_S]
    return cast(Tensor, score_of(model)(hidden_SH.float())[:, 0].float())


def add_score(model: Any) -> None:
    """Add a score head to a transformers model: a linear layer without bias from a hidden state to one number, float32.

    It is named as in transformers' classes for sequence classification, so that they read an adapter that holds it. The
    weights are drawn with the standard deviation of Stiennon et al. 2020, arXiv:2009.01325, section 3.3.
    """
    embedding, width = model.get_input_embeddings().weight, model.get_output_embeddings().weight.shape[1]
    model.score = torch.nn.Linear(width, 1, bias=False, dtype=torch.float32, device=embedding.device)
    torch.nn.init.normal_(model.score.weight, std=(width + 1) ** -0.5)


def score_of(model: Any) -> Any:
    """Return the score head of a (peft) model, or None if it has none."""
    return getattr(base_of(model), "score", None)


def token_logps_and_entropies(model: Any, packed: Packed) -> tuple[Tensor, Tensor]:
    """Return the log-probability of each token and the entropy of what was predicted there, both in nats, shape [N].

    The entropy has no gradient. It takes the logits of a chunk, so it is never stored for a whole batch.
    """
    if packed.segments is not None:
        check_segments(model)
    hidden_RTH = text_body(model)(**packed.inputs()).last_hidden_state
    return _from_hidden(model, hidden_RTH.flatten(0, 1)[packed.predicts_N], packed.targets_N, entropies=True)


def head_logps(model: Any, hidden_NH: Tensor, targets_N: Tensor, *, chunk: int | None = None) -> Tensor:
    """Return the log-probability of each target at its hidden state, in nats, float32, shape [N].

    `chunk` is the number of states whose logits are stored at a time; None takes `chunk_of`.
    """
    return _from_hidden(model, hidden_NH, targets_N, chunk=chunk)[0]


def _from_hidden(
    model: Any, hidden_NH: Tensor, targets_N: Tensor, *, chunk: int | None = None, entropies: bool = False
) -> tuple[Tensor, Tensor]:
    """Return log-probabilities and entropies; the second is empty where none are asked for."""
    head = head_of(model)
    apply: Any = _HeadLogps.apply
    if chunk is None:
        chunk = chunk_of(hidden_NH, len(head.weight_VH))
    found = apply(hidden_NH, head.weight_VH, head.bias_V, targets_N, head.cap, head.scale, chunk, entropies)
    return cast(tuple[Tensor, Tensor], found)


def chunk_of(hidden_NH: Tensor, vocabulary: int) -> int:
    """Return the number of states whose logits are stored at a time.

    Fake tensors count as a GPU's, because they are what a GPU's memory is planned by.
    """
    least = GPU_STATES if hidden_NH.is_cuda or isinstance(hidden_NH, FakeTensor) else 1
    return max(least, LOGITS // vocabulary)


@dataclass(frozen=True, slots=True)
class Head:
    """The output layer: logits = cap * tanh(scale * (hidden @ weight.T + bias) / cap), or no tanh if `cap` is None."""

    weight_VH: Tensor
    bias_V: Tensor | None
    cap: float | None
    scale: float

    def log_probs(self, hidden_CH: Tensor) -> Tensor:
        """Return the log-probabilities of the whole vocabulary, in nats, float32, shape [C, V]."""
        logits_CV = torch.nn.functional.linear(hidden_CH, self.weight_VH, self.bias_V).float()
        if self.scale != 1:
            logits_CV *= self.scale
        if self.cap is not None:
            logits_CV = self.cap * torch.tanh(logits_CV / self.cap)
        return logits_CV.log_softmax(-1)


def head_of(model: Any) -> Head:
    """Return the output layer of a (peft) model with the scale and soft cap of its architecture.

    Raises:
        ModelError: the output layer is trained, or has an adapter.
    """
    base = base_of(model)
    layer = base.get_output_embeddings()
    if not isinstance(layer, torch.nn.Linear) or any(p.requires_grad for p in layer.parameters()):
        raise ModelError(
            "the output layer has an adapter or is trained, which is not supported; leave it out of lora.targets"
        )
    settings = base.config.get_text_config()
    scale = getattr(settings, "logit_scale", None) or 1.0  # Cohere multiplies, Granite divides
    scale /= getattr(settings, "logits_scaling", None) or 1.0
    scale *= getattr(settings, "lm_head_multiplier", None) or 1.0  # Falcon-H1
    return Head(layer.weight, layer.bias, getattr(settings, "final_logit_softcapping", None), scale)


def base_of(model: Any) -> Any:
    """Return the transformers model inside a peft model, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


class _HeadLogps(torch.autograd.Function):
    """Head, soft cap, log-softmax and gather in chunks; the gradient is computed in the forward pass.

    The second output holds the entropies, without a gradient.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden_NH: Tensor,
        weight_VH: Tensor,
        bias_V: Tensor | None,
        targets_N: Tensor,
        cap: float | None,
        scale: float,
        chunk: int,
        entropies: bool,
    ) -> tuple[Tensor, Tensor]:
        logps_N = hidden_NH.new_empty(len(hidden_NH), dtype=torch.float32)
        entropy_N = hidden_NH.new_empty(len(hidden_NH) if entropies else 0, dtype=torch.float32)
        grad_NH = torch.empty_like(hidden_NH) if ctx.needs_input_grad[0] else None
        for start in range(0, len(hidden_NH), chunk):
            part = slice(start, start + chunk)
            logits_CV = torch.nn.functional.linear(hidden_NH[part], weight_VH, bias_V).float()
            if scale != 1:
                logits_CV *= scale
            if cap is not None:
                logits_CV = cap * torch.tanh(logits_CV / cap)
            log_probs_CV = logits_CV.log_softmax(-1)
            targets_C1 = targets_N[part, None]
            logps_N[part] = log_probs_CV.gather(1, targets_C1)[:, 0]
            if entropies:  # the clamp: 0 times minus infinity is no number
                entropy_N[part] = -(log_probs_CV.exp() * log_probs_CV.clamp(min=torch.finfo(torch.float32).min)).sum(-1)
            if grad_NH is not None:
                # d log p_y / d logits = onehot(y) - p; through the cap: times 1 - (logits / cap)^2; times the scale;
                # then back through the head.
                slope_CV = log_probs_CV.exp_().neg_()
                slope_CV.scatter_add_(1, targets_C1, torch.ones_like(targets_C1, dtype=slope_CV.dtype))
                if cap is not None:
                    slope_CV *= 1 - (logits_CV / cap) ** 2
                if scale != 1:
                    slope_CV *= scale
                grad_NH[part] = slope_CV.to(weight_VH.dtype) @ weight_VH
        ctx.save_for_backward(grad_NH)
        ctx.mark_non_differentiable(entropy_N)
        return logps_N, entropy_N

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, None, None, None, None, None, None]:
        (grad_NH,) = ctx.saved_tensors
        return (grads[0][:, None] * grad_NH).to(grad_NH.dtype), None, None, None, None, None, None, None


def text_body(model: Any) -> Any:
    """Return the part of a (peft) model that makes hidden states of tokens; a vision tower is no part of it."""
    base = base_of(model)
    decoder = base.get_decoder()
    return getattr(base, base.base_model_prefix) if decoder is base else decoder
