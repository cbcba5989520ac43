"""The sections of report.html about the run: training curves with alarms, conflicts, counts, calls, the recipe."""

from __future__ import annotations

import re
from pathlib import Path

from cai_lite.evaluation.conflicts import Preference, opposition
from cai_lite.reporting.charts import curve
from cai_lite.reporting.html import Html, Part, table, tag
from cai_lite.run.files import phase_folders, read_record, read_records, round_folders
from cai_lite.run.ledger import Run

_CURVES = {
    "loss": {"": "loss"},
    "reward margin": {"": "rewards/margins"},
    "rewards": {"chosen": "rewards/chosen", "rejected": "rewards/rejected"},
    "reward accuracy": {"": "rewards/accuracies"},
    "log-probability": {"chosen": "logps/chosen", "rejected": "logps/rejected"},
    "log-probability of an answer": {"": "logps/completion"},
    "KL estimate, nats an answer": {"": "kl"},
    "gradient norm": {"": "grad_norm"},
}
_HELD_OUT = "eval/"  # what the names of held-out numbers begin with
_TIME = r"(?:[\d-]{10} [\d:]{8} )?"  # absent in logs of earlier versions
_ALARM = re.compile(rf"^{_TIME}(?:! )?(?:((?:round|phase) \S+|round \d+, phase \S+): )?(?:step (\d+): )?warning: (.*)$")


def trainings(folder: Path) -> list[Html]:
    """Draw the curves of a run's training, or of each of its rounds and phases."""
    drawn = []
    for top in round_folders(folder) or [folder]:
        label = f"round {top.name}" if top != folder else ""
        for place in phase_folders(top) or [top]:
            names = [label, f"phase {place.name}" if place != top else ""]
            drawn.append(training(place / "metrics.jsonl", folder / "log.txt", label=", ".join(filter(None, names))))
    return [found for found in drawn if found is not None]


def training(metrics: Path, log: Path, *, label: str = "") -> Html | None:
    """Draw the curves of metrics.jsonl, held-out numbers beside those of training; mark and list the log's alarms.

    `label`: which round and phase it is, where there are several, by which its alarms are told from those of others.
    """
    lines = read_records(metrics) if metrics.exists() else []
    if not any("loss" in line for line in lines):  # lines of skipped updates have no numbers
        return None
    logged = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    alarms = [(int(m[2] or 0), m[3]) for line in logged if (m := _ALARM.match(line)) and (m[1] or "") == label]
    charts = [
        curve(title, _series(lines, series), marks=[step for step, _ in alarms if step])
        for title, series in _CURVES.items()
        if all(any(key in line for line in lines) for key in series.values())
    ]
    return tag(
        "section",
        tag("h2", f"Training, {label}" if label else "Training"),
        tag("div", *charts, class_="curves"),
        _calibration(metrics.with_name("training.json")),
        *(tag("p", f"step {step}: {text}" if step else text, class_="warn") for step, text in alarms),
        id="-".join(["training", *re.findall(r"[\w-]+", label.replace("phase ", ""))]),
    )


def _calibration(record: Path) -> Html | None:
    """Show how well a preference model's probabilities fit held-out ratings, or nothing for another training."""
    found = read_record(record).get("figures", {}).get("calibration") if record.is_file() else None
    if not found or "reliability" not in found:
        return None
    accuracy = found["accuracy"]
    rows = [(f"{row['p']:.2f}", f"{row['observed']:.2f}", row["n"]) for row in found["reliability"]]
    return tag(
        "div",
        tag(
            "p",
            f"Held-out ratings: accuracy {accuracy['value']:.3f} [{accuracy['low']:.3f}, {accuracy['high']:.3f}], "
            f"n = {accuracy['n']}; calibration error {found['calibration_error']:.3f}, of which chance alone makes "
            f"{found['calibration_error_by_chance']:.3f}; temperature {found['temperature']:.3f}.",
        ),
        table("Reliability of the preference model", ("probability said", "share that came true", "n"), rows),
    )


def _series(lines: list[dict[str, float]], keys: dict[str, str]) -> dict[str, list[float | None]]:
    """Return the lines of a chart by their labels; a chart of one line has the held-out numbers, too, if there are."""
    series = {name: [line.get(key) for line in lines] for name, key in keys.items()}
    (key, *others) = keys.values()
    held_out = [line.get(_HELD_OUT + key) for line in lines]
    if others or all(value is None for value in held_out):
        return series
    return {"training": [line.get(key) for line in lines], "held out": held_out}


def conflicts(run: Run) -> Html | None:
    """Show how often two principles preferred opposite replies, as a matrix."""
    rows = opposition(
        Preference(payload["principle"], (parents[0], parents[1]), payload["choice"])
        for _, parents, payload in run.rows("verdict")
    )
    if not rows:
        return None
    names = list(dict.fromkeys(name for row in rows for name in row["between"]))
    cells: dict[tuple[str, str], Part] = {}
    for row in rows:
        one, other = row["between"]
        f = row["opposed"]
        shade = tag(
            "span", f"{f['value']:.0%}", class_="heat", style=f"--heat:{f['value']:.2f}", title=f"n = {row['n']}"
        )
        cells[one, other] = cells[other, one] = shade
    body: list[list[Part]] = [
        [f"{number} {name}", *("" if name == other else cells.get((name, other), "-") for other in names)]
        for number, name in enumerate(names, 1)
    ]
    head = ["", *map(str, range(1, len(names) + 1))]
    caption = "Share of comparisons on which two principles prefer opposite replies, of those where each prefers one"
    scale = [tag("span", f"{share:.0%}", class_="heat", style=f"--heat:{share:.2f}") for share in (0.0, 0.25, 0.5, 1.0)]
    legend = tag(
        "p",
        "Columns have the numbers of the rows. The darker, the more often the two pull in opposite directions: ",
        *(part for shade in scale for part in (shade, " ")),
        "; - : the two never both preferred a reply. A pointer on a cell shows how many comparisons it counts.",
        class_="faint",
    )
    heading = tag("h2", "Conflicts between principles")
    return tag("section", heading, table(caption, head, body), legend, id="conflicts")


def counts(run: Run) -> Html | None:
    """Show what each stage kept and dropped, and why."""
    rows: list[list[Part]] = [
        [stage, ", ".join(f"{n:,} {what}" for what, n in of.items())] for stage, of in run.counts().items()
    ]
    if not rows:
        return None
    shown = table("Counts by stage", ["stage", "counts"], rows)
    return tag("section", tag("h2", "Rows kept and dropped"), shown, id="counts")


def calls(run: Run) -> Html | None:
    """Show calls, faults, tokens, seconds and cost of each stage."""
    rows: list[list[Part]] = [
        [
            c["stage"],
            c["model"],
            f"{c['calls']:,}",
            f"{c['faults']:,}",
            f"{c['tokens_in']:,}",
            f"{c['tokens_out']:,}",
            f"{c['seconds']:.1f}",
            f"{c['cost']:.2f}",
        ]
        for c in run.calls()
    ]
    head = ["stage", "model", "calls", "faults", "tokens in", "tokens out", "seconds", "cost"]
    shown = table("Calls of models by stage", head, rows)
    return tag("section", tag("h2", "Model calls"), shown, id="calls") if rows else None


def recipe(path: Path) -> Html | None:
    """Show recipe.yaml with its header of versions and digests."""
    if not path.exists():
        return None
    text = path.read_text(encoding="utf-8", errors="replace")
    shown = tag("details", tag("summary", "recipe.yaml, with versions and digests"), tag("pre", text))
    return tag("section", tag("h2", "Recipe"), shown, id="recipe")
