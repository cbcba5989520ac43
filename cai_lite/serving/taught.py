"""What a finished run taught its student: the trainings, what each learnt from, and the adapters between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cai_lite.errors import InputError
from cai_lite.inputs.constitution import Constitution, load_constitution
from cai_lite.inputs.pairs import load_pairs
from cai_lite.pipeline.earlier import CORRECTIVE
from cai_lite.pipeline.phases import material, needs_pairs, student_before
from cai_lite.pipeline.recipe import Recipe, load_recipe
from cai_lite.pipeline.walk import prompts_of
from cai_lite.records import Messages
from cai_lite.run.files import CONSTITUTION, PHASES, ROUNDS, ROUNDS_FILE, read_record
from cai_lite.training.config import TrainingConfig
from cai_lite.training.methods import METHODS

RECIPE = "recipe.yaml"
_NEEDED = (RECIPE, "adapter/adapter_config.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """An example of a training in words. `chosen`: what was learnt; `rejected`: what it was preferred to, or "".

    `key`: by which `cai-lite audit RUN KEY` traces it, "" where it has none.
    """

    prompt: str
    chosen: str
    rejected: str = ""
    principle: str = ""
    key: str = ""


@dataclass(frozen=True, kw_only=True)
class Taught:
    """A finished run, and the last of its trainings in which the student learnt from written examples.

    `number`: of that phase, None where there is none, as in a run of the method "rl" alone. `place`: the folder of the
    phases; that of the round that was kept, in a run of several.
    """

    run: Path
    recipe: Recipe
    constitution: Constitution
    number: int | None
    place: Path

    @property
    def adapter(self) -> Path:
        """The adapter of the finished run."""
        return self.run / "adapter"

    @property
    def phase(self) -> TrainingConfig:
        """The settings of the training that learnt from the examples."""
        assert self.number is not None
        return self.recipe.phases[self.number]

    @property
    def trained(self) -> Path:
        """The adapter that this training ended with."""
        several = len(self.recipe.phases) > 1
        return (self.place / PHASES / f"{self.number}-{self.phase.method}" if several else self.place) / "adapter"

    @property
    def before(self) -> Path | None:
        """The adapter that it began from, None for one drawn by its seed."""
        assert self.number is not None
        own = student_before(self.recipe, self.place, self.number)
        if own is not None:
            return own
        if self.place != self.run and int(self.place.name) > 1:
            return self.place.with_name(str(int(self.place.name) - 1)) / "adapter"
        return Path(self.recipe.from_.run) / "adapter" if self.recipe.from_ is not None else None

    @cached_property
    def examples(self) -> Sequence[Any]:
        """The examples of the training, as its method takes them; none where there is no such training."""
        if self.number is None:
            return []
        file = self.run / CORRECTIVE if self.recipe.from_ is not None else self.place / "pairs.jsonl"
        pairs = load_pairs(file) if needs_pairs(self.phase) else []
        return material(self.phase, pairs, self.place, lambda _: None, student=self.recipe.student.model)

    @cached_property
    def lessons(self) -> list[Lesson]:
        """The examples in words, in the same order."""
        return [lesson(example) for example in self.examples]

    @cached_property
    def tags(self) -> dict[str, tuple[str, ...]]:
        """The tags of the recipe's prompts, by their text as `plain` has it; none where the file is gone."""
        try:
            prompts = prompts_of(self.recipe)
        except (InputError, OSError):
            return {}
        return {plain(prompt.text): prompt.tags for prompt in (*prompts.train, *prompts.held_out)}


def is_run(folder: Path) -> bool:
    """Return whether a folder is that of a finished run."""
    return all((folder / name).is_file() for name in _NEEDED)


def open_taught(run: Path) -> Taught:
    """Read a finished run.

    Raises:
        InputError: it is none, or its constitution is gone.
    """
    for name in _NEEDED:
        if not (run / name).is_file():
            raise InputError(f"{run} is not the directory of a finished run ({name} not found)")
    recipe = load_recipe(run / RECIPE, environment=False)
    own = run / CONSTITUTION
    place = run
    if (run / ROUNDS_FILE).is_file():
        place = run / ROUNDS / str(read_record(run / ROUNDS_FILE, {"kept": int})["kept"])
    methods = [METHODS[phase.method] for phase in recipe.phases]
    written = [n for n, method in enumerate(methods) if method.trains_student and not method.on_policy]
    return Taught(
        run=run,
        recipe=recipe,
        constitution=load_constitution(own if own.is_file() else recipe.constitution),
        number=written[-1] if written else None,
        place=place,
    )


def lesson(example: Any) -> Lesson:
    """Return a pair, a demonstration or a ranking in words; of a ranking the first and the last answer."""
    if hasattr(example, "completions"):
        chosen, rejected = example.completions[0], example.completions[-1]
    else:
        chosen = example.chosen if hasattr(example, "chosen") else example.completion
        rejected = getattr(example, "rejected", ())
    return Lesson(
        prompt=_text(example.prompt),
        chosen=_text(chosen),
        rejected=_text(rejected),
        principle=getattr(example, "principle", ""),
        key=getattr(example, "key", ""),
    )


def plain(text: str) -> str:
    """Return a prompt in lower case and with single spaces, so that copies of it compare equal."""
    return " ".join(text.lower().split())


def _text(messages: Messages) -> str:
    """Return the turns of a conversation, a single one as it is."""
    if len(messages) == 1:
        return messages[0].content
    return "\n".join(f"{message.role}: {message.content}" for message in messages)
