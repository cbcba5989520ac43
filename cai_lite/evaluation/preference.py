"""Held-out preference accuracy: does the trained student, as an implicit reward model, order pairs that it never
saw?
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cai_lite.records import PreferencePair
from cai_lite.stats import mean_figure


def reward_margins(model: Any, tokenizer: Any, pairs: Sequence[PreferencePair], *, max_tokens: int) -> list[float]:
    """Of each pair that fits: how far the adapter moved `chosen` beyond `rejected`, in nats (beta left out).

    `model`: a peft model; the reference is the same model with its adapter off. Source: Rafailov et al. 2023, eq. 5.
    """
    from cai_lite.training.reference import scored
    from cai_lite.training.tokens import tokenize

    rows, _ = tokenize(tokenizer, pairs, max_tokens=max_tokens, overlong="cut_prompt")
    settings: dict[str, Any] = {"pad_token_id": tokenizer.pad_token_id, "tokens_per_batch": 8192}
    policy = scored(model, rows, **settings)
    with model.disable_adapter():
        reference = scored(model, rows, **settings)
    moved_B = (policy.chosen_B - reference.chosen_B) - (policy.rejected_B - reference.rejected_B)
    return [float(margin) for margin in moved_B]


def preference_accuracy(margins: Sequence[float], families: Sequence[str], *, seed: int = 0) -> dict[str, float]:
    """Share of pairs ordered rightly, a tie counting one half: a figure."""
    return mean_figure([0.5 if m == 0 else float(m > 0) for m in margins], families, seed=seed).as_dict()
