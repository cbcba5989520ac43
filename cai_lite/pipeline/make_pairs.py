"""The teacher's half of the walk: draft, critique, revise, judge, pair, and the filters behind them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

from cai_lite.chat.asking import Stage
from cai_lite.chat.base import ChatModel
from cai_lite.distill.critiques import critique
from cai_lite.distill.drafts import draft
from cai_lite.distill.filters import balance, filter_pairs
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What every stage of a walk needs: the recipe, its models, the run, the screen, and what the pairs are for."""

    recipe: Recipe
    roles: Roles
    run: Run
    screen: Screen
    purpose: Literal["training", "held-out"] = "training"

    def name(self, stage: str, model: ChatModel | None = None) -> str:
        """Return the stage's name in the ledger; where several models share a role, `model` is named in it."""
        several = len(self.roles.teachers) > 1 or len(self.roles.judges) > 1
        named = f"{stage} ({model.name})" if several and model is not None else stage
        return named if self.purpose == "training" else f"{self.purpose} {named}"

    @contextmanager
    def stage(self, stage: str, model: ChatModel | None = None, *, detail: str = "") -> Iterator[Stage]:
        """Show a bar for one stage; `detail` is shown beside its name, and is no part of it."""
        name = self.name(stage, model)
        with self.screen.stage(f"{name} {detail}".strip()) as tick:
            yield Stage(run=self.run, name=name, tick=tick)


def make_pairs(work: Work, prompts: Sequence[Prompt], *, held_out: Sequence[Prompt] = ()) -> list[PreferencePair]:
    """Walk all stages for these prompts, and return the pairs. No pair may resemble one of the `held_out` prompts."""
    recipe, roles, run = work.recipe, work.roles, work.run
    rules, constitution = recipe.pair.rules, roles.constitution
    run.keep_rows(
        "principle",
        ((p.digest, (), {"id": p.id, "text": p.text, "source": p.source}) for p in constitution.principles),
    )
    candidates = _drafts(work, prompts)
    if "revision_over_draft" in rules:
        candidates += _revisions(work, candidates)
    if {"teacher_over_student", "ranked"} & set(rules) and recipe.draft.from_ == "student":
        for teacher, given in roles.shared_out(prompts):
            with work.stage("teacher's answers", teacher) as stage:
                candidates += draft(
                    teacher, given, sampling=sampling_of(recipe), constitution=constitution, stage=stage
                )
    settings = recipe.pair
    pairs = pair(
        _verdicts(work, candidates),
        min_margin=settings.min_margin,
        soft_labels=settings.soft_labels,
        clamp=settings.clamp,
        per_prompt=settings.per_prompt,
        run=run,
        stage=work.name("pair"),
    )
    if settings.human and work.purpose == "training":
        people = [replace(pair, rule="human") for pair in load_pairs(settings.human)]
        run.count("human pairs", {"read": len(people)})
        pairs = [*people, *pairs]  # theirs first: of two near copies the earlier one is kept
    return _kept(work, pairs, held_out)


def held_out_pairs(work: Work, prompts: Sequence[Prompt]) -> list[PreferencePair]:
    """Return pairs of held-out prompts, made like those for training, to measure preference accuracy."""
    if "preference_accuracy" not in work.recipe.evaluate.metrics:
        return []
    some = spread(prompts, work.recipe.evaluate.pair_prompts or len(prompts))
    return make_pairs(replace(work, purpose="held-out"), some)


def sampling_of(recipe: Recipe, temperature: float | None = None) -> Sampling:
    """Return how drafts are sampled, or with another `temperature` the answers that are measured."""
    settings = recipe.draft
    return Sampling(
        temperature=settings.temperature if temperature is None else temperature,
        top_p=settings.top_p,
        max_tokens=settings.max_tokens,
        seed=recipe.seed,
    )


def spread(prompts: Sequence[Prompt], limit: int) -> list[Prompt]:
    """Return up to `limit` of the prompts, evenly spaced from first to last."""
    limit = min(limit, len(prompts))
    return [prompts[i * len(prompts) // limit] for i in range(limit)]


def _drafts(work: Work, prompts: Sequence[Prompt]) -> list[Candidate]:
    recipe, roles = work.recipe, work.roles
    by_teacher = recipe.draft.from_ == "teacher"
    authors = list(roles.shared_out(prompts)) if by_teacher else [(roles.student, list(prompts))]
    drafts: list[Candidate] = []
    for author, given in authors:
        with work.stage("draft", author if by_teacher else None) as stage:
            drafts += draft(author, given, n=recipe.draft.n, sampling=sampling_of(recipe), stage=stage)
        close(author)
    return drafts


def _revisions(work: Work, drafts: Sequence[Candidate]) -> list[Candidate]:
    """Return the revisions of the drafts, each by the teacher that its prompt was given to."""
    recipe, roles = work.recipe, work.roles
    prompts = list({draft.prompt.key: draft.prompt for draft in drafts}.values())
    revisions: list[Candidate] = []
    for teacher, given in roles.shared_out(prompts):
        keys = {prompt.key for prompt in given}
        mine = [draft for draft in drafts if draft.prompt.key in keys]
        drawn = recipe.critique.principles_per_draft
        with work.stage("critique", teacher) as stage:
            critiques = critique(teacher, mine, roles.constitution, principles=drawn, stage=stage)
        rounds, until = recipe.revise.rounds, recipe.revise.until
        with work.stage("revise", teacher) as stage:
            revisions += revise(teacher, mine, critiques, roles.constitution, rounds=rounds, until=until, stage=stage)
    return revisions


def _verdicts(work: Work, candidates: Sequence[Candidate]) -> list[Verdict]:
    recipe, roles = work.recipe, work.roles
    verdicts: list[Verdict] = []
    for voice in roles.judges:
        for rule in recipe.pair.rules:
            with work.stage("judge", voice.model, detail=rule.replace("_", " ")) as stage:
                verdicts += judge(
                    voice.model,
                    candidates,
                    roles.constitution,
                    rule=rule,
                    judging=recipe.judge,
                    weight=voice.weight,
                    stage=stage,
                )
        if len(roles.judges) > 1:
            close(voice.model)
    if len(roles.judges) > 1 and (agreed := between_judges(verdicts)):
        said = f"Krippendorff's alpha {agreed.value:.2f} [{agreed.low:.2f}, {agreed.high:.2f}]"
        work.screen.say(f"{work.name('judges')} agree: {said}")
    return verdicts


def _kept(work: Work, pairs: list[PreferencePair], held_out: Sequence[Prompt]) -> list[PreferencePair]:
    settings = work.recipe.pair
    kept, dropped = filter_pairs(
        pairs,
        near=settings.near,
        held_out=[prompt.messages for prompt in held_out],
        max_length_ratio=settings.max_length_ratio,
    )
    if settings.balance is not None:
        before = len(kept)
        kept = balance(kept, settings.balance)
        if len(kept) < before:
            dropped["too many of one principle"] = before - len(kept)
    if dropped:
        work.run.count(work.name("guards"), {"kept": len(kept), **dropped})
        reasons = ", ".join(f"{n} {why}" for why, n in dropped.items())
        work.screen.say(f"{work.name('pairs')} dropped: {reasons}")
    return kept
