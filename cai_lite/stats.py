"""Statistics with 95 % intervals: means, rates, differences, agreement, AUC.

A result is never NaN: where nothing was measured, the functions raise ValueError and the caller leaves the figure out.

Shapes: N observations, F families, R resamples, C columns, U units.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cai_lite import intervals

RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Figure:
    """A value with the number of observations `n` and the 95 % interval from `low` to `high`."""

    value: float
    n: int
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """Return the figure in the form of evaluation.json."""
        return {"value": self.value, "n": self.n, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True)
class Comparison:
    """The same quantity measured before and after on the same prompts; `change` is the mean paired difference."""

    before: Figure
    after: Figure
    change: Figure

    def as_dict(self) -> dict[str, Any]:
        """Return the comparison in the form of evaluation.json."""
        return {"before": self.before.as_dict(), "after": self.after.as_dict(), "change": self.change.as_dict()}


def mean_figure(
    values: Sequence[float], families: Sequence[Hashable], *, seed: int = 0, weights: Sequence[float] | None = None
) -> Figure:
    """Return the (weighted) mean with an interval that allows for families, whose values are not independent.

    See `intervals`: shares in [0, 1] get Wilson's interval on the effective number of observations, other values a t
    interval over families. Neither draws anything, so that `seed` changes nothing; the figures by bootstrap take it.

    Raises:
        ValueError: `values` is empty or holds a number that is not finite.
    """
    return _mean(_sample(np.asarray(values, float), families, weights))


def compare(
    before: Sequence[float],
    after: Sequence[float],
    families: Sequence[Hashable],
    *,
    seed: int = 0,
    weights: Sequence[float] | None = None,
) -> Comparison:
    """Compare paired measurements; the interval of the change is that of the mean paired difference.

    `before[i]` and `after[i]` are measured on the same item, which belongs to `families[i]`. See `mean_figure` for the
    intervals and `seed`; a change of shares gets Agresti and Min's interval.

    Raises:
        ValueError: there are no observations, or one is not finite.
    """
    sides = [_sample(np.asarray(values, float), families, weights) for values in (before, after)]
    change = sides[0]._replace(value_N=sides[1].value_N - sides[0].value_N)
    shares = all(intervals.is_share(side.value_N) for side in sides)
    low, high = intervals.of_change(change) if shares else intervals.of_mean(change)
    return Comparison(_mean(sides[0]), _mean(sides[1]), Figure(change.mean, len(before), low, high))


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
    first: Sequence[float],
    first_families: Sequence[Hashable],
    second: Sequence[float],
    second_families: Sequence[Hashable],
    *,
    seed: int = 0,
    changes: bool = False,
) -> Figure:
    """Return mean(first) - mean(second) of two unpaired samples, with an interval from those of the two means.

    `n` of the figure counts the observations of both samples. `changes`: the values are paired differences of shares,
    from -1 to 1. See `mean_figure` for `seed`.

    Source: Newcombe 1998, "Interval estimation for the difference between independent proportions", method 10.
    """
    samples = [
        _sample(np.asarray(values, float), families, None)
        for values, families in ((first, first_families), (second, second_families))
    ]
    one, other = (
        Figure(sample.mean, len(sample.value_N), *intervals.of_change(sample)) if changes else _mean(sample)
        for sample in samples
    )
    value = one.value - other.value
    low = value - math.hypot(one.value - one.low, other.high - other.value)
    high = value + math.hypot(one.high - one.value, other.value - other.low)
    return Figure(value, one.n + other.n, low, high)


def sign_flip_p(changes: Sequence[float], families: Sequence[Hashable], *, seed: int = 0) -> float:
    """Return the two-sided p-value of the sign-flip test of "no change on average".

    The p-value is the share of sign assignments, one random sign per family, whose mean is at least as far from 0 as
    the observed mean. All assignments are enumerated if there are at most `RESAMPLES`; otherwise `RESAMPLES` are drawn
    and the observed one is counted in.

    Source: Fisher 1935, "The Design of Experiments", randomisation test for paired samples.
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
    """Return p-values adjusted for multiple comparisons by Holm's method, in the order given.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted


def wilson(successes: int, n: int) -> Figure:
    """Return the rate `successes / n` with Wilson's score interval.

    Raises:
        ValueError: `n` is 0.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    if n == 0:
        raise ValueError("no observations; leave the figure out")
    return Figure(successes / n, n, *intervals.score_interval(successes / n, n))


def resampled_sums(families: Sequence[Hashable], columns: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Return the sum of each column in each bootstrap resample of families: [N, C] -> [RESAMPLES, C].

    A row with the family "" is a family of its own. If all rows belong to one family, rows are resampled instead:
    a single family says nothing about the variation between families, and an interval of width 0 would be wrong.
    """
    places = _places(families)
    per_family = np.zeros((max(places) + 1, columns.shape[1]))
    np.add.at(per_family, places, columns)
    return np.concatenate([counts_RF @ per_family for counts_RF in _drawn_in_parts(len(per_family), seed)])


def resampled_weights(families: Sequence[Hashable], seed: int) -> NDArray[np.float64]:
    """Return how often each row is drawn in each resample of families, shape [RESAMPLES, N]."""
    places = np.asarray(_places(families))
    return np.asarray(_draws(int(places.max()) + 1, seed)[:, places], float)


def interval(resamples: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 2.5th and 97.5th percentiles of resampled values."""
    low, high = np.percentile(resamples, [2.5, 97.5])
    return float(low), float(high)


def auc(scores: Sequence[float], labels: Sequence[bool]) -> float:
    """Return the area under the ROC curve of `scores` for `labels`.

    This is the probability that a labelled item scores higher than an unlabelled one. Ties count one half.

    Raises:
        ValueError: all items are labelled, or none is.
    """
    return auc_figure(scores, labels, [""] * len(scores)).value


def auc_figure(
    scores: Sequence[float], labels: Sequence[bool], families: Sequence[Hashable], *, seed: int = 0
) -> Figure:
    """Return the area under the ROC curve (see `auc`) with a bootstrap interval over families.

    Resamples in which all items are labelled, or none is, are left out. Areas of 0 and 1, which no resample changes,
    get the interval of a share of the items whose label is rarer.

    Raises:
        ValueError: all items are labelled, or none is.
    """
    value, label = np.asarray(scores, float), np.asarray(labels, bool)
    if label.all() or not label.any():
        raise ValueError("the labels are all true or all false; leave the figure out")
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
    area = float(wins_PN.mean())
    if area in (0.0, 1.0):  # no resample differs; each item of the rarer label is a share of 0 or 1
        rarer = label if 2 * label.sum() <= len(label) else ~label
        edge = mean_figure([area] * int(rarer.sum()), place[rarer].tolist())
        low, high = edge.low, edge.high
    return Figure(area, len(value), low, high)


def kappa(a: Sequence[bool], b: Sequence[bool]) -> float:
    """Return Cohen's kappa, the agreement of two raters beyond chance; 1 is perfect agreement.

    The value is 0 if both raters always give the same one label, because chance alone explains that.

    Raises:
        ValueError: there are no observations.

    Source: Cohen 1960, "A coefficient of agreement for nominal scales".
    """
    return kappa_figure(a, b, [""] * len(a)).value


def kappa_figure(a: Sequence[bool], b: Sequence[bool], families: Sequence[Hashable], *, seed: int = 0) -> Figure:
    """Return Cohen's kappa (see `kappa`) with a bootstrap interval over families.

    The interval holds that of the agreement, too, at the agreement by chance that was found: where few families differ,
    or all agree, the resamples vary less than the truth may.

    Raises:
        ValueError: there are no observations.
    """
    if len(a) == 0:
        raise ValueError("no observations; leave the figure out")
    a_N, b_N = np.asarray(a, bool), np.asarray(b, bool)
    cells_N4 = np.column_stack([a_N & b_N, a_N & ~b_N, ~a_N & b_N, ~a_N & ~b_N]).astype(float)
    low, high = interval(_kappas(resampled_sums(families, cells_N4, seed)))
    both, only_a, only_b, neither = cells_N4.mean(0)
    by_chance = (both + only_a) * (both + only_b) + (neither + only_a) * (neither + only_b)
    if by_chance < 1:
        agreed = mean_figure((a_N == b_N).astype(float).tolist(), families)
        low = min(low, (agreed.low - by_chance) / (1 - by_chance))
        high = max(high, (agreed.high - by_chance) / (1 - by_chance))
    return Figure(float(_kappas(cells_N4.sum(0)[None])[0]), len(a_N), low, high)


def alpha_figure(units: Sequence[Sequence[Hashable]], families: Sequence[Hashable], *, seed: int = 0) -> Figure:
    """Return Krippendorff's alpha for nominal data, with a bootstrap interval over families.

    `units[i]` holds the values that the judges gave to item i, without those of judges that gave none; items with fewer
    than two values are left out. `n` of the figure counts the remaining items. 1 is full agreement, 0 is agreement by
    chance.

    Raises:
        ValueError: no item has two values, or all values are the same.

    Source: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability".
    """
    paired = [(values, family) for values, family in zip(units, families, strict=True) if len(values) > 1]
    known = {value: place for place, value in enumerate(dict.fromkeys(v for values, _ in paired for v in values))}
    if len(known) < 2:
        raise ValueError("alpha needs at least two different values on items with two judgements; leave the figure out")
    counts_UC = np.zeros((len(paired), len(known)))
    for row, (values, _) in enumerate(paired):
        for value in values:
            counts_UC[row, known[value]] += 1
    size_U = counts_UC.sum(1)
    disagreement_U = (size_U**2 - (counts_UC**2).sum(1)) / (size_U - 1)  # from the ordered pairs of unequal values
    columns = np.column_stack([disagreement_U, counts_UC])

    def alphas(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        total = sums[:, 1:].sum(1)
        expected = total**2 - (sums[:, 1:] ** 2).sum(1)
        return np.asarray(1 - (total - 1) * sums[:, 0] / np.where(expected > 0, expected, np.nan))

    drawn = alphas(resampled_sums([family for _, family in paired], columns, seed))
    low, high = interval(drawn[np.isfinite(drawn)])
    apart_U = disagreement_U / size_U  # 0 to 1: the share of other values that a value of the item differs from
    if not apart_U.any():  # at full agreement nothing varies; the disagreement that may have been missed is a share
        missed, of_value = mean_figure(apart_U.tolist(), [family for _, family in paired]).high, counts_UC.sum(0)
        total = of_value.sum()
        low = 1 - missed * total * (total - 1) / (total**2 - (of_value**2).sum())
    return Figure(float(alphas(columns.sum(0)[None])[0]), len(paired), float(low), high)


def _kappas(cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return kappa for each row of counts [both, only a, only b, neither]."""
    both, only_a, only_b, neither = (cells / cells.sum(1, keepdims=True)).T
    agreed, by_chance = both + neither, (both + only_a) * (both + only_b) + (neither + only_a) * (neither + only_b)
    beyond_chance = 1 - by_chance
    defined = beyond_chance > 1e-12
    return np.where(defined, (agreed - by_chance) / np.where(defined, beyond_chance, 1.0), 0.0)


def _places(families: Sequence[Hashable]) -> list[int]:
    """Return the index of each row's family, from 0 in order of first occurrence."""
    alone: list[Hashable] = [(place,) for place in range(len(families))]
    names = [own if name == "" else name for name, own in zip(families, alone, strict=True)]
    if len(set(names)) == 1:
        names = alone
    known = {name: place for place, name in enumerate(dict.fromkeys(names))}
    return [known[name] for name in names]


def _draws(families: int, seed: int) -> NDArray[np.int64]:
    """Return how often each family is drawn in each resample, shape [RESAMPLES, F]."""
    return np.concatenate(list(_drawn_in_parts(families, seed)))


def _drawn_in_parts(families: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of `_draws` in parts; all at once would take gigabytes for ten thousand families."""
    rng, part = np.random.default_rng(seed), max(1, 4_000_000 // families)
    for at in range(0, RESAMPLES, part):
        yield rng.multinomial(families, np.full(families, 1 / families), size=min(part, RESAMPLES - at))


def _sample(
    values_N: NDArray[np.float64], families: Sequence[Hashable], weights: Sequence[float] | None
) -> intervals.Sample:
    if len(values_N) == 0:
        raise ValueError("no observations; leave the figure out")
    if not np.isfinite(values_N).all():
        raise ValueError("an observation is not a finite number; leave out what was not measured")
    weight_N = np.ones(len(values_N)) if weights is None else np.asarray(weights, float)
    return intervals.Sample(values_N, weight_N, np.asarray(_places(families)))


def _mean(sample: intervals.Sample) -> Figure:
    bounds = intervals.of_share if intervals.is_share(sample.value_N) else intervals.of_mean
    return Figure(sample.mean, len(sample.value_N), *bounds(sample))
