"""The corrected rate against ppi-python, against arithmetic, and by simulation: does its interval cover?"""

import numpy as np
import pytest

from cai_lite.evaluation import prediction_powered
from cai_lite.evaluation.prediction_powered import change, correct, labels_to_halve, rate
from cai_lite.intervals import Z95


def drawn(seed, n, labels, share, wrongly_kept, wrongly_broken):
    """Verdicts of a judge with such rates of error, and the truth, known for the first `labels` of `n`."""
    rng = np.random.default_rng(seed)
    truth = (rng.random(n) < share).astype(float)
    verdicts = np.where(truth == 1, rng.random(n) >= wrongly_broken, rng.random(n) < wrongly_kept).astype(float)
    return verdicts, np.where(np.arange(n) < labels, truth, np.nan)


def corrected(verdicts, labels, families=None, **more):
    families = np.arange(len(verdicts)) if families is None else families
    return correct(verdicts, labels, weights=np.ones(len(verdicts)), families=families, **more)


# Value, low and high of ppi_py.ppi_mean_pointestimate and ppi_mean_ci (ppi-python 0.2.3, tuned, alpha 0.05), given
# the labelled verdicts and the others apart. They take the two for independent samples, here all are one; the rest is
# a divisor of n or n - 1, so the numbers differ by less than 0.001.
THEIRS = {
    (1, 1000, 100, 0.7, 0.4, 0.05): (0.670000, 0.596126, 0.743874),
    (2, 600, 200, 0.6, 0.2, 0.1): (0.561135, 0.506687, 0.615583),
    (3, 2000, 60, 0.8, 0.6, 0.3): (0.830402, 0.736222, 0.924582),
}


@pytest.mark.parametrize("case", THEIRS)
def test_without_what_is_added_it_is_the_estimate_of_ppi_python(case, monkeypatch):
    monkeypatch.setattr(prediction_powered, "ADDED", 0.0)
    found = corrected(*drawn(*case))
    half = Z95 * float(found.pull_F @ found.pull_F) ** 0.5
    assert (found.value, found.value - half, found.value + half) == pytest.approx(THEIRS[case], abs=1e-3)


def test_a_judge_who_is_always_wrong_by_the_same_is_put_right():
    """Of 100 answers 60 keep; the judge says 80, for 20 of the 40 others. A sample of every second shows just that."""
    truth = np.repeat([1.0, 0.0, 0.0], [60, 20, 20])
    verdicts = np.repeat([1.0, 1.0, 0.0], [60, 20, 20])
    found = corrected(verdicts, np.where(np.arange(100) % 2 == 0, truth, np.nan))
    assert (found.value, found.labels, found.families) == (pytest.approx(0.6), 50, 50)
    figure = rate(found)
    assert figure.low < 0.6 < figure.high < 0.8 and figure.n == 50


def test_a_judge_who_tells_nothing_leaves_the_mean_of_the_labels():
    rng = np.random.default_rng(0)
    labels = np.where(np.arange(1000) < 100, (rng.random(1000) < 0.7).astype(float), np.nan)
    assert corrected(np.ones(1000), labels).value == pytest.approx(np.nanmean(labels))
    by_chance = corrected((rng.random(1000) < 0.7).astype(float), labels)
    assert by_chance.tuning < 0.2 and by_chance.value == pytest.approx(np.nanmean(labels), abs=0.02)


def test_full_agreement_has_an_interval_of_some_width_within_0_and_1():
    found = corrected(np.ones(1000), np.where(np.arange(1000) < 20, 1.0, np.nan))
    figure = rate(found)
    assert figure.value == figure.high == 1.0 and 0.75 < figure.low < 0.9


def test_copies_of_an_answer_in_a_family_do_not_narrow_the_interval():
    verdicts, labels = drawn(4, 300, 60, 0.7, 0.3, 0.05)
    alone = rate(corrected(verdicts, labels))
    copied = rate(corrected(np.repeat(verdicts, 5), np.repeat(labels, 5), np.repeat(np.arange(300), 5)))
    assert (copied.value, copied.low, copied.high) == pytest.approx((alone.value, alone.low, alone.high))


def test_a_label_that_stands_for_more_counts_for_more():
    """Kept answers were labelled twice as often as broken ones, which are worth double then."""
    truth = np.repeat([1.0, 0.0], [500, 500])
    labels = np.where(np.arange(1000) % 10 == 0, truth, np.nan)
    labels[505:1000:20] = np.nan
    labels[500:1000:20] = np.nan
    labels[510:1000:20] = 0.0
    shares = np.where(truth == 1, 1.0, 2.0)
    assert corrected(np.ones(1000), labels).value == pytest.approx(2 / 3)
    assert corrected(np.ones(1000), labels, shares=shares).value == pytest.approx(0.5)


def test_the_change_is_paired_within_families():
    rng = np.random.default_rng(5)
    kept = np.repeat(rng.random(100) < 0.5, 4).astype(float)
    families = np.repeat(np.arange(100), 4)
    labels = np.where(rng.random(400) < 0.5, kept, np.nan)
    before = corrected(kept, labels, families, size=100)
    shuffled = rng.permutation(100)[families]
    paired, unpaired = change(before, before), change(before, corrected(kept, labels, shuffled, size=100))
    assert paired.value == 0.0 and paired.n == 2 * before.labels
    assert paired.high - paired.low < 0.6 * (unpaired.high - unpaired.low)


def test_as_many_labels_more_as_it_says_halve_the_interval():
    verdicts, truth = drawn(6, 20_000, 20_000, 0.7, 0.3, 0.05)
    few = corrected(verdicts, np.where(np.arange(20_000) < 200, truth, np.nan))
    more = labels_to_halve(few)
    many = corrected(verdicts, np.where(np.arange(20_000) < 200 + more, truth, np.nan))
    assert (many.variance / few.variance) ** 0.5 == pytest.approx(0.5, rel=0.1)
    assert labels_to_halve(corrected(verdicts[:300], truth[:300])) is None  # all are labelled: it takes more prompts


def test_without_labels_there_is_no_figure():
    with pytest.raises(ValueError, match="no labels"):
        corrected(np.ones(5), np.full(5, np.nan))


def simulated(accuracy, size, labels, *, share=0.7, runs=400):
    """Return coverage and mean width of the judge alone and of the corrected rate.

    Thousand answers in families of `size`, whose own rates scatter around `share` (intraclass correlation 0.3). Nine in
    ten of the judge's errors are answers wrongly found to keep their principle, and so a bias of 0.8 of all errors.
    """
    rng, n = np.random.default_rng(17), 1000
    families = np.repeat(np.arange(n // size), size)
    errors = 1 - accuracy
    wrongly_kept, wrongly_broken = 0.9 * errors / (1 - share), 0.1 * errors / share
    hits, widths = np.zeros(2), np.zeros(2)
    for _ in range(runs):
        spread = rng.beta(share / 0.3 * 0.7, (1 - share) / 0.3 * 0.7, n // size) if size > 1 else np.full(n, share)
        truth = rng.random(n) < spread[families]
        verdicts = np.where(truth, rng.random(n) >= wrongly_broken, rng.random(n) < wrongly_kept).astype(float)
        known = np.full(n, np.nan)
        chosen = rng.permutation(n)[:labels]
        known[chosen] = truth[chosen]
        figure = rate(corrected(verdicts, known, families))
        by_family = np.bincount(families, verdicts - verdicts.mean())
        half = Z95 * (by_family @ by_family) ** 0.5 / n
        for place, (low, high) in enumerate(
            ((verdicts.mean() - half, verdicts.mean() + half), (figure.low, figure.high))
        ):
            hits[place] += low <= share <= high
            widths[place] += high - low
    return hits / runs, widths / runs


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize("accuracy", [0.75, 0.85, 0.95])
def test_the_interval_covers_where_that_of_the_judge_alone_does_not(accuracy, size):
    """`pytest -s` prints the table. With 400 runs, a coverage of 95 % is found between 92.8 and 97.2 %."""
    for labels in (50, 100, 250):
        covered, width = simulated(accuracy, size, labels)
        print(
            f"\njudge {accuracy:.0%}, families of {size}, {labels:>3} labels: judge alone {covered[0]:6.1%} (width "
            f"{width[0]:.3f}), corrected {covered[1]:6.1%} (width {width[1]:.3f})",
            end="",
        )
        assert covered[0] < 0.85  # one of 95 % accuracy is only 0.04 too kind
        assert 0.925 <= covered[1] <= 0.985
