"""Commands for constitutions and prompts: lint, constitution, prompts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cai_lite.cli.shared import WRITE, Json, Out, app, guarded, quiet_libraries, say, show, show_json
from cai_lite.errors import InputError, plain

constitutions = typer.Typer(no_args_is_help=True, help="Import a policy, or compare two versions of a constitution.")
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


@constitutions.command("import")
@guarded
def import_(
    file: Annotated[Path, typer.Argument(help="A policy: plain text with one sentence per line, Markdown, or JSON.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="The file to write; by default the result is printed.")
    ] = None,
) -> None:
    """Convert a policy to a constitution, word for word, with the source of each principle.

    Example: cai-lite constitution import policy.md --out policy.yaml
    """
    from cai_lite.inputs.importing import import_constitution
    from cai_lite.run.files import write_text

    text = import_constitution(file)
    if out is None:
        typer.echo(plain(text) if sys.stdout.isatty() else text, nl=False)
        return
    if out.exists():
        raise InputError(f"{out} exists already; give another file")
    write_text(out, text)
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
