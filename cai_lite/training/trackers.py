"""What follows a training: experiment trackers by name, and a function of the caller's.

    train: {trackers: [tensorboard, wandb]}          cai.train(..., on_step=print)

Each is given the lines of metrics.jsonl, one an update, as they are written. Nothing leaves this machine unless a
tracker is named that sends it, and then numbers alone: the metrics and the settings of the training, no texts, paths,
code or console output. A tracker that fails is warned of once and given nothing more; the training goes on. To add a
tracker, write a function that opens it and name it in `TRACKERS`, with its package in `PACKAGES`.

W&B, MLflow and trackio take their server, project and key from their own environment variables (WANDB_PROJECT,
WANDB_MODE, MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME, TRACKIO_PROJECT, ...).
"""

from __future__ import annotations

import importlib
import math
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stdout
from dataclasses import fields, is_dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from cai_lite.errors import MissingPackageError
from cai_lite.training import folder

PROJECT = "cai-lite"  # the project or experiment where the tracker's environment variable names none
NOT_SENT = ("trackers", "init_adapter")  # settings: one is about this, the other a path
PACKAGES = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow", "trackio": "trackio"}

OnStep = Callable[[Mapping[str, float]], None]


class Training(NamedTuple):
    """The training as a tracker is told of it.

    `out`: its folder. `name`: of the run. `settings`: flat, with names such as `lora.rank`. `known`: the id under which
    the tracker knows this training, if it goes on from a checkpoint. `step`: the first update that will be logged.
    """

    out: Path
    name: str
    settings: Mapping[str, float | str]
    known: str | None
    step: int


class Tracker(NamedTuple):
    """An open tracker: the id of its run, what logs the numbers of a step, and what closes it (True: it failed)."""

    id: str
    log: Callable[[Mapping[str, float], int], None]
    close: Callable[[bool], None]


def _tensorboard(training: Training) -> Tracker:
    """Open an event file in the folder `tensorboard` of the training."""
    module = importlib.import_module("torch.utils.tensorboard")
    place = training.out / "tensorboard"
    writer = module.SummaryWriter(log_dir=str(place), purge_step=training.step if training.known else None)
    if training.known is None:
        table = "\n".join(["|setting|value|", "|-|-|", *(f"|{k}|{v}|" for k, v in training.settings.items())])
        writer.add_text("settings", table, global_step=0)

    def log(numbers: Mapping[str, float], step: int) -> None:
        for name, value in numbers.items():
            writer.add_scalar(name, value, global_step=step)
        writer.flush()  # a killed process leaves what it has logged

    return Tracker("tensorboard", log, lambda failed: writer.close())


def _wandb(training: Training) -> Tracker:
    """Open a run of Weights & Biases, which would also send the console, code, packages, host name and machine load."""
    wandb = importlib.import_module("wandb")
    own = training.known or _new(training.name)
    settings = wandb.Settings(
        console="off",
        disable_code=True,
        disable_git=True,
        host="",
        save_code=False,
        x_disable_machine_info=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_save_requirements=False,
    )
    run = wandb.init(
        project=os.environ.get("WANDB_PROJECT") or PROJECT,
        id=own,
        name=training.name,
        dir=str(training.out),
        config=dict(training.settings),
        resume="allow",
        reinit="create_new",  # a run that the caller has open stays the caller's
        settings=settings,
    )

    def log(numbers: Mapping[str, float], step: int) -> None:
        run.log(dict(numbers), step=step)

    return Tracker(own, log, lambda failed: run.finish(exit_code=int(failed)))


def _mlflow(training: Training) -> Tracker:
    """Open a run of MLflow through its client, so that an active run of the caller's stays what it is."""
    mlflow, entities = importlib.import_module("mlflow"), importlib.import_module("mlflow.entities")
    client = mlflow.MlflowClient()
    if training.known is not None:
        own = training.known
        client.update_run(own, status="RUNNING")
    else:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT
        found = client.get_experiment_by_name(name)
        experiment = client.create_experiment(name) if found is None else found.experiment_id
        own = client.create_run(experiment, run_name=training.name).info.run_id
        client.log_batch(own, params=[entities.Param(key, str(value)) for key, value in training.settings.items()])

    def log(numbers: Mapping[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        client.log_batch(own, metrics=[entities.Metric(key, value, now, step) for key, value in numbers.items()])

    return Tracker(own, log, lambda failed: client.set_terminated(own, status="FAILED" if failed else "FINISHED"))


def _trackio(training: Training) -> Tracker:
    """Open a run of trackio, which knows runs by name, and has one at a time: the caller's, if open, ends here."""
    trackio = importlib.import_module("trackio")
    own = training.known or _new(training.name)
    project = os.environ.get("TRACKIO_PROJECT") or PROJECT
    run = trackio.init(
        project=project,
        name=own,
        config=dict(training.settings),
        resume="allow",
        embed=False,
        auto_log_cpu=False,  # the machine's load
        auto_log_gpu=False,
    )

    def log(numbers: Mapping[str, float], step: int) -> None:
        run.log(dict(numbers), step=step)

    # A run that is finished by itself stays the current one, and is finished again, aloud, at the end of the process.
    return Tracker(own, log, lambda failed: trackio.finish())


TRACKERS: dict[str, Callable[[Training], Tracker]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "mlflow": _mlflow,
    "trackio": _trackio,
}


def check_installed(names: Iterable[str]) -> None:
    """Check that the packages of the trackers are installed.

    Raises:
        MissingPackageError: one is not.
    """
    for name in names:
        package = PACKAGES.get(name)
        if package is not None and not _is_installed(package):
            raise MissingPackageError(
                f"train.trackers: '{name}' needs the package {package}: pip install {package}, or pip install "
                "'cai-lite[trackers]' for all of them; or leave it out"
            )


class Followers:
    """A context in which each line of metrics.jsonl is told to the trackers and to `on_step`.

    The trackers are opened at the first line, and closed when the context ends. torch's random state is left as it was,
    so that the training's numbers are the same whoever follows it. What `on_step` raises ends the training; the same
    call resumes it from its last checkpoint.
    """

    def __init__(self, config: Any, out: Path, on_step: OnStep | None, log: Callable[[str], None]) -> None:
        self._config, self._out, self._on_step, self._say = config, out, on_step, log
        self._waiting: list[str] = list(config.trackers)
        self._open: dict[str, Tracker] = {}

    def __enter__(self) -> Followers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name, tracker in list(self._open.items()):
            self._try(name, partial(tracker.close, kind is not None))

    def __call__(self, line: Mapping[str, float]) -> None:
        """Tell everybody of a line."""
        if not (self._waiting or self._open or self._on_step):
            return
        from cai_lite.chat.weights import random_state_kept

        with random_state_kept():
            numbers, step = _numbers(line), int(line["step"])
            while self._waiting:
                name = self._waiting.pop(0)
                self._try(name, partial(self._begin, name, step))
            for name, tracker in list(self._open.items()):
                self._try(name, partial(tracker.log, numbers, step))
            if self._on_step is not None:
                self._on_step(dict(line))

    def _begin(self, name: str, step: int) -> None:
        known = folder.recorded(self._out).get("trackers", {}).get(name)
        opened = TRACKERS[name](Training(self._out, _name(self._out), settings_of(self._config), known, step))
        self._open[name] = opened
        folder.note_tracker(self._out, name, opened.id)

    def _try(self, name: str, call: Callable[[], None]) -> None:
        try:
            with redirect_stdout(sys.stderr):  # standard output is for the result of a command
                call()
        except (Exception, SystemExit) as error:
            self._open.pop(name, None)
            why = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
            self._say(
                f"warning: the tracker '{name}' failed ({why}), and nothing more is sent to it; the training goes on, "
                "and metrics.jsonl has every line"
            )


def settings_of(config: Any) -> dict[str, float | str]:
    """Return the settings of a training as flat names and plain values, without paths."""
    found: dict[str, float | str] = {}

    def add(name: str, value: Any) -> None:
        if hasattr(value, "as_section"):
            value = value.as_section()
        elif is_dataclass(value) and not isinstance(value, type):
            value = {each.name: getattr(value, each.name) for each in fields(value)}
        if isinstance(value, Mapping):
            for key, inner in value.items():
                add(f"{name}.{key}" if name else str(key), inner)
        elif isinstance(value, (list, tuple)):
            found[name] = ", ".join(map(str, value))
        elif value is not None:
            found[name] = value if isinstance(value, (bool, int, float)) else str(value)

    add("", {key: value for key, value in config.as_section().items() if key not in NOT_SENT})
    return found


def _numbers(line: Mapping[str, float]) -> dict[str, float]:
    return {
        name: value
        for name, value in line.items()
        if name != "step" and isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    }


def _name(out: Path) -> str:
    """Return the name of a run: the folder's, behind that of the run directory where it is a phase or a round of it."""
    parts = list(out.resolve().parts)
    kept = [parts.pop()]
    while len(parts) > 1 and parts[-1] in ("phases", "rounds"):
        kept.insert(0, parts[-2])
        del parts[-2:]
    return "-".join(kept)


def _new(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


def _is_installed(package: str) -> bool:
    if package in sys.modules:
        return sys.modules[package] is not None
    spec = find_spec(package)
    return spec is not None and spec.origin is not None  # a folder of that name, such as ./wandb, is no package
