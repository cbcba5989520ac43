"""Numbers of evaluation.json on the page: rounded, coloured by good or bad, each with the path that gates accept."""

from __future__ import annotations

from collections.abc import Sequence

from cai_lite.evaluation.labels import Label, Section
from cai_lite.evaluation.shown import Row, interval, moved, number
from cai_lite.reporting.html import Html, Part, table, tag
from cai_lite.stats import Comparison, Figure

COLOURS = {"better": "good", "worse": "bad", "unclear": "same"}
"""The class of a change in the style sheet."""


def value(
    path: str, figure: Figure, of: Figure | Comparison | None = None, *, sign: str = "", class_: str = ""
) -> Html:
    """Return a figure's value, rounded as `of` is; a pointer on it shows its path."""
    text = number(figure.value, of or figure, sign)
    return tag("span", text, data_path=path, title=path, class_=class_ or None)


def span(path: str, figure: Figure, of: Figure | Comparison | None = None, *, sign: str = "") -> Html:
    """Return a figure's 95 % interval."""
    return tag("span", interval(figure, of, sign), data_interval=path, class_="span")


def change(path: str, label: Label, figure: Comparison) -> list[Part]:
    """Return a change with its interval, in the colour of better, worse or unclear."""
    colour = COLOURS[moved(label, figure)]
    found = figure.change
    return [
        value(f"{path}.change", found, figure, sign="+", class_=colour),
        " ",
        span(f"{path}.change", found, figure, sign="+"),
    ]


def sides(path: str, label: Label, figure: Figure | Comparison) -> list[Part]:
    """Return a figure in one line: its value, or before, after and change, each change with its interval."""
    if isinstance(figure, Figure):
        return [value(path, figure), " ", span(path, figure)]
    before, after = value(f"{path}.before", figure.before, figure), value(f"{path}.after", figure.after, figure)
    return [before, " → ", after, ", change ", *change(path, label, figure)]


def section_table(section: Section, rows: Sequence[Row]) -> Html:
    """Return a table of a section's figures, with the columns of comparisons where there are some."""
    compared = any(isinstance(row.figure, Comparison) for row in rows)
    caption = f"{section.title}: {section.note}" if section.note else section.title
    columns = section.columns if compared else ("value",)
    return table(caption, ["", *columns, "95 % interval", "n"], [_cells(row, compared) for row in rows])


def _cells(row: Row, compared: bool) -> list[Part]:
    path, figure = row.path, row.figure
    better = "" if row.label.better == "neutral" else f"; {row.label.better} is better"
    name = tag("span", row.label.heading, title=f"{path}{better}")
    if isinstance(figure, Figure):
        # In a table of comparisons, a single figure belongs to neither side, so that its value stands by its interval.
        cells: list[Part] = [value(path, figure), span(path, figure)]
        return [name, "", "", "", [cells[0], " ", cells[1]], figure.n] if compared else [name, *cells, figure.n]
    return [
        name,
        value(f"{path}.before", figure.before, figure),
        value(f"{path}.after", figure.after, figure),
        value(f"{path}.change", figure.change, figure, sign="+", class_=COLOURS[moved(row.label, figure)]),
        span(f"{path}.change", figure.change, figure, sign="+"),
        figure.change.n,
    ]
