"""Figures with their n and a 95 % interval. Nothing here is ever NaN: what was not measured is absent."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
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


def over_sides(
    sides: Sequence[Sequence[float]],
    families: Sequence[Hashable],
    *,
    seed: int = 0,
    weights: Sequence[float] | None = None,
) -> Figure | Comparison:
    """Return the mean of one side as a Figure, or of two sides (before, after) of the same things as a Comparison."""
    if len(sides) == 1:
        return mean_figure(sides[0], families, seed=seed, weights=weights)
    before, after = sides
    return compare(before, after, families, seed=seed, weights=weights)


def difference(
    one: Sequence[float],
    one_families: Sequence[Hashable],
    other: Sequence[float],
    other_families: Sequence[Hashable],
    *,
    seed: int = 0,
) -> Figure:
    """Mean of `one` less mean of `other`, two samples that are not paired; n counts both. Bootstrap over the families
    of each.
    """
    means = []
    for number, (values, families) in enumerate(((one, one_families), (other, other_families))):
        column = np.asarray(values, float)
        sums = resampled_sums(families, np.column_stack([column, np.ones(len(column))]), seed + number)
        means.append((float(column.mean()), sums[:, 0] / sums[:, 1]))
    low, high = interval(means[0][1] - means[1][1])
    return Figure(means[0][0] - means[1][0], len(one) + len(other), low, high)


def sign_flip_p(changes: Sequence[float], families: Sequence[Hashable], *, seed: int = 0) -> float:
    """Two-sided p of "no change on average": how often the mean is as far from 0 when each family's sign is a coin.

    Exact where there are at most `RESAMPLES` ways to flip, else drawn, the observed one counted in. Source: Fisher's
    randomisation test for paired samples.
    """
    places = _places(families)
    sums_F = np.zeros(max(places) + 1)
    np.add.at(sums_F, places, np.asarray(changes, float))
    size, observed = len(sums_F), abs(sums_F.sum())
    if 2**size <= RESAMPLES:
        signs = 1 - 2 * ((np.arange(2**size)[:, None] >> np.arange(size)) & 1)
        return float((np.abs(signs @ sums_F) >= observed - 1e-12).mean())
    signs = np.random.default_rng(seed).choice([-1, 1], size=(RESAMPLES, size))
    return float(((np.abs(signs @ sums_F) >= observed - 1e-12).sum() + 1) / (RESAMPLES + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted for asking several questions at once, in the order given (Holm 1979)."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted


def wilson(successes: int, n: int) -> Figure:
    """A rate with Wilson's interval (Wilson 1927). Raises ValueError for n = 0: nothing was measured."""
    if n == 0:
        raise ValueError("no observations: leave the figure out")
    rate, z2 = successes / n, Z95**2
    middle = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * (rate * (1 - rate) / n + z2 / (4 * n * n)) ** 0.5
    return Figure(rate, n, max(0.0, middle - half), min(1.0, middle + half))


def resampled_sums(families: Sequence[Hashable], columns: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Sums of each column over families drawn with replacement. columns [N, C] -> [RESAMPLES, C].

    A row of the family "" stands alone. Where all rows are of one family, they are drawn alone: one family cannot tell
    how families differ, and an interval without width would be a false claim.
    """
    places = _places(families)
    per_family = np.zeros((max(places) + 1, columns.shape[1]))
    np.add.at(per_family, places, columns)
    return np.concatenate([counts_RF @ per_family for counts_RF in _drawn_in_parts(len(per_family), seed)])


def resampled_weights(families: Sequence[Hashable], seed: int) -> NDArray[np.float64]:
    """How often each row is drawn in each resample of families, [RESAMPLES, N]."""
    places = np.asarray(_places(families))
    return np.asarray(_draws(int(places.max()) + 1, seed)[:, places], float)


def interval(resamples: NDArray[np.float64]) -> tuple[float, float]:
    """The middle 95 % of resampled values."""
    low, high = np.percentile(resamples, [2.5, 97.5])
    return float(low), float(high)


def auc(scores: Sequence[float], labels: Sequence[bool]) -> float:
    """How likely a thing with the label scores above one without it, a tie counting one half.

    Raises ValueError where one of the two kinds is missing.
    """
    return auc_figure(scores, labels, [""] * len(scores)).value


def auc_figure(
    scores: Sequence[float], labels: Sequence[bool], families: Sequence[Hashable], *, seed: int = 0
) -> Figure:
    """The same with its interval by bootstrap over families; resamples that lack one of the two kinds are left out."""
    value, label = np.asarray(scores, float), np.asarray(labels, bool)
    if label.all() or not label.any():
        raise ValueError("only one kind of observations: leave the figure out")
    place = np.asarray(_places(families))
    size = int(place.max()) + 1
    wins_PN = np.sign(value[label][:, None] - value[~label][None, :]) / 2 + 0.5
    wins_FF, with_F, without_F = np.zeros((size, size)), np.zeros(size), np.zeros(size)
    np.add.at(wins_FF, (place[label][:, None], place[~label][None, :]), wins_PN)
    np.add.at(with_F, place[label], 1)
    np.add.at(without_F, place[~label], 1)
    counts_RF = _draws(size, seed)
    compared_R = (counts_RF @ with_F) * (counts_RF @ without_F)
    wins_R = ((counts_RF @ wins_FF) * counts_RF).sum(1)
    low, high = interval(wins_R[compared_R > 0] / compared_R[compared_R > 0])
    return Figure(float(wins_PN.mean()), len(value), low, high)


def kappa(a: Sequence[bool], b: Sequence[bool]) -> float:
    """Agreement beyond chance, 1 at most: Cohen 1960. 0 where both say one and the same always: chance alone agrees."""
    return kappa_figure(a, b, [""] * len(a)).value


def kappa_figure(a: Sequence[bool], b: Sequence[bool], families: Sequence[Hashable], *, seed: int = 0) -> Figure:
    """The same with its interval by bootstrap over families. Raises ValueError for no observations."""
    if len(a) == 0:
        raise ValueError("no observations: leave the figure out")
    one, two = np.asarray(a, bool), np.asarray(b, bool)
    cells_N4 = np.column_stack([one & two, one & ~two, ~one & two, ~one & ~two]).astype(float)
    low, high = interval(_kappas(resampled_sums(families, cells_N4, seed)))
    return Figure(float(_kappas(cells_N4.sum(0)[None])[0]), len(one), low, high)


def alpha_figure(units: Sequence[Sequence[Hashable]], families: Sequence[Hashable], *, seed: int = 0) -> Figure:
    """Krippendorff's alpha for unordered values, with its interval by bootstrap over families; n counts units.

    `units`: what each judge said of one thing, those that said nothing left out; a thing with one value says nothing of
    agreement and does not count. 1: all agree; 0: as by chance. Source: Krippendorff 2011, "Computing Krippendorff's
    Alpha-Reliability". Raises ValueError where no thing has two values, or where only one value was ever given: then
    nothing tells agreement from habit.
    """
    paired = [(values, family) for values, family in zip(units, families, strict=True) if len(values) > 1]
    known = {value: place for place, value in enumerate(dict.fromkeys(v for values, _ in paired for v in values))}
    if len(known) < 2:
        raise ValueError("nothing that could disagree: leave the figure out")
    counts_UC = np.zeros((len(paired), len(known)))
    for row, (values, _) in enumerate(paired):
        for value in values:
            counts_UC[row, known[value]] += 1
    size_U = counts_UC.sum(1)
    apart_U = (size_U**2 - (counts_UC**2).sum(1)) / (size_U - 1)  # ordered pairs of a unit that differ
    columns = np.column_stack([apart_U, counts_UC])

    def alphas(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        total = sums[:, 1:].sum(1)
        expected = total**2 - (sums[:, 1:] ** 2).sum(1)
        return np.asarray(1 - (total - 1) * sums[:, 0] / np.where(expected > 0, expected, np.nan))

    drawn = alphas(resampled_sums([family for _, family in paired], columns, seed))
    low, high = interval(drawn[np.isfinite(drawn)])
    return Figure(float(alphas(columns.sum(0)[None])[0]), len(paired), low, high)


def _kappas(cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each row [both, only a, only b, neither], counts."""
    both, only_a, only_b, neither = (cells / cells.sum(1, keepdims=True)).T
    agreed, by_chance = both + neither, (both + only_a) * (both + only_b) + (neither + only_a) * (neither + only_b)
    room = 1 - by_chance
    apart = room > 1e-12
    return np.where(apart, (agreed - by_chance) / np.where(apart, room, 1.0), 0.0)


def _places(families: Sequence[Hashable]) -> list[int]:
    """The number of each row's family, from 0."""
    alone: list[Hashable] = [(place,) for place in range(len(families))]
    names = [own if name == "" else name for name, own in zip(families, alone, strict=True)]
    if len(set(names)) == 1:
        names = alone
    known = {name: place for place, name in enumerate(dict.fromkeys(names))}
    return [known[name] for name in names]


def _draws(families: int, seed: int) -> NDArray[np.int64]:
    """How often each family is drawn in each resample, shape [RESAMPLES, families]."""
    return np.concatenate(list(_drawn_in_parts(families, seed)))


def _drawn_in_parts(families: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """The rows of `_draws`, some at a time: all of some ten thousand families at once would take gigabytes."""
    rng, part = np.random.default_rng(seed), max(1, 4_000_000 // families)
    for at in range(0, RESAMPLES, part):
        yield rng.multinomial(families, np.full(families, 1 / families), size=min(part, RESAMPLES - at))


def _ratio(
    values: NDArray[np.float64], families: Sequence[Hashable], seed: int, weights: Sequence[float] | None
) -> Figure:
    if len(values) == 0:
        raise ValueError("no observations: leave the figure out")
    if not np.isfinite(values).all():
        raise ValueError("an observation is no finite number: what was not measured is left out, not passed on")
    weight = np.ones(len(values)) if weights is None else np.asarray(weights, float)
    sums = resampled_sums(families, np.column_stack([values * weight, weight]), seed)
    low, high = interval(sums[:, 0] / sums[:, 1])
    return Figure(float((values * weight).sum() / weight.sum()), len(values), low, high)
