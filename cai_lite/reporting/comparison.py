"""The section of report.html that compares a run with others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cai_lite.evaluation.comparing import paired_runs, side_by_side, unbeaten
from cai_lite.evaluation.metrics import label_of
from cai_lite.reporting.charts import parallel
from cai_lite.reporting.html import Html, Part, table, tag
from cai_lite.stats import Comparison


def compared(names: Sequence[str], evaluations: Sequence[Mapping[str, Any]]) -> Html:
    """Draw a line for each run over the principles, and list the figures of each run after training.

    `names`: the run directories. The differences to the first are paired by prompt and principle.
    """
    rows = side_by_side(evaluations)
    heads = [f"{name}{' *' if best else ''}" for name, best in zip(names, unbeaten(rows), strict=True)]
    body: list[list[Part]] = [
        [
            [label_of(row.name).heading, " ", tag("code", row.name)],
            *("" if f is None else f"{f.value:.3f} [{f.low:.3f}, {f.high:.3f}]" for f in row.figures),
        ]
        for row in rows
    ]
    parts: list[Part] = [tag("h2", "Comparison with other runs")]
    principles = [row for row in rows if row.principle and all(row.figures)]
    if len(principles) > 1:
        lines = {
            head: [figure.value for row in principles if (figure := row.figures[run])] for run, head in enumerate(heads)
        }
        chart = parallel([label_of(row.name).text for row in principles], lines)
        caption = (
            "Adherence per principle, a line for each run. *: no other run is at least as good on every principle."
        )
        parts.append(tag("figure", tag("div", chart, class_="scroll"), tag("figcaption", caption)))
    caption = "After training, each with its own 95 % interval; gates accept the names in code type"
    parts.append(table(caption, ["", *heads], body))
    changes, notes = paired_runs(names, evaluations)
    if any(changes):
        caption = f"Change from {names[0]} on the prompts and principles in both, paired, with 95 % intervals"
        parts.append(table(caption, ["", *names[1:]], _paired(changes)))
    parts += [tag("p", note, class_="faint") for note in notes]
    return tag("section", *parts, id="compare")


def _paired(changes: Sequence[Mapping[str, Comparison]]) -> list[list[Part]]:
    rows: list[list[Part]] = []
    for name in dict.fromkeys(name for each in changes for name in each):
        found = [each.get(name) for each in changes]
        cells = [
            f"{f.change.value:+.3f} [{f.change.low:+.3f}, {f.change.high:+.3f}] n {f.change.n}" if f else ""
            for f in found
        ]
        rows.append([label_of(name).heading, *cells])
    return rows
