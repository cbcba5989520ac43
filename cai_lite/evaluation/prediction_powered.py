"""Estimate a rate from many verdicts of a judge and a few labels of people, with an interval that covers.

The estimator is that of prediction-powered inference for a mean, with its power tuning: the judge's rate on everything,
corrected by how far it is from people where both have spoken,

    rate = mean of labels + tuning * (mean of all verdicts - mean of the verdicts that have a label)

`tuning` is the number from 0 to 1 with the smallest variance: near 1 for a judge that agrees with people, near 0 for
one that tells nothing, so that labels with a bad judge are worth no less than labels alone. It is written over all
verdicts; over those without a label, as in the paper, it is the same estimator with its tuning rescaled.

Source: Angelopoulos, Duchi, Zrnic 2023, "PPI++: Efficient Prediction-Powered Inference", arXiv:2311.01453; the same
estimator is the generalized regression estimator of survey sampling (Särndal, Swensson, Wretman 1992, chapter 6).

Shapes: N verdicts, L labelled ones among them, F families.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from cai_lite.intervals import t_quantile
from cai_lite.stats import Figure

Floats = NDArray[np.float64]

ADDED = 0.75
"""How much of an average family is added, for the interval alone, for each of the four pairs of label and verdict.

Without it the interval has no width where judge and people happen to agree on every label, and covers too seldom near 0
and 1; it is the remedy of Agresti and Coull 1998 for a rate (four added observations, half of them successes), and of
Bonett and Price 2012 for a paired difference. The amount was chosen by simulation, see
tests/evaluation/test_prediction_powered.py.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """A corrected rate, kept in a form from which differences can be computed.

    `value`: the estimate. `centre`: the middle of its interval. `pull_F`: what each family adds to the estimate's
    error. `added`: the variance that the added observations bring. `of_verdicts`: the part of the variance that no
    further label removes. `tuning`: see above. `verdicts`, `labels`: how many there are. `families`: how many have
    a label.
    """

    value: float
    centre: float
    pull_F: Floats
    added: float
    of_verdicts: float
    tuning: float
    verdicts: int
    labels: int
    families: int

    @property
    def variance(self) -> float:
        """The variance of the estimate over families, corrected for the few families that have a label."""
        return (float(self.pull_F @ self.pull_F) + self.added) * self.families / _freedom(self.families)


def correct(
    verdicts: Floats,
    labels: Floats,
    *,
    weights: Floats,
    families: NDArray[np.int64],
    shares: Floats | None = None,
    size: int | None = None,
) -> Corrected:
    """Return the corrected rate of `labels`, which are known for some of the `verdicts` alone.

    `verdicts`: 1 or 0, shape [N]. `labels`: 1 or 0, NaN where nobody has labelled, shape [N]. `weights`: of each in the
    rate. `families`: numbers from 0, below `size`; members of one family need not be independent. `shares`: how many
    verdicts each labelled one stands for, relative to the others. Without them the labelled ones are taken for a
    random sample of all.

    Raises:
        ValueError: no label is known.
    """
    labelled = np.flatnonzero(np.isfinite(labels))
    if not len(labelled):
        raise ValueError("no labels; leave the figure out")
    size = int(families.max()) + 1 if size is None else size
    verdict_L, label_L, family_L = verdicts[labelled], labels[labelled], families[labelled]
    weight_L = weights[labelled] * (1.0 if shares is None else shares[labelled])
    total = float((weights * verdicts).sum() / weights.sum())
    known = len(np.unique(family_L))

    def means(weight_L: Floats, label_L: Floats, verdict_L: Floats) -> tuple[float, float]:
        whole = weight_L.sum()
        return float((weight_L * label_L).sum() / whole), float((weight_L * verdict_L).sum() / whole)

    # The added observations have families of their own, behind the `size` real ones.
    four = np.full(4, ADDED * weight_L.sum() / known)
    more = np.concatenate([weight_L, four])
    more_labels = np.concatenate([label_L, [1.0, 0.0, 1.0, 0.0]])
    more_verdicts = np.concatenate([verdict_L, [1.0, 1.0, 0.0, 0.0]])
    place = np.concatenate([family_L, size + np.arange(4)])
    label, verdict = means(more, more_labels, more_verdicts)

    def by_family(place: NDArray[np.int64], deviations: Floats) -> Floats:
        return np.asarray(np.bincount(place, deviations, minlength=size + 4), float)

    of_labels = by_family(place, more * (more_labels - label) / more.sum())
    of_verdicts = by_family(families, weights * (verdicts - total) / weights.sum())
    of_gap = of_verdicts - by_family(place, more * (more_verdicts - verdict) / more.sum())
    tuning = float(np.clip(-(of_labels @ of_gap) / (of_gap @ of_gap), 0.0, 1.0)) if of_gap @ of_gap > 0 else 0.0
    pull = of_labels + tuning * of_gap
    plain_label, plain_verdict = means(weight_L, label_L, verdict_L)
    return Corrected(
        value=plain_label + tuning * (total - plain_verdict),
        centre=label + tuning * (total - verdict),
        pull_F=pull[:size],
        added=float(pull[size:] @ pull[size:]),
        of_verdicts=tuning**2 * float(of_verdicts @ of_verdicts),
        tuning=tuning,
        verdicts=len(verdicts),
        labels=len(labelled),
        families=known,
    )


def rate(found: Corrected) -> Figure:
    """Return a corrected rate as a figure between 0 and 1; its `n` counts the labels."""
    value = min(1.0, max(0.0, found.value))
    return _figure(value, found.centre, found.variance, found.labels, found.families, bounds=(0.0, 1.0))


def change(before: Corrected, after: Corrected) -> Figure:
    """Return the difference of two corrected rates that share families (of one `size`); its `n` counts all labels.

    Labels of the two sides need not be of the same prompts; where they are of the same families, the interval knows.
    """
    pull_F, families = after.pull_F - before.pull_F, min(before.families, after.families)
    variance = (float(pull_F @ pull_F) + before.added + after.added) * families / _freedom(families)
    value = min(1.0, max(0.0, after.value)) - min(1.0, max(0.0, before.value))
    labels = before.labels + after.labels
    return _figure(value, after.centre - before.centre, variance, labels, families, bounds=(-1.0, 1.0))


def labels_to_halve(found: Corrected) -> int | None:
    """Return how many labels more, drawn like those there are, would halve the interval; None where none would.

    Labels remove the part of the variance that comes from the judge's errors. What comes from the held-out prompts
    stays, and there are no more verdicts to label than there are: then more prompts are what is missing.
    """
    variance = found.variance
    stays = min(variance, found.of_verdicts * found.families / _freedom(found.families))
    if variance / 4 <= stays:
        return None
    more = ceil(found.labels * ((variance - stays) / (variance / 4 - stays) - 1))
    return more if found.labels + more <= found.verdicts else None


def _freedom(families: int) -> int:
    return max(1, families - 2)  # a mean and the tuning are estimated from them


def _figure(
    value: float, centre: float, variance: float, labels: int, families: int, *, bounds: tuple[float, float]
) -> Figure:
    half = t_quantile(_freedom(families)) * variance**0.5
    low, high = max(bounds[0], centre - half), min(bounds[1], centre + half)
    return Figure(value, labels, min(low, value), max(high, value))
