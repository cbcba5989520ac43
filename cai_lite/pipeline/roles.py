"""Open the constitution and the models that a recipe names. A model's weights are loaded at its first call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cai_lite.chat import ChatModel, open_model
from cai_lite.chat.endpoint import EndpointModel
from cai_lite.chat.faults import Watch
from cai_lite.chat.local import LocalModel
from cai_lite.embedded.knowledge import unknown_principles
from cai_lite.inputs.constitution import Constitution, load_constitution
from cai_lite.pipeline.recipe import ModelSection, Recipe
from cai_lite.records import Prompt, sampling_key


class WeightedModel(NamedTuple):
    """One of the models that share a role, its weight among them, and its section in the recipe."""

    model: ChatModel
    weight: float
    section: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """The constitution and the models of a run.

    `student`: always a local model, since it is trained in this process. `teachers`, `judges`: at least one each; the
    judges are the teachers themselves unless the recipe names others.
    """

    constitution: Constitution
    student: LocalModel
    teachers: tuple[WeightedModel, ...]
    judges: tuple[WeightedModel, ...]

    @property
    def judge(self) -> ChatModel:
        """The first of the judges, which scores single replies."""
        return self.judges[0].model

    def digests(self) -> dict[str, str]:
        """Return the digests of the constitution and all models, by role and name, as recipe.yaml lists them."""
        return {
            f"constitution {self.constitution.name} {self.constitution.version}".strip(): self.constitution.digest,
            f"student {self.student.name}": self.student.digest,
            **{f"teacher {teacher.model.name}": teacher.model.digest for teacher in self.teachers},
            **{f"judge {judge.model.name}": judge.model.digest for judge in self.judges},
        }

    def assign(self, prompts: Sequence[Prompt]) -> Iterator[tuple[ChatModel, list[Prompt]]]:
        """Yield each teacher with the prompts assigned to it, at random and in proportion to its weight.

        The assignment of a prompt depends on no other prompt, so adding prompts does not change it.
        """
        assigned = [
            max(self.teachers, key=lambda v: sampling_key(v.weight, "teacher", prompt.key, v.model.digest))
            for prompt in prompts
        ]
        for teacher in self.teachers:
            yield teacher.model, [p for p, chosen in zip(prompts, assigned, strict=True) if chosen is teacher]

    def warnings(self, prompts: Sequence[Prompt]) -> Iterator[str]:
        """Yield warnings to show before any model is asked about these prompts."""
        roles = [("teacher", teacher.model) for teacher in self.teachers]
        roles += [("judge", judge.model) for judge in self.judges]
        for role, model in roles:
            unknown = unknown_principles(self.constitution, prompts) if model.name == "embedded:teacher" else []
            if unknown:
                yield (
                    f"the embedded {role} was not trained for {', '.join(unknown)}; its replies about them mean "
                    "nothing. It knows only the principles of the three demos: name another model for these"
                )

    def watch(self, model: ChatModel, say: Callable[[str], None], told: set[str], *, stops: bool) -> Watch:
        """Return what watches the replies of a stage that asks `model`; its messages name the model's settings."""
        members = (*self.teachers, *self.judges)
        section = next((member.section for member in members if member.model is model), "student")
        return Watch(say=say, stops=stops, section=section, switched=bool(getattr(model, "template", None)), told=told)

    def close(self) -> None:
        """Free the weights of all local models, and close the connections to servers."""
        for model in (self.student, *(member.model for member in (*self.teachers, *self.judges))):
            close(model)
            if isinstance(model, EndpointModel):
                model.close()


def open_roles(recipe: Recipe) -> Roles:
    """Open the constitution and all models that a recipe names. No weights are loaded, and no server is called.

    Raises:
        InputError: a model or the constitution cannot be found or read.
    """
    teachers = _weighted(recipe.all_teachers, "teacher" if recipe.teacher else "teachers")
    return Roles(
        constitution=load_constitution(recipe.constitution),
        student=LocalModel(
            recipe.student.model,
            load=recipe.student.load,
            template=recipe.student.template,
            system=recipe.student.system,
        ),
        teachers=teachers,
        judges=_weighted(recipe.judge.models, "judge.by") or teachers,
    )


def close(model: ChatModel) -> None:
    """Free the weights of a local model. A model on a server is left as it is."""
    if isinstance(model, LocalModel):
        model.close()


def _weighted(sections: Sequence[ModelSection], name: str) -> tuple[WeightedModel, ...]:
    several = len(sections) > 1
    return tuple(
        WeightedModel(_opened(section), section.weight, f"{name}.{i}" if several else name)
        for i, section in enumerate(sections)
    )


def _opened(section: ModelSection) -> ChatModel:
    if section.url is not None:
        prices = (section.prices.input, section.prices.output) if section.prices else (0.0, 0.0)
        return open_model(
            section.url,
            model=section.model,
            api_key_env=section.api_key_env,
            concurrency=section.concurrency,
            prices=prices,
            template=section.template,
            extra_body=section.extra_body,
            system=section.system,
        )
    return open_model(
        section.model,
        load=section.load,
        template=section.template,
        extra_body=section.extra_body,
        system=section.system,
    )
