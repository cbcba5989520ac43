"""Attention over a shared row: each prompt sees itself, each completion its prompt and itself.

Registered as an attention function of transformers, without a mask function: the model hands it no mask, and the
groups of the row come as a keyword argument of its forward. The function that transformers' own `sdpa` calls does the
work, once for each segment, so that nothing is computed between segments that do not see each other.

Shapes: A heads, K key heads, T tokens of the row, D head width; Q queries and L keys of a segment.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from cai_lite.training.layout import Group

NAME = "cai_lite_segments"


def segment_attention(
    module: torch.nn.Module,
    query_1ATD: Tensor,
    key_1KTD: Tensor,
    value_1KTD: Tensor,
    attention_mask: Tensor | None,
    *,
    groups: tuple[Group, ...] = (),
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **unknown: Any,
) -> tuple[Tensor, None]:
    """Output, shape [1, T, A, D].

    Raises:
        NotImplementedError: the model wants something of its attention that is not known here.
    """
    odd = sorted(name for name, value in unknown.items() if value is not None and name not in _HARMLESS)
    if not groups or attention_mask is not None or dropout or odd:
        raise NotImplementedError(f"attention with {', '.join(odd) or 'no groups, a mask or dropout'}")
    heads = query_1ATD.shape[1] // key_1KTD.shape[1]
    if heads > 1:
        key_1KTD = key_1KTD.repeat_interleave(heads, dim=1)
        value_1KTD = value_1KTD.repeat_interleave(heads, dim=1)
    sizes = [size for group in groups for size in (group.prompt, *group.completions)]
    # One split, so that the backward pass is one concatenation and not a sum of mostly empty tensors.
    queries, keys, values = (iter(torch.split(x, sizes, dim=2)) for x in (query_1ATD, key_1KTD, value_1KTD))
    out = []
    for group in groups:
        prompt_k, prompt_v = next(keys), next(values)
        out.append(_attend(next(queries), prompt_k, prompt_v, scaling, sliding_window, softcap))
        for _ in group.completions:
            key = torch.cat([prompt_k, next(keys)], dim=2)
            value = torch.cat([prompt_v, next(values)], dim=2)
            out.append(_attend(next(queries), key, value, scaling, sliding_window, softcap))
    return torch.cat([x.transpose(1, 2) for x in out], dim=1), None


@contextmanager
def segments(model: Any) -> Iterator[None]:
    """While it lasts, the model's attention is `segment_attention`."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, segment_attention)
    configs = {id(m.config): m.config for m in model.modules() if hasattr(m, "config")}.values()
    before = [(config, config._attn_implementation) for config in configs if hasattr(config, "_attn_implementation")]
    try:
        for config, _ in before:
            config._attn_implementation = NAME
        yield
    finally:
        for config, name in before:
            config._attn_implementation = name


def check_segments(model: Any) -> None:
    """Raises RuntimeError outside of `segments`, where a model would take a shared row for one long text."""
    if model.config.get_text_config()._attn_implementation != NAME:
        raise RuntimeError("a shared row needs `with segments(model)` around its pass")


# Keyword arguments that say nothing about what is computed here.
_HARMLESS = frozenset({"position_ids", "use_cache", "output_attentions", "output_hidden_states", "is_causal"})


def _attend(
    query_1AQD: Tensor, key_1ALD: Tensor, value_1ALD: Tensor, scale: float | None, window: int | None, cap: float | None
) -> Tensor:
    """Queries are the last Q of L positions; each sees the keys up to its own place."""
    queries, keys = query_1AQD.shape[2], key_1ALD.shape[2]
    if queries == 0:
        return query_1AQD
    whole = window is None or keys <= window
    if cap is None and whole and queries == keys:
        return functional.scaled_dot_product_attention(query_1AQD, key_1ALD, value_1ALD, is_causal=True, scale=scale)
    mask_QL = _visible(queries, keys, None if whole else window, query_1AQD.device)
    if cap is None:
        return functional.scaled_dot_product_attention(query_1AQD, key_1ALD, value_1ALD, attn_mask=mask_QL, scale=scale)
    scores_1AQL = query_1AQD @ key_1ALD.transpose(2, 3) * (query_1AQD.shape[3] ** -0.5 if scale is None else scale)
    scores_1AQL = (cap * torch.tanh(scores_1AQL / cap)).masked_fill(~mask_QL, -torch.inf)
    return scores_1AQL.softmax(-1, dtype=torch.float32).to(query_1AQD.dtype) @ value_1ALD


@lru_cache(maxsize=64)  # the layers of a pass ask for the same few
def _visible(queries: int, keys: int, window: int | None, device: torch.device) -> Tensor:
    """Which keys a query sees: not later ones, and only the nearest `window`. Shape [Q, L]."""
    apart_QL = torch.arange(keys - queries, keys, device=device)[:, None] - torch.arange(keys, device=device)
    return (apart_QL >= 0) if window is None else (apart_QL >= 0) & (apart_QL < window)
