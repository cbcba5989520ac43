"""Arrange the figures of evaluation.json in sections of labelled rows, the same in terminal, page and card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from cai_lite.evaluation.labels import (
    ADHERENCE,
    DRIFT,
    JUDGE,
    PAIRS,
    PREFERENCES,
    REFUSALS,
    REVISIONS,
    ROBUSTNESS,
    SUPERFICIAL,
    Label,
    Section,
)
from cai_lite.evaluation.metrics import label_of
from cai_lite.evaluation.paths import figures
from cai_lite.stats import Comparison, Figure

_ORDER = (ADHERENCE, REFUSALS, PREFERENCES, DRIFT, ROBUSTNESS, SUPERFICIAL)
_LAST = (PAIRS, REVISIONS, JUDGE)


class Row(NamedTuple):
    """One figure with its path and label."""

    path: str
    label: Label
    figure: Figure | Comparison


def sections(metrics: Mapping[str, Any]) -> list[tuple[Section, list[Row]]]:
    """Return each section with its rows, those without any left out.

    Adherence begins with the principles; splits and principles are those of the headline's decider alone.
    """
    found: dict[Section, list[Row]] = {section: [] for section in _ORDER}
    for path, figure in figures(metrics).items():
        label = label_of(path)
        found.setdefault(label.section, []).append(Row(path, label, figure))
    found |= {section: found.pop(section, []) for section in _LAST}
    found[ADHERENCE] = _adherence(found[ADHERENCE])
    return [(section, rows) for section, rows in found.items() if rows]


def by_principle(metrics: Mapping[str, Any], name: str) -> list[Row]:
    """Return the rows of a figure's principles, without splits; those of another decider than the headline's, too."""
    return [
        Row(path, label_of(path), figure)
        for path, figure in figures(metrics).items()
        if path.startswith(f"{name}.") and not path.startswith(f"{name}.splits.")
    ]


def _adherence(rows: list[Row]) -> list[Row]:
    """Return principles, then the overall figure of each decider, then splits; of the headline's decider alone."""
    principles = [row for row in rows if row.path.startswith("adherence.") and ".splits." not in row.path]
    overall = [row for row in rows if "." not in row.path]
    splits = [row for row in rows if row.path.startswith("adherence.splits.")]
    return [*principles, *overall, *splits]
