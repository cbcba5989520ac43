"""The trainings of a run, one after another: each phase goes on with the adapter of the one before.

A single training stands in the run directory itself. Several stand in phases/0-METHOD, phases/1-METHOD, ..., each with
what a training leaves, and adapter/ is a copy of the last one's.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from cai_lite.distill.critics import CriticExample
from cai_lite.distill.leaks import HeldOut
from cai_lite.distill.rated import ratings_of_run
from cai_lite.errors import InputError, Stopped
from cai_lite.pipeline.critics import training_examples
from cai_lite.pipeline.make_pairs import Work
from cai_lite.pipeline.prompted import self_taught
from cai_lite.pipeline.recipe import Recipe
from cai_lite.pipeline.sources import (
    FILES,
    OF_PAIRS,
    PROMPTED,
    REVISIONS,
    SOURCES,
    answer_lines,
    check_source,
    rating_lines,
)
from cai_lite.records import Candidate, PreferencePair, Prompt
from cai_lite.run.files import (
    PHASES,
    move_aside,
    move_folders_aside,
    phase_folders,
    read_record,
    sha256,
    trained,
    unfit,
    write_aside,
)
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Screen
from cai_lite.training.config import TrainingConfig
from cai_lite.training.methods import METHODS
from cai_lite.training.methods.preference_model import VERDICTS
from cai_lite.training.rewards import Feedback

SampledMaterial = Callable[[TrainingConfig, Path, Path | None], tuple[Sequence[Prompt], Feedback]]
"""Return the prompts of a phase that draws its samples itself, and what rewards them.

The arguments are its settings, its folder, and the adapter of the preference model before it, if there is one.
"""


def train_phases(
    recipe: Recipe,
    pairs: Sequence[PreferencePair],
    out: Path,
    screen: Screen,
    *,
    first: int = 0,
    before: Path | None = None,
    label: str = "",
    sampled: SampledMaterial | None = None,
) -> tuple[Path, list[str]]:
    """Train all phases of a recipe; return the adapter of the last one and the files that were written or compared.

    A phase that is finished with the same settings, data and adapter before it is not trained again, so the same call
    goes on where an earlier one stopped. A preference model begins from the student as it then is, or from the
    preference model before it; it is not handed on as the student. `first`: the phases before this one are taken as
    they stand, see `check_first`. `before`: the adapter from which the first phase goes on. `label`: the beginning of
    messages. `sampled`: gives the prompts of a phase that draws its samples itself, and what rewards them.

    Raises:
        InputError: the first phase begins from an adapter that would be replaced, or a file is damaged.
        Stopped: there is nothing that a phase could learn.
        TrainingError: a number is not finite, or a check before the first step failed.
    """
    phases = recipe.phases
    names = [f"{number}-{phase.method}" for number, phase in enumerate(phases)]
    _check_beginning(recipe, out)
    _put_aside(out, names if len(phases) > 1 else [], screen.say)
    if len(phases) == 1:
        return train_phase(recipe, phases[0], pairs, out, out, screen, name=label, before=before, sampled=sampled)
    for name in names:
        (out / PHASES / name).mkdir(parents=True, exist_ok=True)
    adapter, scorer, written = before, None, list[str]()
    for number, (phase, name) in enumerate(zip(phases, names, strict=True)):
        folder, called = out / PHASES / name, ", ".join(filter(None, [label, f"phase {name}"]))
        students = METHODS[phase.method].trains_student
        if number < first:
            made, files = folder / "adapter", trained(folder, anew=False)
            screen.say(f"{called}: taken as it stands")
        else:
            begin = adapter if students else scorer or adapter
            made, files = train_phase(
                recipe, phase, pairs, out, folder, screen, name=called, before=begin, scorer=scorer, sampled=sampled
            )
        adapter, scorer = (made, scorer) if students else (adapter, made)
        written += [f"{PHASES}/{name}/{file}" for file in files]
    assert adapter is not None, "a phase trains the student, or the recipe would have been refused"
    return out / "adapter", [*written, *publish(adapter, out / "adapter", screen.say)]


def student_before(recipe: Recipe, out: Path, number: int) -> Path | None:
    """Return the student's adapter from which a phase goes on; None where no phase before it trains the student."""
    before = [n for n, phase in enumerate(recipe.phases[:number]) if METHODS[phase.method].trains_student]
    return out / PHASES / f"{before[-1]}-{recipe.phases[before[-1]].method}" / "adapter" if before else None


def check_first(recipe: Recipe, out: Path, first: int) -> None:
    """Check that the phases before `first` are finished in `out`, and that there is such a phase.

    Raises:
        InputError: they are not, or there is none.
    """
    phases = recipe.phases
    if first and recipe.repeats.n > 1:
        raise InputError(f"--phase {first} is for a single round, and the recipe has {recipe.repeats.n}; set rounds=1")
    if not 0 <= first < len(phases):
        listed = ", ".join(f"{number} ({phase.method})" for number, phase in enumerate(phases))
        raise InputError(f"--phase {first}: the recipe has the phases {listed}")
    for number, phase in enumerate(phases[:first]):
        folder = out / PHASES / f"{number}-{phase.method}"
        if not is_trained(folder):
            raise InputError(f"--phase {first}: {folder} holds no finished training; begin with --phase {number}")
        if damaged := unfit(folder, read_record(folder / "training.json", {"sha256": dict})["sha256"]):
            raise InputError(
                f"--phase {first}: {folder / damaged[0]} is not as the training wrote it; put back a copy, or begin "
                f"with --phase {number}"
            )


def is_trained(folder: Path) -> bool:
    """Return whether the training in a folder is finished and its adapter there."""
    path = folder / "training.json"
    if not path.is_file() or not (folder / "adapter" / "adapter_config.json").is_file():
        return False
    return bool(read_record(path).get("finished"))


def needs_pairs(phase: TrainingConfig) -> bool:
    """Return whether a phase learns from the run's pairs."""
    return phase.on in OF_PAIRS or (phase.on is None and METHODS[phase.method].on_pairs)


def write_sources(work: Work, prompts: Sequence[Prompt], held_out: Sequence[Prompt], folder: Path) -> list[str]:
    """Write revisions.jsonl, prompted.jsonl and ratings.jsonl to `folder` where a phase learns from them.

    Return the files written.

    `prompts`: of the training. Revisions are made with the pairs; the student's answers under the constitution here.

    Raises:
        Stopped: the budget is spent, or too few replies of a stage are usable to go on.
    """
    learnt, written = {phase.on for phase in work.recipe.phases}, list[str]()
    if REVISIONS in learnt:
        written.append(_write(work, REVISIONS, "revisions to learn", work.revisions, held_out, folder))
    if PROMPTED in learnt:
        answers = self_taught(work, prompts, held_out)
        written.append(_write(work, PROMPTED, "answers under the constitution to learn", answers, held_out, folder))
    if VERDICTS in learnt:
        written.append(_write_ratings(work, prompts, held_out, folder))
    return written


def _write_ratings(work: Work, prompts: Sequence[Prompt], held_out: Sequence[Prompt], folder: Path) -> str:
    settings, constitution = work.recipe.pair, work.roles.constitution
    reserved = HeldOut([prompt.messages for prompt in held_out], near=settings.near is not None)
    found = ratings_of_run(
        work.run,
        [prompt for prompt in prompts if not reserved.matches(prompt.messages)],
        {principle.id: principle.text for principle in constitution.principles},
        rules=settings.rules,
        weights={principle.id: principle.weight for principle in constitution.principles},
        min_margin=settings.min_margin,
        soft_labels=settings.soft_labels,
    )
    counts = {"kept": len(found), "over all principles": sum(not row.text for row in found)}
    work.run.count(work.name("verdicts to learn"), counts)
    write_aside(folder / FILES[VERDICTS], rating_lines(found))
    return FILES[VERDICTS]


def _write(
    work: Work, source: str, stage: str, final: Sequence[Candidate], held_out: Sequence[Prompt], folder: Path
) -> str:
    lines, counts = answer_lines(
        final,
        work.run,
        work.roles.constitution,
        held_out=[prompt.messages for prompt in held_out],
        near=work.recipe.pair.near,
    )
    work.run.count(work.name(stage), {what: n for what, n in counts.items() if n or what == "kept"})
    write_aside(folder / FILES[source], lines)
    return FILES[source]


def material(
    phase: TrainingConfig,
    pairs: Sequence[PreferencePair],
    run_dir: Path,
    log: Callable[[str], None],
    *,
    student: str,
) -> Sequence[Any]:
    """Return the examples that a phase learns: from its source, else what its method makes of the run's pairs.

    `student`: the model that learns them.

    Raises:
        InputError: the file of the source is missing or damaged. Stopped: there are none.
    """
    if phase.on is not None:
        try:
            check_source(phase)
        except ValueError as error:
            raise InputError(str(error)) from None

        def critic_examples() -> list[CriticExample]:
            with Run.reading(run_dir) as run:
                return training_examples(run, student=student)

        found: Sequence[Any] = SOURCES[phase.on](
            run_dir, include_critique=phase.include_critique, critic_examples=critic_examples
        )
        if phase.on == VERDICTS:
            found = METHODS[phase.method].given(found, phase, log)
    else:
        found = METHODS[phase.method].given(pairs, phase, log)
    if not found:
        raise Stopped(f"no {phase.on or 'pairs'} to train on with '{phase.method}'; add prompts, or look at the counts")
    return found


def train_phase(
    recipe: Recipe,
    phase: TrainingConfig,
    pairs: Sequence[PreferencePair],
    out: Path,
    folder: Path,
    screen: Screen,
    *,
    name: str = "",
    before: Path | None = None,
    scorer: Path | None = None,
    sampled: SampledMaterial | None = None,
) -> tuple[Path, list[str]]:
    """Train one phase in its folder; return its adapter and the names of its files.

    `name`: what its messages begin with. `before`: the adapter before it; `scorer`: that of the preference model
    before it. `sampled`: as of `train_phases`.
    """
    from cai_lite.training.loop import train  # which imports torch

    def say(message: str) -> None:
        screen.say(f"{name}: {message}" if name else message)

    data: Sequence[Any]
    if METHODS[phase.method].on_policy:
        if sampled is None:
            raise InputError(
                f"'{phase.method}' draws its samples itself, and nothing here rewards them: it is a phase of a run"
            )
        data, feedback = sampled(phase, folder, scorer)
    else:
        data, feedback = material(phase, pairs, out, say, student=recipe.student.model), None
    shown_as = name.replace("phase ", "")
    with ExitStack() as shown:
        reference_tick = None
        if METHODS[phase.method].needs_reference(phase):
            reference_tick = shown.enter_context(screen.stage(f"reference {shown_as}".strip()))
        tick = shown.enter_context(screen.stage(f"train {shown_as}".strip()))
        result = train(
            recipe.student.model,
            data,
            config=phase,
            out=folder,
            load=recipe.student.load,
            template=recipe.student.template,
            system=recipe.student.system,
            before=before,
            feedback=feedback,
            progress=tick,
            reference_progress=reference_tick,
            log=say,
        )
    return result.adapter, trained(folder, anew=result.resumed_from < result.steps)


def _check_beginning(recipe: Recipe, out: Path) -> None:
    begin, several = recipe.phases[0].init_adapter, len(recipe.phases) > 1
    if several and begin is not None and Path(begin).resolve().is_relative_to(out.resolve()):
        raise InputError(
            f"train.0.init_adapter: {begin} is in the run directory, where the last phase replaces it; take another "
            "--out, or a copy of the adapter"
        )


def _put_aside(out: Path, names: Sequence[str], say: Callable[[str], None]) -> None:
    """Move phases aside that are not among `names`, and where there are several the output of a single training."""
    stale = [folder for folder in phase_folders(out) if folder.name not in names]
    if stale:
        aside = move_folders_aside(stale)
        say(f"the phases changed: {', '.join(folder.name for folder in stale)} moved to {aside}")
        if not any((out / PHASES).iterdir()):
            (out / PHASES).rmdir()
    single = ("adapter", "checkpoints", "metrics.jsonl", "training.json")
    if names and (out / "training.json").exists():
        say(f"several phases in place of one training: its output is in {move_aside(out, single, 'training')}")


def publish(adapter: Path, place: Path, say: Callable[[str], None], *, whose: str = "of the last phase") -> list[str]:
    """Copy an adapter to `place`, unless it is there already; return the files, by their paths.

    `whose`: which adapter it is, for the message that another one was there.
    """
    files = {path.relative_to(adapter): path for path in sorted(adapter.rglob("*")) if path.is_file()}
    there = {path.relative_to(place) for path in place.rglob("*") if path.is_file()} - {Path("README.md")}  # the card
    same = there == files.keys() and all(sha256(place / name) == sha256(path) for name, path in files.items())
    if not same:
        partial = place.with_name(".adapter.partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(adapter, partial)
        if place.exists():
            say(f"{place} is not the adapter {whose}: replaced by it")
            shutil.rmtree(place)
        partial.rename(place)
    return [*(f"{place.name}/{name.as_posix()}" for name in files), *([] if same else [f"{place.name}/README.md"])]
