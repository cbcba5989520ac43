"""Notice that a rate has risen, with a stated number of false alarms a year.

`Detector` watches the share of answers that break one principle. At each answer a new alternative may begin, "from now
on the odds are f times what they were", for each f of `FACTORS`; it enters with as much mass as time has passed since
the answer before, in years, and is multiplied by its likelihood ratio with every answer from there on. While the rate
is not above the bound b of the old one, a ratio is 1 on average or less, so the mass is on average at most the time
that has passed: an alarm at a mass of 1/a years comes at most a times a year, whatever the traffic, and whatever the
order in which answers come. Of k detectors at k/a years each, all together do.

The old rate is not known, but counted. `b` is the upper end of a confidence sequence, which holds at all times at once
with probability `CONFIDENCE` (all detectors together); only its lowest value so far counts, so it shrinks while nothing
happens and does not follow a rise. A baseline of few answers makes `b` large and the detector slow, but raises no
alarm.

Source: Shin, Ramdas and Rinaldo 2022, "E-detectors: a nonparametric framework for sequential change detection" (the
Shiryaev-Roberts e-detector, with mixtures); Ville 1939 and Robbins 1970 for the confidence sequence, by a Beta(1/2,
1/2) mixture; Page 1954 for the estimate of when it began.

Shapes: N answers of a block, F factors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cai_lite.intervals import score_interval

FACTORS = (1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)  # of the odds
CONFIDENCE = 0.99
BLOCK = 64  # answers between two looks at the bound; the product of as many ratios stays a finite number
LIMITS = 3.0  # standard errors of the control limits
DAYS = 365.25  # of a year

Vector = NDArray[np.float64]


@dataclass(kw_only=True)
class Detector:
    """The state of one watched rate.

    `limit`: mass, in years, at which it raises the alarm. `chance`: that its bound may ever be below the old rate.
    `seen`, `broken`: answers counted, in the baseline and since. `bound`: see the module; a bound that is known from
    elsewhere may be given. `watched`: answers since the baseline. `last`: number of the conversation of the latest of
    them. `began`: the conversation behind which the best alternative begins, if there is an alarm.
    """

    limit: float
    chance: float
    seen: int = 0
    broken: int = 0
    bound: float = 1.0
    watched: int = 0
    last: int = 0
    alarm: int | None = None
    began: int | None = None
    mass_F: Vector = field(default_factory=lambda: np.zeros(len(FACTORS)))
    score_F: Vector = field(default_factory=lambda: np.zeros(len(FACTORS)))
    since_F: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(FACTORS), np.int64))

    def learn(self, broken: Sequence[bool], last: int) -> None:
        """Count answers of the baseline. `last`: the number of the latest conversation."""
        self.seen += len(broken)
        self.broken += sum(broken)
        self.last = last
        self.since_F[:] = last

    def watch(self, numbers: Sequence[int], broken: Sequence[bool], year: float) -> int | None:
        """Take note of answers in their order; return the number of the conversation that raises the alarm, or None.

        `numbers`: of their conversations. `year`: the part of a year from one conversation to the next. After an alarm
        the answers are only counted.
        """
        place = 0
        while place < len(numbers):
            if self.watched % BLOCK == 0:
                self.bound = min(self.bound, upper_bound(self.broken, self.seen, self.chance))
            end = min(len(numbers), place + BLOCK - self.watched % BLOCK)
            if self.alarm is None:
                self._block(np.asarray(numbers[place:end]), np.asarray(broken[place:end], float), year)
            self.watched += end - place
            self.seen += end - place
            self.broken += sum(broken[place:end])
            place = end
        return self.alarm

    def _block(self, number_N: NDArray[np.int64], broken_N: Vector, year: float) -> None:
        factor_F = np.asarray(FACTORS)
        entering_N = np.diff(number_N, prepend=self.last) * year
        ratio_NF = broken_N[:, None] * np.log(factor_F) - np.log1p(self.bound * (factor_F - 1))
        sum_NF = np.cumsum(ratio_NF, axis=0)
        # The mass behind answer n is exp(sum_n) (mass before the block + sum over i <= n of entering_i / exp(sum_i-1)).
        entered_NF = np.cumsum(entering_N[:, None] * np.exp(ratio_NF - sum_NF), axis=0)
        mass_NF = np.exp(sum_NF) * (self.mass_F + entered_NF)
        over_N = np.flatnonzero(mass_NF.mean(axis=1) >= self.limit)
        stop = int(over_N[0]) if len(over_N) else len(number_N) - 1
        self._remember(sum_NF[: stop + 1], number_N)
        self.mass_F, self.last = mass_NF[stop], int(number_N[-1])
        if len(over_N):
            self.alarm = int(number_N[stop])
            self.began = int(self.since_F[int(np.argmax(self.score_F))])

    def _remember(self, sum_NF: NDArray[np.float64], number_N: NDArray[np.int64]) -> None:
        """Follow Page's sums, and where each of them was 0 last."""
        path_NF = self.score_F + sum_NF
        least_F = np.minimum(path_NF.min(axis=0), 0.0)
        lowest_F = np.argmin(path_NF[::-1], axis=0)
        self.since_F = np.where(least_F < 0, number_N[len(path_NF) - 1 - lowest_F], self.since_F)
        self.score_F = path_NF[-1] - least_F

    def as_dict(self) -> dict[str, Any]:
        """Return the state as plain JSON."""
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(self).items()}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Detector:
        """Return the detector in the state that `as_dict` wrote."""
        arrays = {name: np.asarray(state[name], float) for name in ("mass_F", "score_F")}
        since_F = np.asarray(state["since_F"], np.int64)
        return cls(**{**state, **arrays, "since_F": since_F})


def upper_bound(broken: int, seen: int, chance: float) -> float:
    """Return the upper end of the confidence sequence of a rate, 0 to 1; it holds at all times with 1 - `chance`."""
    if seen == 0 or broken == seen:
        return 1.0
    kept = seen - broken
    mixture = (
        math.lgamma(broken + 0.5) + math.lgamma(kept + 0.5) - math.lgamma(seen + 1) - math.log(math.pi)
    )  # the logarithm of B(broken + 1/2, kept + 1/2) / B(1/2, 1/2)
    least = mixture + math.log(chance)
    low, high = broken / seen, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        if (broken * math.log(middle) if broken else 0.0) + kept * math.log1p(-middle) > least:
            low = middle
        else:
            high = middle
    return high


def control_limits(rate: float, baseline: float, n: int) -> tuple[float, float]:
    """Return the rates between which that of `n` answers should lie if nothing has changed, at three standard errors.

    `rate`: that of the baseline, of as many answers as `baseline` says. They are for the eye: an alarm is the
    detector's alone.

    Source: Shewhart 1931; as a score interval, so that limits of small rates stay above 0.
    """
    return score_interval(rate, 1 / (1 / n + 1 / baseline), LIMITS)
