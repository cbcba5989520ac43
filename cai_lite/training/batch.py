"""Which rows go into an update, and which into one pass of the model."""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from cai_lite.logps.head import completion_logps, completion_scores, token_logps_and_entropies
from cai_lite.logps.layout import Ids, Layout, Packed, pack, tokens_of
from cai_lite.training.config import TrainingConfig
from cai_lite.training.losses import Logps, TokenLogps
from cai_lite.training.ranks import ALONE, Ranks
from cai_lite.training.tokens import Row

Reads = Literal["logps", "token_logps", "score"]
"""What is read of a completion: its log-probability, that of each of its tokens, or the score at its last token."""


def total_steps(rows: int, config: TrainingConfig) -> int:
    """Return the number of updates of the whole training; the last batch of an epoch may be smaller."""
    batches = math.ceil(config.epochs * math.ceil(rows / config.batch_size) - 1e-9)
    return config.max_steps or batches * config.updates_of_batch


def updates(rows: int, config: TrainingConfig) -> Iterator[tuple[int, list[int]]]:
    """Yield (epoch, indices of the rows) of each update, without end.

    The order of an epoch is drawn from seed and epoch alone, so that a resumed training finds its place by counting.
    """
    epoch = 0
    while True:
        order = array("q", range(rows))
        if config.shuffle:
            random.Random(f"{config.seed}:{epoch}").shuffle(order)
        for start in range(0, rows, config.batch_size):
            yield epoch, order[start : start + config.batch_size].tolist()
        epoch += 1


@dataclass(slots=True)
class Passes:
    """How an update is split into passes of the model.

    `tokens`: limit of one pass, padding included; the loop halves it where memory runs out. `reads`: what `values`
    computes; a score is read at the last token of a completion, from which no log-probability is predicted. `ranks`:
    the processes that share the rows of an update, and the passes of what is only read. `in_step`: every rank makes as
    many passes as every other, because it holds a part of the model only.
    """

    layout: Layout
    tokens: int
    pad_token_id: int
    reads: Reads = "logps"
    ranks: Ranks = ALONE
    in_step: bool = False

    @property
    def whole(self) -> bool:
        """Whether the last token of a completion is read, too."""
        return self.reads == "score"

    def cut(self, batch: Sequence[int], rows: Sequence[Row], *, at_least: int = 1) -> list[list[int]]:
        """Split a batch into passes of at most `tokens` tokens, at least `at_least` of them.

        Rows of similar width go together, the widest first. A row that exceeds the limit is a pass of its own.
        """
        size = math.ceil(len(batch) / at_least)
        cut: list[list[int]] = []
        prompts: set[Ids] = set()  # of the last pass
        count, width, shared = 0, 0, 0  # of the last pass: completions, tokens of a plain row, tokens of the shared row
        for i in sorted(batch, key=lambda i: (-_width(rows[i], self.whole), i)):
            row = rows[i]
            more = _completions(row, self.whole) + (0 if row.prompt_ids in prompts else len(row.prompt_ids))
            tokens = shared + more if self.layout == "shared" else (count + len(row.completions)) * width
            if cut and len(cut[-1]) < size and tokens <= self.tokens:
                cut[-1].append(i)
                count, shared = count + len(row.completions), shared + more
            else:
                cut.append([i])
                prompts.clear()
                count, width = len(row.completions), _width(row, self.whole)
                shared = _completions(row, self.whole) + len(row.prompt_ids)
            prompts.add(row.prompt_ids)
        return cut

    def share(self, cut: list[list[int]], model: Any, rows: Sequence[Row]) -> Iterator[list[int]]:
        """Yield the passes of this rank, to be made without gradient: each rank takes one in turn, the widest first.

        `in_step`: a rank without one in the last turn makes the last pass for nothing, after all of its own.
        """
        mine, world_size = cut[self.ranks.rank :: self.ranks.world_size], self.ranks.world_size
        yield from mine
        if self.in_step and len(mine) < math.ceil(len(cut) / world_size):
            with torch.no_grad():
                self.values(model, [rows[i] for i in cut[-1]])

    def read(self, batch: Sequence[int], rows: Sequence[Row]) -> int:
        """Return the number of tokens that the model reads for these rows in one pass, padding included."""
        return tokens_read(batch, rows, self.layout, whole=self.whole)

    def values(self, model: Any, rows: Sequence[Row]) -> Any:
        """Return what `reads` names of all completions, in one pass: `Logps`, or `TokenLogps` for single tokens.

        The shared layout needs `segments`.
        """
        if self.reads == "token_logps":
            return self.token_logps(model, rows)
        device = model.get_input_embeddings().weight.device
        sequences = sequences_of(rows)
        packed = pack(sequences, self.layout, pad_token_id=self.pad_token_id, device=device, whole=self.whole)
        values_S = completion_scores(model, packed) if self.whole else completion_logps(model, packed)
        most = max(len(row.completions) for row in rows)
        lengths = [[*map(len, row.completions), *[0] * (most - len(row.completions))] for row in rows]
        lengths_BK = torch.tensor(lengths, device=device)
        if len(values_S) == lengths_BK.numel():
            return Logps(values_S.view(-1, most), lengths_BK)
        sums_BK = values_S.new_zeros(lengths_BK.shape)
        return Logps(sums_BK.masked_scatter(lengths_BK > 0, values_S), lengths_BK)

    def token_logps(self, model: Any, rows: Sequence[Row]) -> TokenLogps:
        """Return the log-probabilities and entropies of all tokens, in one pass. The shared layout needs `segments`."""
        device = model.get_input_embeddings().weight.device
        packed = pack(sequences_of(rows), self.layout, pad_token_id=self.pad_token_id, device=device)
        logps_N, entropies_N = token_logps_and_entropies(model, packed)
        return _of_tokens(logps_N, entropies_N, packed, rows)


def _of_tokens(logps_N: torch.Tensor, entropies_N: torch.Tensor, packed: Packed, rows: Sequence[Row]) -> TokenLogps:
    """Return the values of all tokens by completion; a shared row has them in another order."""
    most = max(len(row.completions) for row in rows)
    lengths = [[*map(len, row.completions), *[0] * (most - len(row.completions))] for row in rows]
    lengths_BK = torch.tensor(lengths, device=logps_N.device)
    there_BKT = torch.arange(int(lengths_BK.max()), device=logps_N.device) < lengths_BK[..., None]
    order_N = torch.argsort(packed.sequence_N, stable=True)
    tokens_BKT, entropies_BKT = (
        values_N.new_zeros(there_BKT.shape).masked_scatter(there_BKT, values_N[order_N])
        for values_N in (logps_N, entropies_N)
    )
    return TokenLogps(tokens_BKT.sum(-1), lengths_BK, tokens_BKT, entropies_BKT)


def tokens_read(batch: Sequence[int], rows: Sequence[Row], layout: Layout, *, whole: bool = False) -> int:
    """Return the number of tokens that the model reads for these rows in one pass, padding included."""
    return tokens_of(sequences_of(rows[i] for i in batch), layout, whole=whole)


def sequences_of(rows: Iterable[Row]) -> list[tuple[Ids, Ids]]:
    """Return (prompt, completion) of every completion, row by row."""
    return [(row.prompt_ids, ids) for row in rows for ids in row.completions]


def _width(row: Row, whole: bool) -> int:
    """Return the tokens that the longest completion takes with its prompt; its last token is not read, or `whole`."""
    return len(row.prompt_ids) + max(map(len, row.completions)) - (not whole)


def _completions(row: Row, whole: bool) -> int:
    """Return the tokens that are read of the completions alone."""
    return sum(len(ids) - (not whole) for ids in row.completions)
