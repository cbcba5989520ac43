"""What else tells chosen from rejected? Where length or authorship alone does, the student may learn just that."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cai_lite.records import PreferencePair
from cai_lite.stats import mean_figure

WARN_ABOVE = 0.7


def confounds(pairs: Sequence[PreferencePair], *, seed: int = 0) -> dict[str, dict[str, float]]:
    """Per confound, how well it alone orders the pairs: a figure from 0.5 (nothing) to 1, whichever side it favours.

    `length`: words. `author`: who wrote the side, where pairs of two authors are among them.
    """
    found = {}
    if pairs:
        found["length"] = _ordered(pairs, lambda p: _words(p.chosen[-1].content) - _words(p.rejected[-1].content), seed)
    authors = [(p.evidence.get("chosen_by"), p.evidence.get("rejected_by")) for p in pairs]
    if any(one and other and one != other for one, other in authors):
        wins: dict[object, int] = {}
        for one, other in authors:
            if one != other:
                wins[one] = wins.get(one, 0) + 1
                wins[other] = wins.get(other, 0) - 1
        found["author"] = _ordered(
            pairs, lambda p: wins.get(p.evidence.get("chosen_by"), 0) - wins.get(p.evidence.get("rejected_by"), 0), seed
        )
    return found


def _ordered(
    pairs: Sequence[PreferencePair], difference: Callable[[PreferencePair], float], seed: int
) -> dict[str, float]:
    values = [0.5 if (d := difference(pair)) == 0 else float(d > 0) for pair in pairs]
    if sum(values) < len(values) / 2:  # it favours the rejected side: just as easy to learn
        values = [1 - value for value in values]
    return mean_figure(values, [pair.family for pair in pairs], seed=seed).as_dict()


def _words(text: str) -> int:
    return len(text.split())
