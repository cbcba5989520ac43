import numpy as np
import pytest
from scipy import stats as scipy_stats

from cai_lite.intervals import Sample, effective, is_share, of_change, of_share, t_quantile


def sample(values, families, weights=None):
    weights = np.ones(len(values)) if weights is None else weights
    return Sample(np.asarray(values, float), np.asarray(weights, float), np.asarray(families))


@pytest.mark.parametrize("degrees", [1, 1.5, 2, 3.7, 5, 13, 149, 1e4, 1e6, 1e9])
def test_the_quantile_is_scipys(degrees):
    assert t_quantile(degrees) == pytest.approx(scipy_stats.t.ppf(0.975, degrees), rel=1e-7)


def test_agresti_and_mins_interval_by_hand():
    # 20 independent pairs: 6 gains, 2 losses. z^2 / 2 is added, half of it as changes: n = 20 + 1.9207.
    z2 = 1.959963984540054**2
    n, middle = 20 + z2 / 2, 4 / (20 + z2 / 2)
    half = (z2 * ((8 + z2 / 4) / n - middle**2) / n) ** 0.5
    found = of_change(sample([1] * 6 + [-1] * 2 + [0] * 12, range(20)))
    assert found == (pytest.approx(middle - half), pytest.approx(middle + half))


def test_values_of_one_family_that_are_all_alike_count_about_once_a_family():
    alike = np.repeat(np.arange(40) % 2, 25)
    found = effective(sample(alike, np.repeat(np.arange(40), 25)), alike)
    assert 38 < found.n < 42 and found.quantile == pytest.approx(scipy_stats.t.ppf(0.975, 39), abs=0.01)


def test_independent_values_in_families_count_nearly_all():
    values = (np.random.default_rng(0).random(2000) < 0.4) * 1.0
    found = effective(sample(values, np.arange(2000) // 10), values)
    assert 1700 < found.n <= 2000 and found.quantile < 1.97


def test_unequal_weights_count_as_kish_says():
    weights = np.array([1.0, 3.0] * 30)
    assert effective(sample([0.0, 1.0] * 30, range(60), weights), np.ones(60)).n == pytest.approx(120**2 / (30 * 10))


def test_what_is_taken_for_a_share():
    assert all(is_share(np.array(values)) for values in ([0.0, 1.0], [0.0, 0.3], [0.5, 0.5], [1.0]))
    assert not any(is_share(np.array(values)) for values in ([0.2, 0.3], [0.0, 1.1], [-0.1, 1.0], [3.0]))


def test_shares_that_vary_little_have_a_narrow_interval_and_equal_ones_have_a_width():
    values = np.r_[0.0, np.full(99, 0.5)]
    assert np.diff(of_share(sample(values, range(100)))) < np.diff(of_share(sample([0.0, 1.0] * 50, range(100)))) / 3
    low, high = of_share(sample([0.5] * 100, range(100)))
    assert 0.47 < low < 0.5 < high < 0.53
