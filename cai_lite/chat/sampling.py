"""Draw the next token of each row by inverse transform sampling from a random number that belongs to its request.

Tokens are ordered from the likeliest to the least likely, ties by token id, and the cumulative probabilities are
searched for the random number. Sorting a vocabulary of 150,000 tokens at each step takes longer than many models' own
work, so only the likeliest tokens are sorted, and the whole vocabulary only where the number falls behind them. Both
choose the same token.

Shapes: B rows, V vocabulary, K likeliest tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cai_lite.records import Request

LIKELIEST = 256  # tokens that are sorted at first; they hold most of the probability of a language model
# A vocabulary of at most twice as many is sorted whole, which is faster.
ROUNDING = 1e-5  # bound for the rounding error of a sum over a vocabulary
SORTED_ROWS = 16  # rows whose whole vocabulary is sorted at a time, which bounds the memory


def draw(logits_BV: Any, asked: Sequence[Request], uniform: Sequence[float]) -> Any:
    """Return one token per row, shape [B]: the likeliest at temperature 0, else one drawn with `top_p`.

    `uniform` holds a random number from 0 to 1 per row.
    """
    import torch

    if all(request.sampling.temperature == 0 for request in asked):
        return logits_BV.argmax(-1)
    temperature_B = logits_BV.new_tensor([request.sampling.temperature or 1.0 for request in asked])
    probs_BV = (logits_BV / temperature_B[:, None]).softmax(-1)
    top_p_B = logits_BV.new_tensor([request.sampling.top_p for request in asked])
    # At temperature 0 the random number 0 chooses the first token of the order.
    uniform_B = logits_BV.new_tensor(
        [0.0 if request.sampling.temperature == 0 else u for request, u in zip(asked, uniform, strict=True)]
    )
    if probs_BV.shape[1] <= 2 * LIKELIEST:
        return by_whole_sort(probs_BV, top_p_B, uniform_B)
    tokens_B, certain_B = _by_likeliest(probs_BV, top_p_B, uniform_B)
    for rows in (~certain_B).nonzero()[:, 0].split(SORTED_ROWS):
        if len(rows):  # `split` returns one empty part where there is nothing to split
            tokens_B[rows] = by_whole_sort(probs_BV[rows], top_p_B[rows], uniform_B[rows])
    return torch.as_tensor(tokens_B)


def by_whole_sort(probs_BV: Any, top_p_B: Any, uniform_B: Any) -> Any:
    """Return the drawn tokens, shape [B], by sorting the whole vocabulary."""
    import torch

    sorted_BV, ids_BV = probs_BV.sort(dim=-1, descending=True, stable=True)
    before_BV = sorted_BV.cumsum(-1) - sorted_BV
    kept_BV = torch.where(before_BV < top_p_B[:, None], sorted_BV, 0.0)
    kept_BV[:, 0] = sorted_BV[:, 0]
    cumulative_BV = kept_BV.cumsum(-1)
    target_B = uniform_B * cumulative_BV[:, -1]
    place_B = torch.searchsorted(cumulative_BV, target_B[:, None], right=True).clamp(max=kept_BV.shape[1] - 1)[:, 0]
    return ids_BV.gather(1, place_B[:, None])[:, 0]


def _by_likeliest(probs_BV: Any, top_p_B: Any, uniform_B: Any) -> tuple[Any, Any]:
    """Return (tokens, whether each is certainly the one that `by_whole_sort` draws), both of shape [B]."""
    import torch

    probs_BK, ids_BK = probs_BV.topk(LIKELIEST, dim=-1)
    ids_BK, order_BK = ids_BK.sort(dim=-1)  # topk leaves the order of ties open: first by id, then, stable, by value
    probs_BK, order_BK = probs_BK.gather(1, order_BK).sort(dim=-1, descending=True, stable=True)
    ids_BK = ids_BK.gather(1, order_BK)
    through_BK = probs_BK.cumsum(-1)
    kept_BK = torch.where(through_BK - probs_BK < top_p_B[:, None], probs_BK, 0.0)
    kept_BK[:, 0] = probs_BK[:, 0]
    cumulative_BK = kept_BK.cumsum(-1)
    # The kept mass of the whole vocabulary: exact if the cut of top_p lies within the likeliest tokens, else between
    # top_p and top_p plus one more token, which is no likelier than the last of these.
    least_B, last_B = cumulative_BK[:, -1], probs_BK[:, -1]
    cut_B = through_BK[:, -1] >= top_p_B + ROUNDING
    low_B = torch.where(cut_B, least_B, torch.maximum(least_B, top_p_B)) - ROUNDING
    high_B = torch.where(cut_B, least_B, (top_p_B + last_B).clamp(max=1.0)) + ROUNDING
    low_place_B, high_place_B = (
        torch.searchsorted(cumulative_BK, (uniform_B * mass_B)[:, None], right=True)[:, 0] for mass_B in (low_B, high_B)
    )
    # Of the tokens that are as likely as the last one, any may be missing here.
    known_B = (probs_BK > last_B[:, None]).sum(-1)
    certain_B = (low_place_B == high_place_B) & (high_place_B < known_B)
    return ids_BK.gather(1, high_place_B.clamp(max=LIKELIEST - 1)[:, None])[:, 0], certain_B
