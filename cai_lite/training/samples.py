"""Samples of a policy in training: completions in token ids, drawn with the one copy of the weights that is trained.

The random numbers of a sample come from the prompt, its number and a seed, so a resumed training draws the same again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from cai_lite.chat.capacity import is_out_of_memory, release
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


def samples(
    model: Any,
    turns: Turns,
    prompts: Sequence[Prompt],
    rows: Sequence[Row],
    *,
    each: int,
    max_tokens: int,
    seed: int,
    tokens: int,
    pad: int,
) -> list[list[Sample]]:
    """Return `each` completions of every prompt, drawn at temperature 1 from the model as it is, without dropout.

    `rows`: with the ids of the prompts. `max_tokens`: limit of a completion; `tokens`: of a batch, prompts and
    completions together. A batch that runs out of memory is drawn in halves.

    Raises:
        TrainingError: memory runs out with the completions of a single prompt.
    """
    sampling = Sampling(temperature=1.0, max_tokens=max_tokens, seed=seed)
    found: list[list[Sample]] = [[] for _ in prompts]
    order = sorted(range(len(prompts)), key=lambda i: (-len(rows[i].prompt_ids), i))
    waiting = list(_batches(order, rows, each, max_tokens, tokens))[::-1]
    with _generating(model):
        while waiting:
            part = waiting.pop()
            asked = [
                Request(messages=prompts[i].messages, sampling=sampling, index=index)
                for i in part
                for index in range(each)
            ]
            try:
                drawn, _ = decode(
                    model,
                    [list(rows[i].prompt_ids) for i in part],
                    asked,
                    ends=turns.ends,
                    pad=pad,
                    copies=each,
                )
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                drawn = []
            if not drawn:  # here the error and what its frames held are gone
                if len(part) == 1:
                    raise TrainingError(
                        f"out of memory while drawing {each} completions of one prompt: lower train.rl.samples or "
                        "train.rl.max_completion_tokens, or set load: nf4"
                    )
                release(model.get_input_embeddings().weight.device)
                waiting += [part[len(part) // 2 :], part[: len(part) // 2]]
                continue
            for number, (ids, end) in enumerate(drawn):
                text = turns.tokenizer.decode(ids, skip_special_tokens=True).strip()
                whole = tuple(ids) if end is None else (*ids, end)
                found[part[number // each]].append(Sample(whole, text, end is not None))
    return found


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


def _batches(order: Sequence[int], rows: Sequence[Row], each: int, max_tokens: int, tokens: int) -> Iterator[list[int]]:
    """Yield the prompts of each batch, the longest first; as many as `tokens` allows, at least one."""
    part: list[int] = []
    for i in order:
        width = len(rows[part[0] if part else i].prompt_ids) + max_tokens
        if part and (len(part) + 1) * each * width > tokens:
            yield part
            part = []
        part.append(i)
    if part:
        yield part
