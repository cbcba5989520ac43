"""A second judge, who had no part in the training: a gain that only the first one sees was learnt for its eyes."""

from __future__ import annotations

from typing import Any

from cai_lite.evaluation.adherence import adherence, decided_cells
from cai_lite.evaluation.deciders import judge_keeps
from cai_lite.evaluation.subject import Subject
from cai_lite.stats import over_sides


def measure_second(subject: Subject) -> dict[str, Any]:
    """Measure adherence by the second judge, and the gap between the judges on the same answers and principles.

    The gap is the first judge's adherence less the second's. One that grows in training is the mark of Goodhart's law:
    the student has learnt what the first judge likes, beyond what the principles ask.
    """
    if subject.second is None:
        return {}
    cells = [
        (answer, principle)
        for answers in subject.sides
        for answer in answers
        for principle in subject.constitution.applying(answer.prompt)
    ]
    second = judge_keeps(subject.score_cells(subject.second, cells, "judge the answers, second judge"))
    found: dict[str, Any] = {
        "adherence_second": adherence(subject.sides, subject.constitution, second, seed=subject.seed)
    }
    if subject.judges:
        first = judge_keeps(subject.score_answers())
        of_first, of_second = (
            {
                (place, cell.principle.id): cell
                for place, answers in enumerate(zip(*subject.sides, strict=True))
                for cell in decided_cells([[answer] for answer in answers], subject.constitution, keeps)
            }
            for keeps in (first, second)
        )
        both = [(cell, of_second[key]) for key, cell in of_first.items() if key in of_second]
        if both:
            gaps = [[one - two for one, two in zip(a.kept, b.kept, strict=True)] for a, b in both]
            found["judge_gap"] = over_sides(
                list(zip(*gaps, strict=True)),
                [cell.family for cell, _ in both],
                seed=subject.seed,
                weights=[cell.principle.weight for cell, _ in both],
            )
    return found
