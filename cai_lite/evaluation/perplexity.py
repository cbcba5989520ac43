"""Perplexity and KL on neutral text: what the training cost elsewhere.

Shapes: R texts, T positions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from cai_lite.errors import InputError, ModelError
from cai_lite.stats import Comparison, Figure, interval, mean_figure, resampled_sums

MOST_NATS = 700.0  # a token; exp() of more is no number


class TextLoss(NamedTuple):
    """Of one text: summed negative log-likelihood, in nats, and the tokens that it sums over."""

    nats: float
    tokens: int


def text_losses(model: Any, tokenizer: Any, texts: Sequence[str], *, batch: int = 32) -> list[TextLoss]:
    """Each text on its own, from its first token (the beginning token predicts it where the tokenizer has one)."""
    import torch

    found = []
    with _asked(model), torch.inference_mode():
        for ids_RT, mask_RT in _batches(model, tokenizer, texts, batch):
            logits_RTV = _logits(model, ids_RT, mask_RT)
            nats_RT = torch.nn.functional.cross_entropy(logits_RTV.transpose(1, 2), ids_RT[:, 1:], reduction="none")
            found += _sums(nats_RT, mask_RT)
    return found


def text_kl(model: Any, tokenizer: Any, texts: Sequence[str], *, batch: int = 8) -> list[TextLoss]:
    """Of each text: the KL divergence of the adapted model from its base, over the whole vocabulary, over all tokens.

    `model`: a peft model; the base is the same model with its adapter off.
    """
    import torch

    found = []
    with _asked(model), torch.inference_mode():
        for ids_RT, mask_RT in _batches(model, tokenizer, texts, batch):
            after_RTV = _logits(model, ids_RT, mask_RT).log_softmax(-1)
            with model.disable_adapter():
                before_RTV = _logits(model, ids_RT, mask_RT).log_softmax(-1)
            found += _sums((after_RTV.exp() * (after_RTV - before_RTV)).sum(-1), mask_RT)
    return found


def kl(losses: Sequence[TextLoss], *, seed: int = 0) -> dict[str, float]:
    """Mean KL in nats a token, a figure; its interval by bootstrap over texts, and n counts texts."""
    per_token = [loss.nats / loss.tokens for loss in losses]
    if not np.isfinite(per_token).all():
        raise ModelError("the KL on neutral text is no finite number: the student has diverged")
    return mean_figure(per_token, range(len(losses)), seed=seed, weights=[loss.tokens for loss in losses]).as_dict()


@contextmanager
def _asked(model: Any) -> Iterator[None]:
    """In evaluation mode, and back."""
    training = model.training
    model.eval()
    yield
    model.train(training)


def _batches(model: Any, tokenizer: Any, texts: Sequence[str], batch: int) -> Iterator[tuple[Any, Any]]:
    """Token ids and masks, [R, T]. A text of one token that nothing predicts is left out."""
    import torch

    device = model.get_input_embeddings().weight.device
    start = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []
    rows = [start + tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    rows = [row for row in rows if len(row) > 1]
    for at in range(0, len(rows), batch):
        part = rows[at : at + batch]
        width = max(map(len, part))
        ids_RT = torch.tensor([row + [0] * (width - len(row)) for row in part], device=device)
        yield ids_RT, torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in part], device=device)


def _logits(model: Any, ids_RT: Any, mask_RT: Any) -> Any:
    """Of every position but the last, in 32 bits, [R, T - 1, V]."""
    return model(input_ids=ids_RT, attention_mask=mask_RT, use_cache=False).logits[:, :-1].float()


def _sums(nats_RT: Any, mask_RT: Any) -> list[TextLoss]:
    told_RT = mask_RT[:, 1:]
    nats, tokens = (nats_RT * told_RT).sum(-1).tolist(), told_RT.sum(-1).tolist()
    return [TextLoss(*row) for row in zip(nats, tokens, strict=True)]


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
