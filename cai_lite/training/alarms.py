"""Warnings about a training: signs of a collapse that looks like success, and data that explain it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import sqrt
from statistics import fmean, variance
from typing import Any

from cai_lite.training.tokens import Row

LONGER = 1.5  # ratio of the mean lengths of chosen and rejected that teaches length in place of the principle
FALL = 0.5  # share of its log-probability that the chosen side may lose against the reference
UNLEARNT = 0.04  # mean reward margin below which a loss against a reference is still about where it began
FALLEN = 0.02  # share of a supervised loss by which it falls, at least, if anything was learnt
BOILERPLATE, SEVERAL = 0.2, 5  # share and number of prompts with the same completion that are said aloud
ALIKE = 1e-6  # standard deviation of a prompt's rewards below which its samples teach nothing
HALF, VARIETY = 0.5, 0.1  # share of unfinished samples, and of the first entropy, that are said aloud
MARGIN = 20.0  # mean reward margin: the loss has long been flat, and the weights still move


def warn_of_length(rows: Sequence[Row], log: Callable[[str], None], learner: str = "student") -> None:
    """Warn before training where length alone separates chosen from rejected: the learner would learn that, too."""
    chosen, rejected = (sum(len(row.completions[side]) for row in rows) for side in (0, 1))
    ratio = chosen / rejected
    if not 1 / LONGER < ratio < LONGER:
        what = "longer" if ratio > 1 else "shorter"
        log(
            f"warning: chosen answers are on average {max(ratio, 1 / ratio):.1f} times {what} than rejected ones; the "
            f"{learner} will learn that, too: drop the most unequal pairs"
        )


def lately(lines: Sequence[Mapping[str, float]]) -> Sequence[Mapping[str, float]]:
    """Return the last tenth of the updates, at least one."""
    return lines[-max(1, len(lines) // 10) :]


def unlearnt(lines: Sequence[Mapping[str, float]], config: Any) -> str | None:
    """Return a warning if the mean reward margin of the last tenth of the updates is still about 0, else None.

    The DPO loss of a pair is then still about ln 2 = 0.693, that of a coin toss.
    """
    last = lately(lines)
    margin = sum(line["rewards/margins"] for line in last) / len(last)
    if margin >= UNLEARNT:
        return None
    return (
        f"warning: the student has learnt next to nothing: the mean reward margin of the last {len(last)} updates is "
        f"{margin:.3f}, a DPO loss of about ln 2 = 0.693; raise train.learning_rate (now {config.learning_rate:g}) or "
        f"train.epochs (now {config.epochs:g})"
    )


def warn_of_boilerplate(rows: Sequence[Row], log: Callable[[str], None]) -> None:
    """Warn before training where one completion answers many prompts: the student would give it to any other, too."""
    prompts: dict[tuple[int, ...], set[tuple[int, ...]]] = {}
    for row in rows:
        prompts.setdefault(row.completions[0], set()).add(row.prompt_ids)
    most, all_ = max(map(len, prompts.values())), len({row.prompt_ids for row in rows})
    if most >= SEVERAL and most > BOILERPLATE * all_:
        log(
            f"warning: the same completion answers {most} of {all_} prompts; the student will learn to give it without "
            "reading the prompt: drop most of these rows"
        )


def unmoved(lines: Sequence[Mapping[str, float]], config: Any) -> str | None:
    """Return a warning if the loss of the last tenth of the updates is about that of the first tenth, else None."""
    last = lately(lines)
    before, after = (sum(line["loss"] for line in some) / len(some) for some in (lines[: len(last)], last))
    if after <= (1 - FALLEN) * before:
        return None
    return (
        f"warning: the student has learnt next to nothing: the loss was {before:.3f} in the first {len(last)} updates "
        f"and is {after:.3f} in the last ones; raise train.learning_rate (now {config.learning_rate:g}) or "
        f"train.epochs (now {config.epochs:g})"
    )


class Alarms:
    """Look at the numbers of each update, and say each warning once.

    The fall of the chosen side is measured against the reference; without a reference it is not watched.
    """

    def __init__(self, beta: float, log: Callable[[str], None], *, reference: bool = True) -> None:
        self._beta, self._log, self._reference = beta, log, reference
        self._said: set[str] = set()

    def look(self, line: Mapping[str, float]) -> None:
        """Warn of what the numbers of one update show."""
        moved = line["rewards/chosen"] / self._beta
        before = line["logps/chosen"] - moved
        if self._reference and moved < -FALL * abs(before):
            self._say(
                "fall",
                f"step {line['step']}: warning: the log-probability of the chosen answers fell from {before:.1f} to "
                f"{line['logps/chosen']:.1f}; the student may be losing its language: lower train.learning_rate, or "
                "raise train.sft_weight or train.loss.beta",
            )
        if line["rewards/margins"] > MARGIN:
            self._say(
                "margin",
                f"step {line['step']}: warning: the reward margin is {line['rewards/margins']:.1f}, far beyond what "
                "separates the pairs: train fewer steps, or lower train.learning_rate",
            )

    def _say(self, what: str, text: str) -> None:
        if what not in self._said:
            self._said.add(what)
            self._log(text)


def level(lines: Sequence[Mapping[str, float]], config: Any) -> str | None:
    """Return a warning if the reward of the last third of the updates is not above that of the first, else None.

    Above: by more than two standard errors, those of the means over updates.
    """
    third = len(lines) // 3
    if third < 2:
        return None
    first, last = ([line["reward"] for line in some] for some in (lines[:third], lines[-third:]))
    error = sqrt((variance(first) + variance(last)) / third)
    if fmean(last) > fmean(first) + 2 * error:
        return None
    return (
        f"warning: the student has learnt next to nothing: the mean reward was {fmean(first):.3f} in the first {third} "
        f"updates and is {fmean(last):.3f} in the last ones; raise train.learning_rate (now {config.learning_rate:g}) "
        f"or train.epochs (now {config.epochs:g}), or lower train.rl.kl_weight (now {config.rl.kl_weight:g})"
    )


class Collapse:
    """Look at the numbers of each update of an on-policy training, and say each warning once."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log, self._said = log, set[str]()
        self._alike, self._entropy = 0, 0.0

    def look(self, line: Mapping[str, float]) -> None:
        """Warn of what the numbers of one update show."""
        step, self._entropy = line["step"], self._entropy or line["entropy"]
        self._alike = self._alike + 1 if line["reward_std"] < ALIKE else 0
        if self._alike >= SEVERAL:
            self._say(
                "alike",
                f"step {step}: warning: for {SEVERAL} updates all samples of a prompt earned the same, so there was "
                "nothing to learn from them: take a finer reward, harder prompts, or more train.rl.samples",
            )
        if line["unfinished"] > HALF:
            self._say(
                "unfinished",
                f"step {step}: warning: {line['unfinished']:.0%} of the samples reach train.rl.max_completion_tokens "
                "without an end: raise it, or train.rl.missing_end",
            )
        if line["entropy"] < VARIETY * self._entropy:
            self._say(
                "entropy",
                f"step {step}: warning: the entropy fell from {self._entropy:.2f} to {line['entropy']:.2f} nats a "
                "token; the student gives the same answer again and again: raise train.rl.kl_weight or lower "
                "train.learning_rate",
            )

    def _say(self, what: str, text: str) -> None:
        if what not in self._said:
            self._said.add(what)
            self._log(text)
