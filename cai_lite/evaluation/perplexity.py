"""Perplexity on neutral text: what the training cost elsewhere.

Shapes: R texts, T positions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from cai_lite.errors import InputError, ModelError
from cai_lite.stats import Comparison, Figure, interval, resampled_sums

MOST_NATS = 700.0  # a token; exp() of more is no number


class TextLoss(NamedTuple):
    """Of one text: summed negative log-likelihood, in nats, and the tokens that it sums over."""

    nats: float
    tokens: int


def text_losses(model: Any, tokenizer: Any, texts: Sequence[str], *, batch: int = 32) -> list[TextLoss]:
    """Each text on its own, from its first token (the beginning token predicts it where the tokenizer has one)."""
    import torch

    device = model.get_input_embeddings().weight.device
    start = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []
    rows = [start + tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    rows = [row for row in rows if len(row) > 1]  # a first token without a beginning is predicted by nothing
    found = []
    training = model.training
    model.eval()
    with torch.inference_mode():
        for at in range(0, len(rows), batch):
            part = rows[at : at + batch]
            width = max(map(len, part))
            ids_RT = torch.tensor([row + [0] * (width - len(row)) for row in part], device=device)
            mask_RT = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in part], device=device)
            logits_RTV = model(input_ids=ids_RT, attention_mask=mask_RT, use_cache=False).logits[:, :-1].float()
            nats_RT = torch.nn.functional.cross_entropy(logits_RTV.transpose(1, 2), ids_RT[:, 1:], reduction="none")
            sums_R = (nats_RT * mask_RT[:, 1:]).sum(-1).tolist()
            found += [TextLoss(nats, len(row) - 1) for nats, row in zip(sums_R, part, strict=True)]
    model.train(training)
    return found


def perplexity(before: Sequence[TextLoss], after: Sequence[TextLoss], *, seed: int = 0) -> dict[str, Any]:
    """exp(nats per token) before and after on the same texts, a comparison; intervals by bootstrap over texts; n
    counts texts.
    """
    if not before:
        raise InputError("no neutral texts to measure perplexity on")
    for name, losses in (("before", before), ("after", after)):
        if not all(loss.nats < MOST_NATS * loss.tokens for loss in losses):  # NaN is not below, either
            raise ModelError(f"the model {name} training has no finite perplexity on neutral text: it has diverged")
    columns = np.array([[one.nats, two.nats, one.tokens] for one, two in zip(before, after, strict=True)], float)
    sums = resampled_sums(range(len(columns)), columns, seed)
    whole = columns.sum(0)

    def figure(of: Any) -> Figure:
        return Figure(float(of(whole[None])[0]), len(columns), *interval(of(sums)))

    def was(s: Any) -> Any:
        return np.exp(s[:, 0] / s[:, 2])

    def is_(s: Any) -> Any:
        return np.exp(s[:, 1] / s[:, 2])

    return Comparison(figure(was), figure(is_), figure(lambda s: is_(s) - was(s))).as_dict()
