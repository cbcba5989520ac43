"""Several evaluations side by side, and which of them no other beats on every principle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

Figure = Mapping[str, Any]


class Row(NamedTuple):
    """One measurement of all runs; None where a run did not measure it. `principle`: whether it is one."""

    name: str
    figures: tuple[Figure | None, ...]
    principle: bool


def side_by_side(evaluations: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Every figure after training that any of them holds, principles first. Intervals are each run's own: a difference
    within them may be chance, and one beyond them may be other prompts.
    """
    found = [dict(_flat(evaluation["metrics"])) for evaluation in evaluations]
    names = list(dict.fromkeys(name for one in found for name in one))
    rows = [
        Row(name, tuple(one.get(name) for one in found), name.startswith("adherence.") and name != "adherence.all")
        for name in names
    ]
    return sorted(rows, key=lambda row: (not row.principle, names.index(row.name)))


def unbeaten(rows: Sequence[Row]) -> list[bool]:
    """Of each run: whether no other is at least as good on every principle and better on one (the Pareto front)."""
    principles = [row.figures for row in rows if row.principle and all(row.figures)]
    runs = len(rows[0].figures) if rows else 0
    scores = [[float((figures[run] or {})["value"]) for figures in principles] for run in range(runs)]
    return [
        not any(
            all(b >= a for a, b in zip(mine, theirs, strict=True))
            and any(b > a for a, b in zip(mine, theirs, strict=True))
            for theirs in scores
        )
        for mine in scores
    ]


def _flat(metrics: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Figure]]:
    for name, value in metrics.items():
        if not isinstance(value, Mapping) or name in ("p_holm", "splits"):
            continue
        if name == "principles" and path != "adherence.":  # of the headline's judge alone
            continue
        here = f"{path}{name}".replace("adherence.principles.", "adherence.").replace(".overall", ".all")
        if "after" in value:
            yield here, value["after"]
        elif "value" in value:
            yield here, value
        else:
            yield from _flat(value, f"{here}.")
