"""The teacher's half of the walk: draft, critique, revise, judge, pair, and what keeps bad pairs out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cai_lite.chat.base import ChatModel
from cai_lite.distill.critiques import critique
from cai_lite.distill.drafts import draft
from cai_lite.distill.filters import balanced, guarded
from cai_lite.distill.pairs import pair
from cai_lite.distill.revisions import revise
from cai_lite.distill.verdicts import judge
from cai_lite.evaluation.agreement import between_judges
from cai_lite.inputs.pairs import load_pairs
from cai_lite.pipeline.recipe import Recipe
from cai_lite.pipeline.roles import Roles, close
from cai_lite.records import Candidate, PreferencePair, Prompt, Sampling, Verdict
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Screen


def make_pairs(
    recipe: Recipe,
    roles: Roles,
    prompts: Sequence[Prompt],
    run: Run,
    screen: Screen,
    *,
    held_out: Sequence[Prompt] = (),
    label: str = "",
) -> list[PreferencePair]:
    """All stages for these prompts. `held_out`: prompts that no pair may resemble. `label` tells the stages of held-out
    pairs from those for training.
    """
    rules, constitution = recipe.pair.rules, roles.constitution
    run.keep_rows(
        "principle",
        ((p.digest, (), {"id": p.id, "text": p.text, "source": p.source}) for p in constitution.principles),
    )
    candidates = _drafts(recipe, roles, prompts, run, screen, label)
    if "revision_over_draft" in rules:
        candidates += _revisions(recipe, roles, candidates, run, screen, label)
    if {"teacher_over_student", "ranked"} & set(rules) and recipe.draft.from_ == "student":
        for teacher, given in roles.shared_out(prompts):
            stage = _stage(f"{label}teacher's answers", teacher, roles)
            with screen.stage(stage) as tick:
                candidates += draft(
                    teacher,
                    given,
                    sampling=sampling_of(recipe),
                    constitution=constitution,
                    run=run,
                    progress=tick,
                    stage=stage,
                )
    verdicts: list[Verdict] = []
    for voice in roles.judges:
        for rule in rules:
            stage = _stage(f"{label}judge", voice.model, roles)
            with screen.stage(f"{stage} {rule.replace('_', ' ')}") as tick:
                verdicts += judge(
                    voice.model,
                    candidates,
                    constitution,
                    rule=rule,
                    principles=recipe.judge.principles,
                    weight=voice.weight,
                    **judging_of(recipe),
                    run=run,
                    progress=tick,
                    stage=stage,
                )
        if len(roles.judges) > 1:
            close(voice.model)
    if len(roles.judges) > 1 and (agreed := between_judges(verdicts)):
        screen.say(
            f"{label}judges agree: Krippendorff's alpha {agreed.value:.2f} [{agreed.low:.2f}, {agreed.high:.2f}]"
        )
    pairs = pair(
        verdicts,
        min_margin=recipe.pair.min_margin,
        soft_labels=recipe.pair.soft_labels,
        clamp=recipe.pair.clamp,
        per_prompt=recipe.pair.per_prompt,
        run=run,
        stage=f"{label}pair",
    )
    if recipe.pair.human and not label:
        people = [replace(pair, rule="human") for pair in load_pairs(recipe.pair.human)]
        run.count("human pairs", {"read": len(people)})
        pairs = [*people, *pairs]  # theirs first: of two near copies the earlier one is kept
    return _kept(recipe, pairs, held_out, run, screen, label)


def held_out_pairs(
    recipe: Recipe, roles: Roles, prompts: Sequence[Prompt], run: Run, screen: Screen
) -> list[PreferencePair]:
    """Pairs made of held-out prompts as those for training were, to see whether the student orders them rightly."""
    if "preference_accuracy" not in recipe.evaluate.metrics:
        return []
    some = spread(prompts, recipe.evaluate.pair_prompts or len(prompts))
    return make_pairs(recipe, roles, some, run, screen, label="held-out ")


def sampling_of(recipe: Recipe, temperature: float | None = None) -> Sampling:
    """How drafts are drawn; and the answers that are measured, where the recipe names no other temperature for them."""
    settings = recipe.draft
    return Sampling(
        temperature=settings.temperature if temperature is None else temperature,
        top_p=settings.top_p,
        max_tokens=settings.max_tokens,
        seed=recipe.seed,
    )


def judging_of(recipe: Recipe) -> dict[str, Any]:
    """How a judge is asked, as keyword arguments of `judge`."""
    settings = recipe.judge
    return {
        "mode": settings.mode,
        "votes": settings.votes,
        "until": settings.until,
        "log_probs": settings.log_probs,
        "reason": settings.reason,
        "max_tokens": settings.max_tokens,
    }


def spread(prompts: Sequence[Prompt], most: int) -> list[Prompt]:
    """At most so many of the prompts, evenly from first to last."""
    most = min(most, len(prompts))
    return [prompts[i * len(prompts) // most] for i in range(most)]


def _drafts(
    recipe: Recipe, roles: Roles, prompts: Sequence[Prompt], run: Run, screen: Screen, label: str
) -> list[Candidate]:
    taught = recipe.draft.from_ == "teacher"
    authors = list(roles.shared_out(prompts)) if taught else [(roles.student, list(prompts))]
    drafts: list[Candidate] = []
    for author, given in authors:
        stage = _stage(f"{label}draft", author, roles) if taught else f"{label}draft"
        with screen.stage(stage) as tick:
            drafts += draft(
                author, given, n=recipe.draft.n, sampling=sampling_of(recipe), run=run, progress=tick, stage=stage
            )
        close(author)
    return drafts


def _revisions(
    recipe: Recipe, roles: Roles, drafts: Sequence[Candidate], run: Run, screen: Screen, label: str
) -> list[Candidate]:
    """Of each draft by the teacher that its prompt was given to."""
    prompts = list({draft.prompt.key: draft.prompt for draft in drafts}.values())
    revisions: list[Candidate] = []
    for teacher, given in roles.shared_out(prompts):
        keys = {prompt.key for prompt in given}
        mine = [draft for draft in drafts if draft.prompt.key in keys]
        stage = _stage(f"{label}critique", teacher, roles)
        with screen.stage(stage) as tick:
            critiques = critique(
                teacher,
                mine,
                roles.constitution,
                principles=recipe.critique.principles_per_draft,
                run=run,
                progress=tick,
                stage=stage,
            )
        stage = _stage(f"{label}revise", teacher, roles)
        with screen.stage(stage) as tick:
            revisions += revise(
                teacher,
                mine,
                critiques,
                roles.constitution,
                rounds=recipe.revise.rounds,
                until=recipe.revise.until,
                run=run,
                progress=tick,
                stage=stage,
            )
    return revisions


def _kept(
    recipe: Recipe,
    pairs: list[PreferencePair],
    held_out: Sequence[Prompt],
    run: Run,
    screen: Screen,
    label: str,
) -> list[PreferencePair]:
    settings = recipe.pair
    kept, dropped = guarded(
        pairs,
        near=settings.near,
        held_out=[prompt.messages for prompt in held_out],
        max_length_ratio=settings.max_length_ratio,
    )
    if settings.balance is not None:
        before = len(kept)
        kept = balanced(kept, settings.balance)
        if len(kept) < before:
            dropped["too many of one principle"] = before - len(kept)
    if dropped:
        run.count(f"{label}guards", {"kept": len(kept), **dropped})
        screen.say(f"{label}pairs dropped: " + ", ".join(f"{n} {why}" for why, n in dropped.items()))
    return kept


def _stage(name: str, model: ChatModel, roles: Roles) -> str:
    """A stage's name; with the model's, where several models share a role."""
    several = len(roles.teachers) > 1 or len(roles.judges) > 1
    return f"{name} ({model.name})" if several else name
