"""Goodhart's watch: the reward against a second judge that it was not learnt from, on held-out prompts over the steps.

Every so many updates one reply to each held-out prompt is rewarded by both. At each evaluation they are compared with
every earlier one, paired by prompt. They have parted where, against some earlier evaluation, the reward has clearly
risen while the second judge has clearly not followed: its gain is below `FOLLOWS` times the reward's, each in standard
deviations of its own judge before the training. That holds for a second judge that falls, and for one that
stays where it was while the reward soars.

"Clearly" is outside of a one-sided t interval over prompt families. All comparisons of a training together are to cry
wolf in at most `ALARMS` of trainings in which the second judge follows: evaluation t gets 6 / (pi t)^2 of it, divided
by its t comparisons.

Source: Gao, Schulman and Hilton 2022, "Scaling laws for reward model overoptimization", arXiv:2210.10760, for the gold
reward that first rises with the proxy and then falls.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any, NamedTuple

import numpy as np

from cai_lite.intervals import Sample, of_mean
from cai_lite.training import checkpoint
from cai_lite.training.config import TrainingConfig
from cai_lite.training.held_out import PREFIX, Best, HeldOut
from cai_lite.training.rl_settings import WATCHED
from cai_lite.training.update import Objective

ALARMS = 0.05  # share of trainings whose second judge follows that may be called parted
FOLLOWS = 0.25  # of the reward's gain, in standard deviations, that a second judge makes at least where it follows
LEAST = 1e-3  # standard deviation below which the values of a judge are taken to be all alike


class Looked(NamedTuple):
    """One evaluation: a value for each prompt by either judge, NaN where there is none, and other numbers by name."""

    reward: list[float]
    second: list[float] | None
    numbers: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Parted:
    """What the second judge says of a reward's gain. `since`: the step that `step` is compared with.

    `reward`, `second`: the mean gains in the judges' own units.
    """

    step: int
    since: int
    reward: float
    second: float

    def __str__(self) -> str:
        return (
            f"step {self.step}: warning: reward and second judge have parted (Goodhart's law): since step {self.since} "
            f"the reward changed by {self.reward:+.3f}, and the second judge by {self.second:+.3f}"
        )


class Evaluation(NamedTuple):
    """The values of an evaluation after update `step`."""

    step: int
    reward: list[float]
    second: list[float]


def parted(evaluations: Sequence[Evaluation], families: Sequence[str]) -> Parted | None:
    """Return how the judges have parted at the last of these evaluations, or None if they have not.

    Of several earlier evaluations that show it, the one with the largest gap is returned. `families`: of the prompts.
    """
    if len(evaluations) < 2:
        return None
    *earlier, last = evaluations
    number = len(earlier)
    alpha = ALARMS * 6 / (math.pi * number) ** 2 / number
    first = evaluations[0]
    scale_reward, scale_second = (max(LEAST, pstdev(_known(values))) for values in (first.reward, first.second))
    found: list[tuple[float, Parted]] = []
    for before in earlier:
        gains = [
            (after_r - r, after_s - s, family)
            for r, s, after_r, after_s, family in zip(
                before.reward, before.second, last.reward, last.second, families, strict=True
            )
            if not math.isnan(r + s + after_r + after_s)
        ]
        if len({family for *_, family in gains}) < 2:
            continue
        rose = np.array([gain / scale_reward for gain, _, _ in gains])
        lag = np.array([gain / scale_second for _, gain, _ in gains]) - FOLLOWS * rose
        place = _places([family for *_, family in gains])
        low, _ = _one_sided(rose, place, alpha)
        _, high = _one_sided(lag, place, alpha)
        if low > 0 and high < 0:
            gain, other = (fmean(values) for values in list(zip(*gains, strict=True))[:2])
            found.append((high, Parted(last.step, before.step, gain, other)))
    return min(found, key=lambda each: each[0])[1] if found else None


class Watched(HeldOut):
    """Evaluate on-policy training by fresh replies; the best step is that of the second judge, if there is one.

    `look`: draws and rewards one reply to each held-out prompt. Of evaluations beyond `rl.kl_limit` none is the best.
    """

    def __init__(
        self,
        look: Callable[[], Looked],
        families: Sequence[str],
        *,
        every: int,
        config: TrainingConfig,
        checkpoints: Path,
    ) -> None:
        super().__init__((), None, every=every, config=config, checkpoints=checkpoints)
        self._look, self._families = look, families
        self._evaluations: list[Evaluation] = []
        self.parted: Parted | None = None

    def resume(self, record: dict[str, Any] | None) -> None:
        """Continue from the record of a checkpoint."""
        if record is None:
            return
        super().resume({name: record[name] for name in ("step", "loss", "sha256", "since")})
        self._evaluations = [
            Evaluation(step, *([math.nan if value is None else value for value in each] for each in both))
            for step, *both in record["evaluations"]
        ]
        self.parted = Parted(**record["parted"]) if record["parted"] else None

    def record(self) -> dict[str, Any] | None:
        """Return what a checkpoint has to store; JSON has no NaN."""
        best = super().record()
        if best is None:
            return None
        stored = [
            [step, *([None if math.isnan(value) else value for value in each] for each in both)]
            for step, *both in self._evaluations
        ]
        return {**best, "evaluations": stored, "parted": _fields(self.parted)}

    def begin(self, parameters: dict[str, Any], log: Callable[[str], None]) -> None:
        """Evaluate before the first update, since all later gains are counted from there."""
        found = self._evaluated(0, parameters)
        if self._evaluations and (many := len(set(self._families))) < WATCHED:
            log(
                f"the watch over the reward has {many} prompt families: it sees large gaps alone; {WATCHED} or more "
                "are better"
            )
        log("before training: " + ", ".join(f"{name} {value:.3f}" for name, value in found.items()))

    def look(self, training: Objective, step: int, parameters: dict[str, Any]) -> dict[str, float]:
        """Evaluate after update `step`, remember the weights if they are the best, and return the numbers by name."""
        return {PREFIX + name: value for name, value in self._evaluated(step, parameters).items()}

    def says(self) -> str:
        """Return the warning of the last evaluation, or "": it is said once."""
        new = self.parted is not None and self._evaluations and self.parted.step == self._evaluations[-1].step
        return str(self.parted) if new else ""

    def stops(self) -> str:
        """Return why the training should stop, or ""."""
        if self.parted is not None and self._config.rl.stop_when_parted:
            return "the reward and the second judge have parted"
        return super().stops()

    def summary(self) -> str:
        """Return which weights are kept, in words."""
        if self.best is None:
            return "kept: the last weights; no evaluation had replies that could be rewarded"
        judge = "second judge" if self._evaluations else "reward"
        which = f"step {self.best.step}, the best by the {judge} on held-out prompts ({-self.best.loss:.4f})"
        if self._config.keep == "last":
            return f"kept: the last weights; those of {which} were better or as good"
        return f"kept: the weights of {which}"

    def _evaluated(self, step: int, parameters: dict[str, Any]) -> dict[str, float]:
        found = self._look()
        rewards, seconds = _known(found.reward), _known(found.second or [])
        if not rewards or (found.second is not None and not seconds):
            return {**found.numbers}  # a judge whom nobody understood says nothing of these weights
        numbers = {"reward": fmean(rewards), **found.numbers}
        judged = numbers["reward"]
        if found.second is not None:
            judged = numbers["second"] = fmean(seconds)
            self._evaluations.append(Evaluation(step, found.reward, found.second))
            if self.parted is None:
                self.parted = parted(self._evaluations, self._families)
        limit = self._config.rl.kl_limit
        within = limit is None or numbers["kl"] <= limit
        if self.best is None or (within and -judged < self.best.loss):
            keeps = self._config.keep == "best"
            sha256 = checkpoint.save_best(self._checkpoints, step, parameters) if keeps else ""
            self.best = Best(step, -judged, sha256)
        else:
            self.best = Best(self.best.step, self.best.loss, self.best.sha256, self.best.since + 1)
        return numbers


def _fields(parted: Parted | None) -> dict[str, Any] | None:
    return None if parted is None else {name: getattr(parted, name) for name in ("step", "since", "reward", "second")}


def _known(values: Sequence[float]) -> list[float]:
    """Return the values that are there."""
    return [value for value in values if not math.isnan(value)]


def _places(families: Sequence[str]) -> Any:
    numbers = {family: number for number, family in enumerate(dict.fromkeys(families))}
    return np.array([numbers[family] for family in families])


def _one_sided(values_N: Any, place_N: Any, alpha: float) -> tuple[float, float]:
    """Return the bounds that the mean lies below, and above, with a probability of `alpha` each.

    Where all values are alike, the width is that of one that differs by a standard deviation: it was not seen, but
    cannot be ruled out by so few.
    """
    low, high = of_mean(Sample(values_N, np.ones(len(values_N)), place_N), 1 - 2 * alpha)
    if low == high:
        return low - 1 / len(values_N), high + 1 / len(values_N)
    return low, high
