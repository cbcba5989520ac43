"""Warnings about preference training: signs of a collapse that looks like success, and lengths that explain it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cai_lite.training.tokens import Row

LONGER = 1.5  # ratio of the mean lengths of chosen and rejected that teaches length in place of the principle
FALL = 0.5  # share of its log-probability that the chosen side may lose against the reference
UNLEARNT = 0.04  # mean reward margin below which a loss against a reference is still about where it began
MARGIN = 20.0  # mean reward margin: the loss has long been flat, and the weights still move


def warn_of_length(rows: Sequence[Row], log: Callable[[str], None]) -> None:
    """Warn before training where length alone separates chosen from rejected: the student would learn that, too."""
    chosen, rejected = (sum(len(row.completions[side]) for row in rows) for side in (0, 1))
    ratio = chosen / rejected
    if not 1 / LONGER < ratio < LONGER:
        what = "longer" if ratio > 1 else "shorter"
        log(
            f"warning: chosen answers are on average {max(ratio, 1 / ratio):.1f} times {what} than rejected ones; the "
            "student will learn that, too: drop the most unequal pairs"
        )


def unlearnt(last: Sequence[Mapping[str, float]], config: Any) -> str | None:
    """Return a warning if the mean reward margin of the last updates is still about 0, else None.

    The DPO loss of a pair is then still about ln 2 = 0.693, that of a coin toss.
    """
    margin = sum(line["rewards/margins"] for line in last) / len(last)
    if margin >= UNLEARNT:
        return None
    return (
        f"warning: the student has learnt next to nothing: the mean reward margin of the last {len(last)} updates is "
        f"{margin:.3f}, a DPO loss of about ln 2 = 0.693; raise train.learning_rate (now {config.learning_rate:g}) or "
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
