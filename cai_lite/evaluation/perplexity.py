"""Measure perplexity and KL divergence on neutral text, which training should leave as it was.

Shapes: R texts, T positions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from cai_lite.errors import InputError, ModelError
from cai_lite.stats import Comparison, Figure, interval, mean_figure, resampled_sums

LIMIT_NATS = 700.0  # per token; exp() of more overflows


class TextLoss(NamedTuple):
    """A sum over the tokens of one text, in nats, and the number of tokens."""

    nats: float
    tokens: int


def text_losses(model: Any, tokenizer: Any, texts: Sequence[str], *, batch: int = 32) -> list[TextLoss]:
    """Return the negative log-likelihood of each text, from its first token on if the tokenizer has a start token."""
    import torch

    found = []
    with _evaluating(model), torch.inference_mode():
        for ids_RT, mask_RT in _batches(model, tokenizer, texts, batch):
            logits_RTV = _logits(model, ids_RT, mask_RT)
            nats_RT = torch.nn.functional.cross_entropy(logits_RTV.transpose(1, 2), ids_RT[:, 1:], reduction="none")
            found += _sums(nats_RT, mask_RT)
    return found


def text_kl(model: Any, tokenizer: Any, texts: Sequence[str], *, batch: int = 8) -> list[TextLoss]:
    """Return the KL divergence of the adapted model from its base for each text, summed over its tokens.

    `model`: a peft model; the base is the same model with its adapter off.
    """
    import torch

    found = []
    with _evaluating(model), torch.inference_mode():
        for ids_RT, mask_RT in _batches(model, tokenizer, texts, batch):
            after_RTV = _logits(model, ids_RT, mask_RT).log_softmax(-1)
            with model.disable_adapter():
                before_RTV = _logits(model, ids_RT, mask_RT).log_softmax(-1)
            found += _sums((after_RTV.exp() * (after_RTV - before_RTV)).sum(-1), mask_RT)
    return found


def kl(losses: Sequence[TextLoss], *, seed: int = 0) -> Figure:
    """Return the mean KL divergence in nats per token. n counts texts."""
    per_token = [loss.nats / loss.tokens for loss in losses]
    if not np.isfinite(per_token).all():
        raise ModelError("the KL on neutral text is not finite: the student has diverged")
    return mean_figure(per_token, range(len(losses)), seed=seed, weights=[loss.tokens for loss in losses])


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Switch to evaluation mode, and back."""
    training = model.training
    model.eval()
    yield
    model.train(training)


def _batches(model: Any, tokenizer: Any, texts: Sequence[str], batch: int) -> Iterator[tuple[Any, Any]]:
    """Yield token ids and masks, [R, T]. Texts without a token to predict are left out."""
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
    """Return the logits of every position but the last, in float32, [R, T - 1, V]."""
    return model(input_ids=ids_RT, attention_mask=mask_RT, use_cache=False).logits[:, :-1].float()


def _sums(nats_RT: Any, mask_RT: Any) -> list[TextLoss]:
    predicted_RT = mask_RT[:, 1:]
    nats, tokens = (nats_RT * predicted_RT).sum(-1).tolist(), predicted_RT.sum(-1).tolist()
    return [TextLoss(*row) for row in zip(nats, tokens, strict=True)]


def perplexity(before: Sequence[TextLoss], after: Sequence[TextLoss], *, seed: int = 0) -> Comparison:
    """Return exp(nats per token) before and after on the same texts. Intervals are by bootstrap over texts; n counts
    texts.
    """
    if not before:
        raise InputError("no neutral texts to measure perplexity on")
    for name, losses in (("before", before), ("after", after)):
        if not all(loss.nats < LIMIT_NATS * loss.tokens for loss in losses):  # false for NaN, too
            raise ModelError(f"the model {name} training has no finite perplexity on neutral text: it has diverged")
    columns = np.array([[was.nats, is_.nats, was.tokens] for was, is_ in zip(before, after, strict=True)], float)
    sums = resampled_sums(range(len(columns)), columns, seed)
    whole = columns.sum(0)

    def figure(of: Any) -> Figure:
        return Figure(float(of(whole[None])[0]), len(columns), *interval(of(sums)))

    def ppl_before(s: Any) -> Any:
        return np.exp(s[:, 0] / s[:, 2])

    def ppl_after(s: Any) -> Any:
        return np.exp(s[:, 1] / s[:, 2])

    return Comparison(figure(ppl_before), figure(ppl_after), figure(lambda s: ppl_after(s) - ppl_before(s)))
