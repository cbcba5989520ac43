"""The section of report.html with adherence to each principle: worst first, beside machine checks and their answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cai_lite.evaluation.labels import ADHERENCE
from cai_lite.evaluation.metrics import figure_labels, label_of
from cai_lite.evaluation.paths import figures
from cai_lite.evaluation.shown import Row, by_principle, moved, sections
from cai_lite.evaluation.trust import disagreements
from cai_lite.reporting.answers import Shown
from cai_lite.reporting.charts import strip
from cai_lite.reporting.html import Html, Part, tag
from cai_lite.reporting.numbers import COLOURS, change, section_table, sides, span, value
from cai_lite.stats import Comparison, Figure


def principles(evaluation: Mapping[str, Any], texts: Mapping[str, str], shown: Shown | None) -> Html | None:
    """Show a row for each principle. `texts`: of the principles by id; `shown`: the answers further down."""
    metrics = evaluation["metrics"]
    known, rows = figures(metrics), worst_first(by_principle(metrics, "adherence"))
    if not rows and "adherence" not in known:
        return None
    if "adherence" in known:
        rows.append(Row("adherence", label_of("adherence"), known["adherence"]))
    compared = any(isinstance(row.figure, Comparison) for row in rows)
    against = disagreements(known)
    head = ["principle", "0 to 1", *(["before", "after", "change"] if compared else ["value"]), "n"]
    head += ["answers that break it"] if shown else []
    body = list[Part]()
    for row in rows:
        id_ = row.path.partition(".")[2]
        cells = [strip(row.figure, COLOURS[moved(row.label, row.figure)]), *_numbers(row, compared)]
        cells += [shown.link(id_) if shown and id_ else ""] if shown else []
        named = [tag("td", cell, data_name=name) for name, cell in zip(head[1:], cells, strict=True)]
        body.append(tag("tr", tag("th", row.label.text, scope="row"), *named))
        more: list[Part] = [tag("p", texts[id_])] if id_ in texts else []
        if beside := list(_beside(row.path, known)):
            more.append(tag("p", *beside, class_="faint"))
        if row.path in against:
            more.append(tag("p", against[row.path].words, class_="warn"))
        body.append(tag("tr", tag("td", *more, colspan=len(head)), class_="more") if more else None)
    caption = (
        f"Adherence by {evaluation['judge']}, the worst first. Hollow: before; full: after; lines: 95 % intervals. "
        "Green: clearly better; red: clearly worse; grey: no clear change."
        if compared
        else f"Adherence by {evaluation['judge']}, the worst first, with 95 % intervals"
    )
    made = tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", *(tag("th", name, scope="col") for name in head))),
        tag("tbody", *body),
        class_="principles",
    )
    splits = [row for section, found in sections(metrics) for row in found if section == ADHERENCE]
    splits = [row for row in splits if row.path.startswith("adherence.splits.")]
    return tag(
        "section",
        tag("h2", "Principles"),
        made,
        _significance(metrics, evaluation["against"]),
        section_table(ADHERENCE._replace(title="Adherence by split of the prompts"), splits) if splits else None,
        id="principles",
    )


def worst_first(rows: Sequence[Row]) -> list[Row]:
    """Return the rows in the order of their values after training."""
    return sorted(
        rows, key=lambda row: row.figure.after.value if isinstance(row.figure, Comparison) else row.figure.value
    )


def _numbers(row: Row, compared: bool) -> list[Part]:
    figure, path = row.figure, row.path
    if isinstance(figure, Figure):
        cells: list[Part] = [sides(path, row.label, figure)]
        return [*(["", *cells, ""] if compared else cells), figure.n]
    return [
        value(f"{path}.before", figure.before, figure),
        [value(f"{path}.after", figure.after, figure), " ", span(f"{path}.after", figure.after, figure)],
        change(path, row.label, figure),
        figure.change.n,
    ]


def _beside(path: str, known: Mapping[str, Figure | Comparison]) -> Iterator[Part]:
    """Yield the same figure by each other decider, such as the machine checks."""
    _, dot, part = path.partition(".")
    for name, label in figure_labels().items():
        other = f"{name}{dot}{part}"
        if name != "adherence" and label.by_principle and other in known:
            yield [f"{label.text.partition(',')[0]}: ", *sides(other, label, known[other]), ". "]


def _significance(metrics: Mapping[str, Any], against: str) -> Html | None:
    p_values = metrics.get("adherence", {}).get("p_holm")
    if not p_values or not against:
        return None
    sure = [name for name, p in p_values.items() if p < 0.05]
    text = (
        f"Significant changes at the 5 % level, adjusted for {len(p_values)} principles (Holm): "
        f"{', '.join(sure) or 'none'}."
    )
    return tag("p", text, class_="faint")
