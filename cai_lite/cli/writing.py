"""What people write: lint, constitution, prompts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cai_lite.cli.shared import Json, Out, app, guarded, quiet_libraries, show
from cai_lite.errors import InputError

constitutions = typer.Typer(no_args_is_help=True, help="Import a policy, or compare two versions of a constitution.")
prompt_files = typer.Typer(no_args_is_help=True, help="Extend a list of prompts.")
app.add_typer(constitutions, name="constitution")
app.add_typer(prompt_files, name="prompts")


@app.command()
@guarded
def lint(
    files: Annotated[list[str], typer.Argument(help="Constitution files, or packaged names")],
    prompts: Annotated[Path | None, typer.Option(help="A prompt file: do the tags of applies_to reach any?")] = None,
    judge: Annotated[
        str | None, typer.Option(help="Also try this model on the examples: a folder, hub id or URL")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The judge's name at a server")] = None,
    votes: Annotated[int, typer.Option(min=1, help="So many drawn verdicts of each order")] = 5,
    out: Out = None,
    json_: Json = False,
) -> None:
    """Find what is vague, double, contradictory or broken in a constitution; exit 1 on errors, not on warnings.

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
        typer.echo(json.dumps({"findings": found, "trials": trials} if judge else found, ensure_ascii=False))
    else:
        for trial in trials:
            show_trials(trial)
        show_findings(found)
    if any(finding["level"] == "error" for finding in found):
        raise typer.Exit(1)


@constitutions.command("import")
@guarded
def import_(
    file: Annotated[Path, typer.Argument(help="Sentences one a line, Markdown, or JSON")],
    out: Annotated[Path | None, typer.Option("--out", help="The file to write; else it is printed")] = None,
) -> None:
    """Make a constitution of a policy that somebody else wrote, word for word, each principle with its source.

    Example: cai-lite constitution import policy.md --out policy.yaml
    """
    from cai_lite.inputs.importing import import_constitution

    text = import_constitution(file)
    if out is None:
        typer.echo(text, nl=False)
        return
    if out.exists():
        raise InputError(f"{out} is there already; name another file")
    out.write_text(text, encoding="utf-8")
    typer.echo(f"{out}: look through it with 'cai-lite lint {out}'")


@constitutions.command("diff")
@guarded
def diff(
    old: Annotated[str, typer.Argument(help="A constitution file, or a packaged name")],
    new: Annotated[str, typer.Argument(help="The other one")],
    run_directory: Annotated[Path | None, typer.Option("--run", help="Also count the rows of this run")] = None,
    json_: Json = False,
) -> None:
    """Say which principles changed, and which rows of a run are made anew by that.

    Example: cai-lite constitution diff old.yaml new.yaml --run runs/first
    """
    from dataclasses import asdict

    from cai_lite.inputs.constitution import load_constitution
    from cai_lite.inputs.versions import changes, show_changes, touched
    from cai_lite.run.ledger import Run

    found = changes(load_constitution(old), load_constitution(new))
    rows: dict[str, dict[str, int]] = {}
    if run_directory is not None:
        if not (run_directory / "run.db").is_file():
            raise InputError(f"{run_directory}: no run is there")
        with Run(run_directory) as held:
            rows = touched(held, found)
    if json_:
        typer.echo(json.dumps({"changes": [asdict(change) for change in found], "rows": rows}, ensure_ascii=False))
    else:
        show_changes(found, rows)


@prompt_files.command("grow")
@guarded
def grow(
    file: Annotated[Path, typer.Argument(help="A prompt file: the seeds")],
    teacher: Annotated[str, typer.Option(help="Who writes: a URL, a model folder or a hub id")],
    out: Annotated[Path, typer.Option("--out", help="The file of new prompts")],
    n: Annotated[int, typer.Option("-n", min=1, help="At most so many new prompts")] = 200,
    model: Annotated[str | None, typer.Option(help="The teacher's name at a server")] = None,
    run_directory: Annotated[
        Path | None, typer.Option("--run", help="Keeps every answer: the same command goes on")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of what is shown and drawn")] = 0,
    json_: Json = False,
) -> None:
    """Let a teacher write more prompts of each family, without near copies; families stay on their side of the split.

    Example: cai-lite prompts grow seeds.jsonl --teacher http://localhost:8000/v1 --model big --out more.jsonl
    """
    from cai_lite.distill.growing import grow_file

    quiet_libraries()
    counts = grow_file(file, teacher, out, model=model, n=n, seed=seed, run_directory=run_directory)
    show({"file": str(out), **counts}, json_, f"{out}: " + ", ".join(f"{v} {k}" for k, v in counts.items()))
    if not counts["kept"]:
        if not json_:
            typer.echo("nothing was written: a new prompt stands on a line of its own behind a number and a full stop")
        raise typer.Exit(1)
