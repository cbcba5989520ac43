"""Decide whether an answer keeps a principle: by an oracle, by a judge's scores, or by machine checks."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from cai_lite.inputs.constitution import Principle
from cai_lite.records import Candidate, Score

CHECKS_ALONE = "machine checks"  # what evaluation.json calls the judge where there is none
Keeps = Callable[[Candidate, Principle], float | None]
"""Return 1.0 (kept), 0.0 (broken) or None (undecided)."""


def oracle_keeps(domain: str, keeps: Callable[[str, str, str, str], bool | None]) -> Keeps:
    """Decide by the truth of a synthetic world: `keeps(domain, principle id, prompt, reply)`."""

    def kept(candidate: Candidate, principle: Principle) -> float | None:
        truth = keeps(domain, principle.id, candidate.prompt.text, candidate.text)
        return None if truth is None else float(truth)

    return kept


def judge_keeps(scores: Iterable[Score]) -> Keeps:
    """Decide by a judge's pointwise scores: kept where log-odds are above 0. Faults leave a cell undecided."""
    known = {(score.candidate.key, score.principle): score.log_odds for score in scores}

    def kept(candidate: Candidate, principle: Principle) -> float | None:
        log_odds = known.get((candidate.key, principle.id))
        return None if log_odds is None else float(log_odds > 0)

    return kept


def checks_keep(candidate: Candidate, principle: Principle) -> float | None:
    """Decide by the machine checks of the constitution; None for a principle without any, and where they abstain.

    An empty answer breaks every principle: there is nothing that keeps it.
    """
    if principle.checks is None:
        return None
    passed = principle.checks.passed(candidate.text) if candidate.text.strip() else False
    return None if passed is None else float(passed)
