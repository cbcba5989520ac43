"""`cai-lite train`: one training alone, on a file of somebody's or on the material of a run, in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cai_lite.chat.base import SystemMessage
from cai_lite.chat.weights import checked_load, resolve
from cai_lite.errors import InputError, did_you_mean
from cai_lite.inputs.demonstrations import read_demonstrations
from cai_lite.inputs.pairs import load_pairs, read_pairs
from cai_lite.inputs.quarantine import MAX_BAD, QUARANTINE, BadRow, reasons, write_quarantine
from cai_lite.pipeline.contributions import decided, left_without
from cai_lite.pipeline.phases import material, needs_pairs
from cai_lite.pipeline.recipe import recorded_training, training_config
from cai_lite.pipeline.sources import SOURCES
from cai_lite.run.files import trained, write_manifest
from cai_lite.run.ledger import Run
from cai_lite.run.mapped import scratch
from cai_lite.run.progress import Screen
from cai_lite.training.config import TrainingConfig
from cai_lite.training.methods import METHODS
from cai_lite.training.methods.sft import CHOSEN
from cai_lite.training.trackers import check_installed


def train_file(
    student: str,
    file: Path,
    settings: Sequence[str],
    out: Path,
    *,
    load: str | None = None,
    max_bad: float = MAX_BAD,
    quiet: bool = False,
) -> dict[str, Any]:
    """Train on a file of pairs or demonstrations, as `train.method` says.

    Rows that cannot be used are listed in quarantine.jsonl. `settings`: such as `train.loss.beta=0.2`. `max_bad`: the
    share of unusable rows above which the file is refused, from 0 to below 1.
    """
    from cai_lite.training.ranks import joined  # which imports torch

    config = training_config(settings)
    _check_alone(config)
    notes: list[str] = []
    with joined() as ranks, ranks.folder(out) as own, scratch(own, "pairs") as aside:
        data, bad = _read(file, config, max_bad, aside / "pairs.arrow", notes.append)
        return _train(student, data, bad, config, out, load=load, quiet=quiet, notes=notes)


def train_run(
    run_dir: Path,
    settings: Sequence[str],
    out: Path,
    *,
    without: str | None = None,
    student: str | None = None,
    load: str | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Train one phase alone on what a run made; the run itself is left as it is.

    The settings are those of the run's phase of the same method, and the defaults where it has none. `student`: another
    one than the run's. `without`: the id of a principle that gets no say in the pairs (see `contributions`). With
    `on: critiques` the result is a critic, for `critique.by: MODEL#ADAPTER_FOLDER`.

    Raises:
        InputError: it is no run directory, or lacks what the method learns.
    """
    if not (run_dir / "recipe.yaml").is_file():
        raise InputError(f"{run_dir} is not the directory of a recipe's run (recipe.yaml not found)")
    if out.resolve() == run_dir.resolve():
        raise InputError(f"--out {out} is the run itself, which is left as it is; choose another folder")
    section, config = recorded_training(run_dir / "recipe.yaml", settings)
    _check_alone(config)
    if not METHODS[config.method].on_pairs and config.on is None:
        raise InputError(f"name what '{config.method}' learns: --on {' or --on '.join(SOURCES)}")
    if config.on is not None and config.on not in SOURCES:
        raise InputError(f"--on {config.on}: there is no such source{did_you_mean(config.on, SOURCES)}")
    pairs = run_dir / "pairs.jsonl"
    if needs_pairs(config) and not pairs.is_file():
        raise InputError(f"{run_dir} has no pairs.jsonl yet: run the recipe first")
    notes: list[str] = []
    learner = student or section.model
    if without is not None and config.on is not None:
        raise InputError(f"--without leaves a principle out of pairs, and this training learns 'on: {config.on}'")
    if without is not None:
        made = left_without(decided(run_dir), without)
    else:
        made = load_pairs(pairs) if needs_pairs(config) else []
    data = material(config, made, run_dir, notes.append, student=learner)
    return _train(
        learner,
        data,
        [],
        config,
        out,
        load=load or (section.load if student is None else None),
        quiet=quiet,
        notes=notes,
        template=section.template if student is None else None,
        system=section.system if student is None else "keep",
    )


def _check_alone(config: TrainingConfig) -> None:
    """Check that a method can be trained without the rest of a run, and followed. Raises InputError."""
    check_installed(config.trackers)
    if METHODS[config.method].on_policy:
        raise InputError(
            f"'{config.method}' learns from the rewards of a judge: make it a phase of a recipe, such as train: "
            f"[{{method: dpo}}, {{method: {config.method}}}], and walk that phase alone with `cai-lite run RECIPE "
            "--phase 1`; in Python, cai.train(..., reward=FUNCTION)"
        )


def _read(
    file: Path, config: TrainingConfig, max_bad: float, aside: Path, log: Callable[[str], None]
) -> tuple[Sequence[Any], list[BadRow]]:
    """Return the examples of a file, and its unusable rows as far as the method's reader lists them."""
    if config.method == "sft" and config.on is None:
        return read_demonstrations(file, max_bad=max_bad)
    if config.method in ("dpo", "preference_model") or config.on == CHOSEN:
        pairs, bad = read_pairs(file, max_bad=max_bad, aside=aside)
        return METHODS[config.method].given(pairs, config, log), bad
    return METHODS[config.method].given(file, config, log), []


def _train(
    student: str,
    data: Sequence[Any],
    bad: Sequence[BadRow],
    config: TrainingConfig,
    out: Path,
    *,
    load: str | None,
    quiet: bool,
    notes: Sequence[str],
    template: Mapping[str, Any] | None = None,
    system: SystemMessage = "keep",
) -> dict[str, Any]:
    from cai_lite.training.loop import train  # which imports torch
    from cai_lite.training.ranks import joined

    how = checked_load(load)
    resolve(student)
    with (
        joined() as ranks,
        ranks.folder(out) as own,
        Run(own) as run,
        Screen(quiet=quiet or not ranks.first, log=own / "log.txt") as screen,
    ):
        screen.taken_over(run.recovered)
        write_quarantine(own / QUARANTINE, bad)
        if bad:
            screen.warn(f"{len(bad):,} rows left out ({reasons(bad)}); see {out / QUARANTINE}")
        for note in notes:
            screen.say(note)
        with screen.stage("reference") as reference_tick, screen.stage("train") as tick:
            result = train(
                student,
                data,
                config=config,
                out=out,
                load=how,
                template=template,
                system=system,
                progress=tick,
                reference_progress=reference_tick,
                log=screen.say,
            )
        if ranks.first:
            for line in write_manifest(out, *trained(out, anew=result.resumed_from < result.steps)):
                screen.warn(line)
    return {
        "adapter": str(result.adapter),
        "steps": result.steps,
        "resumed_from": result.resumed_from,
        "quarantined": len(bad),
        "pairs": None if result.report is None else asdict(result.report),
        "last": result.last,
        "best": result.best,
        "skipped": result.skipped,
        "world_size": result.world_size,
    }
