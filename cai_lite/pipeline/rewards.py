"""What rewards the samples of a phase "rl": the recipe's judge under the principles drawn, less failed machine checks.

A reward is the mean probability that the sample keeps each of the principles drawn for its prompt, weighed by their
weights. The oracle of the toy world, or else the second judge of the evaluation, watches it. No gradient comes of that
one, but with `train.keep: best` it chooses among the steps, on training prompts that are held out; with `keep: last` it
only looks on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cai_lite.chat.asking import Stage
from cai_lite.chat.base import ChatModel
from cai_lite.distill.pointwise import score
from cai_lite.distill.reading import sigmoid
from cai_lite.embedded import oracle
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
    work: Work, prompts: Sequence[Prompt], phase: TrainingConfig, folder: Path
) -> tuple[list[Prompt], Feedback]:
    """Return the prompts of a phase that draws its samples itself, and what rewards them.

    Left out are prompts to which no principle applies, since nothing could be said of an answer. `folder`: of the
    phase, by which its stages are named in the ledger.
    """
    recipe, constitution = work.recipe, work.roles.constitution
    judge, section = work.roles.judge, phase.rl
    drawn = recipe.judge.principles
    parts: list[tuple[float, Reward]] = []
    if section.judge:
        parts.append((section.judge, judged(work, judge, drawn, f"{SAMPLES} of {folder.name}")))
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
    settings = [section.judge, section.checks, drawn, recipe.judge.votes, recipe.judge.log_probs]
    told = digest("rewards", constitution.digest, judge.digest, settings, watched)
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
        scores = score(judge, list(cells.values()), judging, Passing(run=work.run, name=name, watch=watch))
        log_odds = {key: found.log_odds for key, found in zip(cells, scores, strict=True)}
        return [
            _mean([(p, log_odds[answer.key, p.id]) for p in draw(constitution, answer.prompt, principles)])
            if answer.text
            else 0.0
            for answer in answers
        ]

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
