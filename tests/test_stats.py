import math

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from cai_lite import stats


def near(figure, low, high, within):
    assert figure.low == pytest.approx(low, abs=within)
    assert figure.high == pytest.approx(high, abs=within)


def test_a_mean_over_families_of_one_has_students_interval():
    values = np.random.default_rng(1).normal(2.0, 1.0, 80)
    found = stats.mean_figure(values, range(80))
    theirs = scipy_stats.ttest_1samp(values, 0).confidence_interval()
    assert (found.value, found.n) == (pytest.approx(values.mean()), 80)
    near(found, theirs.low, theirs.high, 1e-9)


def test_a_weighted_mean_counts_each_value_by_its_weight():
    assert stats.mean_figure([1.0, 0.0], ["a", "b"], weights=[3.0, 1.0]).value == 0.75


def test_copies_within_a_family_do_not_narrow_the_interval():
    values = np.random.default_rng(2).normal(size=30)
    single = stats.mean_figure(values, range(30), seed=0)
    copied = stats.mean_figure(np.repeat(values, 10), np.repeat(np.arange(30), 10), seed=0)
    as_if_independent = stats.mean_figure(np.repeat(values, 10), range(300), seed=0)
    near(copied, single.low, single.high, 1e-9)
    assert copied.n == 300
    assert as_if_independent.high - as_if_independent.low < (copied.high - copied.low) / 2


def test_families_of_unequal_size_weigh_by_their_size():
    # Two families: [9, 9, 9] and [1]. Residuals of the families' sums over 4: 3 * 2 / 4 = 1.5 and -1.5. The squares are
    # divided by 1 - 3/4 and 1 - 1/4: 2.25 * (4 + 4/3) = 12. Degrees of freedom: 1 / (9/16 + 1/16) - 1 = .6, at least 1.
    found = stats.mean_figure([9.0, 9.0, 9.0, 1.0], ["a", "a", "a", "b"])
    half = scipy_stats.t.ppf(0.975, 1) * 12**0.5
    assert (found.value, found.low, found.high) == (7.0, pytest.approx(7 - half), pytest.approx(7 + half))


def test_values_without_a_family_and_of_one_family_alone_are_drawn_one_by_one():
    values = [0.0, 1.0] * 20
    apart = stats.mean_figure(values, range(40), seed=4)
    assert apart.low < 0.5 < apart.high
    assert stats.mean_figure(values, [""] * 40, seed=4) == apart
    assert stats.mean_figure(values, ["same"] * 40, seed=4) == apart


def test_a_change_is_paired():
    before = np.random.default_rng(3).normal(size=60) * 10
    found = stats.compare(before, before + 1.0, range(60), seed=1)
    assert found.change.value == pytest.approx(1.0)
    near(found.change, 1.0, 1.0, 1e-9)  # every pair changes by 1, however far the values lie apart
    theirs = scipy_stats.ttest_1samp(before, 0).confidence_interval()
    near(found.before, theirs.low, theirs.high, 1e-9)


def test_a_figure_is_written_as_the_file_has_it():
    found = stats.compare([0.0, 1.0], [1.0, 1.0], ["a", "b"]).as_dict()
    assert found["before"].keys() == {"value", "n", "low", "high"}
    assert found["after"] == {"value": 1.0, "n": 2, "low": pytest.approx(0.3424, abs=1e-4), "high": 1.0}
    assert found["change"]["value"] == 0.5


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (0, 20), (7, 20), (20, 20), (503, 1000)])
def test_wilson_is_scipys(successes, n):
    found = stats.wilson(successes, n)
    theirs = scipy_stats.binomtest(successes, n).proportion_ci(method="wilson")
    assert found.value == successes / n
    near(found, theirs.low, theirs.high, 1e-12)


def test_auc_is_scipys_u_statistic():
    rng = np.random.default_rng(5)
    scores, labels = rng.integers(0, 6, 70), rng.random(70) < 0.4  # with many ties
    u = scipy_stats.mannwhitneyu(scores[labels], scores[~labels]).statistic
    assert stats.auc(scores, labels) == pytest.approx(u / (labels.sum() * (~labels).sum()))


def test_auc_of_three_by_hand():
    assert stats.auc([3.0, 1.0, 2.0], [True, True, False]) == 0.5
    assert stats.auc([3.0, 2.0, 2.0], [True, True, False]) == 0.75


def test_the_interval_of_auc_is_that_of_auc_on_resampled_families():
    rng = np.random.default_rng(6)
    labels = np.array([True, False] * 30)
    scores = rng.normal(size=60) + labels
    families = np.repeat(np.arange(30), 2)
    found = stats.auc_figure(scores, labels, families, seed=2)
    plain = []
    for _ in range(1000):
        rows = np.concatenate([np.flatnonzero(families == family) for family in rng.integers(0, 30, 30)])
        plain.append(stats_auc_plain(scores[rows], labels[rows]))
    near(found, *np.percentile(plain, [2.5, 97.5]), 0.02)


def stats_auc_plain(scores, labels):
    higher = scores[labels][:, None] > scores[~labels][None, :]
    same = scores[labels][:, None] == scores[~labels][None, :]
    return (higher + same / 2).mean()


def test_kappa_of_cohens_kind_by_hand():
    # 20 both yes, 5 and 10 apart, 15 both no: agreed .7, by chance .5 * .6 + .5 * .4 = .5, so .2 / .5.
    a = [True] * 20 + [True] * 5 + [False] * 10 + [False] * 15
    b = [True] * 20 + [False] * 5 + [True] * 10 + [False] * 15
    assert stats.kappa(a, b) == pytest.approx(0.4)
    assert stats.kappa(a, a) == 1.0
    found = stats.kappa_figure(a, b, range(50))
    # Fleiss, Cohen and Everitt 1969: a standard error of about sqrt(.7 * .3 / 50) / (1 - .5) = .13
    near(found, 0.4 - 1.96 * 0.13, 0.4 + 1.96 * 0.13, 0.03)


def test_a_judge_that_always_says_yes_has_no_kappa():
    assert stats.kappa([True] * 10, [True] * 9 + [False]) == 0.0
    assert stats.kappa([True] * 10, [True] * 10) == 0.0


@pytest.mark.parametrize(
    "measure",
    [
        lambda: stats.mean_figure([], []),
        lambda: stats.compare([], [], []),
        lambda: stats.wilson(0, 0),
        lambda: stats.auc([1.0, 2.0], [True, True]),
        lambda: stats.kappa([], []),
        lambda: stats.mean_figure([1.0, math.nan], ["a", "b"]),
        lambda: stats.compare([1.0], [math.inf], ["a"]),
    ],
)
def test_nothing_measured_is_an_error_and_never_nan(measure):
    with pytest.raises(ValueError, match=r"leave the figure out|leave out what was not measured"):
        measure()


def test_krippendorffs_alpha_is_that_of_his_own_example():
    """Krippendorff 2011, section C: four observers, twelve units, one with a single value; nominal alpha .743."""
    units = ["111", "2223", "3333", "3333", "2222", "1234", "4444", "1121", "2222", "555", "11", "3"]
    found = stats.alpha_figure(units, range(12))
    assert found.value == pytest.approx(0.743, abs=5e-4)
    assert found.n == 11
    assert found.low < found.value < found.high <= 1


def test_an_alpha_of_one_value_alone_is_left_out():
    with pytest.raises(ValueError, match="at least two different values"):
        stats.alpha_figure(["aa", "aa"], range(2))


@pytest.mark.parametrize("seed", range(50))
def test_figures_are_those_of_scipy_and_statsmodels_on_random_inputs(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(8, 60))
    k = int(rng.integers(0, n + 1))
    low, high = proportion_confint(k, n, method="wilson")
    found = stats.wilson(k, n)
    assert (found.low, found.high) == (pytest.approx(max(low, 0), abs=1e-9), pytest.approx(min(high, 1), abs=1e-9))
    p_values = rng.uniform(0, 0.2, 7)
    assert stats.holm(list(p_values)) == pytest.approx(list(multipletests(p_values, method="holm")[1]))
    a, b = rng.integers(0, 2, n), rng.integers(0, 2, n)
    table = np.array([[np.sum((a == i) & (b == j)) for j in (0, 1)] for i in (0, 1)], float)
    if len(set(a)) == len(set(b)) == 2:
        assert stats.kappa(list(a == 1), list(b == 1)) == pytest.approx(cohens_kappa(table).kappa)
    values = rng.normal(1, 2, n)
    theirs = scipy_stats.ttest_1samp(values, 0).confidence_interval()
    near(stats.mean_figure(values, range(n)), theirs.low, theirs.high, 1e-9)
    independent = stats.mean_figure([1.0] * k + [0.0] * (n - k), range(n))
    near(independent, max(low, 0), min(high, 1), 1e-9)
    if 0 < a.sum() < n:
        u = scipy_stats.mannwhitneyu(values[a == 1], values[a == 0]).statistic
        assert stats.auc(list(values), list(a == 1)) == pytest.approx(u / (a.sum() * (n - a.sum())))


@pytest.mark.parametrize("seed", range(5))
def test_the_sign_flip_p_is_that_of_scipys_permutation_test(seed):
    rng = np.random.default_rng(seed)
    few = rng.normal(0.4, 1, 9)
    exact = scipy_stats.permutation_test((few,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert stats.sign_flip_p(few, range(9)) == pytest.approx(exact.pvalue)
    many = rng.normal(0.2, 1, 60)
    drawn = scipy_stats.permutation_test((many,), np.mean, permutation_type="samples", n_resamples=4000, rng=seed)
    assert stats.sign_flip_p(many, range(60)) == pytest.approx(drawn.pvalue, abs=0.05)


@pytest.mark.parametrize(("first", "second"), [((30, 40), (10, 40)), ((0, 20), (0, 30)), ((20, 20), (0, 20))])
def test_a_difference_of_two_rates_has_newcombes_interval(first, second):
    rows = [[1.0] * k + [0.0] * (n - k) for k, n in (first, second)]
    low, high = confint_proportions_2indep(*first, *second, method="newcomb")
    found = stats.difference(rows[0], range(first[1]), rows[1], range(second[1]))
    assert found.value == first[0] / first[1] - second[0] / second[1] and found.n == first[1] + second[1]
    near(found, low, high, 1e-9)


def test_a_difference_of_two_means_is_about_as_wide_as_welchs():
    rng = np.random.default_rng(3)
    one, other = rng.normal(1, 1, 70), rng.normal(0.3, 2, 50)
    theirs = scipy_stats.ttest_ind(one, other, equal_var=False).confidence_interval()
    near(stats.difference(one, range(70), other, range(50)), theirs.low, theirs.high, 0.02)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_what_never_varies_has_an_interval_between_those_of_its_families_and_its_observations(value):
    found = stats.mean_figure([value] * 60, [i // 5 for i in range(60)])
    widths = [stats.wilson(int(value * n), n) for n in (12, 60)]
    wide, narrow = (each.high - each.low for each in widths)
    assert narrow < found.high - found.low < 1.3 * wide  # the t quantile adds to the number of families
    change = stats.compare([value] * 60, [value] * 60, [i // 5 for i in range(60)]).change
    assert change.low < 0 < change.high and change.high == pytest.approx(-change.low)


def test_rates_are_treated_alike_at_both_ends():
    rng = np.random.default_rng(8)
    values, families, weights = (rng.random(90) < 0.1) * 1.0, np.arange(90) // 6, rng.choice([1.0, 3.0], 90)
    low, high = (stats.mean_figure(side, families, weights=weights) for side in (values, 1 - values))
    near(high, 1 - low.high, 1 - low.low, 1e-9)
    twice = stats.mean_figure(values, families, weights=2 * weights)
    near(twice, low.low, low.high, 1e-9)


def test_full_agreement_and_a_perfect_order_still_have_a_width():
    labels = [True, False] * 15
    kappa = stats.kappa_figure(labels, labels, range(30))
    agreed = stats.wilson(30, 30)
    assert kappa.value == kappa.high == 1.0 and kappa.low == pytest.approx(2 * agreed.low - 1)
    alpha = stats.alpha_figure([[x, x] for x in labels], range(30))
    assert alpha.value == alpha.high == 1.0
    # missed: Wilson's upper end; by chance: 1 - 30 * 29 * 2 / (60 * 59), since each value stands 30 times
    assert alpha.low == pytest.approx(1 - (1 - agreed.low) * 60 * 59 / (60**2 - 2 * 30**2))
    area = stats.auc_figure([float(x) for x in labels], labels, range(30))
    assert (area.value, area.low, area.high) == (1.0, pytest.approx(stats.wilson(15, 15).low), 1.0)


def test_a_difference_of_gains_may_be_negative_though_no_answer_was_lost():
    gains = stats.difference([0.0] * 20, range(20), [0.0] * 20, range(20), changes=True)
    shares = stats.difference([0.0] * 20, range(20), [0.0] * 20, range(20))
    assert gains.low == pytest.approx(-gains.high) and gains.high > 0
    one = stats.compare([0.0] * 20, [0.0] * 20, range(20)).change
    assert gains.high == pytest.approx(2**0.5 * one.high) and shares.high == stats.wilson(0, 20).high
