"""Which pairs go into an update, and which into one pass of the model."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from typing import Any

from cai_lite.training.config import TrainingConfig
from cai_lite.training.logprobs import row_logps
from cai_lite.training.losses import PairLogps
from cai_lite.training.tokens import TokenPair


def total_steps(pairs: int, config: TrainingConfig) -> int:
    """Updates of the whole training; a begun update counts."""
    return config.max_steps or math.ceil(config.epochs * math.ceil(pairs / config.batch_size) - 1e-9)


def updates(pairs: int, config: TrainingConfig) -> Iterator[tuple[int, list[int]]]:
    """(epoch, the pairs' positions) of each update, without end.

    The order of an epoch is drawn from seed and epoch alone, so that a resumed training finds its place by counting.
    """
    epoch = 0
    while True:
        order = list(range(pairs))
        if config.shuffle:
            random.Random(f"{config.seed}:{epoch}").shuffle(order)
        for start in range(0, pairs, config.batch_size):
            yield epoch, order[start : start + config.batch_size]
        epoch += 1


def passes(batch: Sequence[int], pairs: Sequence[TokenPair], config: TrainingConfig) -> list[list[int]]:
    """The update cut into passes: by length, so that little is padded; within the token budget; at least so many as
    asked.
    """
    most = math.ceil(len(batch) / config.gradient_accumulation)
    return by_width(batch, pairs, tokens=config.tokens_per_batch, most=most)


def by_width(batch: Sequence[int], pairs: Sequence[TokenPair], *, tokens: int, most: int) -> list[list[int]]:
    """Positions in groups of like width, the widest first: at most `most` pairs and, padding included, `tokens` tokens.

    A pair that is wider than that goes alone.
    """
    cut: list[list[int]] = []
    for i in sorted(batch, key=lambda i: (-_width(pairs[i]), i)):
        within = cut and 2 * _width(pairs[cut[-1][0]]) * (len(cut[-1]) + 1) <= tokens
        if within and len(cut[-1]) < most:
            cut[-1].append(i)
        else:
            cut.append([i])
    return cut


def pair_logps(model: Any, pairs: Sequence[TokenPair], pad_token_id: int) -> PairLogps:
    """Log-probabilities of both completions of each pair, in one pass of 2B rows."""
    import torch

    rows = [pair.prompt_ids + pair.chosen_ids for pair in pairs] + [
        pair.prompt_ids + pair.rejected_ids for pair in pairs
    ]
    device = model.get_input_embeddings().weight.device
    width = max(map(len, rows))
    ids_RT = torch.tensor([row + (pad_token_id,) * (width - len(row)) for row in rows], device=device)
    lengths_R = torch.tensor([len(row) for row in rows], device=device)
    prompts_R = torch.tensor([len(pair.prompt_ids) for pair in pairs] * 2, device=device)
    chosen_B, rejected_B = row_logps(model, ids_RT, lengths_R, prompts_R).chunk(2)
    chosen_len_B, rejected_len_B = (lengths_R - prompts_R).chunk(2)
    return PairLogps(chosen_B, rejected_B, chosen_len_B, rejected_len_B)


def _width(pair: TokenPair) -> int:
    return len(pair.prompt_ids) + max(len(pair.chosen_ids), len(pair.rejected_ids))
