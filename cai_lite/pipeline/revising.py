"""Critique and revise drafts as a recipe says: by the teacher alone, or by its critics and the teacher."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Any

from cai_lite.chat.asking import Stage
from cai_lite.chat.base import ChatModel
from cai_lite.distill.critiques import Critic, critique
from cai_lite.distill.revisions import Attempt, Revisions, revisions_of
from cai_lite.embedded import oracle as grammar
from cai_lite.evaluation.revisions import revision_quality
from cai_lite.pipeline.recipe import Recipe
from cai_lite.pipeline.roles import Roles, close
from cai_lite.records import Candidate, Sampling

OpenStage = Callable[[str, ChatModel], AbstractContextManager[Stage]]
"""Given a stage's name and the model that it asks, show its progress and yield the stage."""


def critique_sampling(recipe: Recipe) -> Sampling:
    """Return how critiques are sampled: greedily."""
    return Sampling(temperature=0.0, max_tokens=recipe.critique.max_tokens)


def revise_drafts(
    recipe: Recipe, roles: Roles, teacher: ChatModel, drafts: Sequence[Candidate], open_stage: OpenStage
) -> Revisions:
    """Return the revisions of the drafts by one teacher; the recipe's critics critique in its place.

    With critics, one model after the other is in memory.
    """
    sampling, principles = critique_sampling(recipe), recipe.critique.principles_per_draft
    models = [member.model for member in roles.critics]
    critiques = []
    for model in models or [teacher]:
        with open_stage("critique", model) as stage:
            critiques.append(
                critique(model, drafts, roles.constitution, principles=principles, sampling=sampling, stage=stage)
            )
        if models:
            close(model)
    with ExitStack() as stages:
        return revisions_of(
            teacher,
            drafts,
            critiques,
            roles.constitution,
            rounds=recipe.revise.rounds,
            until=recipe.revise.until,
            samplings=(Sampling(temperature=0.0, max_tokens=recipe.revise.max_tokens), sampling),
            stage=stages.enter_context(open_stage("revise", teacher)),
            critics=[
                Critic(model, stages.enter_context(open_stage("critique of revisions", model))) for model in models
            ],
            rest=close,
        )


def quality_of(recipe: Recipe, roles: Roles, attempts: Sequence[Attempt]) -> dict[str, Any]:
    """Return the figures of these revisions (see `revision_quality`), with the oracle's if the recipe names one."""
    truth = partial(grammar.keeps, roles.constitution.name) if recipe.evaluate.oracle else None
    return revision_quality(attempts, truth, seed=recipe.seed)
