"""Measure how far a merged model is from the adapter on its base, as the run measured it: token by token.

Merging rounds every changed weight to 16 bits, and an adapter that was trained and measured on a 4-bit base meets
another base there. Both are read off the probabilities of the run's own held-out answers.

Shapes: T tokens of an answer, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from cai_lite.chat.rendering import TemplateRefusal, token_ids
from cai_lite.chat.turns import Turns
from cai_lite.errors import ModelError
from cai_lite.records import Message, Messages

LONGEST = 256  # tokens of an answer that are compared
VALUES = 1 << 27  # log-probabilities kept of the first model: 512 MiB


class Row(NamedTuple):
    """An answer in token ids behind its prompt."""

    prompt: Messages
    prompt_ids: list[int]
    ids: list[int]


@dataclass(frozen=True, slots=True)
class Drift:
    """How far two models are apart on the same answers, over `tokens` tokens of `answers` answers.

    `mean`, `largest`: the absolute difference of the log-probability of a token, in nats. `kl`: the mean of the
    Kullback-Leibler divergence of the second model from the first, in nats per token. `same_choice`: the share of
    places at which both find the same token the most likely.
    """

    answers: int
    tokens: int
    mean: float
    largest: float
    kl: float
    same_choice: float

    def as_dict(self) -> dict[str, Any]:
        """Return the form of export.json."""
        return asdict(self)

    def in_words(self) -> str:
        """Return the figures as one sentence."""
        return (
            f"drift of the log-probability of a token: {self.mean:.2g} nats on average, {self.largest:.2g} at most; KL "
            f"{self.kl:.2g} nats per token; the same most likely token in {self.same_choice:.1%} of {self.tokens:,} "
            f"places in {self.answers:,} answers"
        )


def rows_of(model: Any, tokenizer: Any, turns: Turns, said: Sequence[tuple[Messages, str]]) -> list[Row]:
    """Return answers as rows of token ids, at even distances in the list, as many as `VALUES` allows.

    Raises:
        ModelError: none of them can be rendered.
    """
    room = max(1, VALUES // model.get_output_embeddings().weight.shape[0])
    rows, tokens = [], 0
    step = max(1, len(said) * 64 // room)
    for prompt, text in said[::step]:
        if not text.strip():
            continue
        try:
            split = turns.split(prompt, [(Message("assistant", text),)])
        except TemplateRefusal:
            continue
        ids = split.completions[0][: min(LONGEST, room - tokens)]
        if not ids:
            break
        rows.append(Row(prompt, split.prompt_ids, ids))
        tokens += len(ids)
    if not rows:
        raise ModelError("no answer of the run can be rendered, so the merged model cannot be compared")
    return rows


def log_probs(model: Any, rows: Sequence[Row]) -> list[Any]:
    """Return the log-probabilities at the tokens of each answer, float32 on the CPU, [T, V] each."""
    import torch

    found = []
    device = model.get_input_embeddings().weight.device
    with torch.inference_mode():
        for row in rows:  # one by one: padding changes the rounding
            ids = torch.tensor([row.prompt_ids + row.ids], device=device)
            logits_TV = model(input_ids=ids, use_cache=False).logits[0, len(row.prompt_ids) - 1 : -1]
            found.append(logits_TV.float().log_softmax(-1).cpu())
    return found


def check_rendering(tokenizer: Any, rows: Sequence[Row]) -> None:
    """Check that a server with this tokenizer renders the prompts as they were rendered for the run.

    Raises:
        ModelError: it does not.
    """
    for row in rows:
        if token_ids(tokenizer, row.prompt, add_generation_prompt=True) != row.prompt_ids:
            raise ModelError(
                "the chat template that is exported renders a prompt otherwise than the run did; train again with this "
                "version, whose adapters hold the template with its variables set"
            )


def drift(first: Sequence[Any], second: Sequence[Any], rows: Sequence[Row]) -> Drift:
    """Return how far two models are apart, from what `log_probs` returned of each.

    Raises:
        ModelError: a number of the second is not finite.
    """
    import torch

    apart, divergence, same = [], [], []
    for one_TV, other_TV, row in zip(first, second, rows, strict=True):
        at = torch.tensor(row.ids)[:, None]
        apart.append((one_TV.gather(1, at) - other_TV.gather(1, at)).abs().squeeze(1))
        divergence.append((one_TV.exp() * (one_TV - other_TV)).sum(-1))
        same.append((one_TV.argmax(-1) == other_TV.argmax(-1)).float())
    apart_T, kl_T, same_T = torch.cat(apart), torch.cat(divergence), torch.cat(same)
    if not (apart_T.isfinite().all() and kl_T.isfinite().all()):
        raise ModelError("the merged model gives log-probabilities that are not finite; take --dtype bfloat16")
    return Drift(
        answers=len(rows),
        tokens=len(apart_T),
        mean=float(apart_T.mean()),
        largest=float(apart_T.max()),
        kl=max(0.0, float(kl_T.mean())),
        same_choice=float(same_T.mean()),
    )
