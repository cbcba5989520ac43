"""Can the judge be relied on? Consistency between both orders, and agreement with a truth where there is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cai_lite.records import Score, Verdict
from cai_lite.stats import mean_figure

Truth = Callable[[str, str, str], bool | None]
"""(principle id, prompt, reply) -> kept, broken, or not to be told."""


def order_consistency(verdicts: Sequence[Verdict], *, seed: int = 0) -> dict[str, float] | None:
    """Share of pairwise verdicts that stay the same when the two replies change places; None where none could be
    read.
    """
    read = [v for v in verdicts if v.order == "both" and v.p_first is not None]
    if not read:
        return None
    return mean_figure([float(not v.flipped) for v in read], [v.first.prompt.family for v in read], seed=seed).as_dict()


def pairwise_accuracy(verdicts: Sequence[Verdict], truth: Truth, *, seed: int = 0) -> dict[str, float] | None:
    """Share of verdicts that choose the reply which truly keeps the principle, where one does and the other does not;
    a tie is half.
    """
    values, families = [], []
    for verdict in verdicts:
        kept = [truth(verdict.principle, c.prompt.text, c.text) for c in (verdict.first, verdict.second)]
        if verdict.p_first is None or None in kept or kept[0] == kept[1]:
            continue
        right = verdict.p_first if kept[0] else 1 - verdict.p_first
        values.append(0.5 if verdict.choice == "tie" else float(right > 0.5))
        families.append(verdict.first.prompt.family)
    return mean_figure(values, families, seed=seed).as_dict() if values else None


def pointwise_accuracy(scores: Sequence[Score], truth: Truth, *, seed: int = 0) -> dict[str, float] | None:
    """Share of pointwise verdicts (kept or broken) that are true."""
    values, families = [], []
    for score in scores:
        kept = truth(score.principle, score.candidate.prompt.text, score.candidate.text)
        if kept is None or score.log_odds is None:
            continue
        values.append(float((score.log_odds > 0) == kept))
        families.append(score.candidate.prompt.family)
    return mean_figure(values, families, seed=seed).as_dict() if values else None
