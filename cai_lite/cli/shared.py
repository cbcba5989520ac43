"""The parts that all commands share: options, error handling, and running a recipe.

Exit statuses: 0, success; 1, the command ran but a check failed; 2, the input is invalid and nothing was written; 3, it
stopped early and the same command resumes it; 130 after Ctrl-C, 143 after SIGTERM and 129 after SIGHUP, and the same
command resumes it.
"""

from __future__ import annotations

import errno
import functools
import json
import logging
import os
import shlex
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec

import typer

from cai_lite.errors import (
    UNSAFE,
    CaiError,
    DiskError,
    InputError,
    RunBusyError,
    TrainingError,
    plain,
    without_secrets,
)
from cai_lite.run import signals
from cai_lite.run.disk import disk_error
from cai_lite.run.launch import launch

if TYPE_CHECKING:
    from cai_lite.pipeline.recipe import Recipe

P = ParamSpec("P")
SHARED = "train"  # the command that several processes run together
_PATHS = {errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL}  # what else can be wrong with a path that was typed

# Groups of the help, in its order.
WALK, WRITE, BEFORE, AFTER = "Walk", "Write a policy", "Before a run", "After a run"

app = typer.Typer(
    name="cai-lite",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Train an open language model to follow a written constitution, and measure whether it does. A recipe names a "
    "constitution, prompts, a teacher and a student. Begin with `cai-lite demo`; `cai-lite COMMAND --help` shows an "
    "example.",
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
Template = Annotated[
    list[str] | None,
    typer.Option(
        "--template",
        metavar="KEY=VALUE",
        help="A variable of the model's chat template, such as enable_thinking=false; may be repeated.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
On = Annotated[
    str | None,
    typer.Option(
        "--on",
        metavar="ray[://HOST:PORT]",
        help="Let teachers, judges and critics answer on a Ray cluster; 'ray' alone is this machine's.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress bars.")]


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Turn errors of a command into one clear message and an exit status; `--debug` shows the traceback instead."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        # Only commands with a run directory can be resumed; the linter's is optional, and others have none.
        resumable = kwargs.get("out") is not None or ("out" in kwargs and command.__name__ != "lint")
        try:
            if launch().world_size > 1 and command.__name__ != SHARED:
                raise InputError("torchrun is for `train`, whose work several processes share; start this without it")
            command(*args, **kwargs)
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except BaseException as error:
            if not isinstance(error, (Exception, KeyboardInterrupt)):
                raise
            if isinstance(error, KeyboardInterrupt) or signals.asked():  # a library may have made it another error
                going_on = "; finished work is saved, and the same command resumes from here" if resumable else ""
                _fail(signals.told() + going_on, 128 + (signals.asked() or signal.SIGINT))
            message, status = _told(error)
            if not message or os.environ.get("CAI_LITE_DEBUG"):
                raise
            if resumable and status == 3 and not isinstance(error, DiskError):
                message += "\nFinished work is saved"
                # A training that cannot go on may meet the same again.
                message += "." if isinstance(error, TrainingError) else "; the same command resumes from here."
            _fail(message, status)

    return run


def _told(error: BaseException) -> tuple[str, int]:
    """Return the message and the exit status of an error, or "" for a bug of this library."""
    if isinstance(error, CaiError):
        return str(error), 2 if isinstance(error, (InputError, RunBusyError)) else 3
    if fault := disk_error(error):
        return str(fault), 3
    if isinstance(error, sqlite3.DatabaseError):
        return f"run.db is damaged ({error}); put back a copy, or choose another run directory to start anew", 3
    if isinstance(error, OSError):
        wrong_path = isinstance(error, (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError))
        what = f"{error.filename}: " if error.filename else ""
        return f"{what}{(error.strerror or str(error)).lower()}", 2 if wrong_path or error.errno in _PATHS else 3
    return "", 1


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"cai-lite {vars(sys.modules['cai_lite'])['__version__']}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if debug:
        os.environ["CAI_LITE_DEBUG"] = "1"


def variables(template: list[str] | None) -> dict[str, Any] | None:
    """Return the variables given by `--template KEY=VALUE`, the values read as YAML; None if there are none.

    Raises:
        InputError: an option is not written KEY=VALUE, or its value is no YAML.
    """
    from cai_lite.inputs.yamlfile import parse_value

    found: dict[str, Any] = {}
    for item in template or []:
        name, equals, value = item.partition("=")
        if not equals or not name.isidentifier():
            raise InputError(f"--template {item}: a variable is written key=value, such as enable_thinking=false")
        found[name] = parse_value(value, f"--template {item}", InputError)
    return found or None


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
    who = "cai-lite" if launch().world_size == 1 else f"cai-lite (rank {launch().rank})"
    with suppress(OSError):  # standard error may be a file on the full disk, or a terminal that was closed
        say(f"{who}: {message}", err=True)
    raise typer.Exit(status)


def quiet_libraries() -> None:
    """Silence the progress bars and hints of other libraries while ours are shown."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it warns of a missing optional package


def exit_by_gates(evaluation: dict[str, Any], *, untold: bool = False) -> None:
    """Exit with 1 if a gate of the evaluation fails. `untold`: nobody has said which."""
    failed = [gate for gate in evaluation.get("gates", ()) if not gate["holds"]]
    for gate in failed if untold else ():
        found = "nothing" if gate["found"] is None else f"{gate['found']:.3g}"
        typer.echo(f"cai-lite: gate failed: {gate['name']} {gate['wanted']}, found {found}", err=True)
    if failed:
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
        _dry_run(read, out, _words(recipe, settings, profile), json_, more.pop("show", False), more.get("on"))
        return {}
    more.pop("show", None)
    result = run_recipe(read, out, quiet=quiet or json_, **more)
    if json_:
        show_json(result)
    elif not quiet and "evaluation" in result:
        _end(result, out, read.student.model)
    exit_by_gates(result.get("evaluation", {}), untold=quiet and not json_)
    return result


def run_name(recipe: str) -> str:
    """Return the name of a recipe's run directory: the file's, or its folder's for NAME/recipe.yaml."""
    path = Path(recipe)
    return path.resolve().parent.name if path.name == "recipe.yaml" else path.stem


def _words(recipe: str, settings: list[str] | None, profile: str | None) -> str:
    words = [recipe, *(["--profile", profile] if profile else [])]
    return shlex.join([*words, *(word for setting in settings or [] for word in ("--set", setting))])


def _dry_run(recipe: Recipe, out: Path, words: str, json_: bool, show_: bool, on: str | None) -> None:
    from cai_lite.pipeline.ready import show_plan
    from cai_lite.pipeline.walk import check_recipe, resolved_text

    plan = check_recipe(recipe, out, on)
    if json_:
        show_json({**plan.as_dict(), "ready": plan.headline, "resolved": resolved_text(recipe)})
        return
    if show_:
        say(resolved_text(recipe))
    first = [f"cai-lite preflight {words}"] if plan.paid and plan.forecast is None else []
    where = ["--on", on] if on is not None else []
    show_plan(plan, [*first, f"cai-lite run {words} {shlex.join(['--out', str(out), *where])}"])


def _end(result: dict[str, Any], out: Path, student: str) -> None:
    """Print the figures with the headline and the gates, and last what may follow."""
    from cai_lite.evaluation.table import show
    from cai_lite.pipeline.earlier import show_since
    from cai_lite.pipeline.ready import show_next
    from cai_lite.run.progress import Terminal

    console = Terminal()
    show(result["evaluation"], console)
    if "since" in result:
        show_since(result["since"], console)
    adapter, place = shlex.quote(result["adapter"]), shlex.quote(str(out))
    console.print(f"report: {result['report']}", highlight=False, markup=False, soft_wrap=True)
    show_next(
        [f"cai-lite chat {shlex.quote(student)} --adapter {adapter}", f"cai-lite audit {place} --verify"], console
    )
