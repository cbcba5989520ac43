"""Attention over a shared row, in which a completion attends only to its prompt and itself.

`segment_attention` is registered as an attention function of transformers, without a mask function: the model passes no
mask, and the segments of the row are a keyword argument of its forward pass. PyTorch's scaled dot-product attention is
called once per segment, so nothing is computed between segments that do not attend to each other.

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
_BEFORE: dict[int, str] = {}  # by the id of a configuration within `segments`: the attention of the model itself


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
    **options: Any,
) -> tuple[Tensor, None]:
    """Return the attention output, shape [1, T, A, D], and None for the attention weights.

    Raises:
        NotImplementedError: the model passes a mask, dropout, no segments, or an option that is not supported here.
    """
    unsupported = sorted(name for name, value in options.items() if value is not None and name not in _HARMLESS)
    if segments is None or attention_mask is not None or dropout or unsupported:
        raise NotImplementedError(
            f"segment attention does not support {', '.join(unsupported) or 'a mask, dropout or missing segments'}"
        )
    groups = query_1ATD.shape[1] // key_1KTD.shape[1]
    if groups > 1:
        key_1KTD = key_1KTD.repeat_interleave(groups, dim=1)
        value_1KTD = value_1KTD.repeat_interleave(groups, dim=1)
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
    """Yield the attention outputs of the prompt and of each completion of one group."""
    start = group.prompt
    prompt_k, prompt_v = key_1ATD[:, :, :start], value_1ATD[:, :, :start]
    yield _attend(query_1ATD[:, :, :start], prompt_k, prompt_v, 0, start, masks, scale, window, cap)
    for size in group.completions:
        end, hidden = start + size, start - group.prompt
        if hidden <= group.prompt:  # masking the completions in between is cheaper than copying the prompt's keys
            key, value = key_1ATD[:, :, :end], value_1ATD[:, :, :end]
        else:
            key = torch.cat([prompt_k, key_1ATD[:, :, start:end]], dim=2)
            value = torch.cat([prompt_v, value_1ATD[:, :, start:end]], dim=2)
            hidden = 0
        yield _attend(query_1ATD[:, :, start:end], key, value, hidden, group.prompt, masks, scale, window, cap)
        start = end


@contextmanager
def segments(model: Any) -> Iterator[None]:
    """Within this context, the model uses `segment_attention`."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, segment_attention)
    configs = {id(m.config): m.config for m in model.modules() if hasattr(m, "config")}.values()
    before = [(config, config._attn_implementation) for config in configs if hasattr(config, "_attn_implementation")]
    try:
        for config, name in before:
            config._attn_implementation = NAME
            _BEFORE.setdefault(id(config), name)
        yield
    finally:
        for config, name in before:
            config._attn_implementation = name
            if name != NAME:
                _BEFORE.pop(id(config), None)


@contextmanager
def unsegmented(model: Any) -> Iterator[None]:
    """Within this context, inside of `segments`, the model uses its own attention again, to generate for instance."""
    configs = {id(m.config): m.config for m in model.modules() if hasattr(m, "config")}.values()
    here = [config for config in configs if id(config) in _BEFORE]
    try:
        for config in here:
            config._attn_implementation = _BEFORE[id(config)]
        yield
    finally:
        for config in here:
            config._attn_implementation = NAME


def attention_of(model: Any, layout: Layout) -> AbstractContextManager[None]:
    """Return the context manager for a pass in this layout: `segments`, or one that does nothing."""
    return segments(model) if layout == "shared" else nullcontext()


def check_segments(model: Any) -> None:
    """Check that the model is used within `segments`; otherwise it would read a shared row as one long text.

    Raises:
        RuntimeError: it is not.
    """
    if model.config.get_text_config()._attn_implementation != NAME:
        raise RuntimeError("a pass over a shared row needs `with segments(model)` around it")


# Keyword arguments that do not affect what is computed here.
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
    """Return causal attention of the last Q of L positions, shape [1, A, Q, D].

    The `hidden` positions after the prompt, which belong to other completions, are masked out.
    """
    queries, keys = query_1AQD.shape[2], key_1ALD.shape[2]
    if queries == 0:
        return query_1AQD
    unwindowed = window is None or keys - hidden <= window
    if cap is None and unwindowed and queries == keys:
        return functional.scaled_dot_product_attention(query_1AQD, key_1ALD, value_1ALD, is_causal=True, scale=scale)
    shape = (queries, keys, hidden, prompt, None if unwindowed else window)
    if shape not in masks:
        masks[shape] = _visible(*shape, query_1AQD.device)
    mask_QL = masks[shape]
    if cap is None:
        return functional.scaled_dot_product_attention(query_1AQD, key_1ALD, value_1ALD, attn_mask=mask_QL, scale=scale)
    scores_1AQL = query_1AQD @ key_1ALD.transpose(2, 3) * (query_1AQD.shape[3] ** -0.5 if scale is None else scale)
    scores_1AQL = (cap * torch.tanh(scores_1AQL / cap)).masked_fill(~mask_QL, -torch.inf)
    return scores_1AQL.softmax(-1, dtype=torch.float32).to(query_1AQD.dtype) @ value_1ALD


def _visible(queries: int, keys: int, hidden: int, prompt: int, window: int | None, device: torch.device) -> Tensor:
    """Return the attention mask, shape [Q, L], True where a query attends to a key.

    Later keys and the `hidden` ones are excluded, and so are keys further away than `window`.
    """
    position_L = torch.arange(keys, device=device)
    distance_QL = position_L[keys - queries :, None] - position_L
    visible_QL = (distance_QL >= 0) & ((position_L < prompt) | (position_L >= prompt + hidden))
    if window is not None:  # hidden positions do not count as distance
        visible_QL &= (distance_QL - hidden * (position_L < prompt)) < window
    return visible_QL
