"""Held-out preference accuracy: does the trained student, as an implicit reward model, order pairs that it never
saw?
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cai_lite.errors import ModelError, PairError
from cai_lite.records import PreferencePair
from cai_lite.stats import mean_figure

ANY_LENGTH = 1 << 30  # of a model that names no longest context, in tokens
Margins = list[Any]
"""In nats, one per pair, in order: a float, or None for a pair that does not fit."""


def reward_margins(
    model: Any, tokenizer: Any, pairs: Sequence[PreferencePair], *, max_tokens: int | None = None
) -> Margins:
    """Of each pair: how far the adapter moved `chosen` beyond `rejected`, in nats (beta left out), None if too long.

    `model`: a peft model; the reference is the same model with its adapter off. `max_tokens`: of prompt and answer
    together, the model's context where absent. Source: Rafailov et al. 2023, eq. 5.

    Raises:
        PairError: no pair fits. ModelError: a log-probability is no finite number.
    """
    from cai_lite.training.batch import Passes
    from cai_lite.training.reference import scored

    room = max_tokens or getattr(model.config, "max_position_embeddings", None) or ANY_LENGTH
    fitting = {place: row for place, pair in enumerate(pairs) if (row := _row(tokenizer, pair, room))}
    if not fitting:
        raise PairError(
            f"none of the {len(pairs)} held-out pairs can be scored within {room} tokens: shorten them, or leave "
            f"'preference_accuracy' out of evaluate.metrics"
        )
    rows = list(fitting.values())
    passes = Passes("plain", 8192, tokenizer.pad_token_id)
    policy = scored(model, rows, passes)
    with model.disable_adapter():
        reference = scored(model, rows, passes)
    chosen_B, rejected_B = (policy.sums_BK - reference.sums_BK).unbind(1)
    moved_B = chosen_B - rejected_B
    if not moved_B.isfinite().all():
        raise ModelError("a held-out pair has no finite log-probability: the student has diverged")
    margins = dict(zip(fitting, moved_B.tolist(), strict=True))
    return [margins.get(place) for place in range(len(pairs))]


def preference_accuracy(margins: Sequence[float | None], families: Sequence[str], *, seed: int = 0) -> dict[str, float]:
    """Share of pairs ordered rightly, a tie counting one half: a figure. `margins` as `reward_margins` has them."""
    told = [(m, family) for m, family in zip(margins, families, strict=True) if m is not None]
    return mean_figure(
        [0.5 if m == 0 else float(m > 0) for m, _ in told], [family for _, family in told], seed=seed
    ).as_dict()


def reward_margin(margins: Sequence[float | None], families: Sequence[str], *, seed: int = 0) -> dict[str, float]:
    """The mean margin, in nats: a figure. `margins` as `reward_margins` has them."""
    told = [(m, family) for m, family in zip(margins, families, strict=True) if m is not None]
    return mean_figure([m for m, _ in told], [family for _, family in told], seed=seed).as_dict()


def _row(tokenizer: Any, pair: PreferencePair, max_tokens: int) -> Any:
    """The pair in token ids, or None where the training would drop it."""
    from cai_lite.training.tokens import tokenize

    try:
        rows, _ = tokenize(tokenizer, [pair], max_tokens=max_tokens, overlong="cut_prompt")
    except PairError:
        return None
    return rows[0]
