"""Compare several evaluations, and find those that no other beats on every principle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cai_lite.evaluation.paths import figures
from cai_lite.stats import Comparison, Figure


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


def _after_training(metrics: Mapping[str, Any]) -> dict[str, Figure]:
    return {
        path: figure.after if isinstance(figure, Comparison) else figure
        for path, figure in figures(metrics).items()
        if "." not in path or not path.startswith("adherence") or _is_principle(path)
    }


def _is_principle(path: str) -> bool:
    return path.startswith("adherence.") and not path.startswith("adherence.splits.")
