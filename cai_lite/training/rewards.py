"""Rewards of samples: what a caller says of them, joined by weights, and penalties for form.

A reward is a function from prompts and replies to numbers, so a preference model, a judge, machine checks and a rule of
one's own are all alike. None says that a reply could not be rewarded: it then takes no part in the update.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cai_lite.errors import TrainingError
from cai_lite.inputs.constitution import Constitution
from cai_lite.records import Messages, Prompt, digest

Reward = Callable[[Sequence[Prompt], Sequence[str]], Sequence[float | None]]
"""Return a number for each reply, higher is better, or None where there is none."""

Scores = Callable[[Sequence[Messages], Sequence[str]], Sequence[float | None]]
"""The same over messages, as a preference model has it."""

LOST = 0.5  # share of replies without a reward above which a training stops
N, REPEATED = 4, 0.3  # a reply repeats itself where more than this share of its N-grams stood in it before


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What an on-policy training is told of its samples.

    `reward`: what it learns from. `second`: a judge that it never learns from, to watch the reward by. `digest`: of all
    that decides the rewards; with another one a training begins anew.
    """

    reward: Reward
    second: Reward | None = None
    digest: str = ""


def over_messages(scores: Scores) -> Reward:
    """Return the reward that a function over messages gives, such as the scores of a preference model."""

    def reward(prompts: Sequence[Prompt], replies: Sequence[str]) -> Sequence[float | None]:
        return scores([prompt.messages for prompt in prompts], replies)

    return reward


def mixed(parts: Sequence[tuple[float, Reward]]) -> Reward:
    """Return the weighted sum of some rewards; None where one of them has none."""

    def reward(prompts: Sequence[Prompt], replies: Sequence[str]) -> list[float | None]:
        columns = [part(prompts, replies) for _, part in parts]
        found: list[float | None] = []
        for values in zip(*columns, strict=True):
            known = [value for value in values if value is not None]
            weighed = (weight * value for (weight, _), value in zip(parts, known, strict=False))
            found.append(sum(weighed) if len(known) == len(parts) else None)
        return found

    return reward


def broken_checks(constitution: Constitution) -> Reward:
    """Return minus the number of principles whose machine checks a reply fails; where checks abstain, none is failed.

    Only principles that apply to the prompt count.
    """

    def reward(prompts: Sequence[Prompt], replies: Sequence[str]) -> list[float]:
        return [
            -float(sum(p.checks is not None and p.checks.passed(reply) is False for p in constitution.applying(prompt)))
            for prompt, reply in zip(prompts, replies, strict=True)
        ]

    return reward


def malformed(reply: str) -> bool:
    """Return whether a reply is empty or repeats itself."""
    words = reply.lower().split()
    if not words:
        return True
    grams = [tuple(words[i : i + N]) for i in range(len(words) - N + 1)]
    return bool(grams) and 1 - len(set(grams)) / len(grams) > REPEATED


def rewarded(reward: Reward, prompts: Sequence[Prompt], replies: Sequence[str]) -> list[float]:
    """Return one number for each reply, NaN where there is none.

    Raises:
        TrainingError: there is not one value for each reply, one is infinite, or more than half are missing.
    """
    values = list(reward(prompts, replies))
    if len(values) != len(replies):
        raise TrainingError(f"the reward gave {len(values)} values for {len(replies)} replies")
    found = [float("nan") if value is None else float(value) for value in values]
    if any(value in (float("inf"), float("-inf")) for value in found):
        raise TrainingError("the reward of a reply is infinite; a reward should be a finite number, or None for none")
    missing = sum(value != value for value in found)
    if missing > LOST * len(found):
        raise TrainingError(f"{missing} of {len(found)} replies have no reward: look at the faults of the judge")
    return found


def digest_of(reward: object) -> str:
    """Return the digest of a caller's reward: its attribute `digest`, or else its name and module."""
    own = getattr(reward, "digest", None)
    if isinstance(own, str):
        return own
    named = getattr(reward, "__qualname__", type(reward).__qualname__)
    return digest("reward", getattr(reward, "__module__", ""), named)
