"""The section of report.html about rounds: what each of them came to, why they ended, and which one was kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cai_lite.evaluation.metrics import label_of
from cai_lite.evaluation.paths import figures
from cai_lite.evaluation.result import read_evaluation
from cai_lite.evaluation.shown import interval, number
from cai_lite.reporting.charts import curve
from cai_lite.reporting.html import Html, Part, table, tag
from cai_lite.run.files import ROUNDS, ROUNDS_FILE, read_record
from cai_lite.stats import Comparison, Figure

SHOWN = ("adherence", "over_refusal", "unsafe_compliance", "kl", "perplexity", "well_formed", "words")


def rounds(directory: Path) -> Html | None:
    """Draw adherence, refusals, drift and the number of pairs over the rounds; None where there was one alone."""
    path = directory / ROUNDS_FILE
    if not path.is_file():
        return None
    found = read_record(path, {"rounds": list, "kept": int, "ended": str})
    walked = found["rounds"]
    measured = [figures(read_evaluation(directory / ROUNDS / str(one["round"]))["metrics"]) for one in walked]
    heads = [
        "",
        "base",
        *(f"round {one['round']}{' (kept)' if one['round'] == found['kept'] else ''}" for one in walked),
    ]
    rows: list[list[Part]] = [["pairs", "", *(f"{one['pairs']:,}" for one in walked)]]
    charts = [curve("pairs", {"": [one["pairs"] for one in walked]}, unit="round")]
    for name in SHOWN:
        if not all(name in each for each in measured):
            continue
        first, latest = measured[0][name], [_after(each[name]) for each in measured]
        label, before = label_of(name).heading, first.before if isinstance(first, Comparison) else None
        rows.append([label, _shown(before) if before else "", *map(_shown, latest)])
        charts.append(curve(label, {"": [figure.value for figure in latest]}, unit="round"))
    for half, label in (
        ("decides", "adherence, half of the held-out families that decides"),
        ("other_half", "adherence, the other half"),
    ):
        if all(half in one for one in walked):
            rows.append([label, _of(walked[0][half]["before"]), *(_of(one[half]["after"]) for one in walked)])
            rows.append(["change over the round before", "", *(_of(one[half]["change"], "+") for one in walked)])
    if any("held_in" in one for one in walked):
        shown = [_of(one["held_in"]) if "held_in" in one else "" for one in walked]
        rows.append(["adherence on training prompts, by the judge", "", *shown])
    note = (
        f"Kept is round {found['kept']}: {found['ended']}. Which round is kept was decided on half of the held-out "
        "families, so the figures over all of them are a little too high for the round kept; those of the other half "
        "are not."
    )
    return tag(
        "section",
        tag("h2", "Rounds"),
        tag("div", *charts, class_="curves"),
        tag("p", note),
        table("After each round, with 95 % intervals", heads, rows),
        id="rounds",
    )


def _after(figure: Figure | Comparison) -> Figure:
    return figure.after if isinstance(figure, Comparison) else figure


def _shown(figure: Figure, sign: str = "") -> str:
    return f"{number(figure.value, figure, sign)} ({interval(figure, sign=sign)})"


def _of(figure: Mapping[str, Any], sign: str = "") -> str:
    return _shown(Figure(figure["value"], figure["n"], figure["low"], figure["high"]), sign)
