"""Adherence: the share of answers that keep the principles that apply to their prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cai_lite.evaluation.deciders import Keeps, checks_keep, judge_keeps
from cai_lite.evaluation.subject import Sides, Subject
from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.stats import Comparison, Figure, holm, over_sides, sign_flip_p

SLICE = "slice:"
"""A prompt with the tag `slice:NAME` belongs to the split NAME."""


CELLS = "adherence cells"
"""The name under which a run remembers the cells of its latest evaluation, see `kept_cells`."""


class Cell(NamedTuple):
    """One principle on one prompt: 1.0 kept or 0.0 broken, for each side."""

    principle: Principle
    family: str
    tags: tuple[str, ...]
    kept: tuple[float, ...]
    prompt: str


class KeptCell(NamedTuple):
    """A cell as a run remembers it: keys of prompt and principle, and whether each side kept it.

    `text`: a digest of the principle's text, so that other wordings are not taken for the same. Answers to one prompt
    that repeat it (`evaluate.samples`) are cells of their own.
    """

    prompt: str
    family: str
    principle: str
    text: str
    weight: float
    kept: tuple[float, ...]


def kept_cells(found: Sequence[Sequence[Any]]) -> list[KeptCell]:
    """Return cells from the plain lists in which a run remembers them."""
    return [KeptCell(*cell)._replace(kept=tuple(cell[-1])) for cell in found]


def measure_adherence(subject: Subject) -> dict[str, Any]:
    """Measure adherence by the decider of the evaluation, by machine checks, and by the judge where an oracle decides.

    A decider that can decide no cell is left out.
    """
    by = {"adherence": subject.keeps(), "adherence_checks": checks_keep}
    if subject.oracle and subject.judges:
        by["adherence_judge"] = judge_keeps(subject.score_answers())
    sides = subject.sides
    found = {name: adherence(sides, subject.constitution, keeps, seed=subject.seed) for name, keeps in by.items()}
    cells = decided_cells(sides, subject.constitution, by["adherence"])
    kept = [KeptCell(c.prompt, c.family, (p := c.principle).id, p.digest, p.weight, c.kept) for c in cells]
    subject.run.remember(CELLS, kept)
    return {name: measured for name, measured in found.items() if measured}


def decided_cells(sides: Sides, constitution: Constitution, keeps: Keeps) -> list[Cell]:
    """Return a cell for each prompt and each principle that applies to it, where `keeps` can decide every side."""
    cells = []
    for answers in zip(*sides, strict=True):
        prompt = answers[0].prompt
        for principle in constitution.applying(prompt):
            kept = tuple(value for c in answers if (value := keeps(c, principle)) is not None)
            if len(kept) == len(answers):
                cells.append(Cell(principle, prompt.family, prompt.tags, kept, prompt.key))
    return cells


def adherence(sides: Sides, constitution: Constitution, keeps: Keeps, *, seed: int = 0) -> Mapping[str, Any]:
    """Return `overall`, `principles` by id and `splits` by name: figures for one side, comparisons for two.

    For two sides, `p_holm` holds the p-value of each principle's change, adjusted for asking about all of them (Holm
    1979). Overall and splits weigh a cell by its principle's weight. Intervals allow for prompt families.
    """
    cells = decided_cells(sides, constitution, keeps)
    if not cells:
        return {}
    of_principle = {
        p.id: mine for p in constitution.principles if (mine := [cell for cell in cells if cell.principle.id == p.id])
    }
    splits = sorted({tag.removeprefix(SLICE) for cell in cells for tag in cell.tags if tag.startswith(SLICE)})
    return {
        "overall": rate(cells, seed),
        "principles": {id_: rate(mine, seed) for id_, mine in of_principle.items()},
        **({"p_holm": _p_holm(of_principle, seed)} if len(sides) == 2 else {}),
        "splits": {name: rate([c for c in cells if f"{SLICE}{name}" in c.tags], seed) for name in splits},
    }


def rate(cells: Sequence[Cell], seed: int) -> Figure | Comparison:
    """Return the share of cells kept, each weighed by its principle's weight."""
    return over_sides(
        list(zip(*(cell.kept for cell in cells), strict=True)),
        [cell.family for cell in cells],
        seed=seed,
        weights=[cell.principle.weight for cell in cells],
    )


def _p_holm(of_principle: Mapping[str, Sequence[Cell]], seed: int) -> dict[str, float]:
    p_values = [
        sign_flip_p([cell.kept[1] - cell.kept[0] for cell in mine], [cell.family for cell in mine], seed=seed)
        for mine in of_principle.values()
    ]
    return dict(zip(of_principle, holm(p_values), strict=True))
