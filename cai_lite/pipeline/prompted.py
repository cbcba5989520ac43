"""Let the student teach itself: it answers under the constitution, and learns to answer so without it.

The student, adapter off, answers the training prompts with the constitution in its system message, critiques these
answers and revises where it finds a violation. Nobody stands above it, so its critiques are used only for principles
on which they were measured: against machine checks on drafts of held-out prompts, and in the toy world against planted
violations. For the other principles the answers are learnt as they are.

Source: Bai et al. 2022, arXiv:2212.08073; Snell et al. 2022, arXiv:2209.15189 (context distillation).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cai_lite.distill.critiques import critique, critique_each
from cai_lite.distill.drafts import draft, keep_candidates
from cai_lite.distill.revisions import revisions_of
from cai_lite.errors import Stopped
from cai_lite.evaluation.critics import SELF, critic_figures, planted_figures, untrusted
from cai_lite.evaluation.deciders import checks_keep
from cai_lite.evaluation.planted import Planted, planted_in_grammar
from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.pipeline.critics import STAGE, TRIED_PROMPTS
from cai_lite.pipeline.make_pairs import Work, sampling_of, spread
from cai_lite.pipeline.recipe import Recipe
from cai_lite.pipeline.revising import critique_sampling, quality_of
from cai_lite.pipeline.roles import Roles, close
from cai_lite.pipeline.sources import PROMPTED
from cai_lite.records import Candidate, Critique, Prompt, Sampling, Violated, digest, distinct
from cai_lite.stats import mean_figure

TOLD = "draft under the constitution"


def limits(recipe: Recipe, roles: Roles) -> list[str]:
    """Return what a run without a teacher, or without a judge, cannot do, a sentence each."""
    found = []
    # Pairs of the user's own have their own source.
    if not roles.teachers and (recipe.pair.rules or any(phase.on == PROMPTED for phase in recipe.phases)):
        found.append(
            "no teacher: the student learns to do untold what it does when it is told the constitution. It cannot "
            "learn what it does not do then, and it learns its own mistakes with the rest"
        )
    if not roles.judges and recipe.evaluate.oracle is None:
        principles = roles.constitution.principles
        known = sum(principle.checks is not None for principle in principles)
        found.append(
            f"no judge: adherence is decided by machine checks alone, which {known} of {len(principles)} principles "
            "have, and which see words and not sense. A judge of its own (judge.by) would see the rest"
        )
    return found


def self_taught(work: Work, prompts: Sequence[Prompt], held_out: Sequence[Prompt]) -> list[Candidate]:
    """Return the student's answers to the prompts under the constitution, its last revision in place of a draft.

    `held_out`: their drafts try the student's critiques; without any, drafts of `prompts` do.

    Raises:
        Stopped: there is no answer, the budget is spent, or too few replies of a stage are usable to go on.
    """
    recipe, model, policy = work.recipe, work.roles.itself, work.roles.constitution
    found = _tried(work, held_out or prompts)
    with work.stage(TOLD, model, named=False) as stage:
        drafts = draft(model, prompts, n=recipe.draft.n, sampling=sampling_of(recipe), constitution=policy, stage=stage)
    if not drafts:
        raise Stopped(f"{TOLD}: there is no usable answer to learn; look at the counts of this stage")
    revised = {}
    if trusted := found.get("trusted"):
        revised = {one.parents[0]: one for one in _revised(work, drafts, _only(policy, trusted))}
    close(model)
    said = f"{len(revised):,} of {len(drafts):,} answers revised by the student itself"
    counted = {"drafts": len(drafts), "revised": len(revised), "summary": said}
    work.run.remember(SELF, {**found, **counted, "limits": limits(recipe, work.roles)})
    work.screen.say(f"{TOLD}: {said}")
    return [revised.get(one.key, one) for one in drafts]


def _revised(work: Work, drafts: Sequence[Candidate], policy: Constitution) -> list[Candidate]:
    """Return the last accepted revision of each draft in which the student finds a violation."""
    recipe, model = work.recipe, work.roles.itself
    sampling = critique_sampling(recipe)
    with work.stage("self-critique", model, named=False) as stage:
        found = critique(
            model,
            drafts,
            policy,
            principles=recipe.critique.principles_per_draft,
            sampling=sampling,
            stage=stage,
        )
    with work.stage("self-revision", model, named=False) as stage:
        made = revisions_of(
            model,
            drafts,
            [found],
            policy,
            rounds=recipe.revise.rounds,
            until=recipe.revise.until,
            samplings=(Sampling(temperature=0.0, max_tokens=recipe.revise.max_tokens), sampling),
            stage=stage,
        )
    if quality := quality_of(recipe, work.roles, made.attempts):
        work.screen.say(f"self-revision: {quality['summary']}")
    return made.accepted


def _tried(work: Work, prompts: Sequence[Prompt]) -> dict[str, Any]:
    """Return whether the constitution helps the student, and how far its critiques agree with the reference.

    The reference is the machine checks on its answers with and without the constitution, and what was planted.
    `trusted` names the principles that its critiques are used for.
    """
    recipe, roles = work.recipe, work.roles
    model, policy, trial = roles.itself, roles.constitution, replace(work, purpose="held-out")
    tried, sampling = spread(prompts, TRIED_PROMPTS), sampling_of(recipe)
    by_checks: dict[str, list[Critique]] = {}
    for stage_name, told in (("draft", None), (TOLD, policy)):
        with trial.stage(stage_name, model, named=False) as stage:
            drafts = draft(model, tried, sampling=sampling, constitution=told, stage=stage)
        by_checks["untold" if told is None else "told"] = _checked(drafts, policy)
    helped = _helped(work, by_checks)
    if not recipe.revise.rounds:
        return helped
    checked = [row for rows in by_checks.values() for row in rows]
    planted = planted_in_grammar(policy) if recipe.evaluate.oracle else []
    asked = [*((row.candidate, policy.principle(row.principle)) for row in checked), *_asked(planted, policy)]
    with trial.stage(STAGE, model) as stage:
        keep_candidates(stage.run, distinct([one.candidate for one in planted]))
        said = critique_each(model, asked, stage, sampling=critique_sampling(recipe))
    reference = [*checked, *(_reference(p.candidate, p.principle, p.subtlety == "clean") for p in planted)]
    figures = critic_figures(reference, said, seed=recipe.seed)
    why = {p.id: untrusted(figures, p.id, recipe.critique.min_agreement) for p in policy.principles}
    trusted = [id_ for id_, reason in why.items() if not reason]
    left_out = {id_: reason for id_, reason in why.items() if reason}
    work.screen.say(f"self-critique: {_sentence(figures, trusted, left_out)}")
    if not trusted:
        work.screen.warn("self-critique is left out, and the answers under the constitution are learnt as they are")
    return {
        **helped,
        "critic": model.name,
        **figures,
        "planted": planted_figures(planted, said[len(checked) :]),
        "trusted": trusted,
        "left_out": left_out,
    }


def _helped(work: Work, by_checks: Mapping[str, Sequence[Critique]]) -> dict[str, Any]:
    """Return the share of checks kept by answers "untold" and "told" the constitution, and say what it means."""
    kept = {
        f"kept_{how}": mean_figure(
            [float(row.violated == "no") for row in rows],
            [row.candidate.prompt.family for row in rows],
            seed=work.recipe.seed,
        )
        for how, rows in by_checks.items()
        if rows
    }
    if len(kept) == 2:
        told, untold = kept["kept_told"], kept["kept_untold"]
        work.screen.say(
            f"told the constitution, the student keeps {told.value:.2f} of the machine checks on held-out prompts "
            f"[{told.low:.2f}, {told.high:.2f}], and untold {untold.value:.2f} [{untold.low:.2f}, {untold.high:.2f}]"
        )
        if told.value <= untold.value:
            work.screen.warn(
                "the constitution in its prompt does not help this student, so that there is next to nothing to learn "
                "from its own answers; take a larger student, or a teacher"
            )
    return {name: figure.as_dict() for name, figure in kept.items()}


def _checked(drafts: Sequence[Candidate], policy: Constitution) -> list[Critique]:
    """Return what machine checks say of each draft under each principle that has some and applies."""
    return [
        _reference(one, principle.id, bool(kept))
        for one in drafts
        for principle in policy.principles
        if principle.applies(one.prompt) and (kept := checks_keep(one, principle)) is not None
    ]


def _reference(candidate: Candidate, principle: str, kept: bool) -> Critique:
    violated: Violated = "no" if kept else "yes"
    key = digest("reference", candidate.key, principle)
    return Critique(key=key, candidate=candidate, principle=principle, text="", violated=violated)


def _asked(planted: Sequence[Planted], policy: Constitution) -> list[tuple[Candidate, Principle]]:
    return [(one.candidate, policy.principle(one.principle)) for one in planted]


def _only(policy: Constitution, ids: Collection[str]) -> Constitution:
    """Return the constitution with these principles alone, and the conflicts between them."""
    return replace(
        policy,
        principles=tuple(principle for principle in policy.principles if principle.id in ids),
        conflicts=tuple(conflict for conflict in policy.conflicts if set(conflict.between) <= set(ids)),
    )


def _sentence(figures: Mapping[str, Any], trusted: Sequence[str], left_out: Mapping[str, str]) -> str:
    """Return in a sentence how far the student's critiques agree, and which principles they are used for."""
    agreed = figures.get("agreement")
    shown = f"{agreed['value']:.2f} [{agreed['low']:.2f}, {agreed['high']:.2f}], n {agreed['n']}" if agreed else "none"
    text = f"agreement with the machine checks {shown}; used for {', '.join(trusted) or 'no principle'}"
    return text + "".join(f"; not for {id_}: {reason}" for id_, reason in left_out.items())
