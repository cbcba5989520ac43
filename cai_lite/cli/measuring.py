"""Commands that measure and inspect results: evaluate, report, audit."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from cai_lite.cli.shared import (
    AFTER,
    WALK,
    Json,
    Out,
    Profile,
    Quiet,
    Settings,
    Template,
    app,
    exit_by_gates,
    guarded,
    quiet_libraries,
    run_name,
    say,
    show,
    show_json,
    variables,
    walk,
)
from cai_lite.errors import InputError


@app.command(rich_help_panel=WALK)
@guarded
def evaluate(
    recipe: Annotated[
        str | None, typer.Argument(help="A recipe file or packaged name, for constitution, prompts, student and judge.")
    ] = None,
    adapter: Annotated[Path | None, typer.Option(help="A peft adapter of the student, or of --model.")] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Without a recipe: a model folder, a hub id, embedded:..., or URL#NAME of a server."),
    ] = None,
    against: Annotated[str | None, typer.Option(help="A model to compare with.")] = None,
    constitution: Annotated[str | None, typer.Option(help="A constitution file or packaged name.")] = None,
    prompts: Annotated[Path | None, typer.Option(help="A prompts file; all of its prompts are used.")] = None,
    judge: Annotated[list[str] | None, typer.Option(help="The judge; may be repeated for several judges.")] = None,
    load: Annotated[
        str | None, typer.Option(help="The dtype of the weights: auto, float32, bfloat16, float16 or nf4.")
    ] = None,
    must: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME>=VALUE", help="A gate, such as 'over_refusal<=0.05'; exit 1 if it fails. May be repeated."
        ),
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Without a recipe: the limit of tokens per answer.")] = 512,
    temperature: Annotated[
        float, typer.Option(min=0.0, help="Without a recipe: the sampling temperature of the answers.")
    ] = 0.3,
    template: Template = None,
    compare: Annotated[
        list[Path] | None,
        typer.Option(help="Print the figures of this run beside those of the others; may be repeated."),
    ] = None,
    out: Out = None,
    settings: Settings = None,
    profile: Profile = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure a model on held-out prompts, with an adapter before and after training; exit 1 if a gate fails.

    Example: cai-lite evaluate medical --profile embedded --adapter runs/demo-medical/adapter --out runs/again
    """
    if compare:
        _compare(compare, json_)
        return
    if recipe is not None:
        if template:
            raise InputError("--template is for --model; with a recipe use --set 'student.template={key: value}'")
        if adapter is None:
            raise InputError("no adapter to evaluate; give one, such as --adapter runs/medical/adapter")
        gates = [f"evaluate.must={json.dumps(dict(map(_gate, must)))}"] if must else []
        place = out or Path("runs") / f"evaluate-{run_name(recipe)}"
        walk(recipe, place, [*(settings or []), *gates], profile, json_, quiet, adapter=adapter)
        return
    if model is None or constitution is None or prompts is None or not judge:
        raise InputError("give a recipe, or all of --model, --constitution, --prompts and --judge")
    from cai_lite.evaluation.table import show
    from cai_lite.pipeline.assess import assess
    from cai_lite.records import Sampling
    from cai_lite.run.progress import Terminal

    quiet_libraries()
    found = assess(
        model,
        adapter=adapter,
        against=against,
        constitution=constitution,
        prompts=prompts,
        judge=judge,
        load=load,
        template=variables(template),
        must=dict(map(_gate, must or [])),
        sampling=Sampling(temperature=temperature, max_tokens=max_tokens),
        out=out or Path("runs") / "evaluate",
        quiet=quiet or json_,
    )
    if json_:
        show_json(found)
    else:
        show(found["evaluation"], Terminal())
        say(f"report: {found['report']}")
    exit_by_gates(found["evaluation"])


@app.command(rich_help_panel=WALK)
@guarded
def report(
    run_directory: Annotated[Path, typer.Argument(help="A run directory.")],
    compare: Annotated[list[Path] | None, typer.Option(help="Another run to compare with; may be repeated.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Also write the main chart to this SVG file.")] = None,
    json_: Json = False,
) -> None:
    """Write the report.html of a run again from its stored results.

    Example: cai-lite report runs/demo-medical --compare runs/other --figure adherence.svg
    """
    from cai_lite.reporting import write_report
    from cai_lite.reporting.page import write_figure
    from cai_lite.run.files import MANIFEST, write_manifest

    written = write_report(run_directory, compare=compare or [])
    if (run_directory / MANIFEST).is_file():
        for line in write_manifest(run_directory, *written):
            say(f"! {line}", err=True)
    path = run_directory / written[0]
    if figure is not None:
        write_figure(run_directory, figure)
    found: dict[str, object] = {"report": str(path)}
    if compare and json_:
        found |= _paired([run_directory, *compare])
    show(found, json_, f"report: {path}")


@app.command(rich_help_panel=AFTER)
@guarded
def audit(
    run_directory: Annotated[Path, typer.Argument(help="A run directory.")],
    key: Annotated[str, typer.Argument(help="The key of a pair in pairs.jsonl, or the beginning of one.")] = "",
    verify: Annotated[
        bool, typer.Option("--verify", help="Recompute all digests; exit 1 if one does not match.")
    ] = False,
    json_: Json = False,
) -> None:
    """Trace a pair back to its prompt and principle, or verify that the files of a run are unchanged.

    Example: cai-lite audit runs/demo-medical --verify
    """
    from cai_lite.reporting.audit import chain, show_chain, uncovered
    from cai_lite.reporting.audit import verify as check
    from cai_lite.run.ledger import Run

    if verify:
        wrong, older = check(run_directory), uncovered(run_directory)
        note = f"; {older:,} rows of run.db are of an earlier version, which stored no digests" if older else ""
        show({"wrong": wrong, "not_covered": older}, json_, "\n".join(wrong) or f"all digests match{note}")
        if wrong:
            raise typer.Exit(1)
        return
    if not key:
        raise InputError("no pair to trace; give a key from pairs.jsonl, or --verify")
    with Run.reading(run_directory) as opened:
        found = chain(opened, key)
    if json_:
        show_json(found)
    else:
        show_chain(found)


def _gate(text: str) -> tuple[str, str]:
    """Return ("over_refusal", "<=0.05") for "over_refusal<=0.05".

    Raises:
        InputError: the text is not a gate.
    """
    from cai_lite.evaluation.gates import condition

    name = re.match(r"[\w.-]+", text)
    if not name:
        raise InputError(f"--must {text}: a gate is written name>=value, such as over_refusal<=0.05")
    bound = text[name.end() :].strip()
    try:
        condition(bound)
    except ValueError as error:
        raise InputError(f"--must {text}: {error}") from error
    return name[0], bound


def _compare(runs: list[Path], json_: bool) -> None:
    from cai_lite.evaluation.comparing import side_by_side, unbeaten
    from cai_lite.evaluation.result import read_evaluation
    from cai_lite.evaluation.table import show_side_by_side
    from cai_lite.run.progress import Terminal

    evaluations = [read_evaluation(run_directory) for run_directory in runs]
    if json_:
        rows = side_by_side(evaluations)
        figures = {row.name: [f and f.as_dict() for f in row.figures] for row in rows}
        show_json({"unbeaten": unbeaten(rows), "figures": figures, **_paired(runs)})
    else:
        show_side_by_side(list(map(str, runs)), evaluations, Terminal())


def _paired(runs: list[Path]) -> dict[str, object]:
    """Return the runs, the paired differences of each further one to the first, and why some have none."""
    from cai_lite.evaluation.comparing import paired_runs
    from cai_lite.evaluation.result import read_evaluation

    changes, notes = paired_runs(runs, [read_evaluation(run) for run in runs])
    paired = [{name: found.as_dict() for name, found in each.items()} for each in changes]
    return {"runs": list(map(str, runs)), "paired": paired, "not_paired": notes}
