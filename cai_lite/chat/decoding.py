"""Decode a batch of prompts with the key-value cache of transformers.

Padding is on the left, so that the last position of each row is a token of its own; the layers of hybrid models that
carry a state (Mamba, gated delta rule, short convolutions) leave padding out by the attention mask. Rows that have
ended leave the batch.

Shapes: B rows, T positions, V vocabulary.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Collection, Generator, Sequence
from typing import Any, cast

from cai_lite.chat.sampling import draw
from cai_lite.errors import ModelError
from cai_lite.records import Request

Decoded = tuple[list[tuple[list[int], int | None]], Any]
"""Of each request the tokens and the end token, or None; and the first step's logits."""


def decode(
    model: Any,
    prompts: Sequence[list[int]],
    asked: Sequence[Request],
    *,
    ends: Collection[int],
    pad: int,
    copies: int = 1,
) -> Decoded:
    """Decode a batch of prompts, each `copies` times; a prompt is read once for all of its copies.

    `asked`: one request for each copy, those of a prompt one after another. Returns, for each of them, the tokens
    without the end token, and the end token that was reached, or None; and the first step's logits on the CPU, shape
    [B, V], or None if no request has options.

    Raises:
        ModelError: the architecture decodes with a cache of its own.
    """
    steps = decode_steps(model, prompts, asked, ends=ends, pad=pad, copies=copies)
    while True:
        try:
            next(steps)
        except StopIteration as ended:
            return cast(Decoded, ended.value)


def decode_steps(
    model: Any,
    prompts: Sequence[list[int]],
    asked: Sequence[Request],
    *,
    ends: Collection[int],
    pad: int,
    copies: int = 1,
) -> Generator[Sequence[list[int]], None, Decoded]:
    """Decode as `decode` does, and yield after each step the tokens of each row so far; return what `decode` does."""
    import torch

    device = model.get_input_embeddings().weight.device
    limits = [request.sampling.max_tokens for request in asked]
    width = max(map(len, prompts))
    ids_BT = torch.tensor([[pad] * (width - len(p)) + p for p in prompts], device=device)
    # The mask covers the tokens to come, too, and is read up to the current one.
    seen_BT = ids_BT.new_ones(len(prompts), width + max(limits))
    for row, prompt in enumerate(prompts):
        seen_BT[row, : width - len(prompt)] = 0
    positions_BT = (seen_BT[:, :width].cumsum(-1) - 1).clamp(min=0)
    noise = [random.Random(request.key("noise")) for request in asked]
    rows: list[tuple[list[int], int | None]] = [([], None) for _ in asked]
    alive = list(range(len(asked)))  # indices of the rows that have not ended
    cache = new_cache(model)
    logits_BV = forward(model, ids_BT, seen_BT[:, :width], positions_BT, cache)
    if copies > 1:
        of_B = torch.arange(len(prompts), device=device).repeat_interleave(copies)
        cache.reorder_cache(of_B)
        logits_BV, seen_BT, positions_BT = logits_BV[of_B], seen_BT[of_B], positions_BT[of_B]
    first_logits = logits_BV.cpu() if any(request.options for request in asked) else None
    while True:
        tokens_B = draw(logits_BV, [asked[row] for row in alive], [noise[row].random() for row in alive])
        still = []
        for place, (row, token) in enumerate(zip(alive, tokens_B.tolist(), strict=True)):
            if token in ends:
                rows[row] = (rows[row][0], token)
                continue
            rows[row][0].append(token)
            if len(rows[row][0]) < limits[row]:
                still.append(place)
        yield [tokens for tokens, _ in rows]
        if not still:
            return rows, first_logits
        positions_BT = positions_BT[:, -1:] + 1
        if len(still) < len(alive):
            keep = torch.tensor(still, device=device)
            cache.reorder_cache(keep)
            tokens_B, seen_BT, positions_BT = tokens_B[keep], seen_BT[keep], positions_BT[keep]
            alive = [alive[place] for place in still]
        ids_BT, width = tokens_B[:, None], width + 1
        logits_BV = forward(model, ids_BT, seen_BT[:, :width], positions_BT, cache)


def new_cache(model: Any) -> Any:
    """Return an empty cache with the layer kinds of the model's text part: attention, sliding window, recurrent.

    Raises:
        ModelError: the architecture decodes with a cache of its own.
    """
    from transformers import DynamicCache

    base = _base(model)
    if _cache_name(base) is None or not base._supports_default_dynamic_cache():
        raise ModelError(
            f"{type(base).__name__} decodes with a cache of its own, which is not supported here; "
            "serve the model and give the server's URL"
        )
    return DynamicCache(config=base.config.get_text_config(decoder=True))


def forward(model: Any, ids_BT: Any, seen_BT: Any, positions_BT: Any, cache: Any) -> Any:
    """Return the logits of the last position, float32, shape [B, V], and extend the cache by the T tokens."""
    out = model(
        input_ids=ids_BT,
        attention_mask=seen_BT,
        position_ids=positions_BT,
        use_cache=True,
        logits_to_keep=1,
        **{_cache_name(_base(model)) or "": cache},
    )
    return out.logits[:, -1].float()


def _base(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _cache_name(base: Any) -> str | None:
    """Return the name of the forward pass's argument for the cache; models without attention have one of their own."""
    names = inspect.signature(base.forward).parameters
    return next((name for name in ("past_key_values", "cache_params") if name in names), None)
