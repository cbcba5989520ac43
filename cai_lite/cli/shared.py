"""The parts that all commands share: options, error handling, and running a recipe.

Exit statuses: 0, success; 1, the command ran but a check failed; 2, the input is invalid and nothing was written; 3, it
stopped early and the same command resumes it; 130, it was interrupted and the same command resumes it.
"""

from __future__ import annotations

import functools
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer

from cai_lite.errors import UNSAFE, CaiError, InputError, RunBusyError, plain, without_secrets

P = ParamSpec("P")

app = typer.Typer(
    name="cai-lite",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Train an open language model to follow a written constitution, and measure whether it does.",
)


Out = Annotated[
    Path | None,
    typer.Option("--out", help="The run directory. The same command with the same directory resumes the run."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override a setting of the recipe, such as train.epochs=2; may be repeated."
    ),
]
RecipeName = Annotated[str, typer.Argument(help="A recipe file or packaged name.")]
Profile = Annotated[str | None, typer.Option(help="A profile of the recipe, such as 'embedded'.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress bars.")]


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Turn errors of a command into one clear message and an exit status; `--debug` shows the traceback instead."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt:
            _fail("interrupted; the same command resumes from here", 130)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
            if os.environ.get("CAI_LITE_DEBUG"):
                raise
            _fail(f"{error.filename or error}: {(error.strerror or 'cannot be used').lower()}", 2)
        except CaiError as error:
            if os.environ.get("CAI_LITE_DEBUG"):
                raise
            invalid = isinstance(error, (InputError, RunBusyError))
            # Only commands with a run directory can be resumed; the linter's is optional, and others have none.
            resumable = kwargs.get("out") is not None or ("out" in kwargs and command.__name__ != "lint")
            _fail(
                f"{error}\nFinished work is saved; the same command resumes from here."
                if resumable and not invalid
                else str(error),
                2 if invalid else 3,
            )

    return run


@app.callback()
def options(debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False) -> None:
    if debug:
        os.environ["CAI_LITE_DEBUG"] = "1"


def show(result: dict[str, Any], json_: bool, text: str) -> None:
    """Print the result as JSON with --json, else the text."""
    if json_:
        show_json(result)
    else:
        say(text)


def show_json(result: Any) -> None:
    """Print the result as JSON; characters that a terminal obeys are written as JSON's own escapes."""
    text = json.dumps(result, ensure_ascii=False)
    typer.echo(UNSAFE.sub(lambda found: json.dumps(found[0])[1:-1], text))


def say(text: str, *, err: bool = False) -> None:
    """Print a text, whoever wrote it: without escape sequences, and without the passwords of its URLs."""
    typer.echo(plain(without_secrets(text)), err=err)


def _fail(message: str, status: int) -> None:
    say(f"cai-lite: {message}", err=True)
    raise typer.Exit(status)


def quiet_libraries() -> None:
    """Silence the progress bars and hints of other libraries while ours are shown."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it warns of a missing optional package


def exit_by_gates(evaluation: dict[str, Any]) -> None:
    """Exit with 1 if a gate of the evaluation fails."""
    if not all(gate["holds"] for gate in evaluation.get("gates", ())):
        raise typer.Exit(1)


def walk(
    recipe: str, out: Path, settings: list[str] | None, profile: str | None, json_: bool, quiet: bool, **more: Any
) -> dict[str, Any]:
    """Run a recipe and return the result of `run_recipe`; exit with 1 if a gate fails. A dry run returns {}."""
    from cai_lite.pipeline.recipe import load_recipe
    from cai_lite.pipeline.walk import run_recipe

    quiet_libraries()
    read = load_recipe(recipe, overrides=settings or [], profile=profile)
    if more.pop("dry_run", False):
        from cai_lite.pipeline.walk import check_recipe

        say(check_recipe(read))
        return {}
    result = run_recipe(read, out, quiet=quiet or json_, **more)
    if json_:
        show_json(result)
    exit_by_gates(result.get("evaluation", {}))
    return result
