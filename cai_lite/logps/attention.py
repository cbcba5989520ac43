"""Attention over a shared row: each prompt sees itself, each completion its prompt and itself.

Registered as an attention function of transformers, without a mask function: the model hands it no mask, and the
segments of the row come as a keyword argument of its forward. The function that transformers' own `sdpa` calls does the
work, once for each segment, so that nothing is computed between segments that do not see each other.

Shapes: A heads, K key heads, T tokens of the row, D head width; Q queries and L keys of a segment.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from cai_lite.logps.layout import Group, Layout, Segments

NAME = "cai_lite_segments"
Masks = dict[tuple[int | None, ...], Tensor]


def segment_attention(
    module: torch.nn.Module,
    query_1ATD: Tensor,
    key_1KTD: Tensor,
    value_1KTD: Tensor,
    attention_mask: Tensor | None,
    *,
    segments: Segments | None = None,
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
    if segments is None or attention_mask is not None or dropout or odd:
        raise NotImplementedError(f"attention with {', '.join(odd) or 'no segments, a mask or dropout'}")
    heads = query_1ATD.shape[1] // key_1KTD.shape[1]
    if heads > 1:
        key_1KTD = key_1KTD.repeat_interleave(heads, dim=1)
        value_1KTD = value_1KTD.repeat_interleave(heads, dim=1)
    sizes = [group.prompt + sum(group.completions) for group in segments.groups]
    # One split, so that the backward pass is one concatenation and not a sum of mostly empty tensors.
    queries, keys, values = (torch.split(x, sizes, dim=2) for x in (query_1ATD, key_1KTD, value_1KTD))
    out: list[Tensor] = []
    for query, key, value, group in zip(queries, keys, values, segments.groups, strict=True):
        out.extend(_group(query, key, value, group, segments.masks, scaling, sliding_window, softcap))
    return torch.cat([x.transpose(1, 2) for x in out], dim=1), None


def _group(
    query_1ATD: Tensor,
    key_1ATD: Tensor,
    value_1ATD: Tensor,
    group: Group,
    masks: Masks,
    scale: float | None,
    window: int | None,
    cap: float | None,
) -> Iterator[Tensor]:
    """Outputs of the prompt and of each completion of one group."""
    start = group.prompt
    prompt_k, prompt_v = key_1ATD[:, :, :start], value_1ATD[:, :, :start]
    yield _attend(query_1ATD[:, :, :start], prompt_k, prompt_v, 0, start, masks, scale, window, cap)
    for size in group.completions:
        end, hidden = start + size, start - group.prompt
        if hidden <= group.prompt:  # the others before it are masked out: cheaper than a copy of the prompt's keys
            key, value = key_1ATD[:, :, :end], value_1ATD[:, :, :end]
        else:
            key = torch.cat([prompt_k, key_1ATD[:, :, start:end]], dim=2)
            value = torch.cat([prompt_v, value_1ATD[:, :, start:end]], dim=2)
            hidden = 0
        yield _attend(query_1ATD[:, :, start:end], key, value, hidden, group.prompt, masks, scale, window, cap)
        start = end


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


def attention_of(model: Any, layout: Layout) -> AbstractContextManager[None]:
    """What a pass in this layout stands within: `segments`, or nothing where the model's own attention does."""
    return segments(model) if layout == "shared" else nullcontext()


def check_segments(model: Any) -> None:
    """Raises RuntimeError outside of `segments`, where a model would take a shared row for one long text."""
    if model.config.get_text_config()._attn_implementation != NAME:
        raise RuntimeError("a shared row needs `with segments(model)` around its pass")


# Keyword arguments that say nothing about what is computed here.
_HARMLESS = frozenset({"position_ids", "use_cache", "output_attentions", "output_hidden_states", "is_causal"})


def _attend(
    query_1AQD: Tensor,
    key_1ALD: Tensor,
    value_1ALD: Tensor,
    hidden: int,
    prompt: int,
    masks: Masks,
    scale: float | None,
    window: int | None,
    cap: float | None,
) -> Tensor:
    """Queries are the last Q of L places; each sees the keys up to its own, but for the `hidden` behind the prompt."""
    queries, keys = query_1AQD.shape[2], key_1ALD.shape[2]
    if queries == 0:
        return query_1AQD
    whole = window is None or keys - hidden <= window
    if cap is None and whole and queries == keys:
        return functional.scaled_dot_product_attention(query_1AQD, key_1ALD, value_1ALD, is_causal=True, scale=scale)
    kind = (queries, keys, hidden, prompt, None if whole else window)
    if kind not in masks:
        masks[kind] = _visible(*kind, query_1AQD.device)
    mask_QL = masks[kind]
    if cap is None:
        return functional.scaled_dot_product_attention(query_1AQD, key_1ALD, value_1ALD, attn_mask=mask_QL, scale=scale)
    scores_1AQL = query_1AQD @ key_1ALD.transpose(2, 3) * (query_1AQD.shape[3] ** -0.5 if scale is None else scale)
    scores_1AQL = (cap * torch.tanh(scores_1AQL / cap)).masked_fill(~mask_QL, -torch.inf)
    return scores_1AQL.softmax(-1, dtype=torch.float32).to(query_1AQD.dtype) @ value_1ALD


def _visible(queries: int, keys: int, hidden: int, prompt: int, window: int | None, device: torch.device) -> Tensor:
    """Which keys a query sees: not later ones, not the hidden ones, and only the nearest `window`. Shape [Q, L]."""
    place_L = torch.arange(keys, device=device)
    apart_QL = place_L[keys - queries :, None] - place_L
    seen_QL = (apart_QL >= 0) & ((place_L < prompt) | (place_L >= prompt + hidden))
    if window is not None:  # distances as if the hidden ones were not there
        seen_QL &= (apart_QL - hidden * (place_L < prompt)) < window
    return seen_QL
