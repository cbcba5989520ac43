import pytest

from cai_lite.evaluation.trust import disagreements, trust, trust_of
from cai_lite.stats import Comparison, Figure


def moved(change, half=0.05):
    side = Figure(0.5, 90, 0.4, 0.6)
    return Comparison(side, side, Figure(change, 90, change - half, change + half))


def rated(**figures):
    return {f"reliability.{name}": Figure(value, 60, value, value) for name, value in figures.items()}


@pytest.mark.parametrize(
    ("name", "value", "level"),
    [
        ("repeat_kappa", 0.85, "good"),
        ("repeat_kappa", 0.61, "fair"),
        ("repeat_kappa", 0.2, "poor"),
        ("judges_alpha", 0.7, "fair"),
        ("order_consistency", 0.74, "poor"),
    ],
)
def test_a_reliability_figure_has_a_level_and_words(name, value, level):
    ((path, figure),) = rated(**{name: value}).items()
    found = trust_of(path, figure)
    assert found.level == level and found.meaning


def test_the_judge_is_as_good_as_its_poorest_figure():
    assert trust(rated(repeat_kappa=0.9, pointwise_accuracy=0.8)).level == "fair"
    assert trust({}) is None and trust({"words": Figure(3, 1, 1, 4)}) is None


def test_comparisons_count_only_where_no_scores_were_measured():
    assert trust(rated(repeat_kappa=0.9, order_consistency=0.1)).level == "good"
    assert trust(rated(order_consistency=0.1)).level == "poor"


def test_checks_that_move_the_other_way_contradict_the_headline():
    (found,) = disagreements({"adherence.a": moved(0.3), "adherence_checks.a": moved(-0.2)}).values()
    assert found.opposite and found.words == "machine checks move the other way"
    assert "-0.20" in found.numbers and "+0.30" in found.numbers


def test_checks_that_do_not_move_at_all_do_not_confirm_it():
    (found,) = disagreements({"adherence.a": moved(0.48), "adherence_checks.a": moved(0.01)}).values()
    assert not found.opposite and "do not confirm" in found.words


def test_checks_that_agree_within_their_intervals_are_no_contradiction():
    assert not disagreements({"adherence": moved(0.06), "adherence_checks": moved(0.04)})
    assert not disagreements({"adherence": moved(0.01), "adherence_checks": moved(-0.02)})
    assert not disagreements({"adherence": moved(0.3)})
