"""The section of report.html that compares a run with others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cai_lite.evaluation.comparing import MARGIN, Against, against_first, side_by_side, unbeaten
from cai_lite.evaluation.metrics import label_of
from cai_lite.evaluation.shown import interval, moved, number
from cai_lite.reporting.charts import parallel
from cai_lite.reporting.html import Html, Part, table, tag
from cai_lite.reporting.numbers import COLOURS
from cai_lite.stats import Comparison


def compared(names: Sequence[str], evaluations: Sequence[Mapping[str, Any]], margin: float = MARGIN) -> Html:
    """Draw a line for each run over the principles, and list the figures of each run after training.

    `names`: the run directories. The differences to the first are paired by prompt and principle; `margin`: what a
    principle may lose without being called worse.
    """
    against = against_first(names, evaluations, margin=margin)
    rows = side_by_side(evaluations, against)
    heads = [f"{name}{' *' if best else ''}" for name, best in zip(names, unbeaten(rows), strict=True)]
    body: list[list[Part]] = [
        [
            [label_of(row.name).heading, " ", tag("code", row.name)],
            *("" if f is None else f"{number(f.value, f)} ({interval(f)})" for f in row.figures),
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
    if any(each.paired for each in against):
        caption = (
            f"Change from {names[0]} on the prompts and principles in both, paired, with 95 % intervals; p by sign "
            "flips over families, adjusted over the principles by Holm's method; not worse: the interval lies above "
            f"{-margin:+g}"
        )
        parts.append(table(caption, ["", *names[1:]], _paired(against)))
    for each in against:
        if each.unpaired:
            caption = f"Difference of {each.run} to {names[0]}, unpaired, because the prompts are not the same"
            parts.append(
                table(
                    caption,
                    ["", each.run],
                    [
                        [label_of(name).heading, f"{number(f.value, f, '+')} ({interval(f, sign='+')}), n {f.n}"]
                        for name, f in each.unpaired.items()
                    ],
                )
            )
    parts += [tag("p", note, class_="faint") for each in against for note in each.notes]
    return tag("section", *parts, id="compare")


def _paired(against: Sequence[Against]) -> list[list[Part]]:
    rows: list[list[Part]] = []
    for name in dict.fromkeys(name for each in against for name in each.paired):
        cells = list[Part]()
        for each in against:
            if (found := each.paired.get(name)) is None:
                cells.append("")
                continue
            p = found.p if found.p_holm is None else found.p_holm
            worse = "not worse" if found.not_worse else "not shown to be no worse"
            cells.append([_change(name, found.comparison), f", p {p:.3f}, {worse}"])
        rows.append([label_of(name).heading, *cells])
    return rows


def _change(name: str, found: Comparison) -> Html:
    change = found.change
    text = f"{number(change.value, found, '+')} ({interval(change, found, '+')}), n {change.n}"
    return tag("span", text, class_=COLOURS[moved(label_of(name), found)])
