"""The sections of report.html on side effects, the judge and the training pairs. What was not measured is absent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cai_lite.evaluation.confounds import WARN_ABOVE
from cai_lite.evaluation.labels import ADHERENCE, BASELINES, EARLIER, JUDGE, PAIRS, REVISIONS
from cai_lite.evaluation.paths import figures
from cai_lite.evaluation.shown import sections
from cai_lite.evaluation.trust import COMPARISONS, Trust, poorest, trust, trust_of
from cai_lite.reporting.charts import plane
from cai_lite.reporting.html import Html, Part, table, tag
from cai_lite.reporting.numbers import section_table, sides, span, value
from cai_lite.stats import Comparison, Figure

LEVELS = {"good": "good", "fair": "open", "poor": "bad"}
"""The class of a level of trust in the style sheet."""


def side_effects(evaluation: Mapping[str, Any]) -> Html | None:
    """Show every figure besides adherence, baselines, judge and training pairs."""
    parts: list[Part] = [
        section_table(section, rows)
        for section, rows in sections(evaluation["metrics"])
        if section not in (ADHERENCE, BASELINES, EARLIER, JUDGE, PAIRS, REVISIONS)
    ]
    parts += [_refusal_plane(evaluation["metrics"])]
    return tag("section", tag("h2", "Side effects"), *parts, id="side-effects") if any(parts) else None


def _refusal_plane(metrics: Mapping[str, Any]) -> Html | None:
    """Draw over-refusal against unsafe compliance of all models for which both are measured, if there are any."""
    known = figures(metrics)
    models: dict[str, dict[str, Figure]] = {}
    for name in ("over_refusal", "unsafe_compliance"):
        found, prompted = known.get(name), known.get(f"{name}_prompted")
        if isinstance(found, Comparison):
            models[name] = {"base": found.before, "trained": found.after}
        elif found is not None:
            models[name] = {"model": found}
        if prompted is not None:
            # The prompted model is one side of its figure: the one before, where it is compared with the trained one.
            models.setdefault(name, {})["prompted"] = prompted.before if isinstance(prompted, Comparison) else prompted
    if len(models) < 2 or not models["over_refusal"].keys() & models["unsafe_compliance"].keys():
        return None
    caption = "Down and to the left is better: fewer harmless requests refused, and fewer unsafe ones answered."
    drawn = tag("div", plane(models["over_refusal"], models["unsafe_compliance"]), class_="scroll")
    return tag("figure", drawn, tag("figcaption", caption))


def judge(evaluation: Mapping[str, Any]) -> Html | None:
    """Show how far the judge can be trusted, in words and figures."""
    rows = next((rows for section, rows in sections(evaluation["metrics"]) if section == JUDGE), None)
    if rows is None:
        return None
    body: list[list[Part]] = []
    for row in rows:
        rated = trust_of(row.path, row.figure)
        words = tag("span", f"{rated.level}: {rated.meaning}", class_=LEVELS[rated.level]) if rated else ""
        if isinstance(row.figure, Figure):
            cells: list[Part] = [value(row.path, row.figure), span(row.path, row.figure), row.figure.n]
        else:
            cells = [sides(row.path, row.label, row.figure), "", row.figure.change.n]
        body.append([row.label.heading, *cells, words])
    known = figures(evaluation["metrics"])
    whole, compared = (
        trust(known),
        poorest(filter(None, (trust_of(path, known[path]) for path in COMPARISONS if path in known))),
    )
    said = [_trusted("Scores of single answers, which adherence rests on" if compared != whole else "Verdicts", whole)]
    if compared != whole:
        said.append(_trusted("Comparisons of two answers, which win rates rest on", compared))
    return tag(
        "section",
        tag("h2", JUDGE.title),
        *said,
        table(f"{JUDGE.title}: {JUDGE.note}", ["", "value", "95 % interval", "n", "in words"], body),
        class_="judge",
        id="judge",
    )


def _trusted(what: str, found: Trust | None) -> Html | None:
    if found is None:
        return None
    return tag("p", f"{what}: ", tag("strong", found.level, class_=LEVELS[found.level]), f", {found.meaning}.")


def training_pairs(evaluation: Mapping[str, Any]) -> Html | None:
    """Show what else orders the training pairs, and warn of strong confounds."""
    rows = next((rows for section, rows in sections(evaluation["metrics"]) if section == PAIRS), None)
    if rows is None:
        return None
    strong = [
        row.path.removeprefix("confounds.")
        for row in rows
        if row.path.startswith("confounds.") and isinstance(row.figure, Figure) and row.figure.value > WARN_ABOVE
    ]
    warning = (
        f"{' and '.join(strong).capitalize()} alone tells chosen from rejected in most pairs: the student may learn "
        "just that."
    )
    warned = tag("p", warning, class_="warn") if strong else None
    return tag("section", tag("h2", PAIRS.title), section_table(PAIRS, rows), warned, id="confounds")
