"""Commands for constitutions and prompts: lint, constitution, prompts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cai_lite.cli.shared import WRITE, Json, Out, app, guarded, quiet_libraries, say, show, show_json
from cai_lite.errors import InputError, plain

constitutions = typer.Typer(
    no_args_is_help=True, help="Write a first constitution, import a policy, or compare two versions."
)
prompt_files = typer.Typer(no_args_is_help=True, help="Generate more prompts.")
app.add_typer(constitutions, name="constitution", rich_help_panel=WRITE)
app.add_typer(prompt_files, name="prompts", rich_help_panel=WRITE)


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
    """Find vague, repeated, contradictory or broken principles in a constitution; exit 1 on errors.

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
    say(f"{len(policy.taken)} principles; {len(left)} parts of {file} became none:", err=True)
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
        Path | None, typer.Option("--run", help="Also count the rows of this run that the changes affect.")
    ] = None,
    json_: Json = False,
) -> None:
    """Print which principles changed, and how many rows of a run have to be made again.

    Example: cai-lite constitution diff old.yaml new.yaml --run runs/first
    """
    from dataclasses import asdict

    from cai_lite.inputs.constitution import load_constitution
    from cai_lite.inputs.versions import changes, show_changes, touched
    from cai_lite.run.ledger import Run

    found = changes(load_constitution(old), load_constitution(new))
    rows: dict[str, dict[str, int]] = {}
    if run_directory is not None:
        with Run.reading(run_directory) as opened:
            rows = touched(opened, found)
    if json_:
        show_json({"changes": [asdict(change) for change in found], "rows": rows})
    else:
        show_changes(found, rows)


@prompt_files.command("grow")
@guarded
def grow(
    file: Annotated[Path, typer.Argument(help="A prompts file with the seeds.")],
    teacher: Annotated[str, typer.Option(help="The model that writes the prompts: a URL, a model folder or a hub id.")],
    out: Annotated[Path, typer.Option("--out", help="The file for the new prompts.")],
    n: Annotated[int, typer.Option("-n", min=1, help="The limit of new prompts.")] = 200,
    model: Annotated[str | None, typer.Option(help="The name of the teacher on its server.")] = None,
    run_directory: Annotated[
        Path | None,
        typer.Option("--run", help="A run directory that stores every answer, so that the same command resumes."),
    ] = None,
    seed: Annotated[int, typer.Option(help="The random seed.")] = 0,
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
