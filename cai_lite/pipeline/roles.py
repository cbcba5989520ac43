"""Who plays in a run: constitution, student, teacher and judge. Nothing is loaded before it is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cai_lite.chat import ChatModel, open_model
from cai_lite.chat.local import LocalModel
from cai_lite.embedded.knowledge import unknown_principles
from cai_lite.inputs.constitution import Constitution, load_constitution
from cai_lite.pipeline.recipe import ModelSection, Recipe
from cai_lite.records import Prompt, sampling_key


class Voice(NamedTuple):
    """One of several models in a role, and its weight."""

    model: ChatModel
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """The student is trained here, so it is a local model; teachers and judges may be the same handles."""

    constitution: Constitution
    student: LocalModel
    teachers: tuple[Voice, ...]
    judges: tuple[Voice, ...]

    @property
    def judge(self) -> ChatModel:
        """The first of the judges: it scores single answers."""
        return self.judges[0].model

    def digests(self) -> dict[str, str]:
        """What each one is, for recipe.yaml."""
        return {
            f"constitution {self.constitution.name} {self.constitution.version}".strip(): self.constitution.digest,
            f"student {self.student.name}": self.student.digest,
            **{f"teacher {voice.model.name}": voice.model.digest for voice in self.teachers},
            **{f"judge {voice.model.name}": voice.model.digest for voice in self.judges},
        }

    def shared_out(self, prompts: Sequence[Prompt]) -> Iterator[tuple[ChatModel, list[Prompt]]]:
        """Each teacher with its prompts, drawn by weight and by the prompt alone: a new prompt moves no other."""
        of_prompt = [
            max(self.teachers, key=lambda v: sampling_key(v.weight, "teacher", prompt.key, v.model.digest))
            for prompt in prompts
        ]
        for voice in self.teachers:
            yield voice.model, [p for p, given in zip(prompts, of_prompt, strict=True) if given is voice]

    def warnings(self, prompts: Sequence[Prompt]) -> Iterator[str]:
        """What a user should know before anything is asked about these prompts."""
        for role, model in [("teacher", v.model) for v in self.teachers] + [("judge", v.model) for v in self.judges]:
            unknown = unknown_principles(self.constitution, prompts) if model.name == "embedded:teacher" else []
            if unknown:
                yield (
                    f"the embedded {role} was not trained for {', '.join(unknown)}: it can judge only those of the "
                    "three demos, and what it says of these means nothing"
                )

    def close(self) -> None:
        """Let all weights go."""
        for model in (self.student, *(voice.model for voice in (*self.teachers, *self.judges))):
            close(model)


def open_roles(recipe: Recipe) -> Roles:
    """Open everybody a recipe names. Raises InputError where a model or the constitution is not there."""
    teachers = _voices(recipe.all_teachers)
    return Roles(
        constitution=load_constitution(recipe.constitution),
        student=LocalModel(recipe.student.model, load=recipe.student.load),
        teachers=teachers,
        judges=_voices(recipe.judge.models) or teachers,
    )


def close(model: ChatModel) -> None:
    """Let a local model's weights go; an endpoint holds none."""
    if isinstance(model, LocalModel):
        model.close()


def _voices(sections: Sequence[ModelSection]) -> tuple[Voice, ...]:
    return tuple(Voice(_opened(section), section.weight) for section in sections)


def _opened(section: ModelSection) -> ChatModel:
    if section.url is not None:
        prices = (section.prices.input, section.prices.output) if section.prices else (0.0, 0.0)
        return open_model(
            section.url,
            model=section.model,
            api_key_env=section.api_key_env,
            concurrency=section.concurrency,
            prices=prices,
        )
    return open_model(section.model, load=section.load)
