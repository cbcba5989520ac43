"""How far the judge can be trusted, in plain words: its reliability figures, and machine checks that contradict it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from cai_lite.evaluation.shown import interval, number
from cai_lite.stats import Comparison, Figure

Level = Literal["good", "fair", "poor"]
Known = Mapping[str, Figure | Comparison]
"""Figures by path, as `paths.figures` returns them."""


class Scale(NamedTuple):
    """The values from which a figure is fair and good, and what each level means."""

    fair_from: float
    good_from: float
    good: str
    fair: str
    poor: str


_TRUE = ("its verdicts are nearly all true", "most of its verdicts are true", "many of its verdicts are wrong")

SCALES = {
    "reliability.order_consistency": Scale(
        0.75,
        0.9,
        "the order of the answers hardly sways it",
        "the order of the answers sways some of its comparisons",
        "the order of the answers sways many of its comparisons",
    ),
    "reliability.repeat_kappa": Scale(
        0.6,
        0.8,
        "asked again, it says the same",
        "asked again, it sometimes changes its mind",
        "asked again, it wavers",
    ),
    "reliability.judges_alpha": Scale(
        0.667,
        0.8,
        "another judge agrees with it",
        "another judge agrees with it in part",
        "another judge disagrees with it",
    ),
    "judge_people_kappa": Scale(
        0.6, 0.8, "people agree with it", "people agree with it in part", "people disagree with many of its verdicts"
    ),
    "reliability.pairwise_accuracy": Scale(0.75, 0.9, *_TRUE),
    "reliability.pointwise_accuracy": Scale(0.75, 0.9, *_TRUE),
    "reliability.pointwise_kappa": Scale(0.6, 0.8, *_TRUE),
    "reliability.pointwise_auc": Scale(0.8, 0.9, *_TRUE),
}
"""Kappa is good from 0.8 and fair from 0.6, alpha from 0.8 and 0.667; the others are bounds of our own.

Source: Landis and Koch 1977, "The Measurement of Observer Agreement for Categorical Data"; Krippendorff 2004, "Content
Analysis", for alpha.
"""

_ORDER: tuple[Level, ...] = ("poor", "fair", "good")
COMPARISONS = ("reliability.order_consistency", "reliability.pairwise_accuracy")
"""The figures of comparisons of two answers, on which win rates and pairwise pairs depend."""


class Trust(NamedTuple):
    """The level of one reliability figure, and what it means."""

    level: Level
    meaning: str


def trust_of(path: str, figure: Figure | Comparison) -> Trust | None:
    """Return what a reliability figure says about the judge; None for any other figure."""
    scale = SCALES.get(path)
    if scale is None or not isinstance(figure, Figure):
        return None
    if figure.value >= scale.good_from:
        return Trust("good", scale.good)
    return Trust("fair", scale.fair) if figure.value >= scale.fair_from else Trust("poor", scale.poor)


def trust(known: Known) -> Trust | None:
    """Return the judge's trust as a whole, which is its poorest figure; None if none was measured.

    Adherence is scored answer by answer, so figures of comparisons count only where there are no others.
    """
    found = {path: rated for path, figure in known.items() if (rated := trust_of(path, figure))}
    scores = {path: rated for path, rated in found.items() if path not in COMPARISONS} or found
    return poorest(scores.values())


def poorest(rated: Iterable[Trust]) -> Trust | None:
    """Return the first of those with the poorest level; None of none."""
    return min(rated, key=lambda one: _ORDER.index(one.level), default=None)


class Disagreement(NamedTuple):
    """Machine checks that contradict the decider of adherence. `opposite`: one of them rises where the other falls.

    `words`: what they do, `numbers`: both changes with their intervals.
    """

    words: str
    numbers: str
    opposite: bool


def disagreements(known: Known) -> dict[str, Disagreement]:
    """Return where machine checks contradict the headline, by the path of the adherence figure.

    Either the two move in opposite directions and one of them clearly does; or one clearly moves, the other does not,
    and their intervals do not overlap.
    """
    found = {}
    for path, figure in known.items():
        name, dot, part = path.partition(".")
        checks = known.get(f"adherence_checks{dot}{part}")
        if name != "adherence" or not isinstance(figure, Comparison) or not isinstance(checks, Comparison):
            continue
        judged, checked = figure.change, checks.change
        opposite = judged.value * checked.value < 0 and (_clear(judged) or _clear(checked))
        apart = judged.high < checked.low or checked.high < judged.low
        if opposite or (apart and _clear(judged) != _clear(checked)):
            found[path] = Disagreement(
                f"machine checks {'move the other way' if opposite else 'do not confirm it'}",
                f"{number(checked.value, checks, '+')} ({interval(checked, checks, '+')}) by the checks, "
                f"{number(judged.value, figure, '+')} ({interval(judged, figure, '+')}) in the headline",
                opposite,
            )
    return found


def _clear(change: Figure) -> bool:
    return not change.low <= 0 <= change.high
