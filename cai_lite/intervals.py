"""95 % intervals of means over families of observations that are not independent of each other.

Values in [0, 1], such as rates, get Wilson's score interval on the effective number of observations; their paired
differences get Agresti and Min's interval, which adds a few observations; all other means get a t interval over
families. `cai_lite.bench.coverage` measures by simulation how often these intervals cover.

Shapes: N observations, F families.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Z95 = 1.959963984540054  # the 97.5 % point of the normal distribution
# Where the rarer value occurs in few families, the correlation within families can hardly be estimated. It is then
# drawn towards this value, which counts as much as one family. Both were chosen on one half of the simulated cells.
PRIOR_CORRELATION = 0.3
PRIOR_FAMILIES = 1.0
_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(32)

Vector = NDArray[np.float64]


class Sample(NamedTuple):
    """Observations with their weights; `place_N` is the index of each one's family, from 0 without gaps."""

    value_N: Vector
    weight_N: Vector
    place_N: NDArray[np.int64]

    def by_family(self, column_N: Vector) -> Vector:
        """Return the sum of a column in each family, shape [F]."""
        return np.asarray(np.bincount(self.place_N, column_N), float)

    @property
    def mean(self) -> float:
        """Return the weighted mean."""
        return float(self.weight_N @ self.value_N / self.weight_N.sum())


class Effective(NamedTuple):
    """What a sample is worth: the number of independent observations, and the quantile its interval takes."""

    n: float
    quantile: float


def is_share(value_N: Vector) -> bool:
    """Return whether values are taken for shares of [0, 1]: all lie there, and one is 0 or 1 or all are the same.

    Values strictly between 0 and 1 are not, because a quantity without an upper limit may lie there, too.
    """
    low, high = value_N.min(), value_N.max()
    return bool(low >= 0 and high <= 1 and (low in (0, 1) or high in (0, 1) or low == high))


def of_share(sample: Sample) -> tuple[float, float]:
    """Return Wilson's interval of a mean of values in [0, 1], on the effective number of observations.

    Where nothing varies, the interval still has a width. Independent values of 0 and 1 get Wilson's interval itself.

    Source: Wilson 1927; Korn and Graubard 1998, "Confidence intervals for proportions with small expected number of
    positive counts estimated from survey data", for effective numbers and t quantiles; Dean and Pagano 2015,
    "Evaluating confidence interval methods for binomial proportions in clustered surveys".
    """
    rate = min(1.0, max(0.0, sample.mean))
    rarer_N = sample.value_N if rate <= 0.5 else 1 - sample.value_N
    n, quantile = effective(sample, rarer_N)
    # Values between 0 and 1 vary less than 0 and 1 do. One more observation, which varies as much as it can, keeps
    # the width above 0 where all values are alike.
    most = rate * (1 - rate)
    if most > 0:
        kish = _kish(sample)
        n *= (kish + 1) / (kish * min(1.0, _variance(sample) / most) + 1)
    return score_interval(rate, n, quantile)


def of_change(sample: Sample) -> tuple[float, float]:
    """Return the interval of a mean paired difference of values in [0, 1], on the effective number of observations.

    Half of the squared quantile (about 2) is added to the effective number: as many gains as losses, and as much
    again without change. So the interval has a width where nothing, or everything, has changed.

    Source: Agresti and Min 2005, "Simple improved confidence intervals for comparing matched proportions".
    """
    n, quantile = effective(sample, np.abs(sample.value_N))
    square = float(sample.weight_N @ sample.value_N**2 / sample.weight_N.sum())
    added = quantile**2 / 2
    middle = n * sample.mean / (n + added)
    variance = (n * square + added / 2) / (n + added) - middle**2
    half = quantile * math.sqrt(max(0.0, variance) / (n + added))
    return max(-1.0, middle - half), min(1.0, middle + half)


def of_mean(sample: Sample, level: float = 0.95) -> tuple[float, float]:
    """Return the t interval of a mean, with the standard error over families and their effective number less 1.

    The width is 0 where no value differs, and for a single value: the values themselves have no known limits.

    Source: Bell and McCaffrey 2002, "Bias reduction in standard errors for linear regression with multi-stage
    samples", for the correction of each family's residual.
    """
    mean, weight_F = sample.mean, sample.by_family(sample.weight_N)
    if len(weight_F) == 1:
        return mean, mean
    share_F = weight_F / weight_F.sum()
    residual_F = sample.by_family(sample.weight_N * (sample.value_N - mean)) / weight_F.sum()
    error = math.sqrt(float((residual_F**2 / (1 - share_F)).sum()))
    half = t_quantile(max(1.0, 1 / (share_F @ share_F) - 1), level) * error
    return mean - half, mean + half


def score_interval(rate: float, n: float, quantile: float = Z95) -> tuple[float, float]:
    """Return Wilson's score interval of a rate among `n` observations."""
    square = quantile**2
    middle = (rate + square / (2 * n)) / (1 + square / n)
    half = quantile / (1 + square / n) * (rate * (1 - rate) / n + square / (4 * n * n)) ** 0.5
    # At 0 and 1 the ends are exact; elsewhere rounding must not carry them past the rate.
    return min(rate, max(0.0, middle - half)), max(rate, min(1.0, middle + half))


def effective(sample: Sample, mass_N: Vector) -> Effective:
    """Return the effective number of observations, and the t quantile for the precision with which it is known.

    The variance of the mean is that of independent values times a design effect, from the correlation within families
    (at least 0). `mass_N`: how much each observation tells about it, such as 1 for the rarer of two values. The fewer
    families hold this mass, the more the correlation is drawn to `PRIOR_CORRELATION`; so at rates of 0 and 1 the
    effective number lies between the numbers of families and of observations. The larger the part of the design
    effect in the variance, the closer the degrees of freedom come to the effective number of families less 1.
    """
    total = float(sample.weight_N.sum())
    weight_F, own_F = sample.by_family(sample.weight_N), sample.by_family(sample.weight_N**2)
    shared_F = np.maximum(weight_F**2 - own_F, 0.0)
    own, shared = float(own_F.sum()), float(shared_F.sum())
    if shared <= 1e-12 * own:  # every observation is a family of its own
        return Effective(total**2 / own, Z95)
    mass_F = sample.by_family(sample.weight_N * mass_N)
    families, mass = total**2 / float(weight_F @ weight_F), float(mass_F.sum())
    holding = mass**2 / float(mass_F @ mass_F) if mass > 0 else 0.0
    known = holding / max(1 - holding / families, 0.05)
    found = correlation(sample)
    drawn = (known * found + PRIOR_FAMILIES * PRIOR_CORRELATION) / (known + PRIOR_FAMILIES)
    spread = own + min(1.0, max(0.0, drawn)) * shared
    between = 1 - own / spread  # the part of the variance that is estimated from the families
    degrees = max(1.0, families - 1) / between if between > 0 else math.inf
    return Effective(total**2 / spread, t_quantile(degrees))


@lru_cache(maxsize=4096)
def t_quantile(degrees: float, level: float = 0.95) -> float:
    """Return the bound of Student's t distribution that a share `level` of it lies within, on both sides of zero.

    `degrees`: of freedom, at least 1, not always a whole number.

    With t = sqrt(degrees) tan(a), the density of the angle is proportional to cos(a)^(degrees - 1). Newton's method
    approaches from below, because the distribution function of the angle is concave.
    """
    normal = Z95 if level == 0.95 else NormalDist().inv_cdf((1 + level) / 2)
    if degrees > 1e7:
        return normal
    scale = 2 / math.sqrt(math.pi) * math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2))
    angle = math.atan(normal / math.sqrt(degrees))
    for _ in range(50):
        inside = angle / 2 * float(_NODE_WEIGHTS @ np.cos(angle / 2 * (_NODES + 1)) ** (degrees - 1))
        step = (level - scale * inside) / (scale * math.cos(angle) ** (degrees - 1))
        angle += step
        if abs(step) < 1e-12 * angle:
            break
    return math.sqrt(degrees) * math.tan(angle)


def correlation(sample: Sample) -> float:
    """Return the moment estimate of the correlation within families; 0 where no value differs or no family has two.

    The sum of the families' squared residuals and the variance of the values are both linear in the correlation in
    expectation, the residuals and the variance being taken around the estimated mean.
    """
    variance = _variance(sample)
    if variance <= 1e-12:
        return 0.0
    total = float(sample.weight_N.sum())
    share_F = sample.by_family(sample.weight_N) / total
    own_F = sample.by_family(sample.weight_N**2) / total**2
    shared_F = np.maximum(share_F**2 - own_F, 0.0)
    residual_F = sample.by_family(sample.weight_N * (sample.value_N - sample.mean)) / total
    ratio, squares = float(residual_F @ residual_F) / variance, float(share_F @ share_F)
    own, shared = float(own_F.sum()), float(shared_F.sum())
    without = float(own_F @ (1 - 2 * share_F)) + squares * own
    slope = float(shared_F @ (1 - 2 * share_F)) + squares * shared
    denominator = slope + ratio * shared
    return (ratio * (1 - own) - without) / denominator if denominator > 1e-12 else 0.0


def _variance(sample: Sample) -> float:
    return float(sample.weight_N @ (sample.value_N - sample.mean) ** 2 / sample.weight_N.sum())


def _kish(sample: Sample) -> float:
    """Return the number of observations of equal weight that are worth the weighted ones."""
    return float(sample.weight_N.sum() ** 2 / (sample.weight_N @ sample.weight_N))
