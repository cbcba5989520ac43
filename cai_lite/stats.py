"""Figures with their n and a 95 % interval. Nothing here is ever NaN: what was not measured is absent."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
Z95 = 1.959963984540054  # the 97.5 % point of the normal distribution


@dataclass(frozen=True, slots=True)
class Figure:
    """A value, how many observations it rests on, and its 95 % interval."""

    value: float
    n: int
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """As evaluation.json has it."""
        return {"value": self.value, "n": self.n, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True)
class Comparison:
    """The same measured before and after on the same prompts; `change` is paired."""

    before: Figure
    after: Figure
    change: Figure

    def as_dict(self) -> dict[str, Any]:
        """As evaluation.json has it."""
        return {"before": self.before.as_dict(), "after": self.after.as_dict(), "change": self.change.as_dict()}


def mean_figure(
    values: Sequence[float], families: Sequence[Hashable], *, seed: int = 0, weights: Sequence[float] | None = None
) -> Figure:
    """The (weighted) mean, with a percentile interval by bootstrap over families: values of one family are no
    independent evidence.
    """
    return _ratio(np.asarray(values, float), families, seed, weights)


def compare(
    before: Sequence[float],
    after: Sequence[float],
    families: Sequence[Hashable],
    *,
    seed: int = 0,
    weights: Sequence[float] | None = None,
) -> Comparison:
    """Two measurements of the same things, in the same order; all three intervals from the same resamples."""
    one, two = np.asarray(before, float), np.asarray(after, float)
    return Comparison(*(_ratio(values, families, seed, weights) for values in (one, two, two - one)))


def wilson(successes: int, n: int) -> Figure:
    """A rate with Wilson's interval (Wilson 1927). Raises ValueError for n = 0: nothing was measured."""
    if n == 0:
        raise ValueError("no observations: leave the figure out")
    rate, z2 = successes / n, Z95**2
    middle = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * (rate * (1 - rate) / n + z2 / (4 * n * n)) ** 0.5
    return Figure(rate, n, max(0.0, middle - half), min(1.0, middle + half))


def resampled_sums(families: Sequence[Hashable], columns: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Sums of each column over families drawn with replacement. columns [N, C] -> [RESAMPLES, C]."""
    names = {name: place for place, name in enumerate(dict.fromkeys(families))}
    per_family = np.zeros((len(names), columns.shape[1]))
    np.add.at(per_family, [names[name] for name in families], columns)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES)
    return np.asarray(counts @ per_family)


def interval(resamples: NDArray[np.float64]) -> tuple[float, float]:
    """The middle 95 % of resampled values."""
    low, high = np.percentile(resamples, [2.5, 97.5])
    return float(low), float(high)


def _ratio(
    values: NDArray[np.float64], families: Sequence[Hashable], seed: int, weights: Sequence[float] | None
) -> Figure:
    if len(values) == 0:
        raise ValueError("no observations: leave the figure out")
    weight = np.ones(len(values)) if weights is None else np.asarray(weights, float)
    sums = resampled_sums(families, np.column_stack([values * weight, weight]), seed)
    low, high = interval(sums[:, 0] / sums[:, 1])
    return Figure(float((values * weight).sum() / weight.sum()), len(values), low, high)
