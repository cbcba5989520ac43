import numpy as np
import pytest
import statsmodels.api as sm

from cai_lite.evaluation.winrate import equal_length, win_rate
from cai_lite.records import Verdict


@pytest.fixture
def verdict(answers):
    def make(p_first, base="a b", trained="a b c", number=0, weight=1.0):
        first = answers(*[""] * number, base)[number]
        second = answers(*[""] * number, trained, author="trained")[number]
        return Verdict(
            key=f"{number}{p_first}",
            first=first,
            second=second,
            principle="kind",
            choice="first",
            p_first=p_first,
            order="both",
            judge="j",
            rule="after_against_before",
            weight=weight,
        )

    return make


def test_wins_are_those_of_the_second_side_and_principles_of_a_prompt_are_weighed(verdict):
    """Prompt 0: (3 * .8 + 1 * .4) / 4 = .7 for the trained one; prompt 1: .9. Mean .8."""
    rows = [verdict(0.2, weight=3.0), verdict(0.6), verdict(0.1, number=1), verdict(None, number=2)]
    found = win_rate(rows)["win_rate"]
    assert (found.value, found.n) == (pytest.approx(0.8), 2)
    assert win_rate([verdict(None)]) == {}


def test_a_preference_for_length_alone_is_no_win_at_equal_length():
    rng = np.random.default_rng(0)
    longer = rng.normal(20, 30, 400)
    wins = 1 / (1 + np.exp(-longer / 20))
    assert np.mean(wins) > 0.65
    found = equal_length(list(wins), list(longer), [str(i) for i in range(400)])
    assert found.value == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("seed", range(10))
def test_the_logistic_model_is_that_of_statsmodels(seed):
    rng = np.random.default_rng(seed)
    longer, wins = rng.normal(5, 10, 80), rng.uniform(0, 1, 80)
    x = np.tanh(longer / longer.std())
    theirs = sm.GLM(wins, sm.add_constant(x), family=sm.families.Binomial()).fit()
    expected = 1 / (1 + np.exp(-theirs.params[0]))
    assert equal_length(list(wins), list(longer), [str(i) for i in range(80)]).value == pytest.approx(
        expected, abs=2e-3
    )


def test_answers_that_differ_alike_in_length_leave_the_plain_mean():
    assert equal_length([1.0, 0.0, 1.0], [3, 3, 3], ["a", "b", "c"]).value == pytest.approx(2 / 3)


def test_several_samples_of_a_prompt_count_alike_whatever_their_order(verdict):
    rows = [verdict(0.9, trained="a b c d e f"), verdict(0.2, trained="a"), verdict(0.7, number=1)]
    as_given, reordered = win_rate(rows), win_rate([rows[1], rows[0], rows[2]])
    assert as_given == reordered


def test_the_same_answer_from_both_is_half_a_win(verdict, answers):
    found = win_rate([verdict(0.0)], equal=answers("", "same")[1:])
    assert (found["win_rate"].value, found["win_rate"].n) == (pytest.approx(0.75), 2)
