"""Commands for constitutions and prompts: lint, schema, constitution, prompts."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cai_lite.cli.shared import (
    WRITE,
    Json,
    Out,
    Quiet,
    Template,
    app,
    guarded,
    quiet_libraries,
    say,
    show,
    show_json,
    variables,
)
from cai_lite.errors import InputError, plain

constitutions = typer.Typer(no_args_is_help=True, help="Write, import or compare constitutions.")
prompt_files = typer.Typer(no_args_is_help=True, help="Grow prompts, write an exam, red-team a model.")
app.add_typer(constitutions, name="constitution", rich_help_panel=WRITE)
app.add_typer(prompt_files, name="prompts", rich_help_panel=WRITE)

RunDirectory = Annotated[
    Path | None,
    typer.Option("--run", help="A run directory that stores every answer, so that the same command resumes."),
]
ConstitutionName = Annotated[str, typer.Argument(help="A constitution file or packaged name.")]
Against = Annotated[
    list[Path] | None,
    typer.Option(help="A prompts file that no new prompt may repeat; may be repeated."),
]
ServedName = Annotated[str | None, typer.Option(help="The name of the teacher on its server.")]
Seed = Annotated[int, typer.Option(help="The random seed.")]
MaxTokens = Annotated[int, typer.Option(min=1, help="The limit of tokens per reply of teacher and verifier.")]


@app.command(rich_help_panel=WRITE)
@guarded
def lint(
    files: Annotated[list[str], typer.Argument(help="Constitution files or packaged names.")],
    prompts: Annotated[
        Path | None, typer.Option(help="A prompts file, to check that the tags in applies_to occur in it.")
    ] = None,
    judge: Annotated[
        str | None, typer.Option(help="Also test this judge on the examples: a model folder, a hub id or a URL.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The name of the judge on its server.")] = None,
    votes: Annotated[int, typer.Option(min=1, help="The number of sampled verdicts per order.")] = 5,
    out: Out = None,
    json_: Json = False,
) -> None:
    """Find faults in a constitution; exit 1 on errors.

    Principles that are vague, repeated, contradictory or broken, without asking a model; with --judge, also the judge.

    Example: cai-lite lint medical creative --judge embedded:teacher
    """
    from cai_lite.linting.listing import lint_files, show_findings

    quiet_libraries()
    found, trials = lint_files(files, prompts), []
    if judge is not None:
        from cai_lite.preflight.examples import show_trials, try_files

        trials = try_files(files, judge, model, votes=votes, out=out)
        found += [row for trial in trials for row in trial["findings"]]
    if json_:
        show_json({"findings": found, "trials": trials} if judge else found)
    else:
        for trial in trials:
            show_trials(trial)
        show_findings(found)
    if any(finding["level"] == "error" for finding in found):
        raise typer.Exit(1)


@app.command(rich_help_panel=WRITE)
@guarded
def schema(
    kind: Annotated[str, typer.Argument(help="recipe or constitution.")],
) -> None:
    """Print a JSON Schema, for editors to complete by.

    Save it beside your YAML file, and write as its first line: # yaml-language-server: $schema=recipe.schema.json

    Example: cai-lite schema recipe > recipe.schema.json
    """
    from cai_lite.pipeline.schemas import schema as made

    say(json.dumps(made(kind), indent=1))


@constitutions.command("new")
@guarded
def new(
    name: Annotated[str, typer.Argument(help="A name, or the file to write.")],
    answers: Annotated[
        Path | None, typer.Option(help="A YAML file with the answers; otherwise they are asked for, one per line.")
    ] = None,
) -> None:
    """Write a constitution of five principles from a few questions; no model is needed.

    Example: cai-lite constitution new hotel-assistant
    """
    from cai_lite.inputs.interview import file_and_name, interview, read_answers, written
    from cai_lite.run.files import write_text

    path, title = file_and_name(name)
    given = read_answers(answers) if answers else interview(_answer, again=sys.stdin.isatty())
    write_text(path, written(given, title))
    say(f"wrote {path}; check it with: cai-lite lint {path}")


def _answer(question: str) -> str:
    say(question, err=True)
    if not (line := sys.stdin.readline()):
        raise InputError(f"the input ended at: {question.strip()}")
    return line


@constitutions.command("import")
@guarded
def import_(
    file: Annotated[Path, typer.Argument(help="A policy: Markdown, plain text, JSON or YAML.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="The file to write; by default the result is printed.")
    ] = None,
    lead_in: Annotated[
        str, typer.Option(help="What begins each entry that is no sentence, such as 'The reply contains no'.")
    ] = "",
) -> None:
    """Convert a policy to a constitution, word for word; name each line that became no principle.

    Example: cai-lite constitution import policy.md --out policy.yaml
    """
    from cai_lite.inputs.importing import list_left, read_policy, to_yaml
    from cai_lite.run.files import write_text

    if out is not None and out.exists():
        raise InputError(f"{out} exists already; give another file")
    policy = read_policy(file, lead_in)
    text = to_yaml(policy, file)
    if out is None:
        typer.echo(plain(text) if sys.stdout.isatty() else text, nl=False)
    else:
        write_text(out, text)
    left = list_left(policy)
    say(f"principles: {len(policy.taken)}; parts of {file} that became none: {len(left)}", err=True)
    for line in left:
        say(f"  {line}", err=True)
    if out is not None:
        say(f"wrote {out}; check it with: cai-lite lint {out}")


@constitutions.command("diff")
@guarded
def diff(
    old: Annotated[str, typer.Argument(help="The old version: a constitution file or packaged name.")],
    new: Annotated[str, typer.Argument(help="The new version.")],
    run_directory: Annotated[
        Path | None,
        typer.Option("--run", help="Also forecast what `run --only-changed --from RUN` would ask and learn."),
    ] = None,
    json_: Json = False,
) -> None:
    """Print which principles changed; with a run, what has to be made again, and which principles that one meets.

    Example: cai-lite constitution diff runs/first/constitution.yaml new.yaml --run runs/first
    """
    from dataclasses import asdict

    from cai_lite.inputs.constitution import load_constitution
    from cai_lite.inputs.versions import changes, show_changes, touched
    from cai_lite.preflight.changing import forecast, show_forecast
    from cai_lite.run.ledger import Run
    from cai_lite.run.progress import Terminal

    before, after = load_constitution(old), load_constitution(new)
    found = changes(before, after)
    rows: dict[str, dict[str, int]] = {}
    ahead: dict[str, Any] | None = None
    if run_directory is not None:
        with Run.reading(run_directory) as opened:
            rows = touched(opened, found)
        if found and (run_directory / "pairs.jsonl").is_file():
            ahead = forecast(run_directory, before, after)
    if json_:
        more = {} if ahead is None else {"forecast": ahead}
        show_json({"changes": [asdict(change) for change in found], "rows": rows, **more})
        return
    show_changes(found, rows)
    if ahead is not None:
        show_forecast(ahead, Terminal())


@constitutions.command("contributions")
@guarded
def contributed(
    run_directory: Annotated[Path, typer.Argument(help="A run that has made its pairs.")],
    json_: Json = False,
) -> None:
    """Count what each principle contributed to the pairs of a run: which would be gone or turned around without it.

    Nothing is asked. `cai-lite train --run RUN --without ID` trains without one, to see what its pairs teach.

    Example: cai-lite constitution contributions runs/demo-medical
    """
    from cai_lite.pipeline.contributions import contributions, decided, show_contributions
    from cai_lite.run.progress import Terminal

    counted = contributions(decided(run_directory))
    if json_:
        show_json(counted)
    else:
        show_contributions(counted, Terminal())


@prompt_files.command("grow")
@guarded
def grow(
    file: Annotated[Path, typer.Argument(help="A prompts file with the seeds.")],
    teacher: Annotated[str, typer.Option(help="The model that writes the prompts: a URL, a model folder or a hub id.")],
    out: Annotated[Path, typer.Option("--out", help="The file for the new prompts.")],
    n: Annotated[int, typer.Option("-n", min=1, help="The limit of new prompts.")] = 200,
    model: ServedName = None,
    run_directory: RunDirectory = None,
    seed: Seed = 0,
    json_: Json = False,
) -> None:
    """Let a teacher write more prompts of each family, without near-duplicates; families keep their split.

    Example: cai-lite prompts grow seeds.jsonl --teacher http://localhost:8000/v1 --model big --out more.jsonl
    """
    from cai_lite.distill.growing import grow_file

    quiet_libraries()
    counts = grow_file(file, teacher, out, model=model, n=n, seed=seed, run_directory=run_directory)
    show({"file": str(out), **counts}, json_, f"{out}: " + ", ".join(f"{v} {k}" for k, v in counts.items()))
    if not counts["kept"]:
        if not json_:
            say("nothing was written: no answer had new prompts, each on its own line after a number and a full stop")
        raise typer.Exit(1)


@prompt_files.command("exam")
@guarded
def exam(
    constitution: ConstitutionName,
    teacher: Annotated[
        str,
        typer.Option(
            help="The model that writes the prompts: a URL, a model folder or a hub id; or embedded:grammar, the toy "
            "world's own."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The prompts file to write.")],
    n: Annotated[int, typer.Option("-n", min=1, help="Prompts for each principle and kind.")] = 4,
    kind: Annotated[list[str] | None, typer.Option(help="Only this kind of prompts; may be repeated.")] = None,
    principle: Annotated[list[str] | None, typer.Option(help="Only this principle; may be repeated.")] = None,
    model: ServedName = None,
    verifier: Annotated[
        str | None, typer.Option(help="The model that verifies each prompt, such as URL#NAME; the teacher by default.")
    ] = None,
    student: Annotated[
        str | None, typer.Option(help="Measure the difficulty on this model: a model folder, a hub id or URL#NAME.")
    ] = None,
    judge: Annotated[
        str | None, typer.Option(help="With --student: who judges its answers; the teacher by default.")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="With --student: answers to each prompt.")] = 3,
    held_out: Annotated[
        float, typer.Option("--held-out", min=0.0, max=0.9, help="The share of families to hold out.")
    ] = 0.2,
    against: Against = None,
    max_tokens: MaxTokens = 2048,
    template: Template = None,
    run_directory: RunDirectory = None,
    seed: Seed = 0,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write an exam out of a policy: prompts of each kind for each principle, verified and split by family.

    Example: cai-lite prompts exam policy.yaml --teacher http://localhost:8000/v1 --model big --out exam.jsonl
    """
    from cai_lite.pipeline.exam_table import show_exam
    from cai_lite.pipeline.exams import Asking, make_exam

    quiet_libraries()
    if judge is not None and student is None:
        raise InputError("--judge judges the answers of a student; give one with --student, or leave it out")
    found = make_exam(
        constitution,
        teacher,
        out,
        verifier=verifier,
        student=student,
        judge=judge,
        kinds=kind or (),
        principles=principle or (),
        n=n,
        samples=samples,
        held_out=held_out,
        against=against or (),
        asking=Asking(
            model=model,
            seed=seed,
            max_tokens=max_tokens,
            template=variables(template),
            run_directory=run_directory,
            quiet=quiet or json_,
        ),
    )
    if json_:
        show_json(found)
    else:
        show_exam(found)
        say(f"wrote {out}" if found["prompts"] else "nothing was written: no prompt was verified; see the gaps above")
    if not found["prompts"]:
        raise typer.Exit(1)


@prompt_files.command("redteam")
@guarded
def redteam(
    constitution: ConstitutionName,
    student: Annotated[
        str, typer.Option(help="The model to break: a model folder, MODEL#ADAPTER_FOLDER, a hub id or URL#NAME.")
    ],
    teacher: Annotated[
        str, typer.Option(help="The model that plays the user, and writes the seeds where --prompts gives none.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The file for the conversations that broke the student.")],
    prompts: Annotated[
        Path | None,
        typer.Option(help="An exam or another prompts file; its training prompts are the seeds."),
    ] = None,
    judge: Annotated[
        list[str] | None,
        typer.Option(help="The judge; the teacher by default. With two, both must say that the answer breaks it."),
    ] = None,
    model: ServedName = None,
    verifier: Annotated[
        str | None, typer.Option(help="The model that checks the simulated user, such as URL#NAME.")
    ] = None,
    tactic: Annotated[
        list[str] | None,
        typer.Option(help="authority, flattery, threat or gradual; may be repeated. By default all, in turn."),
    ] = None,
    turns: Annotated[int, typer.Option(min=1, max=5, help="User turns to add to each seed.")] = 3,
    limit: Annotated[int | None, typer.Option(min=1, help="The limit of seeds, chosen by hash.")] = None,
    n: Annotated[int, typer.Option("-n", min=1, help="Without --prompts: seeds for each principle and kind.")] = 2,
    against: Against = None,
    max_tokens: MaxTokens = 2048,
    template: Template = None,
    run_directory: RunDirectory = None,
    seed: Seed = 0,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Let a simulated user press a model over several turns, and keep what breaks it as training prompts.

    Example: cai-lite prompts redteam policy.yaml --prompts exam.jsonl --student STUDENT --teacher URL --model big
    --out broken.jsonl
    """
    from cai_lite.pipeline.exam_table import show_redteam
    from cai_lite.pipeline.exams import Asking, make_redteam

    quiet_libraries()
    found = make_redteam(
        constitution,
        teacher,
        student,
        out,
        prompts=prompts,
        judges=judge or (),
        verifier=verifier,
        tactics=tactic or (),
        turns=turns,
        limit=limit,
        n=n,
        against=against or (),
        asking=Asking(
            model=model,
            seed=seed,
            max_tokens=max_tokens,
            template=variables(template),
            run_directory=run_directory,
            quiet=quiet or json_,
        ),
    )
    if json_:
        show_json(found)
    else:
        show_redteam(found)
        say(f"wrote {out}" if found["kept"] else "nothing was written: no conversation broke the student")
    if not found["kept"]:
        raise typer.Exit(1)
