"""Open the constitution and the models that a recipe names. A model's weights are loaded at its first call."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

from cai_lite.chat import ChatModel, open_model
from cai_lite.chat.best_of import BestOf
from cai_lite.chat.endpoint import EndpointModel
from cai_lite.chat.faults import Watch
from cai_lite.chat.local import LocalModel
from cai_lite.chat.on_ray import Opening, RayModel, is_embedded, open_on_ray, underlying
from cai_lite.chat.preference import PreferenceModel
from cai_lite.chat.weights import folder_digest
from cai_lite.embedded.knowledge import unknown_principles
from cai_lite.inputs.constitution import Constitution, load_constitution
from cai_lite.pipeline.recipe import ModelSection, Recipe
from cai_lite.records import Prompt, digest, sampling_key


class WeightedModel(NamedTuple):
    """One of the models that share a role, its weight among them, and its section in the recipe."""

    model: ChatModel
    weight: float
    section: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """The constitution and the models of a run.

    `student`: always a local model, since it is trained in this process. `drafter`: who drafts and answers for it, the
    student itself unless a server of the same weights does; `adapter_server`: the server's name for the trained
    adapter, which then answers after training. `teachers`: none where the recipe needs none. `judges`: the teachers
    themselves unless the recipe names others. `critics`: those who critique in place of the teachers, or none.
    `second`: the judge that judges in the evaluation alone, if there is one. `chooser`: the preference model that
    chooses the best of several draws as a draft.
    """

    constitution: Constitution
    student: LocalModel
    drafter: ChatModel
    adapter_server: EndpointModel | None = None
    teachers: tuple[WeightedModel, ...]
    judges: tuple[WeightedModel, ...]
    critics: tuple[WeightedModel, ...] = ()
    second: WeightedModel | None = None
    chooser: ChatModel | None = None

    @property
    def members(self) -> tuple[WeightedModel, ...]:
        """Teachers, judges, critics and the second judge; a model with several roles is repeated."""
        return (*self.teachers, *self.judges, *self.critics, *([self.second] if self.second else []))

    @property
    def judge(self) -> ChatModel:
        """The first of the judges, which scores single replies."""
        return self.judges[0].model

    @property
    def itself(self) -> ChatModel:
        """The student as it answers under the constitution and critiques and revises itself."""
        return short_if_embedded(copy.copy(self.drafter))

    def digests(self) -> dict[str, str]:
        """Return the digests of the constitution and all models, by role and name, as recipe.yaml lists them."""
        return {
            f"constitution {self.constitution.name} {self.constitution.version}".strip(): self.constitution.digest,
            f"student {self.student.name}": self.student.digest,
            **({f"drafter {self.drafter.name}": self.drafter.digest} if self._drafted_elsewhere() else {}),
            **{f"teacher {teacher.model.name}": teacher.model.digest for teacher in self.teachers},
            **{f"judge {judge.model.name}": judge.model.digest for judge in self.judges},
            **{f"critic {critic.model.name}": critic.model.digest for critic in self.critics},
            **({f"best of {self.chooser.name}": self.chooser.digest} if self.chooser else {}),
            **({f"second judge {self.second.model.name}": self.second.model.digest} if self.second else {}),
        }

    def _drafted_elsewhere(self) -> bool:
        return underlying(self.drafter).digest != self.student.digest

    def answering(self, adapter: Path) -> dict[str, ChatModel]:
        """Return the servers that answer in place of the local student "before" training and "after" it.

        The digest of the server's adapter holds that of `adapter`, so that another training is asked anew.
        """
        found: dict[str, ChatModel] = {}
        if self.drafter is not self.student:
            found["before"] = self.drafter
        if self.adapter_server is not None:
            server = copy.copy(self.adapter_server)
            server.digest = digest("served adapter", server.digest, folder_digest(adapter))
            found["after"] = server
        return found

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
        roles += [("critic", critic.model) for critic in self.critics]
        roles += [("second judge", self.second.model)] if self.second else []
        for role, model in roles:
            unknown = unknown_principles(self.constitution, prompts) if model.name == "embedded:teacher" else []
            if unknown:
                yield (
                    f"the embedded {role} was not trained for {', '.join(unknown)}; its replies about them mean "
                    "nothing. It knows only the principles of the three demos: name another model for these"
                )

    def watch(self, model: ChatModel, say: Callable[[str], None], told: set[str], *, stops: bool) -> Watch:
        """Return what watches the replies of a stage that asks `model`; its messages name the model's settings."""
        section = next((member.section for member in self.members if member.model is model), "student")
        return Watch(say=say, stops=stops, section=section, switched=bool(getattr(model, "template", None)), told=told)

    def check_cluster(self) -> None:
        """Check that the models on Ray find their cluster, and machines for their actors.

        Raises:
            InputError: one does not.
        """
        for model in (self.drafter, *(member.model for member in self.members)):
            if isinstance(model, RayModel):
                model.check()

    def close(self) -> None:
        """Free the weights of all local models, close the connections to servers, and end the actors on Ray."""
        members = (member.model for member in self.members)
        for model in (self.student, self.drafter, self.adapter_server, self.chooser, *members):
            if isinstance(model, LocalModel | EndpointModel | PreferenceModel | RayModel):
                model.close()


def open_roles(recipe: Recipe, on: str | None = None) -> Roles:
    """Open the constitution and all models that a recipe names. No weights are loaded, and no server is called.

    `on`: the address of a Ray cluster on whose actors teachers, judges and critics answer, "ray" or `ray://HOST:PORT`.

    Raises:
        InputError: a model or the constitution cannot be found or read.
    """
    teachers = _weighted(recipe.all_teachers, "teacher" if recipe.teacher else "teachers", on)
    section = recipe.student
    loaded: dict[str, Any] = {
        "load": section.load,
        "template": section.template,
        "system": section.system,
        "bridged": True,
    }
    student = LocalModel(section.model, **loaded)
    server = replace(section, load=None, model=section.served or section.model)
    adapter = _opened(replace(server, model=section.adapter_name)) if section.adapter_name else None
    drafter: ChatModel = _opened(server, on if section.ray else None) if section.url else student
    if on is not None and section.ray is not None and section.url is None:
        drafter = RayModel(student, Opening(LocalModel, section.model, loaded), section.ray, on)
    other = recipe.evaluate.second_judge
    return Roles(
        constitution=load_constitution(recipe.constitution),
        student=student,
        drafter=drafter,
        adapter_server=cast(EndpointModel | None, adapter),
        teachers=teachers,
        judges=_weighted(recipe.judge.models, "judge.by", on) or teachers,
        critics=_critics(recipe, drafter, on),
        chooser=open_model(recipe.draft.by) if recipe.draft.by is not None else None,
        second=WeightedModel(_opened(other, on), other.weight, "evaluate.second_judge") if other else None,
    )


def close(model: ChatModel) -> None:
    """Free the weights of a local model, here or on Ray. A model on a server is left as it is."""
    if isinstance(model, BestOf) or isinstance(underlying(model), LocalModel | PreferenceModel):
        cast(Any, model).close()


def _weighted(sections: Sequence[ModelSection], name: str, on: str | None) -> tuple[WeightedModel, ...]:
    several = len(sections) > 1
    return tuple(
        WeightedModel(_opened(section, on), section.weight, f"{name}.{i}" if several else name)
        for i, section in enumerate(sections)
    )


def _critics(recipe: Recipe, student: ChatModel, on: str | None) -> tuple[WeightedModel, ...]:
    """Open the critics. `student`: who answers for the student.

    The embedded models are asked in the short wording, the only one that models of their size can learn.
    """
    sections = recipe.critique.critics
    found = []
    for i, section in enumerate(sections):
        if isinstance(section, ModelSection):
            model, name = _opened(section, on), f"critique.by.{i}" if len(sections) > 1 else "critique.by"
            if isinstance(local := underlying(model), LocalModel):
                local.name = section.source  # with the adapter's folder, by which critics differ
        else:
            model, name = copy.copy(student), "student"
        found.append(WeightedModel(short_if_embedded(model), 1.0, name))
    return tuple(found)


def short_if_embedded(model: ChatModel) -> ChatModel:
    """Return the model, which is asked in the short wording if it is an embedded one."""
    if is_embedded(model):
        cast(LocalModel, model).wording = "short"
    return model


def _opened(section: ModelSection, on: str | None = None) -> ChatModel:
    """Open a model; `on`: on the actors of this Ray cluster, unless its calls are left to a batch."""
    where: str = section.source
    shared = {"template": section.template, "extra_body": section.extra_body, "system": section.system}
    settings: dict[str, Any] = {"load": section.load, **shared}
    if section.url is not None:
        prices = (section.prices.input, section.prices.output) if section.prices else (0.0, 0.0)
        where = section.url
        settings = {
            "model": section.model,
            "api_key_env": section.api_key_env,
            "concurrency": section.concurrency,
            "prices": prices,
            "batch": section.batch,
            **shared,
        }
    if on is None or section.batch:
        return open_model(where, **settings)
    return open_on_ray(where, address=on, actors=section.ray, **settings)
