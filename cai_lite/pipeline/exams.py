"""`cai-lite prompts exam` and `prompts redteam`: open the models, walk the steps, and write one prompts file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cai_lite.chat import open_model
from cai_lite.chat.asking import Stage
from cai_lite.chat.base import ChatModel
from cai_lite.chat.faults import Watch
from cai_lite.distill.exam import MAX_TOKENS, Exam, ExamPrompt, exam, exam_lines, read_exam
from cai_lite.distill.exam_coverage import coverage
from cai_lite.distill.exam_kinds import TACTICS, kinds_of
from cai_lite.distill.redteam import redteam
from cai_lite.embedded.exam import GRAMMAR, grammar_exam
from cai_lite.errors import InputError
from cai_lite.evaluation.difficulty import measure
from cai_lite.inputs.constitution import Constitution, load_constitution
from cai_lite.inputs.prompts import all_prompts
from cai_lite.records import Messages, Sampling
from cai_lite.run.files import write_text
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Screen

DENIED = ("denied", "unsafe")  # the kinds of prompts that seed a red team where no file does
JUDGE_OF_THE_GRAMMAR = "embedded:teacher"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How the models of an exam are asked.

    `max_tokens`: the limit of each reply of teacher and verifier. `template`: variables of the teacher's chat template.
    `run_directory`: keeps every reply, so that the same call resumes.
    """

    model: str | None = None
    seed: int = 0
    max_tokens: int = MAX_TOKENS
    template: Mapping[str, Any] | None = None
    run_directory: Path | None = None
    quiet: bool = False
    told: set[str] = field(default_factory=set)

    def teacher(self, where: str) -> ChatModel:
        """Open the teacher; the other models have its name on their servers in their own address, `URL#NAME`."""
        return open_model(where, model=self.model, template=self.template)

    @property
    def answering(self) -> Sampling:
        """Return how a student answers."""
        return Sampling(temperature=0.7, max_tokens=512, seed=self.seed)


def make_exam(
    name: str,
    teacher: str,
    out: Path,
    *,
    verifier: str | None = None,
    student: str | None = None,
    judge: str | None = None,
    kinds: Sequence[str] = (),
    principles: Sequence[str] = (),
    n: int = 4,
    samples: int = 3,
    held_out: float = 0.2,
    against: Sequence[Path] = (),
    asking: Asking,
) -> dict[str, Any]:
    """Write an exam for a constitution to `out`, and return its coverage; no file is written for an empty exam.

    `teacher`, `verifier`, `student`, `judge`: models as `open_model` takes them; the teacher `embedded:grammar` is the
    grammar of the toy world. With a student, the difficulty of each prompt is measured on `samples` answers.

    Raises:
        InputError: `out` exists, its folder does not, or constitution, models or files cannot be used.
    """
    _check_out(out)
    constitution, chosen = load_constitution(name), kinds_of(kinds)
    reserved = _messages(against)
    with _stages(asking) as (run, opened):
        if teacher == GRAMMAR:
            if verifier is not None or against:
                raise InputError(f"--verifier and --against say nothing about {GRAMMAR}; leave them out")
            known = grammar_exam(
                constitution, n=n, kinds=chosen, principles=principles, held_out=held_out, seed=asking.seed
            )
        else:
            writer = asking.teacher(teacher)
            known = exam(
                writer,
                constitution,
                n=n,
                kinds=chosen,
                principles=principles,
                verifier=writer if verifier is None else open_model(verifier),
                against=reserved,
                held_out=held_out,
                seed=asking.seed,
                max_tokens=asking.max_tokens,
                run=run,
                opened=opened,
            )
        if student is not None:
            by = judge or (JUDGE_OF_THE_GRAMMAR if teacher == GRAMMAR else teacher)
            known.prompts = measure(
                known.prompts,
                constitution,
                open_model(student),
                asking.teacher(by) if by == teacher else open_model(by),
                samples=samples,
                opened=opened,
                sampling=asking.answering,
            )
    return {"file": str(out), "writer": teacher, **_written(out, known.prompts, coverage(known))}


def make_redteam(
    name: str,
    teacher: str,
    student: str,
    out: Path,
    *,
    prompts: Path | None = None,
    judges: Sequence[str] = (),
    verifier: str | None = None,
    tactics: Sequence[str] = (),
    turns: int = 3,
    limit: int | None = None,
    n: int = 2,
    against: Sequence[Path] = (),
    asking: Asking,
) -> dict[str, Any]:
    """Press a student from the prompts of a file, write what breaks it to `out`, and return the yield.

    `prompts`: an exam, or any prompts file; without one, the teacher first writes `n` prompts of the kinds `DENIED` for
    each principle. `judges`: the teacher if empty. No file is written where nothing broke the student.

    Raises:
        InputError: `out` exists, its folder does not, or constitution, models or files cannot be used.
    """
    _check_out(out)
    if len(judges) > 2:
        raise InputError(f"at most two judges decide what broke the student, got {len(judges)}")
    constitution = load_constitution(name)
    reserved = _messages(against)
    seeds = None if prompts is None else read_exam(prompts)
    with _stages(asking) as (run, opened):
        writer = asking.teacher(teacher)
        checking = writer if verifier is None else open_model(verifier)
        if seeds is None:
            seeds = _own_seeds(writer, checking, constitution, n, reserved, asking, run, opened).prompts
        found = redteam(
            writer,
            open_model(student),
            [asking.teacher(where) if where == teacher else open_model(where) for where in judges or [teacher]],
            seeds,
            constitution,
            turns=turns,
            tactics=tuple(tactics) or tuple(TACTICS),
            limit=limit,
            against=reserved,
            verifier=checking,
            answering=asking.answering,
            seed=asking.seed,
            max_tokens=asking.max_tokens,
            run=run,
            opened=opened,
        )
    return {"file": str(out), "constitution": constitution.name, **_written(out, found.kept, found.as_dict())}


def _own_seeds(
    writer: ChatModel,
    verifier: ChatModel,
    constitution: Constitution,
    n: int,
    against: Sequence[Messages],
    asking: Asking,
    run: Run,
    opened: Callable[[str, ChatModel], AbstractContextManager[Stage]],
) -> Exam:
    return exam(
        writer,
        constitution,
        n=n,
        kinds=kinds_of(DENIED),
        verifier=verifier,
        against=against,
        held_out=0.0,  # every one of them is pressed, and families keep their side
        seed=asking.seed,
        max_tokens=asking.max_tokens,
        run=run,
        opened=opened,
    )


@contextmanager
def _stages(asking: Asking) -> Iterator[tuple[Run, Callable[[str, ChatModel], AbstractContextManager[Stage]]]]:
    """Open the run, and give what opens its stages: each with a bar, and a watch that says what is unusable."""
    log = asking.run_directory / "log.txt" if asking.run_directory else None
    with Run(asking.run_directory) as run, Screen(quiet=asking.quiet, log=log) as screen:
        screen.taken_over(run.recovered)

        @contextmanager
        def opened(name: str, model: ChatModel) -> Iterator[Stage]:
            with screen.stage(name) as tick:
                watch = Watch(say=screen.warn, told=asking.told)
                yield Stage(run=run, name=f"{name} ({model.name})", tick=tick, watch=watch)

        yield run, opened


def _written(out: Path, rows: Sequence[ExamPrompt], found: dict[str, Any]) -> dict[str, Any]:
    if rows:
        write_text(out, exam_lines(rows))
    return found


def _check_out(out: Path) -> None:
    if out.exists():
        raise InputError(f"{out} already exists; name another file")
    if not out.parent.is_dir():
        raise InputError(f"{out.parent}: folder not found; create it, or name another file")


def _messages(files: Sequence[Path]) -> list[Messages]:
    return [prompt.messages for file in files for prompt in all_prompts(file)]
