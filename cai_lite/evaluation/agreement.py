"""Can the judge be relied on? Consistency between both orders, and agreement with a truth where there is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from cai_lite.records import Score, Verdict
from cai_lite.stats import Figure, alpha_figure, auc_figure, kappa_figure, mean_figure

Truth = Callable[[str, str, str], bool | None]
"""(principle id, prompt, reply) -> kept, broken, or not to be told."""


def reliability(
    verdicts: Sequence[Verdict],
    scores: Sequence[Score],
    truth: Truth | None = None,
    *,
    again: Sequence[Score] = (),
    others: Sequence[Sequence[Score]] = (),
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """All figures below that could be measured, by name. `again`: the same judge's scores of some of the same cells,
    drawn once more; `others`: the scores of further judges.
    """
    found = {"order_consistency": order_consistency(verdicts, seed=seed)}
    found["repeat_kappa"] = repeat_kappa(scores, again, seed=seed)
    found["judges_alpha"] = judges_alpha([scores, *others], seed=seed) if others else None
    if truth is not None:
        found["pairwise_accuracy"] = pairwise_accuracy(verdicts, truth, seed=seed)
        found["pointwise_accuracy"] = pointwise_accuracy(scores, truth, seed=seed)
        found["pointwise_kappa"] = pointwise_kappa(scores, truth, seed=seed)
        found["pointwise_auc"] = pointwise_auc(scores, truth, seed=seed)
    return {name: figure for name, figure in found.items() if figure is not None}


def order_consistency(verdicts: Sequence[Verdict], *, seed: int = 0) -> dict[str, float] | None:
    """Share of pairwise verdicts that stay the same when the two replies change places; None where none could be
    read.
    """
    read = [v for v in verdicts if v.order == "both" and v.p_first is not None]
    if not read:
        return None
    return mean_figure([float(not v.flipped) for v in read], [v.first.prompt.family for v in read], seed=seed).as_dict()


def repeat_kappa(scores: Sequence[Score], again: Sequence[Score], *, seed: int = 0) -> dict[str, float] | None:
    """Agreement of a judge with itself beyond chance, kept or broken; None where nothing was asked twice."""
    first = {(s.candidate.key, s.principle): s.log_odds for s in scores if s.log_odds is not None}
    rows = [
        (first[s.candidate.key, s.principle] > 0, s.log_odds > 0, s.candidate.prompt.family)
        for s in again
        if s.log_odds is not None and (s.candidate.key, s.principle) in first
    ]
    if not rows:
        return None
    one, two, families = zip(*rows, strict=True)
    return kappa_figure(one, two, families, seed=seed).as_dict()


def judges_alpha(judges: Sequence[Sequence[Score]], *, seed: int = 0) -> dict[str, float] | None:
    """Krippendorff's alpha of several judges on the same cells, kept or broken; None where nobody could differ."""
    units: dict[tuple[str, str], tuple[list[bool], str]] = {}
    for scores in judges:
        for s in scores:
            if s.log_odds is not None:
                said, _ = units.setdefault((s.candidate.key, s.principle), ([], s.candidate.prompt.family))
                said.append(s.log_odds > 0)
    try:
        figure = alpha_figure([said for said, _ in units.values()], [f for _, f in units.values()], seed=seed)
    except ValueError:
        return None
    return figure.as_dict()


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
    told = _told(scores, truth)
    values = [float((row.log_odds > 0) == row.kept) for row in told]
    return mean_figure(values, [row.family for row in told], seed=seed).as_dict() if told else None


def pointwise_kappa(scores: Sequence[Score], truth: Truth, *, seed: int = 0) -> dict[str, float] | None:
    """Agreement of pointwise verdicts with the truth beyond chance: 0 for a judge that always says the same."""
    told = _told(scores, truth)
    if not told:
        return None
    said, kept = [row.log_odds > 0 for row in told], [row.kept for row in told]
    return kappa_figure(said, kept, [row.family for row in told], seed=seed).as_dict()


def pointwise_auc(scores: Sequence[Score], truth: Truth, *, seed: int = 0) -> dict[str, float] | None:
    """How likely a reply that keeps its principle scores above one that breaks it: blind to where the judge draws the
    line. None where all replies are of one kind.
    """
    told = _told(scores, truth)
    if len({row.kept for row in told}) < 2:
        return None
    odds, kept = [row.log_odds for row in told], [row.kept for row in told]
    return auc_figure(odds, kept, [row.family for row in told], seed=seed).as_dict()


def between_judges(verdicts: Sequence[Verdict], *, seed: int = 0) -> Figure | None:
    """Krippendorff's alpha of several judges over the same comparisons under the same principles; a tie is a value of
    its own, a fault is none. None where nothing was judged twice, or nobody ever differed.
    """
    units: dict[tuple[str, str, str], tuple[list[str], str]] = {}
    for v in verdicts:
        if v.p_first is not None:
            what = v.first.key, v.second.key, v.principle
            units.setdefault(what, ([], v.first.prompt.family))[0].append(v.choice)
    try:
        return alpha_figure([said for said, _ in units.values()], [family for _, family in units.values()], seed=seed)
    except ValueError:
        return None


class _Told(NamedTuple):
    """A score that could be read, of a reply whose truth is known."""

    log_odds: float
    kept: bool
    family: str


def _told(scores: Sequence[Score], truth: Truth) -> list[_Told]:
    found = []
    for score in scores:
        kept = truth(score.principle, score.candidate.prompt.text, score.candidate.text)
        if kept is not None and score.log_odds is not None:
            found.append(_Told(score.log_odds, kept, score.candidate.prompt.family))
    return found
