"""What else tells chosen from rejected? Where length, refusing or authorship alone does, the student may learn just
that. And which pairs are copies: of each other, or of what is held out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from cai_lite.distill.filters import leaks, repeats
from cai_lite.evaluation.refusals import refuses
from cai_lite.records import Messages, PreferencePair
from cai_lite.stats import mean_figure

WARN_ABOVE = 0.7


def confounds(pairs: Sequence[PreferencePair], *, seed: int = 0) -> dict[str, dict[str, float]]:
    """Per confound, how well it alone orders the pairs: a figure from 0.5 (nothing) to 1, whichever side it favours.

    `length`: words. `refusal`: where one side refuses and the other does not. `author`: who wrote the side, where pairs
    of two authors are among them (a side without a known author orders nothing).
    """
    found = {}
    if pairs:
        found["length"] = _ordered(
            pairs, [_words(p.chosen[-1].content) - _words(p.rejected[-1].content) for p in pairs], seed
        )
        refused = [(refuses(p.chosen[-1].content), refuses(p.rejected[-1].content)) for p in pairs]
        found["refusal"] = _ordered(pairs, [one - two for one, two in refused], seed)
    authors = [(p.evidence.get("chosen_by"), p.evidence.get("rejected_by")) for p in pairs]
    if any(one and other and one != other for one, other in authors):
        wins: dict[object, int] = {}
        for one, other in authors:
            if one and other and one != other:
                wins[one] = wins.get(one, 0) + 1
                wins[other] = wins.get(other, 0) - 1
        found["author"] = _ordered(pairs, [wins.get(one, 0) - wins.get(other, 0) for one, other in authors], seed)
    return found


def copies(
    pairs: Sequence[PreferencePair], held_out: Iterable[Messages] = (), *, seed: int = 0
) -> dict[str, dict[str, float]]:
    """`duplicates`: the share of pairs that resemble an earlier one; `leakage`: of those whose prompt is held out."""
    if not pairs:
        return {}
    families = [pair.family for pair in pairs]
    return {
        name: mean_figure([float(is_) for is_ in found], families, seed=seed).as_dict()
        for name, found in (("duplicates", repeats(pairs)), ("leakage", leaks(pairs, held_out)))
    }


def warnings_of(found: Mapping[str, Mapping[str, float]]) -> list[str]:
    """A sentence for each confound of `confounds` that alone orders more than 0.7 of the pairs."""
    return [
        f"{name} alone tells chosen from rejected in {figure['value']:.0%} of the pairs (95 % interval "
        f"{figure['low']:.0%} to {figure['high']:.0%}): the student may learn just that"
        for name, figure in found.items()
        if figure["value"] > WARN_ABOVE
    ]


def _ordered(pairs: Sequence[PreferencePair], differences: Sequence[float], seed: int) -> dict[str, float]:
    """`differences`: of each pair, by how much the chosen side has more of it."""
    values = [0.5 if d == 0 else float(d > 0) for d in differences]
    if sum(values) < len(values) / 2:  # it favours the rejected side: just as easy to learn
        values = [1 - value for value in values]
    return mean_figure(values, [pair.family for pair in pairs], seed=seed).as_dict()


def _words(text: str) -> int:
    return len(text.split())
