"""Confounds: what else orders the training pairs, and which pairs are copies.

Where length, refusing or authorship alone orders most pairs, the student may learn just that.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from cai_lite.distill.filters import leaks, repeats
from cai_lite.evaluation.reply_kinds import refuses
from cai_lite.evaluation.subject import Subject
from cai_lite.records import Messages, PreferencePair
from cai_lite.stats import Figure, mean_figure

WARN_ABOVE = 0.7
READ = 20_000  # pairs whose replies are read for refusals; a share of them is known to 0.7 % then


def measure_confounds(subject: Subject) -> dict[str, dict[str, Figure]]:
    """Measure confounds and copies of the training pairs, and warn of strong confounds."""
    if not subject.pairs:
        return {}
    found = confounds(subject.pairs, seed=subject.seed)
    for warning in warnings_of(found):
        subject.screen.warn(warning)
    held_out = [prompt.messages for prompt in subject.prompts]
    return {"confounds": found, "copies": copies(subject.pairs, held_out, seed=subject.seed)}


def confounds(pairs: Sequence[PreferencePair], *, seed: int = 0) -> dict[str, Figure]:
    """Return, for each confound, the share of pairs that it alone orders: from 0.5 (none) to 1 (all).

    The direction does not matter. `length`: words. `refusal`: where one side refuses and the other does not; of more
    than `READ` pairs, as many are read as are evenly spread over the list. `author`: who wrote the side, where pairs of
    two authors are among them; a side without a known author orders nothing.
    """
    found = {}
    if pairs:
        found["length"] = _ordered(
            pairs, [_words(p.chosen[-1].content) - _words(p.rejected[-1].content) for p in pairs], seed
        )
        read = pairs[:: math.ceil(len(pairs) / READ)]
        refused = [refuses(p.chosen[-1].content) - refuses(p.rejected[-1].content) for p in read]
        found["refusal"] = _ordered(read, refused, seed)
    authors = [(p.evidence.get("chosen_by"), p.evidence.get("rejected_by")) for p in pairs]
    if any(chosen and rejected and chosen != rejected for chosen, rejected in authors):
        wins: dict[object, int] = {}
        for chosen, rejected in authors:
            if chosen and rejected and chosen != rejected:
                wins[chosen] = wins.get(chosen, 0) + 1
                wins[rejected] = wins.get(rejected, 0) - 1
        margins = [wins.get(chosen, 0) - wins.get(rejected, 0) for chosen, rejected in authors]
        found["author"] = _ordered(pairs, margins, seed)
    return found


def copies(pairs: Sequence[PreferencePair], held_out: Iterable[Messages] = (), *, seed: int = 0) -> dict[str, Figure]:
    """Return `duplicates`, the share of pairs that resemble an earlier one, and `leakage`, of those whose prompt
    resembles a held-out one.
    """
    if not pairs:
        return {}
    families = [pair.family for pair in pairs]
    return {
        name: mean_figure([float(flag) for flag in flags], families, seed=seed)
        for name, flags in (("duplicates", repeats(pairs)), ("leakage", leaks(pairs, held_out)))
    }


def warnings_of(found: Mapping[str, Figure]) -> list[str]:
    """Return a sentence for each confound that alone orders more than `WARN_ABOVE` of the pairs."""
    return [
        f"{name} alone tells chosen from rejected in {figure.value:.0%} of the pairs (95 % interval "
        f"{figure.low:.0%} to {figure.high:.0%}): the student may learn just that"
        for name, figure in found.items()
        if figure.value > WARN_ABOVE
    ]


def _ordered(pairs: Sequence[PreferencePair], differences: Sequence[float], seed: int) -> Figure:
    """Return the share of pairs that a property orders; `differences`: of the property, chosen less rejected."""
    values = [0.5 if d == 0 else float(d > 0) for d in differences]
    if sum(values) < len(values) / 2:  # favouring the rejected side is just as easy to learn
        values = [1 - value for value in values]
    return mean_figure(values, [pair.family for pair in pairs], seed=seed)


def _words(text: str) -> int:
    return len(text.split())
