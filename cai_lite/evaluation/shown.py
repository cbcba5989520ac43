"""Arrange the figures of evaluation.json in sections of labelled rows, and round them, the same wherever they stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from cai_lite.evaluation.labels import (
    ADHERENCE,
    BASELINES,
    DRIFT,
    EARLIER,
    FAIRNESS,
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
from cai_lite.evaluation.metrics import OWN, label_of, own_label
from cai_lite.evaluation.paths import figures
from cai_lite.stats import Comparison, Figure

_ORDER = (ADHERENCE, EARLIER, BASELINES, REFUSALS, PREFERENCES, DRIFT, ROBUSTNESS, FAIRNESS, SUPERFICIAL)
_LAST = (PAIRS, REVISIONS, JUDGE)

MATERIAL = 0.05
"""The relative change of a figure that is no rate, such as perplexity, from which it counts as better or worse."""


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
        label = _label(metrics, path)
        found.setdefault(label.section, []).append(Row(path, label, figure))
    found |= {section: found.pop(section, []) for section in _LAST}
    found[ADHERENCE] = _adherence(found[ADHERENCE])
    return [(section, rows) for section, rows in found.items() if rows]


def _label(metrics: Mapping[str, Any], path: str) -> Label:
    name, _, part = path.partition(".")
    return own_label(metrics[OWN][part], part) if name == OWN and part in metrics.get(OWN, {}) else label_of(path)


def number(value: float, of: Figure | Comparison, sign: str = "") -> str:
    """Return a number of a figure, rounded as far as the size of the whole figure tells digits apart.

    Rates and changes have two decimals, three where the whole figure lies below 0.1. `sign`: "+" writes it always.
    """
    parts = (of.before, of.after, of.change) if isinstance(of, Comparison) else (of,)
    largest = max(abs(end) for part in parts for end in (part.value, part.low, part.high))
    decimals = next((places for bound, places in ((100, 0), (10, 1), (0.1, 2)) if largest >= bound), 3)
    text = f"{value:,.{decimals}f}"
    text = text.removeprefix("-") if not any(digit in text for digit in "123456789") else text
    return f"+{text}" if sign and not text.startswith("-") else text


def interval(figure: Figure, of: Figure | Comparison | None = None, sign: str = "") -> str:
    """Return the 95 % interval of a figure in words, such as "0.92 to 0.95", rounded as `of` is."""
    return f"{number(figure.low, of or figure, sign)} to {number(figure.high, of or figure, sign)}"


def moved(label: Label, figure: Figure | Comparison | None) -> Literal["better", "worse", "unclear"]:
    """Return whether a comparison's change is clearly for the better or the worse, by its interval and direction.

    A change of a figure that is no rate, such as perplexity, has to be at least `MATERIAL` besides.
    """
    if not isinstance(figure, Comparison) or label.better == "neutral":
        return "unclear"
    change = figure.change
    is_rate = max(figure.before.high, figure.after.high) <= 1
    if change.low <= 0 <= change.high or (not is_rate and abs(change.value) < MATERIAL * abs(figure.before.value)):
        return "unclear"
    return "better" if (change.value > 0) == (label.better == "higher") else "worse"


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
