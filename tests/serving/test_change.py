"""The detector: false alarms within what is stated, delays, and an exact resume."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cai_lite.serving.change import CONFIDENCE, DAYS, FACTORS, Detector, control_limits, upper_bound


def watched(broken_N, *, baseline, per_day, rates=1, a_year=1.0, piece=None):
    detector = Detector(limit=rates / a_year, chance=(1 - CONFIDENCE) / rates)
    detector.learn(broken_N[:baseline].tolist(), baseline)
    piece = piece or len(broken_N)
    for at in range(baseline, len(broken_N), piece):
        part = broken_N[at : at + piece]
        detector.watch(range(at + 1, at + 1 + len(part)), part.tolist(), 1 / (per_day * DAYS))
        detector = Detector.from_dict(detector.as_dict())
    return detector


def test_the_mass_is_the_sum_over_alternatives_of_time_times_likelihood_ratio():
    """Ten answers, written out: alternative (i, f) enters with the time before answer i, and the ratios from there."""
    broken, numbers, year, bound = [0, 1, 1, 0, 1, 0, 0, 1, 1, 1], [3, 4, 6, 7, 8, 9, 12, 13, 14, 15], 1e-6, 0.2
    detector = Detector(limit=1e9, chance=1e-9, seen=0, broken=0, bound=bound, last=2)
    detector.watched = 1  # so that the bound is not counted anew
    detector.watch(numbers, [bool(x) for x in broken], year)
    for place, factor in enumerate(FACTORS):
        total, before = 0.0, 2
        for start, number in enumerate(numbers):
            ratio = math.prod((factor if x else 1) / (1 + bound * (factor - 1)) for x in broken[start:])
            total += (number - before) * year * ratio
            before = number
        assert detector.mass_F[place] == pytest.approx(total, rel=1e-9)


def test_the_ratios_are_one_on_average_at_the_bound_and_less_below():
    for factor in FACTORS:
        for rate, bound in ((0.1, 0.1), (0.05, 0.1), (0.0, 0.1)):
            mean = (rate * factor + 1 - rate) / (1 + bound * (factor - 1))
            assert mean <= 1 + 1e-12 and (mean == pytest.approx(1) if rate == bound else mean < 1)


def test_the_bound_holds_at_all_times_at_once():
    """300 sequences, a bound at every doubling: it may miss in 5 % of them, and does so in fewer."""
    missed = 0
    for seed in range(300):
        rate = (0.01, 0.1, 0.4)[seed % 3]
        count_N = np.cumsum(np.random.default_rng(seed).random(4000) < rate)
        missed += any(upper_bound(int(count_N[n - 1]), n, 0.05) < rate for n in (10, 30, 100, 300, 1000, 4000))
    assert missed <= 15
    assert upper_bound(0, 0, 0.01) == 1.0 and upper_bound(5, 5, 0.01) == 1.0
    assert 0.05 < upper_bound(3000, 60_000, 0.001) < 0.056


@pytest.mark.parametrize("baseline", [20, 300])
def test_without_a_change_alarms_are_no_more_than_stated_also_after_a_small_baseline(baseline):
    """60 years of 7,300 conversations, 0.1 alarms a year allowed: 6 on average at most."""
    found = 0
    for seed in range(60):
        broken_N = np.random.default_rng([seed, baseline]).random(baseline + 7300) < 0.05
        found += watched(broken_N, baseline=baseline, per_day=20, a_year=0.1).alarm is not None
    assert found <= 6


def test_bursts_and_an_improvement_raise_no_alarm():
    rng = np.random.default_rng(0)
    better = np.concatenate([rng.random(3000) < 0.2, rng.random(20_000) < 0.1])
    assert watched(better, baseline=2000, per_day=10_000).alarm is None


@pytest.mark.parametrize(("old", "new", "most"), [(0.05, 0.12, 1000), (0.01, 0.06, 1000), (0.3, 0.45, 1500)])
def test_a_planted_change_is_found_soon_and_none_before(old, new, most):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        broken_N = np.concatenate([rng.random(20_000) < old, rng.random(5000) < new])
        found = watched(broken_N, baseline=2000, per_day=10_000, rates=10)
        assert found.alarm is not None and 20_000 < found.alarm <= 20_000 + most
        assert found.began is not None and abs(found.began - 20_000) < 1000


def test_a_slow_drift_is_found_though_each_step_is_small():
    rate_N = 0.05 + 0.05 * np.clip((np.arange(40_000) - 10_000) / 20_000, 0, 1)
    broken_N = np.random.default_rng(1).random(40_000) < rate_N
    alarm = watched(broken_N, baseline=2000, per_day=10_000, rates=10).alarm
    assert alarm is not None and 10_000 < alarm < 30_000


def test_in_pieces_and_read_from_its_state_it_is_the_same_detector():
    rng = np.random.default_rng(3)
    broken_N = np.concatenate([rng.random(6000) < 0.05, rng.random(2000) < 0.12])
    whole, parts = (watched(broken_N, baseline=1000, per_day=10_000, piece=piece) for piece in (None, 37))
    assert (whole.alarm, whole.began, whole.seen, whole.bound) == (parts.alarm, parts.began, parts.seen, parts.bound)
    np.testing.assert_allclose(whole.mass_F, parts.mass_F, rtol=1e-6)


def test_control_limits_widen_with_fewer_answers_and_a_smaller_baseline():
    wide, narrow = control_limits(0.05, 2000, 50), control_limits(0.05, 2000, 500)
    assert wide[0] < narrow[0] < 0.05 < narrow[1] < wide[1] and wide[0] >= 0
    assert control_limits(0.05, 100, 500)[1] > narrow[1]
