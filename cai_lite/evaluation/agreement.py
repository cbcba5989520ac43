"""Agreement of a judge with itself, with other judges, and with a truth where one is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from cai_lite.records import Score, Verdict
from cai_lite.stats import Figure, alpha_figure, auc_figure, kappa_figure, mean_figure

Truth = Callable[[str, str, str], bool | None]
"""Given principle id, prompt and reply, return whether the principle is kept; None where that is unknown."""


def reliability(
    verdicts: Sequence[Verdict],
    scores: Sequence[Score],
    truth: Truth | None = None,
    *,
    again: Sequence[Score] = (),
    others: Sequence[Sequence[Score]] = (),
    seed: int = 0,
) -> dict[str, Figure]:
    """Return every figure below that could be measured, by name.

    `again`: the same judge's scores of some of the same cells, sampled once more. `others`: scores of further judges.
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


def order_consistency(verdicts: Sequence[Verdict], *, seed: int = 0) -> Figure | None:
    """Return the share of pairwise verdicts that stay the same when the two replies are swapped; None if none could be
    read.
    """
    read = [v for v in verdicts if v.order == "both" and v.p_first is not None]
    if not read:
        return None
    return mean_figure([float(not v.flipped) for v in read], [v.first.prompt.family for v in read], seed=seed)


def repeat_kappa(scores: Sequence[Score], again: Sequence[Score], *, seed: int = 0) -> Figure | None:
    """Return Cohen's kappa of a judge with itself, kept or broken; None where nothing was asked twice."""
    first = {(s.candidate.key, s.principle): s.log_odds for s in scores if s.log_odds is not None}
    rows = [
        (first[s.candidate.key, s.principle] > 0, s.log_odds > 0, s.candidate.prompt.family)
        for s in again
        if s.log_odds is not None and (s.candidate.key, s.principle) in first
    ]
    if not rows:
        return None
    once, twice, families = zip(*rows, strict=True)
    return kappa_figure(once, twice, families, seed=seed)


def judges_alpha(judges: Sequence[Sequence[Score]], *, seed: int = 0) -> Figure | None:
    """Return Krippendorff's alpha of several judges on the same cells, kept or broken; None where it is undefined."""
    units: dict[tuple[str, str], tuple[list[bool], str]] = {}
    for scores in judges:
        for s in scores:
            if s.log_odds is not None:
                said, _ = units.setdefault((s.candidate.key, s.principle), ([], s.candidate.prompt.family))
                said.append(s.log_odds > 0)
    try:
        return alpha_figure([said for said, _ in units.values()], [f for _, f in units.values()], seed=seed)
    except ValueError:
        return None


def pairwise_accuracy(verdicts: Sequence[Verdict], truth: Truth, *, seed: int = 0) -> Figure | None:
    """Return the share of verdicts for the reply that keeps the principle, where exactly one does; ties count half."""
    values, families = [], []
    for verdict in verdicts:
        kept = [truth(verdict.principle, c.prompt.text, c.text) for c in (verdict.first, verdict.second)]
        if verdict.p_first is None or None in kept or kept[0] == kept[1]:
            continue
        right = verdict.p_first if kept[0] else 1 - verdict.p_first
        values.append(0.5 if verdict.choice == "tie" else float(right > 0.5))
        families.append(verdict.first.prompt.family)
    return mean_figure(values, families, seed=seed) if values else None


def pointwise_accuracy(scores: Sequence[Score], truth: Truth, *, seed: int = 0) -> Figure | None:
    """Return the share of pointwise verdicts (kept or broken) that are true."""
    cells = _known_cells(scores, truth)
    values = [float((row.log_odds > 0) == row.kept) for row in cells]
    return mean_figure(values, [row.family for row in cells], seed=seed) if cells else None


def pointwise_kappa(scores: Sequence[Score], truth: Truth, *, seed: int = 0) -> Figure | None:
    """Return Cohen's kappa of pointwise verdicts and the truth: 0 for a judge that always says the same."""
    cells = _known_cells(scores, truth)
    if not cells:
        return None
    said, kept = [row.log_odds > 0 for row in cells], [row.kept for row in cells]
    return kappa_figure(said, kept, [row.family for row in cells], seed=seed)


def pointwise_auc(scores: Sequence[Score], truth: Truth, *, seed: int = 0) -> Figure | None:
    """Return the area under the ROC curve of the scores against the truth, which no threshold enters; None where all
    replies are kept, or all broken.
    """
    cells = _known_cells(scores, truth)
    if len({row.kept for row in cells}) < 2:
        return None
    odds, kept = [row.log_odds for row in cells], [row.kept for row in cells]
    return auc_figure(odds, kept, [row.family for row in cells], seed=seed)


def between_judges(verdicts: Sequence[Verdict], *, seed: int = 0) -> Figure | None:
    """Return Krippendorff's alpha of several judges over the same comparisons and principles.

    A tie is a value of its own; faults are left out. None where nothing was judged twice, or nobody ever differed.
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


class _Cell(NamedTuple):
    """A readable score of a reply whose truth is known."""

    log_odds: float
    kept: bool
    family: str


def _known_cells(scores: Sequence[Score], truth: Truth) -> list[_Cell]:
    found = []
    for score in scores:
        kept = truth(score.principle, score.candidate.prompt.text, score.candidate.text)
        if kept is not None and score.log_odds is not None:
            found.append(_Cell(score.log_odds, kept, score.candidate.prompt.family))
    return found
