"""The sections of report.html that show evaluation.json. What was not measured is absent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cai_lite.evaluation.confounds import WARN_ABOVE
from cai_lite.evaluation.deciders import CHECKS_ALONE
from cai_lite.evaluation.labels import ADHERENCE, JUDGE, PAIRS, REVISIONS, Section
from cai_lite.evaluation.metrics import figure_labels, label_of
from cai_lite.evaluation.paths import figures
from cai_lite.evaluation.shown import Row, by_principle, sections
from cai_lite.reporting.charts import dumbbells
from cai_lite.reporting.html import Html, Part, table, tag
from cai_lite.stats import Comparison, Figure


def headline(evaluation: Mapping[str, Any]) -> Html:
    """Show adherence before and after, overall and per principle."""
    against = f" compared with {evaluation['against']}" if evaluation["against"] else ""
    parts: list[Part] = [
        tag("h1", f"Evaluation under the constitution '{evaluation['constitution']}'"),
        tag(
            "p",
            f"{evaluation['model']}{against}; adherence by {evaluation['judge']}; seed {evaluation['seed']}",
            class_="faint",
        ),
    ]
    metrics = evaluation["metrics"]
    overall = figures(metrics).get("adherence")
    if isinstance(overall, Comparison):
        change = overall.change
        text = (
            f" adherence on held-out prompts, {change.value:+.2f} [{change.low:+.2f}, {change.high:+.2f}], "
            f"n = {change.n}"
        )
        values = f"{overall.before.value:.2f} → {overall.after.value:.2f}"
        parts.append(tag("p", tag("strong", values), tag("span", text), class_="big"))
        caption = "Hollow: before. Full: after. Lines: 95 % intervals, by bootstrap over prompt families."
        chart = dumbbells(adherence_comparisons(metrics))
        parts.append(tag("figure", tag("div", chart, class_="scroll"), tag("figcaption", caption)))
    parts += [_section_table(section, rows) for section, rows in sections(metrics) if section == ADHERENCE]
    for name, label in figure_labels().items():
        if label.by_principle and name != "adherence" and (rows := by_principle(metrics, name)):
            parts.append(_section_table(Section(label.text.replace("all principles", "per principle")), rows))
    p_values = metrics.get("adherence", {}).get("p_holm")
    if p_values and evaluation["against"]:
        sure = [name for name, p in p_values.items() if p < 0.05]
        text = (
            f"Significant changes at the 5 % level, adjusted for {len(p_values)} principles (Holm): "
            f"{', '.join(sure) or 'none'}."
        )
        parts.append(tag("p", text, class_="faint"))
    return tag("section", *parts, id="adherence")


def adherence_comparisons(metrics: Mapping[str, Any]) -> dict[str, Comparison]:
    """Return the comparisons of the main figure by label: each principle, then all of them."""
    return {
        label_of(path).text: figure
        for path, figure in sorted(figures(metrics).items(), key=lambda row: row[0] == "adherence")
        if path.split(".")[0] == "adherence" and ".splits." not in path and isinstance(figure, Comparison)
    }


def gates_table(evaluation: Mapping[str, Any]) -> Html | None:
    """Show the conditions that the recipe demands, and whether they hold."""
    gates = evaluation.get("gates", ())
    if not gates:
        return None
    rows: list[list[Part]] = [
        [
            gate["name"],
            gate["wanted"],
            "not measured" if gate["found"] is None else f"{gate['found']:.3f}",
            "holds" if gate["holds"] else tag("b", "FAILS", class_="warn"),
        ]
        for gate in gates
    ]
    caption = "Conditions of evaluate.must"
    return tag("section", tag("h2", "Gates"), table(caption, ["", "wanted", "found", ""], rows), id="gates")


def side_effects(evaluation: Mapping[str, Any]) -> Html | None:
    """Show every figure besides adherence, judge and training pairs."""
    parts = [
        _section_table(section, rows)
        for section, rows in sections(evaluation["metrics"])
        if section not in (ADHERENCE, JUDGE, PAIRS, REVISIONS)
    ]
    return tag("section", tag("h2", "Side effects"), *parts, id="side-effects") if parts else None


def judge_table(evaluation: Mapping[str, Any]) -> Html | None:
    """Show how far the judge can be trusted."""
    return _own_section(evaluation, JUDGE, "judge")


def confounds_table(evaluation: Mapping[str, Any]) -> Html | None:
    """Show what else orders the training pairs, and warn of strong confounds."""
    strong = [
        path.removeprefix("confounds.")
        for path, figure in figures(evaluation["metrics"]).items()
        if path.startswith("confounds.") and isinstance(figure, Figure) and figure.value > WARN_ABOVE
    ]
    warning = (
        f"{' and '.join(strong).capitalize()} alone tells chosen from rejected in most pairs: the student may learn "
        "just that."
    )
    return _own_section(evaluation, PAIRS, "confounds", tag("p", warning, class_="warn") if strong else None)


_CHECKS_ALONE = (
    "No judge: adherence is decided by the machine checks of the constitution alone. They see words and not sense, and "
    "principles without checks are not measured."
)


def limits(evaluation: Mapping[str, Any]) -> Html:
    """State what the figures do not show."""
    toy = "embedded:" in evaluation["model"]
    if evaluation["judge"] == CHECKS_ALONE:
        unseen = f"{_CHECKS_ALONE} The figures hold for prompts like the held-out ones."
        return tag("p", f"{unseen} Toy scale: it says nothing about models of 7B." if toy else unseen, class_="note")
    text = (
        "Toy scale: models of about a million parameters, a teacher trained on labels of the same grammar that scores "
        "the result. It shows that the pipeline works, and says nothing about models of 7B."
        if toy
        else "The judge that made the pairs also judged here, unless the recipe names another: expect it to favour its "
        "own taste. The figures hold for prompts like the held-out ones."
    )
    return tag("p", text, class_="note")


def _own_section(evaluation: Mapping[str, Any], shown: Section, id_: str, *more: Part) -> Html | None:
    for section, rows in sections(evaluation["metrics"]):
        if section == shown:
            return tag("section", tag("h2", section.title), _section_table(section, rows), *more, id=id_)
    return None


def _section_table(section: Section, rows: Sequence[Row]) -> Html:
    compared = any(isinstance(row.figure, Comparison) for row in rows)
    caption = f"{section.title}: {section.note}" if section.note else section.title
    columns = section.columns if compared else ("value",)
    cells = [[_name(row), *(_compared if compared else _single)(row.figure)] for row in rows]
    return table(caption, ["", *columns, "95 % interval", "n"], cells)


def _name(row: Row) -> Part:
    """Return the label; a pointer on it shows the direction and the name that gates accept."""
    better = "" if row.label.better == "neutral" else f"; {row.label.better} is better"
    return tag("span", row.label.heading, title=f"{row.path}{better}")


def _single(figure: Figure | Comparison) -> list[Part]:
    assert isinstance(figure, Figure), "a table without comparisons"
    return [f"{figure.value:.3f}", f"[{figure.low:.3f}, {figure.high:.3f}]", figure.n]


def _compared(figure: Figure | Comparison) -> list[Part]:
    if isinstance(figure, Figure):
        value, span, n = _single(figure)
        return ["", value, "", span, n]
    change = figure.change
    return [
        f"{figure.before.value:.3f}",
        f"{figure.after.value:.3f}",
        f"{change.value:+.3f}",
        f"[{change.low:+.3f}, {change.high:+.3f}]",
        change.n,
    ]
