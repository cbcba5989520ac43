"""Compare several evaluations, and find those that no other beats on every principle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cai_lite.evaluation.adherence import CELLS, KeptCell, kept_cells
from cai_lite.evaluation.paths import figures
from cai_lite.run.ledger import Run
from cai_lite.stats import Comparison, Figure, compare


class Row(NamedTuple):
    """One figure of all runs, by its path; None where a run did not measure it. `principle`: adherence to one."""

    name: str
    figures: tuple[Figure | None, ...]
    principle: bool


def side_by_side(evaluations: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Return every figure after training that any of the evaluations holds, principles first.

    Splits, and principles by other deciders than the headline's, are left out. Each interval is that of its run alone:
    a difference within them may be chance, and one beyond them may come from other prompts.
    """
    runs = [_after_training(evaluation["metrics"]) for evaluation in evaluations]
    names = list(dict.fromkeys(name for run in runs for name in run))
    rows = [Row(name, tuple(run.get(name) for run in runs), _is_principle(name)) for name in names]
    return sorted(rows, key=lambda row: not row.principle)


def unbeaten(rows: Sequence[Row]) -> list[bool]:
    """Return, for each run, whether it is on the Pareto front: no other is at least as good on every principle and
    better on one.
    """
    principles = [row.figures for row in rows if row.principle and all(row.figures)]
    runs = len(rows[0].figures) if rows else 0
    scores = [[figure.value for figures in principles if (figure := figures[run])] for run in range(runs)]
    return [
        not any(
            all(b >= a for a, b in zip(mine, theirs, strict=True))
            and any(b > a for a, b in zip(mine, theirs, strict=True))
            for theirs in scores
        )
        for mine in scores
    ]


def paired(before: Sequence[KeptCell], after: Sequence[KeptCell], *, seed: int = 0) -> dict[str, Comparison]:
    """Return adherence on the prompts and principles that two evaluations share, over all and by principle.

    The latest side of each evaluation counts, which is the model after training. Answers to one prompt that repeat it
    are averaged. Principles of the same text are the same; they weigh as in `before`. Intervals are by bootstrap over
    the families of prompts, from the same resamples on both sides.
    """
    sides = [_by_cell(before), _by_cell(after)]
    common = [key for key in sides[0] if key in sides[1]]
    groups = {"adherence": common}
    for key in common:
        groups.setdefault(f"adherence.{sides[0][key][0].principle}", []).append(key)

    def means(side: Mapping[tuple[str, str], Sequence[KeptCell]], keys: Sequence[tuple[str, str]]) -> list[float]:
        return [sum(cell.kept[-1] for cell in side[key]) / len(side[key]) for key in keys]

    return {
        name: compare(
            means(sides[0], keys),
            means(sides[1], keys),
            [sides[0][key][0].family for key in keys],
            seed=seed,
            weights=[sides[0][key][0].weight for key in keys],
        )
        for name, keys in groups.items()
        if keys
    }


def paired_runs(
    runs: Sequence[str | Path], evaluations: Sequence[Mapping[str, Any]]
) -> tuple[list[dict[str, Comparison]], list[str]]:
    """Compare each further run with the first, paired by prompt and principle; see `paired`.

    Returns:
        a mapping for each further run, empty where it cannot be paired, and a sentence for each of these.
    """
    cells, found, notes = [_cells_of(run) for run in runs], list[dict[str, Comparison]](), list[str]()
    for number, run in enumerate(runs[1:], 1):
        problem = ""
        if evaluations[0]["judge"] != evaluations[number]["judge"]:
            problem = f"other judges decided ({evaluations[0]['judge']}; {evaluations[number]['judge']})"
        elif missing := next((str(runs[i]) for i in (0, number) if not cells[i]), ""):
            problem = f"{missing} does not hold the decisions on each prompt; run its evaluation again"
        seed = int(evaluations[0].get("seed", 0))
        found.append({} if problem else paired(cells[0], cells[number], seed=seed))
        if not found[-1]:
            notes.append(f"{run} is not paired with {runs[0]}: {problem or 'no prompt and principle is in both'}")
    return found, notes


def _cells_of(run: str | Path) -> list[KeptCell]:
    if not (Path(run) / "run.db").is_file():
        return []
    with Run.reading(run) as opened:
        return kept_cells(opened.recall(CELLS) or [])


def _by_cell(cells: Sequence[KeptCell]) -> dict[tuple[str, str], list[KeptCell]]:
    found: dict[tuple[str, str], list[KeptCell]] = {}
    for cell in cells:
        found.setdefault((cell.prompt, cell.text), []).append(cell)
    return found


def _after_training(metrics: Mapping[str, Any]) -> dict[str, Figure]:
    return {
        path: figure.after if isinstance(figure, Comparison) else figure
        for path, figure in figures(metrics).items()
        if "." not in path or not path.startswith("adherence") or _is_principle(path)
    }


def _is_principle(path: str) -> bool:
    return path.startswith("adherence.") and not path.startswith("adherence.splits.")
