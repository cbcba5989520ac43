"""What rewards the samples of a phase "rl": a mix of judge and preference model by weight, less failed machine checks.

The judge's reward is the mean probability that the sample keeps each of the principles drawn for its prompt, weighed by
their weights; so is that of a preference model that reads the principle, and any other gives the probability that the
sample is good. The oracle of the toy world, or else the second judge of the evaluation, watches it. No gradient comes
of that one, but with `train.keep: best` it chooses among the steps, on training prompts that are held out; with `keep:
last` it only looks on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cai_lite.chat.asking import Stage
from cai_lite.chat.base import ChatModel
from cai_lite.chat.preference import PreferenceModel, open_preference_model
from cai_lite.distill.pointwise import score
from cai_lite.distill.reading import sigmoid
from cai_lite.embedded import oracle
from cai_lite.errors import InputError
from cai_lite.inputs.constitution import Constitution, Principle, draw
from cai_lite.pipeline.make_pairs import Work
from cai_lite.records import Candidate, Prompt, digest
from cai_lite.training.config import TrainingConfig
from cai_lite.training.rewards import Feedback, Reward, broken_checks, mixed

SAMPLES, WATCH = "reward the samples", "watch the reward"  # names of stages


@dataclass(frozen=True, slots=True, kw_only=True)
class Passing(Stage):
    """A stage that keeps replies, which are paid for, but no rows: samples of a student in training are no drafts."""

    def keep(self, kind: str, rows: Iterable[tuple[str, Iterable[str], Mapping[str, Any]]]) -> None:
        """Let the rows pass."""


def sampled_material(
    work: Work, prompts: Sequence[Prompt], phase: TrainingConfig, folder: Path, scorer: Path | None = None
) -> tuple[list[Prompt], Feedback]:
    """Return the prompts of a phase that draws its samples itself, and what rewards them.

    Left out are prompts to which no principle applies, since nothing could be said of an answer. `folder`: of the
    phase, by which its stages are named in the ledger. `scorer`: the adapter of the preference model before it.

    Raises:
        InputError: a preference model is to reward, and no phase before this one has trained one.
    """
    recipe, constitution, section = work.recipe, work.roles.constitution, phase.rl
    drawn = recipe.judge.principles
    parts: list[tuple[float, Reward]] = []
    judges: list[str | None] = []  # digests of what rewards, in the order of `parts`
    if section.judge:
        judge = work.roles.judge
        parts.append((section.judge, judged(work, judge, drawn, f"{SAMPLES} of {folder.name}")))
        judges.append(judge.digest)
    if section.preference_model:
        if scorer is None:
            raise InputError(
                f"'rl.preference_model' is {section.preference_model:g}, and no phase before {folder.name} trains a "
                "preference model; add {method: preference_model} before it, or set it to 0"
            )
        student = recipe.student
        model = open_preference_model(
            student.model, scorer, load=student.load, template=student.template, system=student.system
        )
        parts.append((section.preference_model, preferred(model, constitution, drawn)))
        judges.append(model.digest)
    if section.checks:
        parts.append((section.checks, broken_checks(constitution)))
    second: Reward | None = None
    watched: Any = None
    if recipe.evaluate.oracle is not None:
        second, watched = by_oracle(constitution), recipe.evaluate.oracle
    elif work.roles.second is not None:
        other = work.roles.second.model
        second = judged(work, other, len(constitution.principles), f"{WATCH} of {folder.name}")
        watched = other.digest
    weights = [section.judge, section.preference_model, section.checks]
    settings = [*weights, drawn, recipe.judge.votes, recipe.judge.log_probs]
    told = digest("rewards", constitution.digest, judges, settings, watched)
    asked = [prompt for prompt in prompts if constitution.applying(prompt)]
    return asked, Feedback(reward=mixed(parts), second=second, digest=told)


def judged(work: Work, judge: ChatModel, principles: int, stage: str) -> Reward:
    """Return the mean probability, by a judge's pointwise verdicts, that a reply keeps the principles drawn.

    A verdict that cannot be read takes no part; None where none can. `principles`: how many are drawn for a prompt.
    """
    constitution = work.roles.constitution
    judging = work.recipe.judge.but(mode="pointwise", reason="none", until=None)

    def reward(prompts: Sequence[Prompt], replies: Sequence[str]) -> list[float | None]:
        answers = [
            Candidate(key=digest("sample", prompt.key, reply), prompt=prompt, text=reply, author="student", parents=())
            for prompt, reply in zip(prompts, replies, strict=True)
        ]
        cells = {
            (answer.key, principle.id): (answer, principle)
            for answer in answers
            if answer.text  # an empty reply is not shown to a judge: it keeps nothing
            for principle in draw(constitution, answer.prompt, principles)
        }
        name = work.name(stage)
        watch = work.roles.watch(judge, work.screen.warn, work.told, stops=True)
        scores = score(judge, list(cells.values()), judging, Passing(run=work.run, name=name, watch=watch, live=True))
        log_odds = {key: found.log_odds for key, found in zip(cells, scores, strict=True)}
        return [
            _mean([(p, log_odds[answer.key, p.id]) for p in draw(constitution, answer.prompt, principles)])
            if answer.text
            else 0.0
            for answer in answers
        ]

    return reward


def preferred(model: PreferenceModel, constitution: Constitution, principles: int) -> Reward:
    """Return the calibrated probability, by a preference model, that a reply is good.

    A model that reads principles gives the weighted mean over those drawn; `principles`: how many that are. An empty
    reply is not shown to it: it is worth 0.
    """

    def reward(prompts: Sequence[Prompt], replies: Sequence[str]) -> list[float | None]:
        pairs = [(prompt, reply) for prompt, reply in zip(prompts, replies, strict=True) if reply]
        if model.calibration.input == "joint":
            good = iter(model.p_good([prompt.messages for prompt, _ in pairs], [reply for _, reply in pairs]))
            return [next(good) if reply else 0.0 for reply in replies]
        sums, weights = [0.0] * len(pairs), [0.0] * len(pairs)
        chosen = [draw(constitution, prompt, principles) for prompt, _ in pairs]
        for principle in constitution.principles:
            asked = [i for i, drawn in enumerate(chosen) if principle in drawn]
            messages, texts = [pairs[i][0].messages for i in asked], [pairs[i][1] for i in asked]
            for i, p in zip(asked, model.p_good(messages, texts, principle.text), strict=True):
                sums[i], weights[i] = sums[i] + principle.weight * p, weights[i] + principle.weight
        means = iter(total / weight if weight else None for total, weight in zip(sums, weights, strict=True))
        return [next(means) if reply else 0.0 for reply in replies]

    return reward


def by_oracle(constitution: Constitution) -> Reward:
    """Return the share of the principles that apply to a prompt that a reply keeps, by the grammar of the toy world."""

    def reward(prompts: Sequence[Prompt], replies: Sequence[str]) -> list[float | None]:
        found: list[float | None] = []
        for prompt, reply in zip(prompts, replies, strict=True):
            kept = [
                (p.weight, truth)
                for p in constitution.applying(prompt)
                if (truth := oracle.keeps(constitution.name, p.id, prompt.text, reply)) is not None
            ]
            total = sum(weight for weight, _ in kept)
            found.append(sum(weight * truth for weight, truth in kept) / total if total else None)
        return found

    return reward


def _mean(scores: Sequence[tuple[Principle, float | None]]) -> float | None:
    known = [(principle.weight, sigmoid(log_odds)) for principle, log_odds in scores if log_odds is not None]
    total = sum(weight for weight, _ in known)
    return sum(weight * p for weight, p in known) / total if total else None
