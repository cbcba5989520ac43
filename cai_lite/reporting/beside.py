"""Other runs set beside this one, and the picture of principles against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cai_lite.evaluation.comparing import side_by_side, unbeaten
from cai_lite.reporting.charts import parallel
from cai_lite.reporting.html import Html, Part, table, tag


def compared(names: Sequence[str], evaluations: Sequence[Mapping[str, Any]]) -> Html:
    """Each run's figures after training; a line per run over the principles shows what was traded for what."""
    rows = side_by_side(evaluations)
    best = unbeaten(rows)
    principles = [row for row in rows if row.principle and all(row.figures)]
    heads = [f"{name}{' *' if star else ''}" for name, star in zip(names, best, strict=True)]
    body: list[list[Part]] = [
        [
            row.name.replace("_", " "),
            *("" if f is None else f"{f['value']:.3f} [{f['low']:.3f}, {f['high']:.3f}]" for f in row.figures),
        ]
        for row in rows
    ]
    parts: list[Part] = [tag("h2", "Beside other runs")]
    if len(principles) > 1:
        lines = {
            head: [float((row.figures[run] or {})["value"]) for row in principles] for run, head in enumerate(heads)
        }
        chart = parallel([row.name.removeprefix("adherence.") for row in principles], lines)
        caption = (
            "Adherence per principle, a line for each run. *: no other run is at least as good on every principle."
        )
        parts.append(tag("figure", tag("div", chart, class_="scroll"), tag("figcaption", caption)))
    parts.append(table("After training, each with its own 95 % interval", ["", *heads], body))
    return tag("section", *parts, id="compare")
