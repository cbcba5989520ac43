"""Who plays in a run: constitution, student, teacher and judge. Nothing is loaded before it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cai_lite.chat import ChatModel, open_model
from cai_lite.chat.embedded import unknown_principles
from cai_lite.chat.local import LocalModel
from cai_lite.constitution import Constitution, load_constitution
from cai_lite.recipe import ModelSection, Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """The student is trained here, so it is a local model; teacher and judge may be the same handle."""

    constitution: Constitution
    student: LocalModel
    teacher: ChatModel
    judge: ChatModel

    def digests(self) -> dict[str, str]:
        """What each one is, for recipe.yaml."""
        return {
            f"constitution {self.constitution.name} {self.constitution.version}".strip(): self.constitution.digest,
            f"student {self.student.name}": self.student.digest,
            f"teacher {self.teacher.name}": self.teacher.digest,
            f"judge {self.judge.name}": self.judge.digest,
        }

    def warnings(self) -> Iterator[str]:
        """What a user should know before anything is asked."""
        for role, model in (("teacher", self.teacher), ("judge", self.judge)):
            unknown = unknown_principles(self.constitution) if model.name == "embedded:teacher" else []
            if unknown:
                yield (
                    f"the embedded {role} was not trained for {', '.join(unknown)}: it can judge only the shipped "
                    "constitutions, and what it says of these means nothing"
                )

    def close(self) -> None:
        """Let all weights go."""
        for model in (self.student, self.teacher, self.judge):
            close(model)


def open_roles(recipe: Recipe) -> Roles:
    """Open everybody a recipe names. Raises InputError where a model or the constitution is not there."""
    teacher = _opened(recipe.teacher)
    return Roles(
        constitution=load_constitution(recipe.constitution),
        student=LocalModel(recipe.student.model, load=recipe.student.load),
        teacher=teacher,
        judge=_opened(recipe.judge.by) if recipe.judge.by else teacher,
    )


def close(model: ChatModel) -> None:
    """Let a local model's weights go; an endpoint holds none."""
    if isinstance(model, LocalModel):
        model.close()


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
