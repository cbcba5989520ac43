"""Pairing rules: choose which candidates of a prompt are compared.

To add a rule, write a function from the candidates of one prompt to comparisons, and name it in `PAIRINGS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

from cai_lite.errors import InputError, did_you_mean
from cai_lite.inputs.constitution import Principle
from cai_lite.records import Candidate


class Comparison(NamedTuple):
    """Two candidates of one prompt, to be judged. The order says nothing about which is better."""

    first: Candidate
    second: Candidate


class Question(NamedTuple):
    """A comparison under one principle. `tradeoffs`: what is decided about the principle, in sentences; `over`,
    `over_if`: ids of the principles that yield to it, and that do under a condition.
    """

    comparison: Comparison
    principle: Principle
    tradeoffs: tuple[str, ...] = ()
    over: tuple[str, ...] = ()
    over_if: tuple[str, ...] = ()


def revision_over_draft(candidates: Sequence[Candidate]) -> Iterator[Comparison]:
    """Yield each revision with the draft it was made from, which is the first of its parents."""
    drafts = {candidate.key: candidate for candidate in candidates if candidate.round == 0}
    for candidate in candidates:
        if candidate.round > 0 and candidate.parents[0] in drafts:
            yield Comparison(candidate, drafts[candidate.parents[0]])


def teacher_over_student(candidates: Sequence[Candidate]) -> Iterator[Comparison]:
    """Yield all pairs of drafts by different authors.

    In a run these are the teacher, who was given the constitution, and the student, who was not.
    """
    drafts = [candidate for candidate in candidates if candidate.round == 0]
    for first, second in combinations(drafts, 2):
        if first.author != second.author:
            yield Comparison(first, second)


def best_over_worst(candidates: Sequence[Candidate]) -> Iterator[Comparison]:
    """Yield all pairs of drafts by the same author. With `per_prompt`, `pair` keeps those with the widest margins."""
    drafts = [candidate for candidate in candidates if candidate.round == 0]
    for first, second in combinations(drafts, 2):
        if first.author == second.author:
            yield Comparison(first, second)


def ranked(candidates: Sequence[Candidate]) -> Iterator[Comparison]:
    """Yield all pairs of candidates, by any author.

    `pair` ranks the candidates of a prompt by all their verdicts and keeps the comparisons that agree with the ranking.
    """
    yield from (Comparison(first, second) for first, second in combinations(candidates, 2))


PAIRINGS: dict[str, Callable[[Sequence[Candidate]], Iterator[Comparison]]] = {
    "revision_over_draft": revision_over_draft,
    "teacher_over_student": teacher_over_student,
    "best_over_worst": best_over_worst,
    "ranked": ranked,
}


def compare(rule: str, candidates: Sequence[Candidate]) -> list[Comparison]:
    """Return the comparisons that a rule makes, grouped by prompt. Candidates with equal texts are not compared.

    `rule`: a name in `PAIRINGS`.

    Raises:
        InputError: there is no rule of this name.
    """
    if rule not in PAIRINGS:
        raise InputError(f"no pairing rule '{rule}'{did_you_mean(rule, PAIRINGS)}")
    by_prompt: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        by_prompt.setdefault(candidate.prompt.key, []).append(candidate)
    return [
        comparison
        for group in by_prompt.values()
        for comparison in PAIRINGS[rule](group)
        if comparison.first.text != comparison.second.text
    ]


def among_revisions(revisions: Sequence[Candidate]) -> list[Comparison]:
    """Return all pairs of revisions of the same draft, such as those that follow different critics.

    This is no pairing rule: it serves to choose one revision of each draft.
    """
    by_draft: dict[str, list[Candidate]] = {}
    for revision in revisions:
        by_draft.setdefault(revision.parents[0], []).append(revision)
    return [
        Comparison(first, second)
        for group in by_draft.values()
        for first, second in combinations(group, 2)
        if first.text != second.text
    ]
