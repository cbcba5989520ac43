"""Make the pairs of a run: draft, critique, revise, judge and pair, then filter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

from cai_lite.chat.asking import Stage
from cai_lite.chat.base import ChatModel
from cai_lite.chat.best_of import BestOf
from cai_lite.distill.comparisons import among_revisions
from cai_lite.distill.drafts import draft
from cai_lite.distill.filters import balance, filter_pairs
from cai_lite.distill.pairs import pairs_of
from cai_lite.distill.people import keep_people, with_people
from cai_lite.distill.revisions import Attempt, best_of
from cai_lite.distill.verdicts import judge, judge_comparisons
from cai_lite.errors import Stopped
from cai_lite.evaluation.agreement import between_judges
from cai_lite.evaluation.critics import MEMO as CRITICS
from cai_lite.evaluation.revisions import MEMO as REVISIONS
from cai_lite.inputs.pairs import read_pairs
from cai_lite.inputs.quarantine import BadRow, reasons
from cai_lite.pipeline.critics import TRIED_PROMPTS, refused_sentence, try_critics
from cai_lite.pipeline.earlier import Earlier
from cai_lite.pipeline.recipe import Recipe
from cai_lite.pipeline.revising import quality_of, revise_drafts
from cai_lite.pipeline.roles import Roles, close
from cai_lite.records import Candidate, PreferencePair, Prompt, Sampling, Verdict, distinct
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Screen


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The objects that every stage of a run needs.

    `purpose`: what the pairs are for; stages of held-out pairs have names of their own in the ledger. `told`: what was
    said about the models, once per run. `faulty`: what was said about the stages, each with its unusable replies.
    `bad`: rows of the files that could not be used. `revisions`: the final revisions of the training prompts.
    `round`: the number of the round; from the second on, stages of training pairs have names of their own. `drafts`:
    the drafts of the training prompts. `earlier`: the run that this one goes on from, if there is one.
    """

    recipe: Recipe
    roles: Roles
    run: Run
    screen: Screen
    purpose: Literal["training", "held-out"] = "training"
    told: set[str] = field(default_factory=set)
    faulty: list[str] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    revisions: list[Candidate] = field(default_factory=list)
    round: int = 1
    drafts: list[Candidate] = field(default_factory=list)
    earlier: Earlier | None = None

    def name(self, stage: str, model: ChatModel | None = None) -> str:
        """Return the stage's name in the ledger. It includes the model's name if several models share a role."""
        several = len(self.roles.teachers) > 1 or len(self.roles.judges) > 1 or bool(self.roles.critics)
        name = f"{stage} ({model.name})" if several and model is not None else stage
        if self.purpose != "training":
            return f"{self.purpose} {name}"
        return name if self.round == 1 else f"round {self.round} {name}"

    @contextmanager
    def stage(self, stage: str, model: ChatModel, *, named: bool = True, detail: str = "") -> Iterator[Stage]:
        """Show a progress bar for one stage that asks `model`, and yield the stage.

        `named`: whether the model's name belongs to the stage's name if several models share its role. `detail`: shown
        after the stage's name; it is not part of the name in the ledger.
        """
        name = self.name(stage, model if named else None)
        watch = self.roles.watch(model, self._say, self.told, stops=self.purpose == "training")
        with self.screen.stage(f"{name} {detail}".strip()) as tick:
            yield Stage(run=self.run, name=name, tick=tick, watch=watch, say=self.screen.say)

    def _say(self, sentence: str) -> None:
        self.faulty.append(sentence)
        self.screen.warn(sentence)


def make_pairs(work: Work, prompts: Sequence[Prompt], *, held_out: Sequence[Prompt] = ()) -> list[PreferencePair]:
    """Run all stages from draft to pair on these prompts, and return the filtered pairs.

    `held_out`: pairs whose prompt equals one of these prompts, or with `pair.near` repeats one, are dropped.

    Raises:
        Stopped: the budget is spent, or too few replies of a stage are usable to go on.
    """
    recipe, roles, run = work.recipe, work.roles, work.run
    rules, constitution = recipe.pair.rules, roles.constitution
    run.keep_rows(
        "principle",
        ((p.digest, (), {"id": p.id, "text": p.text, "source": p.source}) for p in constitution.principles),
    )
    if roles.critics and recipe.revises and work.purpose == "training" and work.round == 1:
        _check_critics(work, held_out or prompts)
    candidates = _drafts(work, prompts) if recipe.drafts else []
    if work.purpose == "training":
        work.drafts[:] = candidates
    compared = "revision_over_draft" in rules
    if compared or (recipe.revises and work.purpose == "training"):
        made = _revisions(work, candidates)
        candidates += made if compared else []
        if work.purpose == "training":
            work.revisions[:] = made
    if {"teacher_over_student", "ranked"} & set(rules) and recipe.draft.from_ == "student":
        for teacher, assigned in roles.assign(prompts):
            with work.stage("teacher's answers", teacher) as stage:
                candidates += draft(
                    teacher, assigned, sampling=sampling_of(recipe), constitution=constitution, stage=stage
                )
    settings = recipe.pair
    pairs = pairs_of(
        _verdicts(work, candidates),
        min_margin=settings.min_margin,
        soft_labels=settings.soft_labels,
        clamp=settings.clamp,
        per_prompt=settings.per_prompt,
        run=run,
        stage=work.name("pair"),
    )
    if settings.human and work.purpose == "training" and work.round == 1:  # later rounds are for what is fresh
        found, bad = read_pairs(settings.human)
        people = [replace(pair, rule="human") for pair in found]
        run.count("human pairs", {"read": len(people), **({"unusable": len(bad)} if bad else {})})
        if bad:
            work.bad.extend(bad)
            work.screen.warn(f"{len(bad):,} human pairs left out ({reasons(bad)})")
        pairs = [*people, *pairs]  # people's first: of two near duplicates the earlier one is kept
    if work.earlier is not None and work.purpose == "training":
        pairs = with_people(work.earlier.people, pairs)
        if work.earlier.said:
            keep_people(run, work.earlier.people, work.earlier.said)
            run.count("corrections", work.earlier.people.counts)
    return _filtered(work, pairs, held_out)


def nothing_left(work: Work) -> str:
    """Return why there are no pairs to train on: the faults of its stages, else what was dropped from the pairs."""
    if work.faulty:
        return f"no pairs to train on: {'; '.join(work.faulty)}. Then run the same command again"
    counted = work.run.counts()
    dropped = {
        why: n
        for stage in ("pair", "guards")
        for why, n in counted.get(work.name(stage), {}).items()
        if why not in ("pairs", "kept")
    }
    reasons = ", ".join(f"{n} with '{why}'" for why, n in sorted(dropped.items(), key=lambda item: -item[1]))
    return f"no pairs to train on: {reasons or 'there was nothing to compare'}; lower pair.min_margin or add prompts"


def held_out_pairs(work: Work, prompts: Sequence[Prompt]) -> list[PreferencePair]:
    """Return pairs made from held-out prompts in the same way as the training pairs.

    They are needed only for the metric "preference_accuracy"; if the recipe does not ask for it, none are made.
    """
    if not _pairs_held_out(work.recipe):
        return []
    return make_pairs(replace(work, purpose="held-out"), _paired(work, prompts))


def draft_held_out(work: Work, prompts: Sequence[Prompt]) -> None:
    """Draft for the held-out pairs beforehand, while the student is in memory for the training drafts.

    `held_out_pairs` finds these drafts in the run, so the student is not loaded once more for them.
    """
    if _pairs_held_out(work.recipe) and work.recipe.draft.from_ == "student":
        _drafts(replace(work, purpose="held-out"), _paired(work, prompts), stay_open=True)


def _pairs_held_out(recipe: Recipe) -> bool:
    return bool(recipe.pair.rules) and "preference_accuracy" in recipe.evaluate.metrics


def _paired(work: Work, prompts: Sequence[Prompt]) -> list[Prompt]:
    """Return the held-out prompts of which pairs are made."""
    return spread(prompts, work.recipe.evaluate.pair_prompts or len(prompts))


def sampling_of(recipe: Recipe, temperature: float | None = None) -> Sampling:
    """Return the sampling settings of drafts; `temperature`, if given, replaces theirs (for the replies measured)."""
    settings = recipe.draft
    return Sampling(
        temperature=settings.temperature if temperature is None else temperature,
        top_p=settings.top_p,
        max_tokens=settings.max_tokens,
        seed=recipe.seed,
    )


def spread(prompts: Sequence[Prompt], limit: int) -> list[Prompt]:
    """Return up to `limit` prompts at evenly spaced positions of the list, beginning with the first."""
    limit = min(limit, len(prompts))
    return [prompts[i * len(prompts) // limit] for i in range(limit)]


def _drafts(work: Work, prompts: Sequence[Prompt], *, stay_open: bool = False) -> list[Candidate]:
    recipe, roles = work.recipe, work.roles
    by_teacher = recipe.draft.from_ == "teacher"
    authors = list(roles.assign(prompts)) if by_teacher else _students(work, prompts)
    drafts: list[Candidate] = []
    for number, (author, assigned) in enumerate(authors):
        chooser = roles.chooser
        speaker = author if chooser is None else BestOf(author, recipe.draft.best_of, chooser)
        name = "draft" if by_teacher or not number else "draft what failed"
        with work.stage(name, speaker, named=by_teacher) as stage:
            drafts += draft(speaker, assigned, n=recipe.draft.n, sampling=sampling_of(recipe), stage=stage)
        if not stay_open:
            close(speaker)
    if prompts and not drafts and work.purpose == "training":
        raise Stopped(nothing_left(work))
    return drafts


def _students(work: Work, prompts: Sequence[Prompt]) -> list[tuple[ChatModel, list[Prompt]]]:
    """Return the student with its prompts; where prompts failed in production, with these also as it failed them."""
    seeds = work.earlier.seeds if work.earlier is not None and work.purpose == "training" else frozenset()
    found: list[tuple[ChatModel, list[Prompt]]] = [(work.roles.drafter, [p for p in prompts if p.key not in seeds])]
    if work.earlier is not None and (failed := [prompt for prompt in prompts if prompt.key in seeds]):
        found.append((work.roles.student.with_adapter(work.earlier.adapter), failed))
    return found


def _check_critics(work: Work, prompts: Sequence[Prompt]) -> None:
    """Try the critics on drafts of these prompts, and keep their figures in the run.

    Raises:
        Stopped: a critic agrees too little with the teacher to be used.
    """
    recipe, trial = work.recipe, replace(work, purpose="held-out")
    drafts = _drafts(trial, spread(prompts, TRIED_PROMPTS))
    found = try_critics(recipe, work.roles, drafts, trial.stage)
    work.run.remember(CRITICS, found)
    for one in found:
        if agreed := one.get("agreement"):
            shown = f"{agreed['value']:.2f} [{agreed['low']:.2f}, {agreed['high']:.2f}], n {agreed['n']}"
            work.screen.say(f"critic {one['critic']}: agreement with the teacher {shown}")
    if refused := refused_sentence(found, recipe.critique.min_agreement):
        raise Stopped(refused)


def _revisions(work: Work, drafts: Sequence[Candidate]) -> list[Candidate]:
    """Return the revisions of the drafts, each made by the teacher that its prompt is assigned to.

    Critics of the recipe critique in place of the teacher. If there are several, the judge chooses among the revisions
    of a draft.
    """
    recipe, roles = work.recipe, work.roles
    revisions: list[Candidate] = []
    attempts: list[Attempt] = []
    for teacher, assigned in roles.assign(distinct([one.prompt for one in drafts])):
        keys = {prompt.key for prompt in assigned}
        own = [one for one in drafts if one.prompt.key in keys]
        made = revise_drafts(recipe, roles, teacher, own, work.stage)
        revisions += made.accepted
        attempts += made.attempts
    if quality := quality_of(recipe, roles, attempts):
        work.run.remember(work.name(REVISIONS), quality)
        work.screen.say(f"{work.name('revisions')}: {quality['summary']}")
    return _best(work, revisions) if len(roles.critics) > 1 else revisions


def _best(work: Work, revisions: Sequence[Candidate]) -> list[Candidate]:
    """Return the one of each draft's revisions that the judges prefer."""
    recipe, roles = work.recipe, work.roles
    compared, verdicts = among_revisions(revisions), list[Verdict]()
    for member in roles.judges if compared else ():
        with work.stage("judge", member.model, detail="among revisions") as stage:
            verdicts += judge_comparisons(
                member.model,
                compared,
                roles.constitution,
                recipe.judge,
                stage,
                rule="among_revisions",
                weight=member.weight,
            )
        close(member.model)
    return best_of(revisions, verdicts)


def _verdicts(work: Work, candidates: Sequence[Candidate]) -> list[Verdict]:
    recipe, roles = work.recipe, work.roles
    verdicts: list[Verdict] = []
    for member in roles.judges:
        for rule in recipe.pair.rules:
            with work.stage("judge", member.model, detail=rule.replace("_", " ")) as stage:
                verdicts += judge(
                    member.model,
                    candidates,
                    roles.constitution,
                    rule=rule,
                    judging=recipe.judge,
                    weight=member.weight,
                    stage=stage,
                )
        if len(roles.judges) > 1:
            close(member.model)
    if len(roles.judges) > 1 and (agreed := between_judges(verdicts)):
        alpha = f"{agreed.value:.2f} [{agreed.low:.2f}, {agreed.high:.2f}]"
        work.screen.say(f"{work.name('judges')}: agreement (Krippendorff's alpha, 95 % interval) {alpha}")
    return verdicts


def _filtered(work: Work, pairs: list[PreferencePair], held_out: Sequence[Prompt]) -> list[PreferencePair]:
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
        reasons = ", ".join(f"{n} ({why})" for why, n in dropped.items())
        work.screen.say(f"{work.name('pairs')} dropped: {reasons}")
    return kept
