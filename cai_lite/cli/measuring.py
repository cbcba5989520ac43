"""Commands that measure and inspect results: evaluate, report, audit."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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

NONE = "none"  # the value of --baseline for no baseline at all
if TYPE_CHECKING:
    from cai_lite.evaluation.comparing import Against

Margin = Annotated[
    float,
    typer.Option(min=0.0, help="With --compare or --served: what lost less than this, surely, is called not worse."),
]
Unpaired = Annotated[
    bool, typer.Option("--unpaired", help="With --compare: also compare runs that were evaluated on other prompts.")
]


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
    second_judge: Annotated[
        str | None, typer.Option(help="A judge that had no part in the training, beside --judge.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="People's labels of the answers (JSONL), kept in the run; they correct the judge's adherence."
        ),
    ] = None,
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            help="Compare with: prompted (the base, told the constitution), teacher, or none; may be repeated."
        ),
    ] = None,
    teacher: Annotated[str | None, typer.Option(help="Without a recipe: the model of the baseline teacher.")] = None,
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
    margin: Margin = 0.05,
    unpaired: Unpaired = False,
    served: Annotated[
        str | None,
        typer.Option(
            metavar="URL[#NAME]", help="Examine this server as the run --out was; exit 1 unless it is shown not worse."
        ),
    ] = None,
    out: Out = None,
    settings: Settings = None,
    profile: Profile = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure a model on held-out prompts; exit 1 if a gate fails.

    With an adapter, the model is measured before and after training. With --served, what a server answers is measured
    and compared, prompt by prompt, with what the run --out measured.

    Example: cai-lite evaluate medical --profile embedded --adapter runs/demo-medical/adapter --out runs/again
    """
    if compare:
        _compare(compare, json_, margin, unpaired)
        return
    if served is not None:
        given = {"--adapter": adapter, "--model": model, "--against": against, "--must": must, "--baseline": baseline}
        if odd := [name for name, value in given.items() if value]:
            raise InputError(f"{odd[0]} does not go with --served, which examines a server as the run --out was")
        _served(recipe, served, out, margin, settings, profile, json_, quiet)
        return
    if recipe is not None:
        if template:
            raise InputError("--template is for --model; with a recipe use --set 'student.template={key: value}'")
        if second_judge:
            raise InputError("--second-judge is for --model; with a recipe use --set evaluate.second_judge.model=NAME")
        if adapter is None:
            raise InputError("no adapter to evaluate; give one, such as --adapter runs/medical/adapter")
        gates = [f"evaluate.must={json.dumps(dict(map(_gate, must)))}"] if must else []
        if teacher:
            raise InputError("--teacher is for --model; with a recipe its own teacher answers")
        if baseline:
            gates.append(f"evaluate.baselines={json.dumps([name for name in baseline if name != NONE])}")
        place = out or Path("runs") / f"evaluate-{run_name(recipe)}"
        walk(recipe, place, [*(settings or []), *gates], profile, json_, quiet, adapter=adapter, labels=labels)
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
        baselines=None if baseline is None else [name for name in baseline if name != NONE],
        teacher=teacher,
        sampling=Sampling(temperature=temperature, max_tokens=max_tokens),
        second_judge=second_judge,
        labels=labels,
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
    margin: Margin = 0.05,
    unpaired: Unpaired = False,
    figure: Annotated[Path | None, typer.Option(help="Also write the main chart to this SVG file.")] = None,
    json_: Json = False,
) -> None:
    """Write the report of a run again, corrected by people's labels.

    Nothing is asked: report.html is written from the stored results and the labels in labels.jsonl.

    With --json, print the figures and the verdict.

    Example: cai-lite report runs/demo-medical --compare runs/other --figure adherence.svg
    """
    from cai_lite.evaluation.calibrated import in_words
    from cai_lite.evaluation.result import read_evaluation
    from cai_lite.reporting import write_report
    from cai_lite.reporting.page import write_figure
    from cai_lite.run.files import MANIFEST, write_manifest

    found: dict[str, object] = {}
    against: list[Against] = []
    if compare:
        against = _against([run_directory, *compare], margin, unpaired)
        found = _differences([run_directory, *compare], against, margin)
    written = write_report(run_directory, compare=compare or [], margin=margin)
    if (run_directory / MANIFEST).is_file():
        for line in write_manifest(run_directory, *written):
            say(f"! {line}", err=True)
    path = run_directory / written[0]
    evaluation = run_directory / "evaluation.json"
    for line in in_words(read_evaluation(run_directory)) if evaluation.is_file() else ():
        say(line, err=True)
    if figure is not None:
        write_figure(run_directory, figure)
    if json_ and (run_directory / "evaluation.json").is_file():
        found |= _decided(run_directory)
    if not json_:
        from cai_lite.evaluation.table import show_against
        from cai_lite.run.progress import Terminal

        for each in against:
            show_against(str(run_directory), each, Terminal(), margin)
    show({"report": str(path), **found}, json_, f"report: {path}")


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
    """Trace a pair back to its principle, or verify a run's files.

    With --verify, says which files and rows of the run are not what it wrote.

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


def _served(
    recipe: str | None,
    served: str,
    out: Path | None,
    margin: float,
    settings: list[str] | None,
    profile: str | None,
    json_: bool,
    quiet: bool,
) -> None:
    """Examine a server as a run was; exit 1 unless it is shown to be as good."""
    from cai_lite.pipeline.recipe import load_recipe
    from cai_lite.pipeline.served import examine, show_served
    from cai_lite.run.progress import Terminal

    if out is None:
        raise InputError("--served needs the run that it is compared with: --out RUN")
    quiet_libraries()
    read = load_recipe(recipe or str(out / "recipe.yaml"), overrides=settings or [], profile=profile)
    found = examine(read, out, served, margin=margin, quiet=quiet or json_)
    if json_:
        show_json(found.as_dict())
    else:
        show_served(found, out, Terminal())
    if not found.holds:
        raise typer.Exit(1)


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


def _compare(runs: list[Path], json_: bool, margin: float, unpaired: bool) -> None:
    from cai_lite.evaluation.comparing import side_by_side, unbeaten
    from cai_lite.evaluation.result import read_evaluation
    from cai_lite.evaluation.table import show_side_by_side
    from cai_lite.run.progress import Terminal

    evaluations = [read_evaluation(run_directory) for run_directory in runs]
    against = _against(runs, margin, unpaired)
    if json_:
        rows = side_by_side(evaluations, against)
        figures = {row.name: [f and f.as_dict() for f in row.figures] for row in rows}
        show_json({"unbeaten": unbeaten(rows), "figures": figures, **_differences(runs, against, margin)})
    else:
        show_side_by_side(list(map(str, runs)), evaluations, against, Terminal(), margin)


def _decided(run_directory: Path) -> dict[str, object]:
    """Return what evaluation.json of a run holds, and what speaks for and against shipping."""
    from cai_lite.evaluation.decision import decide
    from cai_lite.evaluation.result import read_evaluation

    evaluation = read_evaluation(run_directory)
    return {"evaluation": evaluation, "decision": decide(evaluation).as_dict()}


def _against(runs: list[Path], margin: float, unpaired: bool) -> list[Against]:
    """Return how each further run differs from the first; refuse runs on other prompts unless `unpaired`."""
    from cai_lite.evaluation.comparing import against_first, check_prompts
    from cai_lite.evaluation.result import read_evaluation

    found = against_first(runs, [read_evaluation(run) for run in runs], margin=margin)
    if not unpaired:
        check_prompts(runs[0], found)
    return found


def _differences(runs: list[Path], against: list[Against], margin: float) -> dict[str, object]:
    """Return the runs, and the differences of each further one to the first, in the form of `--json`."""
    return {"runs": list(map(str, runs)), "margin": margin, "against": [each.as_dict() for each in against]}
