"""Which pairs go into an update, and which into one pass of the model."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from cai_lite.logps.head import completion_logps
from cai_lite.logps.layout import Ids, Layout, pack, tokens_of
from cai_lite.training.config import TrainingConfig
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


@dataclass(slots=True)
class Passes:
    """How an update is cut into passes of the model.

    `tokens`: of one pass, padding included; the loop halves it where memory runs out.
    """

    layout: Layout
    tokens: int
    pad_token_id: int

    def cut(self, batch: Sequence[int], pairs: Sequence[TokenPair], *, at_least: int = 1) -> list[list[int]]:
        """The batch in `at_least` passes, pairs of like width together, the widest first; each within the tokens.

        A pair that is wider than that goes alone.
        """
        most = math.ceil(len(batch) / at_least)
        cut: list[list[int]] = []
        prompts: set[Ids] = set()  # of the last pass
        held = 0  # tokens of the last pass
        for i in sorted(batch, key=lambda i: (-_width(pairs[i]), i)):
            pair, shared = pairs[i], self.layout == "shared"
            more = 2 * _width(pairs[cut[-1][0] if cut else i])
            if shared:
                more = _completions(pair) + (0 if pair.prompt_ids in prompts else len(pair.prompt_ids))
            if cut and len(cut[-1]) < most and held + more <= self.tokens:
                cut[-1].append(i)
                held += more
            else:
                cut.append([i])
                prompts.clear()
                held = _completions(pair) + len(pair.prompt_ids) if shared else 2 * _width(pair)
            prompts.add(pair.prompt_ids)
        return cut

    def logps(self, model: Any, pairs: Sequence[TokenPair]) -> PairLogps:
        """Log-probabilities of both completions of each pair, in one pass. The shared layout needs `segments`."""
        device = model.get_input_embeddings().weight.device
        packed = pack(sequences_of(pairs), self.layout, pad_token_id=self.pad_token_id, device=device)
        chosen_B, rejected_B = completion_logps(model, packed).view(-1, 2).unbind(1)
        chosen_len_B = torch.tensor([len(pair.chosen_ids) for pair in pairs], device=device)
        rejected_len_B = torch.tensor([len(pair.rejected_ids) for pair in pairs], device=device)
        return PairLogps(chosen_B, rejected_B, chosen_len_B, rejected_len_B)


def tokens_read(batch: Sequence[int], pairs: Sequence[TokenPair], layout: Layout) -> int:
    """Tokens that the model reads for these pairs in one pass, padding included."""
    return tokens_of(sequences_of(pairs[i] for i in batch), layout)


def sequences_of(pairs: Iterable[TokenPair]) -> list[tuple[Ids, Ids]]:
    """(prompt, completion) of each pair's chosen and rejected, in turn."""
    return [(pair.prompt_ids, ids) for pair in pairs for ids in (pair.chosen_ids, pair.rejected_ids)]


def _width(pair: TokenPair) -> int:
    """Tokens of the longer row; a completion's last token is not read."""
    return len(pair.prompt_ids) + max(len(pair.chosen_ids), len(pair.rejected_ids)) - 1


def _completions(pair: TokenPair) -> int:
    return len(pair.chosen_ids) + len(pair.rejected_ids) - 2
