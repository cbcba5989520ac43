"""The top of report.html: what was trained on what, by whom and when; ship or not; the first line of figures."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cai_lite.evaluation.deciders import CHECKS_ALONE
from cai_lite.evaluation.decision import decide
from cai_lite.evaluation.labels import BASELINES, DRIFT, EARLIER, REFUSALS
from cai_lite.evaluation.metrics import label_of
from cai_lite.evaluation.paths import figures
from cai_lite.evaluation.shown import sections
from cai_lite.reporting import recorded
from cai_lite.reporting.html import Html, Part, table, tag
from cai_lite.reporting.numbers import change, section_table, span, value
from cai_lite.run.files import methods_of
from cai_lite.run.ledger import Run
from cai_lite.stats import Comparison, Figure

METHODS = {
    "sft": "SFT (supervised learning)",
    "dpo": "DPO (preference pairs)",
    "listwise": "listwise DPO (rankings)",
    "preference_model": "preference model",
    "rl": "RL",
}
_NOT_PRINTED = "Not printed: answers, conflicts, pairs, counts, calls and the recipe. Open report.html for them."
_BASELINES = ("_prompted", "_teacher")  # the endings of figures that are columns of another one
_SHOWN = ("adherence", "adherence_calibrated", "adherence_checks")


def summary(run: Run, evaluation: Mapping[str, Any], *, pairs: int) -> Html:
    """Show what a reader needs to decide. `pairs`: the number of training pairs."""
    folder = run.path(".")
    return tag(
        "section",
        tag("h1", f"{evaluation['model']} under the constitution '{evaluation['constitution']}'"),
        _facts(folder, run, evaluation, pairs),
        _verdict(evaluation),
        _first_line(evaluation),
        _limits(evaluation),
        tag("p", _NOT_PRINTED, class_="print"),
        id="summary",
    )


def _facts(folder: Path, run: Run, evaluation: Mapping[str, Any], pairs: int) -> Html:
    recipe = recorded.settings(folder)
    teachers = [recipe.get("teacher"), *_list(recipe.get("teachers"))]
    found = {
        "student": evaluation["against"] or evaluation["model"],
        "teacher": ", ".join(filter(None, map(_model, teachers))),
        "judge": evaluation["judge"],
        "method": ", then ".join(METHODS.get(name, name) for name in methods_of(folder))
        if _has_training(folder)
        else "",
        "trained on": f"{pairs:,} pairs" if pairs else "",
        "constitution": recorded.constitution_line(folder)[0] or evaluation["constitution"],
        "when": _when(run),
        "versions": recorded.versions(folder),
    }
    rows = [[tag("dt", name), tag("dd", text)] for name, text in found.items() if text]
    return tag("dl", *rows, class_="facts")


def _verdict(evaluation: Mapping[str, Any]) -> Html:
    found = decide(evaluation)
    colour = {True: "good", False: "bad", None: "open"}[found.ship]
    points = [
        tag("li", tag("b", reason.speaks), " ", reason.text, class_=f"speaks-{reason.speaks}")
        for reason in found.reasons
    ]
    return tag(
        "div",
        tag("p", tag("strong", found.verdict)),
        tag("ul", *points) if points else None,
        class_=f"verdict verdict-{colour}",
    )


def _first_line(evaluation: Mapping[str, Any]) -> list[Part]:
    """Show the main figures of the base, of the base with the constitution in its prompt, of the trained model and of
    the teacher; columns and rows that were not measured are left out.
    """
    metrics = evaluation["metrics"]
    known = figures(metrics)
    side_effects = [
        path
        for section in (REFUSALS, DRIFT)
        for path in known
        if label_of(path).section == section and "." not in path and not path.endswith(_BASELINES)
    ]
    rows = {path: cells for path in (*_SHOWN, *side_effects) if (cells := _columns(path, known))}
    names = [name for name in ("base", "base, prompted", "trained", "teacher") if any(name in c for c in rows.values())]
    compared = any(isinstance(known[path], Comparison) for path in rows)
    body: list[list[Part]] = []
    for path, cells in rows.items():
        figure = known[path]
        moved = change(path, label_of(path), figure) if isinstance(figure, Comparison) else ""
        body.append([label_of(path).heading, *(cells.get(name, "") for name in names), *([moved] if compared else [])])
    if not body:
        return []
    heads = ["", *names, *(["change"] if compared else [])]
    beside = [section_table(section, found) for section, found in sections(metrics) if section in (EARLIER, BASELINES)]
    caption = "Held-out prompts, with 95 % intervals; green: clearly better; red: clearly worse; grey: no clear change"
    return [tag("div", table(caption, heads, body), class_="first-line"), *beside]


def _columns(path: str, known: Mapping[str, Figure | Comparison]) -> dict[str, Part]:
    """Return a figure's cells by the name of their column."""
    figure = known.get(path)
    if not isinstance(figure, Comparison):
        return {} if figure is None else {"trained": value(path, figure)}
    found: dict[str, Part] = {
        "base": value(f"{path}.before", figure.before, figure),
        "trained": value(f"{path}.after", figure.after, figure),
    }
    for name, other in (("base, prompted", f"{path}_prompted"), ("teacher", f"{path}_teacher")):
        if isinstance(baseline := known.get(other), Figure):
            found[name] = value(other, baseline, figure)
    if path == "adherence":
        if isinstance(over := known.get("adherence_over_prompted"), Comparison):
            found["base, prompted"] = value("adherence_over_prompted.before", over.before, figure)
        for name, side in (("base", "before"), ("trained", "after")):
            found[name] = [found[name], " ", span(f"{path}.{side}", getattr(figure, side), figure)]
    return found


_CHECKS_ALONE = (
    "No judge: adherence is decided by the machine checks of the constitution alone. They see words and not sense, and "
    "principles without checks are not measured."
)


def _limits(evaluation: Mapping[str, Any]) -> Html:
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


def _has_training(folder: Path) -> bool:
    return (folder / "training.json").is_file() or (folder / "phases").is_dir() or (folder / "rounds").is_dir()


def _model(setting: Any) -> str:
    return str(setting.get("model", "")) if isinstance(setting, dict) else ""


def _list(setting: Any) -> Sequence[Any]:
    return setting if isinstance(setting, list) else []


def _when(run: Run) -> str:
    period = run.period()
    if period is None:
        return ""
    first, last = (time.strftime("%Y-%m-%d %H:%M", time.gmtime(at)) for at in period)
    return f"{first} UTC" if first == last else f"{first} to {last.removeprefix(first[:11])} UTC"
