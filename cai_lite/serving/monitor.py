"""`cai.monitor`: look at what a model answers in production, and say when it keeps a principle less than it did.

Reads a log (`logs`), decides (`decisions`), redacts (`redaction`), counts (`rates`) and watches (`change`). A directory
holds what came of it: `decisions.jsonl`, every decision; `events.jsonl`, OTLP/JSON log records of the event
`gen_ai.evaluation.result` (OpenTelemetry semantic conventions 1.38) for every decision but a passed check;
`failing.jsonl`, the redacted prompts whose answers failed; `state.json`, by which the same command goes on where it
stopped; `monitor.html`, the page. Nothing leaves the machine, but for what a judge on a server is asked.

The detector takes the answers for independent of each other as far as its baseline goes: where one user sends the same
hundred times, that is a hundred answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cai_lite.chat import ChatModel, open_model
from cai_lite.errors import InputError
from cai_lite.evaluation.result import read_evaluation
from cai_lite.inputs.constitution import Constitution, load_constitution
from cai_lite.inputs.textfile import check_regular, path_of
from cai_lite.run.disk import writing
from cai_lite.run.files import write_text
from cai_lite.run.ledger import Budget, lock_directory
from cai_lite.run.progress import Tick
from cai_lite.serving.dashboard import PAGE, metrics_text, page
from cai_lite.serving.decisions import CHECKS, ByChecks, ByGuard, ByJudge, Decider
from cai_lite.serving.failures import failing_prompts, write_failures
from cai_lite.serving.logs import lines_of
from cai_lite.serving.monitoring import FAILING, Monitor
from cai_lite.serving.rates import Monitored
from cai_lite.serving.redaction import Rules, load_rules
from cai_lite.serving.state import STATE, Settings

if TYPE_CHECKING:
    from cai_lite.serving.guard import Guard

BASELINE = 2000  # conversations
SAMPLE = 0.05  # of the conversations, for a judge or a guard
Given = dict[tuple[str, str], tuple[float, float, float]]


def monitor(
    log: str | Path | Iterable[Any],
    constitution: Constitution | str | Path,
    *,
    judge: ChatModel | str | None = None,
    guard: Guard | str | Path | None = None,
    sample: float = SAMPLE,
    out: str | Path | None = None,
    baseline: int = BASELINE,
    run: str | Path | None = None,
    false_alarms: float = 1.0,
    per_day: float | None = None,
    rules: Rules | str | Path | None = None,
    failures: str | Path | None = None,
    prometheus: str | Path | None = None,
    budget: Budget | None = None,
    workers: int = 1,
    accept: bool = False,
    follow: bool = False,
    progress: Tick | None = None,
) -> Monitored:
    """Look at the conversations of a log that are new, and return what all of them come to so far.

    `log`: a file, see `logs`, or a list of its rows. The machine checks of the constitution decide about every
    conversation; `judge` (a model, or its name) and `guard` (or its folder) about a share of them, `sample`, which the
    key of a conversation decides. A principle with `applies_to` is looked at where the conversation has one of these
    tags, from the log or from `rules`, which also hold patterns for the redaction.

    `out`: the directory, `LOG.monitor` by default; a list of rows without it leaves nothing behind. The first
    `baseline` conversations say what is usual, or the evaluation of a `run` by the same checks or judge does.
    `false_alarms`: how many a year are allowed on average, all rates together, at `per_day` conversations, which are
    measured by the times in the log where it has them. `failures`: file of the regression set, see `failures`.
    `prometheus`: file of metrics in Prometheus' text form. `budget`: of the judge, for this call. `workers`: processes
    for the checks. `accept`: clear the alarms, and take what comes next as the new baseline. `follow`: wait for more,
    until an alarm.

    Raises:
        InputError: a file, option or model is wrong, or the directory was begun with other settings.
        RunBusyError: another process works in the directory.
        Stopped: the judge's budget is spent; what was decided before is kept.
    """
    settings = Settings(
        constitution=constitution if isinstance(constitution, Constitution) else load_constitution(constitution),
        baseline=0 if run is not None else baseline,
        sample=sample,
        false_alarms=false_alarms,
        per_day=per_day,
        rules=rules if isinstance(rules, Rules) else Rules() if rules is None else load_rules(Path(rules)),
    )
    path = path_of(log, InputError) if isinstance(log, (str, Path)) else None
    if path is not None:
        check_regular(path, InputError)
    if follow and path is None:
        raise InputError("a list of rows cannot be followed; give a file")
    folder = Path(out) if out is not None else path.with_name(f"{path.name}.monitor") if path is not None else None
    if failures is not None and folder is None:
        raise InputError("failures are collected in a directory; name it by 'out'")
    deciders = _deciders(settings, judge, guard, budget, workers)
    given = _from_run(Path(run), deciders) if run is not None else {}
    with ExitStack() as stack:
        for decider in deciders:
            if isinstance(decider, ByChecks):
                stack.callback(decider.close)
        if folder is not None:
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
            stack.callback(_tidied, folder)
            stack.callback(lock_directory(folder).close)
        engine = Monitor(settings, deciders, given, folder)
        if accept:
            engine.accept()

        def show(found: Monitored) -> None:
            if folder is not None:
                write_text(folder / PAGE, page(found))
            if prometheus is not None:
                write_text(Path(prometheus), metrics_text(found))

        if isinstance(log, (str, Path)):
            new = engine.read_file(path_of(log, InputError), follow, progress, show)
        else:
            new = engine.read(lines_of(log), progress)
        found = engine.monitored(new)
        if folder is not None and failures is not None:
            engine.say(_failures(folder / FAILING, Path(failures)))
            found = replace(found, notes=tuple(engine.notes))
        show(found)
        return found


def _failures(failing: Path, out: Path) -> str:
    """Write tests and seeds; return what there is to say of them."""
    prompts = failing_prompts(failing)
    if not prompts:
        return f"{out}: nothing failed so far, so it is not written"
    written = write_failures(prompts, out)
    tests, seeds = written.files
    said = f"{tests}: {written.regression:,} prompts for tests; {seeds}: {written.seeds:,} seeds"
    if written.leaks:
        said += f"; {written.leaks:,} that resemble a test are left out"
    return said if written.seeds else f"{said}: all that failed is alike, and stays on one side"


def _tidied(folder: Path) -> None:
    """Remove a directory in which nothing was begun, because the input is wrong."""
    if not (folder / STATE).exists():
        (folder / ".lock").unlink(missing_ok=True)
        with suppress(OSError):  # there is something else in it
            folder.rmdir()


def _deciders(
    settings: Settings,
    judge: ChatModel | str | None,
    guard: Guard | str | Path | None,
    budget: Budget | None,
    workers: int,
) -> Sequence[Decider]:
    """Return the ways of deciding that there are.

    Raises:
        InputError: none can decide any principle, a model is wrong, or the guard knows other principles.
    """
    constitution = settings.constitution
    found: list[Decider] = []
    if any(principle.checks for principle in constitution.principles):
        found.append(ByChecks(constitution, workers))
    if guard is not None:
        from cai_lite.serving.guard import Guard, only, open_guard

        opened = guard if isinstance(guard, Guard) else open_guard(Path(guard))
        ids = {principle.id for principle in constitution.principles}
        known = [id_ for id_ in opened.principles if id_ in ids]
        if not known:
            raise InputError(f"the guard knows none of the principles of '{constitution.name}'")
        found.append(ByGuard(only(opened, known), settings.sample))
    if judge is not None:
        found.append(ByJudge(open_model(judge), constitution, settings.sample, budget or Budget()))
    if not found:
        raise InputError(f"no principle of '{constitution.name}' has checks; name a judge or a guard")
    return found


def _from_run(run: Path, deciders: Sequence[Decider]) -> Given:
    """Return the rates of a run's evaluation as value, low and high, for the deciders that made it.

    Raises:
        InputError: the run has no evaluation, or it was made by none of these deciders.
    """
    evaluation = read_evaluation(run)
    found: Given = {}
    for decider in deciders:
        if decider.name == CHECKS:
            metric = "adherence_checks"
        elif isinstance(decider, ByJudge) and decider.model.name == evaluation["judge"]:
            metric = "adherence"
        else:
            continue
        for id_, figure in evaluation["metrics"].get(metric, {}).get("principles", {}).items():
            after = figure.get("after", figure)  # a comparison, or one model alone
            if id_ in decider.principles:
                found[id_, decider.name] = (1 - after["value"], 1 - after["high"], 1 - after["low"])
    if not found:
        raise InputError(
            f"{run}: has no adherence by machine checks, nor by this judge (its judge: '{evaluation['judge']}'); leave "
            "out --run, and the first conversations are the baseline"
        )
    return found
