"""Samples of a policy in training: completions in token ids, drawn with the one copy of the weights that is trained.

The random numbers of a sample come from the prompt, its number and a seed, so a resumed training draws the same again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from cai_lite.chat.capacity import release, within_memory
from cai_lite.chat.decoding import decode
from cai_lite.chat.turns import Turns
from cai_lite.errors import TrainingError
from cai_lite.logps.attention import unsegmented
from cai_lite.records import Prompt, Request, Sampling
from cai_lite.training.tokens import Ids, Row


class Sample(NamedTuple):
    """A completion with its end token, if it reached one; `text` is what a reader sees of it."""

    ids: Ids
    text: str
    ended: bool


class Sampler:
    """Draws completions from a model as it is, in batches of at most `tokens` prompt and completion tokens together.

    A batch that runs out of memory is drawn in halves, by prompts and then by the samples of one, and so are all later
    ones. `pad`: the padding token.
    """

    def __init__(self, model: Any, turns: Turns, *, tokens: int, pad: int) -> None:
        self._model, self._turns, self._pad = model, turns, pad
        self._tokens = tokens

    def draw(
        self, prompts: Sequence[Prompt], rows: Sequence[Row], *, each: int, max_tokens: int, seed: int
    ) -> list[list[Sample]]:
        """Return `each` completions of every prompt, drawn at temperature 1, without dropout.

        `rows`: with the ids of the prompts. `max_tokens`: limit of a completion.

        Raises:
            TrainingError: memory runs out with a single completion.
        """
        found: list[list[Sample]] = [[] for _ in prompts]
        lengths = [len(row.prompt_ids) + max_tokens for row in rows]
        waiting = [(i, range(each)) for i in sorted(range(len(prompts)), key=lambda i: (-lengths[i], i))]
        with _generating(self._model):
            while waiting:
                part = self._next(waiting, lengths)
                asked = [(prompts[i], index) for i in part for index in waiting[0][1]]
                drawn = self._decoded([list(rows[i].prompt_ids) for i in part], asked, max_tokens, seed)
                if drawn is None:
                    self._halve(len(asked), lengths[part[0]], max_tokens)
                    continue
                for number, sample in enumerate(drawn):
                    found[part[number * len(part) // len(drawn)]].append(sample)
                del waiting[: len(part)]
        return found

    def _next(self, waiting: list[tuple[int, range]], lengths: Sequence[int]) -> list[int]:
        """Return the prompts of the next batch, with as many samples each; the first is split where it is too large."""
        i, numbers = waiting[0]
        at_once = max(1, self._tokens // lengths[i])
        if len(numbers) > at_once:
            waiting[:1] = [(i, numbers[:at_once]), (i, numbers[at_once:])]
            return [i]
        alike = 1
        while alike < min(len(waiting), at_once // len(numbers)) and waiting[alike][1] == numbers:
            alike += 1
        return [i for i, _ in waiting[:alike]]

    def _decoded(
        self, ids: list[list[int]], asked: Sequence[tuple[Prompt, int]], max_tokens: int, seed: int
    ) -> list[Sample] | None:
        """Return a sample for each (prompt, number) asked, or None if memory ran out."""
        sampling = Sampling(temperature=1.0, max_tokens=max_tokens, seed=seed)
        requests = [Request(messages=prompt.messages, sampling=sampling, index=index) for prompt, index in asked]
        with within_memory():
            drawn, _ = decode(
                self._model, ids, requests, ends=self._turns.ends, pad=self._pad, copies=len(requests) // len(ids)
            )
            decoded = self._turns.tokenizer.decode
            return [
                Sample(
                    tuple(tokens) if end is None else (*tokens, end),
                    decoded(tokens, skip_special_tokens=True).strip(),
                    end is not None,
                )
                for tokens, end in drawn
            ]
        return None

    def _halve(self, completions: int, length: int, max_tokens: int) -> None:
        """Lower the limit of a batch to half of the completions that ran out of memory."""
        if completions == 1:
            raise TrainingError(
                f"out of memory while drawing a completion of up to {max_tokens} tokens: lower "
                "train.rl.max_completion_tokens, or set load: nf4"
            )
        release(self._model.get_input_embeddings().weight.device)
        self._tokens = completions // 2 * length


@contextmanager
def _generating(model: Any) -> Iterator[None]:
    """Within this context the model has its own attention, no dropout and no gradient."""
    training = model.training
    model.eval()
    try:
        with unsegmented(model), torch.no_grad():
            yield
    finally:
        model.train(training)
