"""What collapse shows first: malformed answers, longer or shorter ones, the same one again and again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from cai_lite.records import Candidate
from cai_lite.stats import compare

Answers = Sequence[Candidate]


def well_formed(before: Answers, after: Answers, judge: Callable[[str], bool], *, seed: int = 0) -> dict[str, Any]:
    """Share of answers that `judge` calls well-formed, a comparison."""
    return _compared(before, after, lambda answers: [float(judge(a.text)) for a in answers], seed)


def words(before: Answers, after: Answers, *, seed: int = 0) -> dict[str, Any]:
    """Mean length in words, a comparison."""
    return _compared(before, after, lambda answers: [float(len(a.text.split())) for a in answers], seed)


def boilerplate(before: Answers, after: Answers, *, seed: int = 0) -> dict[str, Any]:
    """Share of answers that another prompt got word for word, a comparison."""

    def repeated(answers: Answers) -> list[float]:
        prompts_of = Counter(text for text, _ in {(a.text, a.prompt.key) for a in answers})
        return [float(prompts_of[a.text] > 1) for a in answers]

    return _compared(before, after, repeated, seed)


def _compared(before: Answers, after: Answers, measure: Callable[[Answers], list[float]], seed: int) -> dict[str, Any]:
    return compare(measure(before), measure(after), [a.prompt.family for a in before], seed=seed).as_dict()
