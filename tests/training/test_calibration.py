"""Temperatures, logistic fits and calibration errors, against numbers known beforehand."""

import math

import numpy as np
import pytest

from cai_lite.training.calibration import (
    calibration_error,
    confident,
    error_by_chance,
    figures,
    fit_logistic,
    fit_temperature,
    halves,
    probabilities,
    reliability_curve,
    smoothed,
)

RNG = np.random.default_rng(0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_the_temperature_of_labels_that_are_the_probabilities_is_found_exactly():
    """With soft labels sigmoid(z / 3) the cross-entropy is least at t = 3."""
    logits = np.linspace(-5, 7, 40)
    assert fit_temperature(logits, sigmoid(logits / 3)) == pytest.approx(3.0, rel=1e-4)


def test_the_temperature_of_drawn_labels_is_found_within_its_error():
    logits = RNG.normal(0, 4, 20_000)
    labels = (RNG.random(20_000) < sigmoid(logits / 2.5)).astype(float)
    assert fit_temperature(logits, labels) == pytest.approx(2.5, rel=0.05)


def test_a_temperature_stays_within_bounds_where_nothing_is_wrong_and_where_nothing_is_there():
    assert fit_temperature([1.0, 2.0], [1.0, 1.0]) == pytest.approx(0.01, rel=1e-3)
    assert fit_temperature([1.0, 2.0], [0.0, 0.0]) == pytest.approx(100, rel=1e-3)
    assert fit_temperature([], []) == fit_temperature([0.0, 0.0], [1.0, 0.0]) == 1.0


def test_few_pairs_in_the_right_order_do_not_make_certainty():
    """Six right ones out of six are taken for seven of eight: sigmoid(z / t) = 7/8 at t = z / ln 7."""
    assert smoothed([1.0] * 6) == [7 / 8] * 6 and smoothed([0.0, 0.5]) == [0.25, 0.5]
    assert fit_temperature([3.0] * 6, smoothed([1.0] * 6)) == pytest.approx(3 / math.log(7), rel=1e-4)


def test_temperature_and_bias_of_drawn_labels_are_found():
    scores = RNG.normal(3, 2, 20_000)
    labels = (RNG.random(20_000) < sigmoid((scores - 4) / 1.5)).astype(float)
    fit = fit_logistic(scores, labels)
    assert fit.temperature == pytest.approx(1.5, rel=0.05) and fit.bias == pytest.approx(4, abs=0.1)


def test_scores_that_separate_the_labels_keep_finite_probabilities_by_platts_targets():
    """Ten good and ten bad: the targets are 11/12 and 1/12, which two distinct scores can meet exactly."""
    fit = fit_logistic([1.0] * 10 + [-1.0] * 10, [1.0] * 10 + [0.0] * 10)
    assert probabilities([1.0, -1.0], fit).tolist() == pytest.approx([11 / 12, 1 / 12], abs=1e-6)


def test_a_higher_score_never_means_a_lower_probability():
    fit = fit_logistic([1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 0.0, 0.0])
    low, high = probabilities([1.0, 4.0], fit)
    assert 0.4 < low < high < 0.6


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_fit_does_not_depend_on_the_scale_of_the_scores(scale):
    scores = RNG.normal(0, 1, 500)
    labels = (RNG.random(500) < sigmoid(2 * scores)).astype(float)
    plain, scaled = fit_logistic(scores, labels), fit_logistic(scores * scale, labels)
    assert scaled.temperature == pytest.approx(plain.temperature * scale, rel=1e-6)


def test_the_calibration_error_is_the_weighted_distance_of_the_bins():
    """Bin 0.8-0.9: p 0.85, observed 3/4, n 4: 0.1. Bin 0.2-0.3: p 0.25, observed 1/2, n 2: 0.25. (0.4 + 0.5) / 6."""
    p, labels = np.array([0.85] * 4 + [0.25] * 2), [1, 1, 1, 0, 1, 0]
    assert calibration_error(p, labels) == pytest.approx(0.9 / 6)
    assert reliability_curve(p, labels) == [
        {"p": 0.25, "observed": 0.5, "n": 2},
        {"p": pytest.approx(0.85), "observed": 0.75, "n": 4},
    ]
    assert calibration_error(np.array([1.0]), [1]) == 0


def test_chance_alone_gives_an_error_that_falls_with_the_number_of_cases():
    few, many = (error_by_chance(RNG.random(n)) for n in (50, 5000))
    assert 0.05 < few < 0.2 and many < 0.03


def test_the_likelier_side_of_a_pair_is_shown():
    p, labels = confident(np.array([0.9, 0.2]), [1.0, 1.0])
    assert p.tolist() == [0.9, 0.8] and labels == [1.0, 0.0]


def test_the_error_of_pairs_is_measured_on_families_that_were_not_fitted():
    truth = RNG.normal(0, 2, 4000)
    labels = (RNG.random(4000) < sigmoid(truth)).astype(float)
    found = figures((truth * 5).tolist(), labels.tolist(), [f"f{i // 2}" for i in range(4000)], pairs=True)
    assert found["calibration_error"] < 0.03
    assert found["accuracy"]["value"] == pytest.approx(np.mean((truth > 0) == (labels > 0.5)))
    uncalibrated, outcomes = confident(sigmoid(truth * 5), labels)
    assert calibration_error(uncalibrated, outcomes) > 0.1


def test_the_error_of_single_answers_is_measured_too_and_left_out_where_it_cannot_be():
    scores = RNG.normal(0, 2, 2000)
    labels = (RNG.random(2000) < sigmoid(scores - 1)).astype(float)
    names = [str(i) for i in range(2000)]
    assert figures(scores.tolist(), labels.tolist(), names, pairs=False)["calibration_error"] < 0.05
    assert figures([1.0, 2.0], [1.0, 1.0], ["a", "b"], pairs=False) == {}
    assert set(figures([1.0], [1.0], ["a"], pairs=True)) == {"accuracy"}


def test_halves_keep_families_together():
    families = [f"f{i % 20}" for i in range(100)]
    found = halves(families)
    assert len({(f, h) for f, h in zip(families, found, strict=True)}) == 20 and 0 < found.sum() < 100


def test_an_exact_tie_counts_one_half():
    assert figures([0.0, 1.0], [1.0, 1.0], ["a", "b"], pairs=True)["accuracy"]["value"] == 0.75
    assert math.isclose(fit_temperature([0.0], [1.0]), 1.0)
