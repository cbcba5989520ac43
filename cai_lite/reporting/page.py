"""Write report.html: one self-contained page. Its only script filters answers and pairs; all is there without it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cai_lite.errors import InputError
from cai_lite.evaluation.comparing import MARGIN
from cai_lite.evaluation.metrics import label_of
from cai_lite.evaluation.paths import figures as figures_of
from cai_lite.evaluation.result import ANSWERS, read_answers, read_evaluation
from cai_lite.evaluation.shown import by_principle
from cai_lite.inputs.pairs import load_pairs
from cai_lite.reporting import figures, recorded, revising, rounds, running
from cai_lite.reporting.answers import answers
from cai_lite.reporting.charts import dumbbells
from cai_lite.reporting.comparison import compared
from cai_lite.reporting.explorer import explorer
from cai_lite.reporting.filters import SCRIPT
from cai_lite.reporting.html import Html, Part, join, tag
from cai_lite.reporting.principles import principles, worst_first
from cai_lite.reporting.style import STANDALONE, STYLE
from cai_lite.reporting.summary import summary
from cai_lite.run.files import write_text
from cai_lite.run.ledger import Run
from cai_lite.stats import Comparison

_SECTIONS = {
    "summary": "Summary",
    "principles": "Principles",
    "answers": "Answers",
    "side-effects": "Side effects",
    "judge": "Judge reliability",
    "confounds": "Training pairs",
    "compare": "Comparison",
    "revisions": "Revisions",
    "critics": "Critics",
    "prompted": "The student taught by itself",
    "rounds": "Rounds",
    "training": "Training",
    "conflicts": "Conflicts",
    "pairs": "Pairs",
    "counts": "Counts",
    "calls": "Calls",
    "recipe": "Recipe",
}


def report(run: Run | str | Path, *, compare: Sequence[str | Path] = (), margin: float = MARGIN) -> Path:
    """Write report.html of a run and return its path. What the run did not measure is absent from the page.

    `compare`: other run directories, whose figures are listed next to this one's; `margin`: see `comparing.MARGIN`.

    Raises:
        InputError: no such run directory, or nothing in it to report.
        RunBusyError: the run is in use.
    """
    if not isinstance(run, Run):
        if not (Path(run) / "run.db").is_file():
            raise InputError(f"{run} is not a run directory (run.db not found)")
        with Run(run) as opened:
            return report(opened, compare=compare, margin=margin)
    folder = run.path(".")
    pairs_file = folder / "pairs.jsonl"
    has_pairs = pairs_file.is_file() and pairs_file.stat().st_size > 0
    if not (folder / "evaluation.json").exists() and not pairs_file.exists():
        raise InputError(f"{run.directory}: nothing to report yet: neither evaluation.json nor pairs.jsonl")
    pairs = load_pairs(pairs_file, max_bad=0) if has_pairs else []
    parts: list[Part] = []
    if (folder / "evaluation.json").exists():
        found = read_evaluation(folder)
        parts += [summary(run, found, pairs=len(pairs)), *_of_principles(run, found)]
        parts += [figures.side_effects(found), figures.judge(found), figures.training_pairs(found)]
        if compare:
            others = [Path(other) for other in compare]
            names = [str(run.directory), *map(str, others)]
            parts.append(compared(names, [found, *map(read_evaluation, others)], margin))
    parts += [revising.revisions(run), revising.critics(run), revising.prompted(run), rounds.rounds(folder)]
    trainings = running.trainings(folder)
    # The contents name all phases by one line, which leads to the first.
    parts += [tag("div", *trainings, id="training") if len(trainings) > 1 else join(trainings), running.conflicts(run)]
    if pairs:
        parts.append(explorer(pairs, run))
    parts += [running.counts(run), running.calls(run), running.recipe(folder / "recipe.yaml")]
    path = run.path("report.html")
    write_text(path, _page(parts))
    return path


def write_figure(run_directory: str | Path, out: Path) -> None:
    """Write the main figure, adherence before and after per principle, as a standalone SVG file."""
    known = figures_of(read_evaluation(Path(run_directory))["metrics"])
    comparisons = {
        label_of(path).text: figure
        for path, figure in sorted(known.items(), key=lambda row: row[0] == "adherence")
        if path.split(".")[0] == "adherence" and ".splits." not in path and isinstance(figure, Comparison)
    }
    if not comparisons:
        raise InputError(f"{run_directory}: adherence was not measured before and after")
    write_text(out, standalone(dumbbells(comparisons)))


def standalone(drawn: Html) -> str:
    """Return a chart as an SVG file of its own, with its style."""
    head, _, rest = drawn.partition(">")
    namespace = head.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    return f"{namespace}><style>{STANDALONE}</style>{rest}\n"


def _of_principles(run: Run, evaluation: Mapping[str, Any]) -> list[Part]:
    """Return the sections of principles and of answers, which name the principles in the same order."""
    rows = by_principle(evaluation["metrics"], "adherence")
    order = [row.path.partition(".")[2] for row in worst_first(rows)]
    lines = read_answers(run.path(".")) if run.path(ANSWERS).is_file() else []
    shown = answers(lines, run, order, recorded.constitution(run.path("."))) if lines else None
    texts = {payload["id"]: payload["text"] for _, _, payload in run.rows("principle")}
    return [principles(evaluation, texts, shown), shown.section if shown else None]


def _page(parts: Sequence[Part]) -> str:
    allowed = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{allowed}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    head = join(
        [
            Html('<meta charset="utf-8">'),
            Html(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
            Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            tag("title", "cai_lite run"),
            tag("style", Html(STYLE)),
        ]
    )
    body = join(parts)
    links = [tag("a", name, href=f"#{id_}") for id_, name in _SECTIONS.items() if f'id="{id_}"' in body]
    contents = tag("nav", *links, aria_label="On this page") if len(links) > 1 else None
    script = Html(f"<script>{SCRIPT}</script>")
    return "<!doctype html>\n" + tag(
        "html", tag("head", head), tag("body", contents, tag("main", body), script), lang="en"
    )
