"""report.html: one self-contained page without scripts, so that all of it is there wherever it is opened."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cai_lite.errors import InputError
from cai_lite.evaluation.confounds import WARN_ABOVE
from cai_lite.ledger import Run
from cai_lite.pairfile import load_pairs
from cai_lite.records import PreferencePair
from cai_lite.reporting.charts import curve, dumbbells
from cai_lite.reporting.html import Html, Part, join, table, tag
from cai_lite.reporting.style import STYLE

SHOWN_PAIRS = 30
_BESIDE = {
    "well_formed": "well-formed",
    "perplexity": "perplexity on neutral text",
    "words": "words per answer",
    "boilerplate": "answers given to several prompts",
    "preference_accuracy": "held-out preference accuracy",
}
_CURVES = {
    "loss": {"": "loss"},
    "reward margin": {"": "rewards/margins"},
    "reward accuracy": {"": "rewards/accuracies"},
    "log-probability": {"chosen": "logps/chosen", "rejected": "logps/rejected"},
}


def report(run: Run | str | Path) -> Path:
    """Write report.html from what a run holds, and return where. What a run did not measure is absent from the page.

    Raises:
        InputError: no such run directory, or nothing in it to report. RunBusyError: it is in use.
    """
    if not isinstance(run, Run):
        if not (Path(run) / "run.db").is_file():
            raise InputError(f"{run}: is no run directory: it has no run.db")
        with Run(run) as opened:
            return report(opened)
    evaluation, pairs = run.path("evaluation.json"), run.path("pairs.jsonl")
    if not evaluation.exists() and not pairs.exists():
        raise InputError(f"{run.directory}: nothing to report yet: neither evaluation.json nor pairs.jsonl")
    parts: list[Part] = []
    if evaluation.exists():
        held = json.loads(evaluation.read_text(encoding="utf-8"))
        parts += [_headline(held), _limits(held)]
    parts += [_curves(run.path("metrics.jsonl"))]
    if pairs.exists() and pairs.stat().st_size:
        parts += [_pairs(load_pairs(pairs))]
    parts += [_counts(run), _calls(run), _recipe(run.path("recipe.yaml"))]
    path = run.path("report.html")
    partial = path.with_name("report.html.partial")
    partial.write_text(_page(parts), encoding="utf-8")
    partial.replace(path)
    return path


def _page(parts: Sequence[Part]) -> str:
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    head = join(
        [
            Html('<meta charset="utf-8">'),
            Html(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
            Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            tag("title", "cai_lite run"),
            tag("style", Html(STYLE)),
        ]
    )
    return "<!doctype html>\n" + tag("html", tag("head", head), tag("body", tag("main", *parts)), lang="en")


def _headline(held: Mapping[str, Any]) -> Html:
    metrics = held["metrics"]
    adherence = metrics.get("adherence")
    parts: list[Part] = [
        tag("h1", f"{held['constitution']}: what the student became"),
        tag(
            "p",
            f"{held['model']} against {held['against']}; adherence by {held['judge']}; seed {held['seed']}",
            class_="faint",
        ),
    ]
    if adherence:
        change = adherence["overall"]["change"]
        was, now = adherence["overall"]["before"]["value"], adherence["overall"]["after"]["value"]
        parts.append(
            tag(
                "p",
                tag("strong", f"{was:.2f} → {now:.2f}"),
                tag(
                    "span",
                    f" adherence on held-out prompts, {change['value']:+.2f} "
                    f"[{change['low']:+.2f}, {change['high']:+.2f}], n = {change['n']}",
                ),
                class_="big",
            )
        )
        parts.append(
            tag(
                "figure",
                tag(
                    "div",
                    dumbbells({**adherence["principles"], "all principles": adherence["overall"]}),
                    class_="scroll",
                ),
                tag(
                    "figcaption",
                    "Hollow: before. Full: after. Lines: 95 % intervals, by bootstrap over prompt families.",
                ),
            )
        )
        rows = [*adherence["principles"].items(), ("all principles", adherence["overall"])]
        rows += [
            (f"all, {by}", metrics[name]["overall"])
            for name, by in (("adherence_judge", "by the judge"), ("adherence_checks", "by machine checks"))
            if name in metrics
        ]
        rows += [(name.replace("_", " "), comparison) for name, comparison in adherence.get("splits", {}).items()]
        parts.append(_comparisons("Adherence", rows))
    beside = [(label, metrics[name]) for name, label in _BESIDE.items() if name in metrics]
    if beside:
        parts += [
            tag("h2", "What it must not be seen without"),
            _comparisons("Form, drift and held-out preferences", beside),
        ]
    if metrics.get("reliability"):
        caption = "Asked in both orders, and held against the truth where there is one"
        told = [
            [name.replace("_", " "), f"{f['value']:.3f}", f"[{f['low']:.3f}, {f['high']:.3f}]", f["n"]]
            for name, f in metrics["reliability"].items()
        ]
        parts += [
            tag("h2", "Can the judge be relied on?"),
            table(caption, ["", "value", "95 % interval", "n"], told),
        ]
    for name, figure in metrics.get("confounds", {}).items():
        loud = figure["value"] > WARN_ABOVE
        parts.append(
            tag(
                "p",
                f"Confound: {name} alone orders the training pairs in {figure['value']:.2f} "
                f"[{figure['low']:.2f}, {figure['high']:.2f}] of {figure['n']} cases"
                f"{': the student may learn just that' if loud else ''}.",
                class_="warn" if loud else None,
            )
        )
    return tag("section", *parts)


def _comparisons(caption: str, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> Html:
    cells: list[list[Part]] = []
    for name, row in rows:
        if "change" in row:
            change = row["change"]
            cells.append(
                [
                    name,
                    f"{row['before']['value']:.3f}",
                    f"{row['after']['value']:.3f}",
                    f"{change['value']:+.3f}",
                    f"[{change['low']:+.3f}, {change['high']:+.3f}]",
                    change["n"],
                ]
            )
        else:
            cells.append([name, "", f"{row['value']:.3f}", "", f"[{row['low']:.3f}, {row['high']:.3f}]", row["n"]])
    return table(caption, ["", "before", "after", "change", "95 % interval", "n"], cells)


def _limits(held: Mapping[str, Any]) -> Html | None:
    if "embedded:" not in held["model"]:
        return tag(
            "p",
            "The judge that made the pairs also judged here, unless the recipe names another: "
            "expect it to favour its own taste.",
            class_="note",
        )
    return tag(
        "p",
        "Toy scale: models of about a million parameters, a teacher trained on labels of the same grammar that "
        "scores the result. It shows that the walk works, and is no claim about models of 7B.",
        class_="note",
    )


def _curves(path: Path) -> Html | None:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    if not lines:
        return None
    charts = [
        curve(title, {name: [line[key] for line in lines] for name, key in series.items()})
        for title, series in _CURVES.items()
    ]
    return tag("section", tag("h2", "Training"), tag("div", *charts, class_="curves"))


def _pairs(pairs: Sequence[PreferencePair]) -> Html:
    spread = pairs[:: max(1, len(pairs) // SHOWN_PAIRS)][:SHOWN_PAIRS]
    return tag(
        "section",
        tag("h2", "Pairs"),
        tag(
            "p",
            f"{len(pairs)} pairs; {len(spread)} of them here, evenly spread. All are in pairs.jsonl.",
            class_="faint",
        ),
        *map(_pair, spread),
    )


def _pair(pair: PreferencePair) -> Html:
    chosen, rejected = ("\n".join(m.content for m in side) for side in (pair.chosen, pair.rejected))
    left, right = _difference(rejected, chosen), _difference(chosen, rejected)
    evidence = [
        [v.get("principle", ""), v.get("p_chosen", ""), v.get("judge", ""), v.get("order", ""), v.get("text", "")]
        for v in pair.evidence.get("verdicts", [])
    ]
    return tag(
        "details",
        tag(
            "summary",
            tag("span", pair.prompt[-1].content[:90]),
            tag("span", f"{pair.principle} · p {pair.p_chosen:.2f}", class_="faint"),
        ),
        *(tag("p", tag("b", message.role or "prompt"), " ", message.content) for message in pair.prompt),
        tag(
            "div",
            tag("div", tag("h3", "chosen"), tag("p", left)),
            tag("div", tag("h3", "rejected"), tag("p", right)),
            class_="sides",
        ),
        tag("p", f"rule {pair.rule}, margin {pair.margin:.3f}, key {pair.key}", class_="faint"),
        table("Verdicts", ["principle", "p chosen", "judge", "order", "text"], evidence) if evidence else None,
    )


def _difference(other: str, text: str) -> Html:
    """The text, with the words marked that the other side has not."""
    ours = text.split()
    parts: list[Part] = []
    for what, _, _, start, end in difflib.SequenceMatcher(None, other.split(), ours, autojunk=False).get_opcodes():
        words = " ".join(ours[start:end])
        if words:
            parts += [words if what == "equal" else tag("mark", words), " "]
    return join(parts)


def _counts(run: Run) -> Html | None:
    rows: list[list[Part]] = [
        [stage, ", ".join(f"{n} {what}" for what, n in counts.items())] for stage, counts in run.counts().items()
    ]
    return (
        tag("section", tag("h2", "What was kept and dropped"), table("Counts per stage", ["stage", "counts"], rows))
        if rows
        else None
    )


def _calls(run: Run) -> Html | None:
    rows: list[list[Part]] = [
        [
            c["stage"],
            c["model"],
            c["calls"],
            c["faults"],
            c["tokens_in"],
            c["tokens_out"],
            f"{c['seconds']:.1f}",
            f"{c['cost']:.2f}",
        ]
        for c in run.calls()
    ]
    head = ["stage", "model", "calls", "faults", "tokens in", "tokens out", "seconds", "cost"]
    return tag("section", tag("h2", "Calls"), table("Calls of models per stage", head, rows)) if rows else None


def _recipe(path: Path) -> Html | None:
    if not path.exists():
        return None
    text = path.read_text(encoding="utf-8")
    return tag(
        "section",
        tag("h2", "Recipe"),
        tag("details", tag("summary", "recipe.yaml, with versions and digests"), tag("pre", text)),
    )
