"""How far a run is, read from its directory without disturbing who works in it."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cai_lite.chat.submitted import under_way
from cai_lite.evaluation.result import read_evaluation
from cai_lite.pipeline.phases import is_trained
from cai_lite.run.files import ROUNDS_FILE, phase_folders, read_record, round_folders, training_folders
from cai_lite.run.ledger import Run, in_use
from cai_lite.run.progress import BEGINS, Terminal

STAGES = {"pair": "pairs.jsonl", "train": "training.json", "evaluate": "evaluation.json", "report": "report.html"}
"""What follows the calls of the teacher's half, with the file that each leaves."""


_LOGGED = re.compile(r"(?:([\d-]{10} [\d:]{8}) )?(.*)")
_PROGRESS = re.compile(rf"(.+): (?:{BEGINS}|([\d,]+) of ([\d,]+)(?: \((\d+%)\)(?:, about (.+) left)?)?)")


def status(directory: str | Path) -> dict[str, Any]:
    """Return which stages of a run are done, what they counted, what is left, what it cost, and the next command.

    `now`: the stage that the run is in, or stopped in, with its share done and time left as its log last said.

    Raises:
        InputError: it is not a run directory.
    """
    folder = Path(directory)
    with Run.reading(folder) as run:
        calls, counts, batches = run.calls(), run.counts(), under_way(run)
    done = {stage: _is_done(folder, file) for stage, file in STAGES.items()}
    # Training from Python, or on other people's pairs, begins in the middle.
    needed = [stage for stage in STAGES if stage != "pair" or counts or not done["train"]]
    left = [stage for stage in needed if not done[stage]]
    working = in_use(folder)
    return {
        "run": str(folder),
        "working": working,
        "done": [stage for stage in STAGES if done[stage]],
        "left": left,
        "steps": sum(map(_steps, training_folders(folder))),
        "rounds": _rounds(folder),
        "phases": [
            {"phase": phase.name, "done": is_trained(phase), "steps": _steps(phase)} for phase in phase_folders(folder)
        ],
        "calls": calls,
        "counts": counts,
        "batches": [{"id": one.id, "calls": len(one.keys), "state": one.state, "at": one.at} for one in batches],
        "faults": sum(row["faults"] for row in calls),
        "cost": sum(row["cost"] or 0.0 for row in calls),
        "tokens": sum((row["tokens_in"] or 0) + (row["tokens_out"] or 0) for row in calls),
        "now": _now(folder / "log.txt") if left else None,
        "last": _last(folder / "log.txt"),
        "next": _next(folder, left, working),
    }


def show_status(found: Mapping[str, Any], console: Console | None = None) -> None:
    """Print a status: the calls and counts of each stage, what is done and left, the last line of the log, and next."""
    console = console or Terminal()
    table = Table(title=found["run"], title_justify="left")
    table.add_column("stage")
    for column in ("calls", "faults", "tokens", "cost"):
        table.add_column(column, justify="right")
    table.add_column("counts")
    asked = {row["stage"] for row in found["calls"]}
    for row in found["calls"]:
        tokens, cost = (row["tokens_in"] or 0) + (row["tokens_out"] or 0), row["cost"] or 0.0
        cells = f"{row['calls']:,}", f"{row['faults']:,}", f"{tokens:,}", f"{cost:,.2f}" if cost else ""
        table.add_row(Text(row["stage"]), *cells, Text(_counted(found["counts"].get(row["stage"], {}))))
    for stage, counts in found["counts"].items():
        if stage not in asked:
            table.add_row(Text(stage), "", "", "", "", Text(_counted(counts)))
    console.print(table, highlight=False)
    steps = f" ({found['steps']:,} training steps)" if found["steps"] else ""
    lines = [f"done: {', '.join(found['done']) or 'nothing yet'}{steps}"]
    lines.append(f"left: {', '.join(found['left']) or 'nothing'}")
    for phase in found["phases"]:
        lines.append(f"phase {phase['phase']}: {'done' if phase['done'] else 'not done'}, {phase['steps']:,} steps")
    for found_round in found["rounds"]:
        lines.append(_round_line(found_round))
    if found["now"]:
        lines.append(_now_line(found["now"], found["working"]))
    lines += [f"faults: {found['faults']:,} of {sum(row['calls'] for row in found['calls']):,} calls"]
    for batch in found["batches"]:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(batch["at"]))
        lines.append(f"batch {batch['id'] or '(not confirmed)'}: {batch['calls']:,} calls, submitted {at}")
    lines += [f"cost so far: {found['cost']:,.2f}"] if found["cost"] else []
    lines += [f"last: {found['last']['line']} ({found['last']['at']})"] if found["last"] else []
    lines += ["a process is working in this run"] if found["working"] else []
    lines += [f"next: {found['next']}"] if found["next"] else []
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _is_done(folder: Path, file: str) -> bool:
    path, phases = folder / file, phase_folders(folder)
    if file == "training.json" and round_folders(folder):
        return (folder / ROUNDS_FILE).is_file() and (folder / "adapter").is_dir()
    if file != "training.json":
        return path.is_file()
    if phases:
        return all(map(is_trained, phases)) and (folder / "adapter").is_dir()
    return bool(path.is_file() and read_record(path).get("finished"))


def _rounds(folder: Path) -> list[dict[str, Any]]:
    """Return each round: whether its trainings are done, its steps, its adherence, and whether its adapter is kept."""
    file, found = folder / ROUNDS_FILE, list[dict[str, Any]]()
    ended = read_record(file) if file.is_file() else {}
    for place in round_folders(folder):
        trainings, number = phase_folders(place) or [place], int(place.name)
        overall: dict[str, Any] = {}
        if (place / "evaluation.json").is_file():
            overall = read_evaluation(place)["metrics"].get("adherence", {}).get("overall", {})
        found.append(
            {
                "round": number,
                "done": all(map(is_trained, trainings)),
                "steps": sum(map(_steps, trainings)),
                **({"adherence": overall["after"]} if "after" in overall else {}),
                "kept": ended.get("kept") == number,
            }
        )
    return found


def _round_line(found: Mapping[str, Any]) -> str:
    measured = found.get("adherence")
    parts = [
        "trained" if found["done"] else "not done",
        f"{found['steps']:,} steps",
        *([f"adherence {measured['value']:.2f} [{measured['low']:.2f}, {measured['high']:.2f}]"] if measured else []),
        *(["kept"] if found["kept"] else []),
    ]
    return f"round {found['round']}: {', '.join(parts)}"


def _steps(folder: Path) -> int:
    path = folder / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.is_file() else 0


def _logged(log: Path) -> list[tuple[str, str]]:
    """Return the time and the text of each line of a log; the time is "" where an earlier version wrote it."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    return [(found[1] or "", found[2]) for line in lines if (found := _LOGGED.fullmatch(line))]


def _now(log: Path) -> dict[str, Any] | None:
    """Return the stage that was entered last, unless it ended."""
    for at, text in reversed(_logged(log)):
        if found := _PROGRESS.fullmatch(text):
            stage, done, total, share, left = found.groups()
            if done and not share:  # the line with which a stage ends
                return None
            numbers = {"done": int(done.replace(",", "")), "total": int(total.replace(",", ""))} if done else {}
            return {"stage": stage, **numbers, "share": share or "", "left": left or "", "at": at}
    return None


def _now_line(found: Mapping[str, Any], working: bool) -> str:
    parts = [found["stage"]]
    if "done" in found:
        parts.append(f"{found['done']:,} of {found['total']:,} ({found['share']})")
    parts += [f"about {found['left']} left"] if found["left"] and working else []
    return f"{'now' if working else 'stopped in'}: {', '.join(parts)} ({found['at']})"


def _last(log: Path) -> dict[str, str] | None:
    lines = _logged(log)
    if not lines:
        return None
    at, text = lines[-1]
    return {"line": text, "at": at or time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(log.stat().st_mtime))}


def _next(folder: Path, left: list[str], working: bool) -> str:
    """Return the command that continues the run or looks at its result."""
    place = shlex.quote(str(folder))
    if working:
        return f"cai-lite status {place}"
    if not left:
        return f"cai-lite audit {place} --verify"
    if left == ["report"]:
        return f"cai-lite report {place}"
    recipe = folder / "recipe.yaml"
    return f"cai-lite run {shlex.quote(str(recipe))} --out {place}" if recipe.is_file() else ""


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n:,} {what}" for what, n in counts.items())
