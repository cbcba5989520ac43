"""Which candidates of a prompt are compared: the first half of a pairing rule.

To add a rule, write a function and name it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

from cai_lite.errors import InputError, did_you_mean
from cai_lite.records import Candidate


class Comparison(NamedTuple):
    """Two candidates of one prompt. Nothing is assumed of which is better: that is the judge's to say."""

    first: Candidate
    second: Candidate


def revision_over_draft(candidates: Sequence[Candidate]) -> Iterator[Comparison]:
    """Each revision against the draft that it began as (the first of its parents)."""
    drafts = {candidate.key: candidate for candidate in candidates if candidate.round == 0}
    for candidate in candidates:
        if candidate.round > 0 and candidate.parents[0] in drafts:
            yield Comparison(candidate, drafts[candidate.parents[0]])


def teacher_over_student(candidates: Sequence[Candidate]) -> Iterator[Comparison]:
    """Drafts of different authors: the teacher's, written under the constitution, against the bare student's."""
    drafts = [candidate for candidate in candidates if candidate.round == 0]
    for one, other in combinations(drafts, 2):
        if one.author != other.author:
            yield Comparison(one, other)


def best_over_worst(candidates: Sequence[Candidate]) -> Iterator[Comparison]:
    """Every two drafts of one author. `pair` keeps, per prompt, the comparisons with the widest margin."""
    drafts = [candidate for candidate in candidates if candidate.round == 0]
    for one, other in combinations(drafts, 2):
        if one.author == other.author:
            yield Comparison(one, other)


def ranked(candidates: Sequence[Candidate]) -> Iterator[Comparison]:
    """Every two candidates, whoever wrote them. `pair` ranks them by all their verdicts together and keeps the pairs
    that agree with the ranking.
    """
    yield from (Comparison(one, other) for one, other in combinations(candidates, 2))


PAIRINGS: dict[str, Callable[[Sequence[Candidate]], Iterator[Comparison]]] = {
    "revision_over_draft": revision_over_draft,
    "teacher_over_student": teacher_over_student,
    "best_over_worst": best_over_worst,
    "ranked": ranked,
}


def compare(rule: str, candidates: Sequence[Candidate]) -> list[Comparison]:
    """The comparisons of a rule, prompt by prompt; candidates with equal texts are not compared."""
    if rule not in PAIRINGS:
        raise InputError(f"no pairing rule '{rule}'{did_you_mean(rule, PAIRINGS)}")
    of_prompt: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        of_prompt.setdefault(candidate.prompt.key, []).append(candidate)
    return [
        comparison
        for group in of_prompt.values()
        for comparison in PAIRINGS[rule](group)
        if comparison.first.text != comparison.second.text
    ]
