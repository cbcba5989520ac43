"""Calibrate scores: the temperature and bias that make probabilities of them, and how well these fit.

A probability is calibrated if, of the cases where it is 0.8, four of five turn out so. Nothing here knows a model.

Shapes: N held-out examples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cai_lite.records import digest
from cai_lite.stats import mean_figure

Vector = NDArray[np.float64]
BINS = 10
WIDEST = 100.0  # the greatest factor by which a temperature may differ from 1: without errors, none would be the best
SIMULATED = 500  # draws of labels, to tell what error chance alone gives


class Fit(NamedTuple):
    """The probability of a score s is sigmoid((s - bias) / temperature)."""

    temperature: float
    bias: float


def fit_temperature(logits: Sequence[float], labels: Sequence[float]) -> float:
    """Return the temperature t above 0 with the least cross-entropy of sigmoid(logit / t) against the labels, 0 to 1.

    It lies within a factor of `WIDEST` of 1, and is 1 where there is nothing to fit. Give labels `smoothed`, or few
    pairs that are all in the right order would give the least temperature.

    Source: Guo et al. 2017, arXiv:1706.04599, section 4.2; found by golden-section search (Kiefer 1953), since the loss
    is convex in 1 / t.
    """
    logit_N, label_N = np.asarray(logits, float), np.asarray(labels, float)
    if not len(logit_N) or not logit_N.any():
        return 1.0

    def loss(log_t: float) -> float:
        return _cross_entropy(logit_N * math.exp(-log_t), label_N)

    low, high, ratio = -math.log(WIDEST), math.log(WIDEST), (math.sqrt(5) - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = loss(left), loss(right)
    while high - low > 1e-6:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = loss(right)
    return math.exp((low + high) / 2)


def smoothed(labels: Sequence[float]) -> list[float]:
    """Return the labels as if one example of either kind had been seen besides: 1 becomes (n + 1) / (n + 2).

    Source: Platt 1999, for the targets of separable examples; the rule of succession.
    """
    n = len(labels)
    return [(label * n + 1) / (n + 2) for label in labels]


def fit_logistic(scores: Sequence[float], labels: Sequence[float]) -> Fit:
    """Return temperature and bias with the least cross-entropy of the probabilities against the labels, 0 to 1.

    The labels are drawn towards one half as if one good and one bad example had been seen besides (Platt's targets), so
    that both are finite where the scores separate the labels. Higher scores never mean lower probabilities: where the
    labels say so, the temperature is `WIDEST` times the spread of the scores, and all probabilities are about equal.

    Source: Platt 1999, "Probabilistic outputs for support vector machines"; by Newton's method.
    """
    score_N, label_N = np.asarray(scores, float), np.asarray(labels, float)
    good = float(label_N.sum())
    bad = len(label_N) - good
    target_N = label_N * (good + 1) / (good + 2) + (1 - label_N) / (bad + 2)
    middle, spread = float(score_N.mean()), float(score_N.std()) or 1.0
    unit_N = (score_N - middle) / spread  # so that Newton's steps are well conditioned

    def solved(slope: float | None) -> tuple[float, float]:
        """Return slope and intercept; a given slope stays."""
        theta = np.array([1.0 if slope is None else slope, 0.0])
        for _ in range(100):
            p_N = _sigmoid(theta[0] * unit_N + theta[1])
            w_N = p_N * (1 - p_N) + 1e-9
            gradient = np.array([(p_N - target_N) @ unit_N, (p_N - target_N).sum()])
            hessian = np.array([[w_N @ unit_N**2, w_N @ unit_N], [w_N @ unit_N, w_N.sum()]])
            if slope is not None:
                gradient[0], hessian = 0.0, np.diag([1.0, hessian[1, 1]])
            step = np.linalg.solve(hessian + 1e-9 * np.eye(2), gradient)
            size = float(np.abs(step).max())
            theta -= step / max(1.0, size)  # at most 1 at a time: a full step may overshoot where all is saturated
            if size < 1e-9:
                break
        return float(theta[0]), float(theta[1])

    slope, intercept = solved(None)
    if slope < 1 / WIDEST:
        slope, intercept = solved(1 / WIDEST)
    return Fit(spread / slope, middle - intercept * spread / slope)


def probabilities(scores: Sequence[float], fit: Fit) -> Vector:
    """Return the probability of each score, 0 to 1."""
    return _sigmoid((np.asarray(scores, float) - fit.bias) / fit.temperature)


def calibration_error(p_N: Vector, labels: Sequence[float]) -> float:
    """Return the expected calibration error over ten bins of equal width, 0 to 1.

    It is the mean distance of probability and outcome of a bin, weighted by the number of cases in it. With few cases
    chance alone makes it larger than 0, see `error_by_chance`.

    Source: Naeini et al. 2015, "Obtaining well calibrated probabilities using Bayesian binning"; Guo et al. 2017.
    """
    return sum(abs(row["p"] - row["observed"]) * row["n"] for row in reliability_curve(p_N, labels)) / len(p_N)


def error_by_chance(p_N: Vector, *, seed: int = 0) -> float:
    """Return the mean calibration error of labels that are drawn from the probabilities themselves."""
    rng = np.random.default_rng(seed)
    return float(np.mean([calibration_error(p_N, rng.random(len(p_N)) < p_N) for _ in range(SIMULATED)]))  # type: ignore[arg-type]


def reliability_curve(p_N: Vector, labels: Sequence[float]) -> list[dict[str, float]]:
    """Return mean probability `p`, mean label `observed` and number `n` of the cases of each bin that has any."""
    label_N = np.asarray(labels, float)
    bin_N = np.minimum((p_N * BINS).astype(int), BINS - 1)
    found = []
    for number in np.unique(bin_N):
        own_N = bin_N == number
        found.append({"p": float(p_N[own_N].mean()), "observed": float(label_N[own_N].mean()), "n": int(own_N.sum())})
    return found


def confident(p_N: Vector, labels: Sequence[float]) -> tuple[Vector, list[float]]:
    """Return the probability of the likelier side of each pair, 0.5 to 1, and the label of that side."""
    label_N = np.asarray(labels, float)
    turned_N = p_N < 0.5
    return np.where(turned_N, 1 - p_N, p_N), np.where(turned_N, 1 - label_N, label_N).tolist()


def halves(families: Sequence[str]) -> Vector:
    """Return 0 or 1 for each example: the half that its family belongs to, by the family's digest alone."""
    return np.array([int(digest("half", family)[0], 16) % 2 for family in families], float)


def figures(
    scores: Sequence[float], labels: Sequence[float], families: Sequence[str], *, pairs: bool
) -> dict[str, Any]:
    """Return accuracy, calibration error and reliability curve of held-out examples.

    `pairs`: the scores are differences, whose bias is 0, and the error is that of the likelier side. The probabilities
    are fitted on one half of the families and measured on the other, and the other way round, so the error is that of
    examples on which nothing was fitted. Where one half is empty, or holds labels of one kind alone, there is none.
    """
    score_N, label_N, half_N = np.asarray(scores, float), np.asarray(labels, float), halves(families)
    p_N = np.full(len(score_N), np.nan)
    for half in (0, 1):
        own_N, other_N = half_N == half, half_N != half
        both = pairs or 0 < (label_N[other_N] > 0.5).sum() < other_N.sum()
        if own_N.any() and other_N.any() and both:
            p_N[own_N] = _fitted(score_N[other_N], label_N[other_N], score_N[own_N], pairs=pairs)
    found: dict[str, Any] = {}
    if pairs:
        right = np.where(score_N == 0, 0.5, (score_N > 0) == (label_N > 0.5))
        found["accuracy"] = mean_figure(right.tolist(), families).as_dict()
    if not np.isfinite(p_N).all():
        return found
    if not pairs:
        found["accuracy"] = mean_figure(((p_N > 0.5) == (label_N > 0.5)).astype(float).tolist(), families).as_dict()
    shown_N, outcomes = confident(p_N, labels) if pairs else (p_N, label_N.tolist())
    found |= {
        "calibration_error": calibration_error(shown_N, outcomes),
        "calibration_error_by_chance": error_by_chance(shown_N),
        "reliability": reliability_curve(shown_N, outcomes),
    }
    return found


def _fitted(fit_on_N: Vector, label_N: Vector, score_N: Vector, *, pairs: bool) -> Vector:
    if pairs:
        return _sigmoid(score_N / fit_temperature(fit_on_N.tolist(), smoothed(label_N.tolist())))
    return probabilities(score_N.tolist(), fit_logistic(fit_on_N.tolist(), label_N.tolist()))


def _cross_entropy(logit_N: Vector, label_N: Vector) -> float:
    return float(np.mean(np.logaddexp(0, -logit_N) * label_N + np.logaddexp(0, logit_N) * (1 - label_N)))


def _sigmoid(x_N: Vector) -> Vector:
    return np.exp(-np.logaddexp(0, -x_N))
