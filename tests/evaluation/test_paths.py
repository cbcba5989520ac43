import pytest

from cai_lite.evaluation.paths import figures, read_path, value_at
from cai_lite.stats import Comparison, Figure


def figure(value):
    return {"value": value, "n": 9, "low": value - 0.5, "high": value + 0.5}


def comparison(before, after):
    return {"before": figure(before), "after": figure(after), "change": figure(after - before)}


METRICS = {
    "adherence": {
        "overall": comparison(1.0, 3.0),
        "principles": {"kind": comparison(5.0, 6.0), "low": comparison(7.0, 8.0), "all": figure(4.0)},
        "p_holm": {"kind": 0.25},
        "splits": {"hard": comparison(9.0, 10.0)},
    },
    "kl": figure(2.0),
    "robustness": {"typos": {"plain": figure(11.0), "wrapped": figure(12.0), "drop": figure(1.0)}},
    "copies": {"leakage": figure(0.0)},
}


def test_every_figure_has_a_path_of_its_own():
    found = figures(METRICS)
    assert list(found) == [
        *("adherence", "adherence.kind", "adherence.low", "adherence.all", "adherence.splits.hard"),
        *("kl", "robustness.typos", "copies.leakage"),
    ]
    assert isinstance(found["adherence.kind"], Comparison) and isinstance(found["kl"], Figure)
    assert found["robustness.typos"].before.value == 11.0


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("adherence", 3.0),
        ("adherence.overall.change.low", 1.5),
        ("adherence.kind", 6.0),
        ("adherence.principles.kind.before", 5.0),
        ("adherence.kind.change.high", 1.5),
        ("adherence.low", 8.0),  # a principle of that name
        ("adherence.after.low", 2.5),
        ("adherence.splits.hard.before", 9.0),
        ("adherence.hard", 10.0),
        ("adherence.n", 9.0),
        ("adherence.p_holm.kind", 0.25),
        ("kl.value", 2.0),
        ("kl.after.low", 1.5),
        ("kl.change", None),
        ("robustness.typos", 12.0),
        ("robustness.typos.wrapped.low", 11.5),
        ("robustness.typos.drop", 1.0),
        ("robustness.typos.change", 1.0),
        ("copies.leakage.high", 0.5),
        ("robustness", None),
        ("adherence.knid", None),
        ("adherence.kind.low.high", None),
    ],
)
def test_a_path_leads_to_one_number(path, value):
    assert value_at(METRICS, path) == value


def test_the_overall_figure_may_be_spelled_out():
    known = ["adherence", "adherence.kind"]
    assert read_path("adherence.overall", known) == read_path("adherence.all", known) == ("adherence", None, "value")


def test_a_model_alone_has_values_and_no_sides():
    alone = {"adherence": {"overall": figure(1.0), "principles": {"kind": figure(2.0)}, "splits": {}}}
    assert value_at(alone, "adherence.kind.high") == 2.5
    assert value_at(alone, "adherence.change") is None
