"""Measure the quality of revisions: what they mend, what else they change, what they break, how many rounds they take.

A rewrite mends its principle if a fresh critique of the new text finds it kept. The other sentences of the text should
stand as they are; how many do is counted sentence by sentence.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from cai_lite.distill.reading import FAULTS, quotes
from cai_lite.distill.revisions import Attempt
from cai_lite.evaluation.agreement import Truth
from cai_lite.evaluation.refusal_words import SENTENCE
from cai_lite.evaluation.subject import Subject
from cai_lite.stats import Figure, mean_figure

MEMO = "revisions"  # the name of the result in the run; that of held-out pairs begins with "held-out"
FIGURES = {
    "mended": "rewrites that mend their principle",
    "mended_by_oracle": "rewrites that mend their principle, by the oracle",
    "others_kept": "other sentences that stand unchanged",
    "new_violations": "rewrites that break a principle that was kept",
    "satisfied": "drafts that end with every drawn principle kept",
    "rounds": "rounds until every drawn principle is kept",
    "unusable": "rewrites or critiques of them that could not be used",
}
"""What each figure is a share or mean of, by its name in evaluation.json."""


def revision_quality(attempts: Sequence[Attempt], truth: Truth | None = None, *, seed: int = 0) -> dict[str, Any]:
    """Return the figures of these attempts in the form of evaluation.json; empty if there are none.

    `truth`: decides, where given, which rewrites really mend a principle that was really broken.

    The result holds `figures` by name (see `FIGURES`; those that could not be measured are absent), `principles` (the
    share mended, by principle), `rounds` (the number of drafts by the round after which they were satisfied, "never"
    for the others) and `summary`, a sentence.
    """
    if not attempts:
        return {}
    usable = [attempt for attempt in attempts if attempt.outcome not in FAULTS]
    aimed = [attempt for attempt in usable if attempt.needed and attempt.mended is not None]
    unusable = [attempt.outcome in FAULTS or attempt.mended is None for attempt in attempts]
    ended = _rounds(attempts)
    done = {key: number for key, number in ended.items() if number is not None}
    families = {attempt.draft.key: attempt.draft.prompt.family for attempt in attempts}
    kept = [
        (share, attempt)
        for attempt in usable
        if attempt.after is not None
        and (share := others_kept(attempt.before.text, attempt.after.text, attempt.critique)) is not None
    ]

    def mean(values: Sequence[float], of: Sequence[Attempt]) -> Figure | None:
        return mean_figure(values, [one.draft.prompt.family for one in of], seed=seed) if values else None

    def mean_of_drafts(values: Mapping[str, float]) -> Figure | None:
        return mean_figure(list(values.values()), [families[key] for key in values], seed=seed) if values else None

    found = {
        "mended": mean([float(bool(one.mended)) for one in aimed], aimed),
        "mended_by_oracle": _by_oracle(usable, truth, seed) if truth else None,
        "others_kept": mean([share for share, _ in kept], [one for _, one in kept]),
        "new_violations": mean([float(bool(one.broken)) for one in usable], usable),
        "satisfied": mean_of_drafts({key: float(number is not None) for key, number in ended.items()}),
        "rounds": mean_of_drafts({key: float(number) for key, number in done.items()}),
        "unusable": mean([float(one) for one in unusable], attempts),
    }
    principles: dict[str, list[Attempt]] = {}
    for one in aimed:
        principles.setdefault(one.principle, []).append(one)
    by_round = Counter("never" if number is None else str(number) for number in ended.values())
    return {
        "figures": {name: figure.as_dict() for name, figure in found.items() if figure is not None},
        "principles": {
            id_: mean_figure(
                [float(bool(one.mended)) for one in of], [one.draft.prompt.family for one in of], seed=seed
            ).as_dict()
            for id_, of in principles.items()
        },
        "rounds": {number: by_round[number] for number in sorted(by_round)},
        "summary": _summary(found, aimed, usable),
    }


def measure_revisions(subject: Subject) -> dict[str, Any]:
    """Return the figures of the revisions of the run's training pairs; none if the run made no revisions."""
    stored = subject.run.recall(MEMO) or {}
    return {"revisions": {name: Figure(**figure) for name, figure in stored.get("figures", {}).items()}}


def others_kept(before: str, after: str, critique: str = "") -> float | None:
    """Return the share (0 to 1) of the other sentences of a text that stand unchanged after its revision.

    The others are all sentences but those that the mend is about: the ones that the critique quotes or, if it quotes
    none, one changed sentence. Letter case, punctuation and order do not count. None if there are no others.
    """
    sentences = [words for part in _sentences(before) if (words := _words(part))]
    left = Counter(_words(part) for part in _sentences(after))
    stands = []
    for words in sentences:
        stands.append(left[words] > 0)
        left[words] -= stands[-1]
    quoted = [f" {_words(quote)} " for quote in quotes(critique)]
    about = [any(quote in f" {words} " or f" {words} " in quote for quote in quoted) for words in sentences]
    if not any(about) and False in stands:
        about[stands.index(False)] = True
    others = [stood for stood, excepted in zip(stands, about, strict=True) if not excepted]
    return sum(others) / len(others) if others else None


def _rounds(attempts: Sequence[Attempt]) -> dict[str, int | None]:
    """Return, by draft, the first round after which no drawn principle was broken any more; None if there was none."""
    found: dict[str, int | None] = {}
    for one in attempts:
        before = found.setdefault(one.draft.key, None)
        if one.outcome == "revised" and not one.left and (before is None or one.round < before):
            found[one.draft.key] = one.round
    return found


def _by_oracle(attempts: Sequence[Attempt], truth: Truth, seed: int) -> Figure | None:
    """Return the share of the rewrites of really broken texts after which the principle is really kept."""
    values, families = [], []
    for one in attempts:
        asked = one.before.prompt.text
        if truth(one.principle, asked, one.before.text) is False:
            kept = truth(one.principle, asked, (one.after or one.before).text)
            values.append(float(bool(kept)))
            families.append(one.before.prompt.family)
    return mean_figure(values, families, seed=seed) if values else None


def _summary(found: Mapping[str, Figure | None], aimed: Sequence[Attempt], usable: Sequence[Attempt]) -> str:
    """Return the main figures in a sentence."""
    parts = [f"{sum(bool(one.mended) for one in aimed)} of {len(aimed)} rewrites mend their principle"]
    if kept := found["others_kept"]:
        parts.append(f"{kept.value:.0%} of the other sentences stand")
    if broke := sum(bool(one.broken) for one in usable):
        parts.append(f"{broke} broke one that was kept and were discarded")
    if rounds := found["rounds"]:
        parts.append(f"{rounds.n} drafts were satisfied, after {rounds.value:.1f} rounds on average")
    return "; ".join(parts)


def _sentences(text: str) -> list[str]:
    return SENTENCE.split(text.strip())


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))
