"""Make critics from a run, and try those of a recipe before they are used.

They are tried on held-out drafts, beside the teacher, and on planted violations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cai_lite.chat.base import ChatModel
from cai_lite.distill.critics import CriticExample, critic_examples
from cai_lite.distill.critiques import critique, critique_each
from cai_lite.distill.drafts import keep_candidates
from cai_lite.errors import InputError
from cai_lite.evaluation.critics import critic_figures, planted_figures, refusal
from cai_lite.evaluation.planted import Planted, confirmed, planted_from_examples, planted_in_grammar
from cai_lite.inputs.constitution import Constitution, Principle, load_constitution
from cai_lite.inputs.prompts import load_prompts
from cai_lite.pipeline.recipe import Recipe, load_recipe
from cai_lite.pipeline.revising import OpenStage, critique_sampling
from cai_lite.pipeline.roles import Roles, close
from cai_lite.records import Candidate, Critique, distinct
from cai_lite.run.ledger import Run

TRIED_PROMPTS = 24  # prompts whose drafts the teacher and each critic critique
STAGE = "critic's trial"


def try_critics(
    recipe: Recipe, roles: Roles, drafts: Sequence[Candidate], open_stage: OpenStage
) -> list[dict[str, Any]]:
    """Return the figures of each critic of the recipe, with `refused`, why it must not be used, or "".

    Teachers and critics critique the same drafts under the principles drawn for them. Planted violations are told by
    the grammar of the toy world if `evaluate.oracle` says so, else by the examples of the constitution, as far as the
    first teacher confirms them. One model after the other is in memory.
    """
    constitution, settings = roles.constitution, recipe.critique
    sampling = critique_sampling(recipe)
    known = recipe.evaluate.oracle is not None
    planted = planted_in_grammar(constitution) if known else planted_from_examples(constitution)

    def tried(
        model: ChatModel, of: Sequence[Candidate], also: Sequence[Planted]
    ) -> tuple[list[Critique], list[Critique]]:
        with open_stage(STAGE, model) as stage:
            said = critique(
                model, of, constitution, principles=settings.principles_per_draft, sampling=sampling, stage=stage
            )
            keep_candidates(stage.run, distinct([one.candidate for one in also]))
            return said, critique_each(model, _asked(also, constitution), stage, sampling=sampling)

    by_teachers: list[Critique] = []
    prompts = distinct([draft.prompt for draft in drafts])
    for number, (teacher, assigned) in enumerate(roles.assign(prompts)):
        keys = {prompt.key for prompt in assigned}
        confirms = planted if number == 0 and not known else []
        said, of_planted = tried(teacher, [draft for draft in drafts if draft.prompt.key in keys], confirms)
        by_teachers += said
        if confirms:
            planted = confirmed(confirms, of_planted)
        close(teacher)
    found = []
    for member in roles.critics:
        said, of_planted = tried(member.model, drafts, planted)
        close(member.model)
        figures = critic_figures(by_teachers, said, seed=recipe.seed)
        figures["planted"] = planted_figures(planted, of_planted)
        refused = refusal(figures, settings.min_agreement)
        found.append({"critic": member.model.name, "section": member.section, **figures, "refused": refused})
    return found


def training_examples(run: Run, *, student: str) -> list[CriticExample]:
    """Return the examples that make a critic of `student` from the critiques of the teachers in a recipe's run.

    The families of the run's held-out prompts are held out, so that drafts of them can try the critic.

    Raises:
        InputError: the run has no recipe.yaml, what that names cannot be read, or there are no critiques.
    """
    path = run.path("recipe.yaml")
    if not path.is_file():
        raise InputError(f"{run.directory}: no recipe.yaml, which names constitution and teachers of the critiques")
    recipe = load_recipe(path, environment=False)
    if not recipe.all_teachers:
        raise InputError(f"{run.directory}: this run had no teacher, whose critiques a critic could learn")
    settings = recipe.prompts
    held_out = load_prompts(settings.file, settings.held_out, settings.limit, settings.eval_limit).held_out
    found = critic_examples(
        run,
        load_constitution(recipe.constitution),
        authors={section.model for section in recipe.all_teachers},
        wording="short" if student.startswith("embedded:") else "full",
        held_out_families={prompt.family for prompt in held_out},
    )
    if not found:
        raise InputError(
            f"{run.directory}: no critiques of a teacher to learn from; give a run whose pair.rules have "
            "revision_over_draft, or one of whose phases learns revisions"
        )
    return found


def refused_sentence(found: Sequence[dict[str, Any]], min_agreement: float) -> str:
    """Return which critics are refused, why, and what to do; "" if all of them may be used."""
    refused = [f"the critic {one['critic']} is not used: {one['refused']}" for one in found if one["refused"]]
    if not refused:
        return ""
    return (
        f"{'; '.join(refused)}; critique.min_agreement is {min_agreement:g}. Train it on more critiques, "
        "lower critique.min_agreement, or leave it out of critique.by"
    )


def _asked(planted: Sequence[Planted], constitution: Constitution) -> list[tuple[Candidate, Principle]]:
    return [(one.candidate, constitution.principle(one.principle)) for one in planted]
