"""Held-out preference accuracy: the trained student, as an implicit reward model, on pairs that it never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from cai_lite.chat.local import LocalModel
from cai_lite.chat.rendering import TemplateRefusal
from cai_lite.chat.turns import Turns
from cai_lite.errors import ModelError, PairError
from cai_lite.evaluation.subject import Subject
from cai_lite.records import PreferencePair
from cai_lite.run.ledger import Run
from cai_lite.stats import Figure, mean_figure

ANY_LENGTH = 1 << 30  # context length in tokens of a model that names none
Margins = list[float | None]
"""Margins in nats, one per pair, in order; None for a pair that is too long."""


def measure_preferences(subject: Subject) -> dict[str, Figure]:
    """Measure preference accuracy and the mean reward margin; nothing without held-out pairs or an adapter."""
    if not subject.adapted or not subject.held_out_pairs:
        return {}
    margins = _known_margins(subject.adapted, subject.held_out_pairs, subject.run)
    families = [pair.family for pair in subject.held_out_pairs]
    return {
        "preference_accuracy": preference_accuracy(margins, families, seed=subject.seed),
        "reward_margin": reward_margin(margins, families, seed=subject.seed),
    }


def reward_margins(
    model: Any,
    tokenizer: Any,
    pairs: Sequence[PreferencePair],
    *,
    max_tokens: int | None = None,
    template: Mapping[str, Any] | None = None,
    system: Literal["keep", "merge"] = "keep",
) -> Margins:
    """Return how far the adapter moved `chosen` beyond `rejected`, in nats (without beta), for each pair.

    `model`: a peft model; the reference is the same model with its adapter off. `max_tokens`: the limit for
    prompt and answer together, the model's context length where absent. `template`: variables of the chat template that
    the adapter was trained with, and `system` as `cai.open_model` takes it. Source: Rafailov et al. 2023, eq. 5.

    Raises:
        PairError: every pair is too long.
        ModelError: a log-probability is not finite.
    """
    from cai_lite.training.batch import Passes
    from cai_lite.training.reference import scored

    room = max_tokens or getattr(model.config, "max_position_embeddings", None) or ANY_LENGTH
    turns = Turns.of_model(model, tokenizer, template=template, system=system)
    fitting = {place: row for place, pair in enumerate(pairs) if (row := _row(turns, pair, room))}
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
        raise ModelError("a held-out pair has a log-probability that is not finite: the student has diverged")
    margins = dict(zip(fitting, moved_B.tolist(), strict=True))
    return [margins.get(place) for place in range(len(pairs))]


def preference_accuracy(margins: Sequence[float | None], families: Sequence[str], *, seed: int = 0) -> Figure:
    """Return the share of pairs with a positive margin; ties count one half. `margins`: see `reward_margins`."""
    known = [(m, family) for m, family in zip(margins, families, strict=True) if m is not None]
    right = [0.5 if m == 0 else float(m > 0) for m, _ in known]
    return mean_figure(right, [family for _, family in known], seed=seed)


def reward_margin(margins: Sequence[float | None], families: Sequence[str], *, seed: int = 0) -> Figure:
    """Return the mean margin, in nats. `margins` are those of `reward_margins`."""
    known = [(m, family) for m, family in zip(margins, families, strict=True) if m is not None]
    return mean_figure([m for m, _ in known], [family for _, family in known], seed=seed)


def _known_margins(adapted: LocalModel, pairs: Sequence[PreferencePair], run: Run) -> Margins:
    """Return the margins that the run keeps, or measure and keep them."""
    keys = [pair.key for pair in pairs]
    known: Margins | None = run.recall("reward margins", adapted.digest, keys)
    if known is None:
        model, tokenizer = adapted.opened()
        known = reward_margins(model, tokenizer, pairs, template=adapted.template, system=adapted.system)
        run.remember("reward margins", known, adapted.digest, keys)
    return known


def _row(turns: Turns, pair: PreferencePair, max_tokens: int) -> Any:
    """Return the pair in token ids, or None where the training would drop it."""
    from cai_lite.training.tokens import tokenize

    try:
        rows, _ = tokenize(turns, [pair], max_tokens=max_tokens, overlong="cut_prompt")
    except (PairError, TemplateRefusal):
        return None
    return rows[0]
