"""The form of answers: words, boilerplate, well-formedness. A collapsed model shows here first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from cai_lite.evaluation.subject import Sides
from cai_lite.stats import Comparison, Figure, over_sides


def words(sides: Sides, *, seed: int = 0) -> Figure | Comparison:
    """Return the mean length in words."""
    return _mean(sides, [[len(answer.text.split()) for answer in answers] for answers in sides], seed)


def well_formed(sides: Sides, judge: Callable[[str], bool], *, seed: int = 0) -> Figure | Comparison:
    """Return the share of answers that `judge` calls well-formed."""
    return _mean(sides, [[float(judge(answer.text)) for answer in answers] for answers in sides], seed)


def boilerplate(sides: Sides, *, seed: int = 0) -> Figure | Comparison:
    """Return the share of answers whose text the same model also gave to another prompt."""
    rows = []
    for answers in sides:
        prompts_of = Counter(text for text, _ in {(answer.text, answer.prompt.key) for answer in answers})
        rows.append([float(prompts_of[answer.text] > 1) for answer in answers])
    return _mean(sides, rows, seed)


def _mean(sides: Sides, values: Sequence[Sequence[float]], seed: int) -> Figure | Comparison:
    return over_sides(values, [answer.prompt.family for answer in sides[0]], seed=seed)
