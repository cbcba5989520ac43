"""Write report.html: one self-contained page. Its only script filters the pairs; everything is there without it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from cai_lite.errors import InputError
from cai_lite.evaluation.result import read_evaluation
from cai_lite.inputs.pairs import load_pairs
from cai_lite.reporting import figures, revising, rounds, running
from cai_lite.reporting.charts import dumbbells
from cai_lite.reporting.comparison import compared
from cai_lite.reporting.explorer import SCRIPT, explorer
from cai_lite.reporting.html import Html, Part, join, tag
from cai_lite.reporting.style import STANDALONE, STYLE
from cai_lite.run.files import write_text
from cai_lite.run.ledger import Run

_SECTIONS = {
    "gates": "Gates",
    "adherence": "Adherence",
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


def report(run: Run | str | Path, *, compare: Sequence[str | Path] = ()) -> Path:
    """Write report.html of a run and return its path. What the run did not measure is absent from the page.

    `compare`: other run directories, whose figures are listed next to this one's.

    Raises:
        InputError: no such run directory, or nothing in it to report.
        RunBusyError: the run is in use.
    """
    if not isinstance(run, Run):
        if not (Path(run) / "run.db").is_file():
            raise InputError(f"{run} is not a run directory (run.db not found)")
        with Run(run) as opened:
            return report(opened, compare=compare)
    evaluation, pairs = run.path("evaluation.json"), run.path("pairs.jsonl")
    if not evaluation.exists() and not pairs.exists():
        raise InputError(f"{run.directory}: nothing to report yet: neither evaluation.json nor pairs.jsonl")
    parts: list[Part] = []
    if evaluation.exists():
        found = read_evaluation(run.path("."))
        parts += [figures.headline(found), figures.limits(found), figures.gates_table(found)]
        parts += [figures.side_effects(found), figures.judge_table(found), figures.confounds_table(found)]
        if compare:
            others = [Path(other) for other in compare]
            names = [str(run.directory), *map(str, others)]
            parts.append(compared(names, [found, *map(read_evaluation, others)]))
    parts += [revising.revisions(run), revising.critics(run), revising.prompted(run), rounds.rounds(run.path("."))]
    trainings = running.trainings(run.path("."))
    # The contents name all phases by one line, which leads to the first.
    parts += [tag("div", *trainings, id="training") if len(trainings) > 1 else join(trainings), running.conflicts(run)]
    if pairs.exists() and pairs.stat().st_size:
        parts.append(explorer(load_pairs(pairs, max_bad=0), run))
    parts += [running.counts(run), running.calls(run), running.recipe(run.path("recipe.yaml"))]
    path = run.path("report.html")
    write_text(path, _page(parts))
    return path


def write_figure(run_directory: str | Path, out: Path) -> None:
    """Write the main figure, adherence before and after per principle, as a standalone SVG file."""
    comparisons = figures.adherence_comparisons(read_evaluation(Path(run_directory))["metrics"])
    if not comparisons:
        raise InputError(f"{run_directory}: adherence was not measured before and after")
    drawn = dumbbells(comparisons)
    head, _, rest = drawn.partition(">")
    namespace = head.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    write_text(out, f"{namespace}><style>{STANDALONE}</style>{rest}\n")


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
