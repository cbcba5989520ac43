"""Reliability: how far the judge of an evaluation can be trusted."""

from __future__ import annotations

from cai_lite.embedded import oracle as grammar
from cai_lite.evaluation.agreement import reliability
from cai_lite.evaluation.subject import Subject
from cai_lite.stats import Figure

AGAIN_LIMIT = 120  # cells that the judge scores a second time


def measure_reliability(subject: Subject) -> dict[str, dict[str, Figure]]:
    """Measure agreement between both orders, of the judge with itself and with others, and with the oracle.

    Cells that were scored for other metrics are drawn from, too. Nothing is measured without a judge.
    """
    if not subject.judges:
        return {}
    verdicts, scores = subject.verdicts("pairwise"), subject.score_answers()
    cells = [(s.candidate, subject.constitution.principle(s.principle)) for s in scores]
    drawn = cells[:: max(1, len(cells) // AGAIN_LIMIT)][:AGAIN_LIMIT]
    again = subject.score_cells(
        subject.judges[0],
        drawn,
        "judge once more",
        votes=1,
        drawn=True,
        log_probs="never",
        first_index=subject.judging.votes,
    )
    others = [subject.score_cells(other, drawn, f"judge by {other.name}") for other in subject.judges[1:]]
    name = subject.constitution.name
    truth = (lambda principle, prompt, reply: grammar.keeps(name, principle, prompt, reply)) if subject.oracle else None
    return {"reliability": reliability(verdicts, scores, truth, again=again, others=others, seed=subject.seed)}
