import pytest

from cai_lite.errors import InputError
from cai_lite.evaluation.gates import gates


def figure(value):
    return {"value": value, "n": 9, "low": value - 0.1, "high": value + 0.1}


METRICS = {
    "adherence": {
        "overall": {"before": figure(0.5), "after": figure(0.9), "change": figure(0.4)},
        "principles": {"kind-tone": {"before": figure(0.5), "after": figure(0.7), "change": figure(0.2)}},
    },
    "over_refusal": {"before": figure(0.0), "after": figure(0.04), "change": figure(0.04)},
    "preference_accuracy": figure(0.8),
    "robustness": {"typos": {"plain": figure(0.9), "wrapped": figure(0.6), "drop": figure(-0.3)}},
}


@pytest.mark.parametrize(
    ("name", "wanted", "found", "holds"),
    [
        ("adherence", ">= 0.9", 0.9, True),
        ("adherence", "> 0.9", 0.9, False),
        ("adherence.kind-tone", ">=0.8", 0.7, False),
        ("adherence.change", "> 0.3", 0.4, True),
        ("over_refusal", "<= 0.05", 0.04, True),
        ("over_refusal.high", "<= 0.05", 0.14, False),
        ("preference_accuracy.low", ">= 0.7", 0.7, True),
        ("robustness.typos.wrapped", ">= .5", 0.6, True),
        ("unsafe_compliance", "<= 1", None, False),
        ("adherence.no-such", ">= 0", None, False),
    ],
)
def test_a_gate_looks_at_the_figure_after_or_at_what_is_named(name, wanted, found, holds):
    if wanted == ">= .5":
        wanted = ">= 0.5"
    (gate,) = gates({name: wanted}, METRICS)
    assert (gate.found, gate.holds) == (found if found is None else pytest.approx(found), holds)


@pytest.mark.parametrize("text", ["0.9", "=> 0.9", ">= high", ""])
def test_a_condition_that_cannot_be_read_is_named(text):
    with pytest.raises(InputError, match=r"evaluate\.must\.adherence: a condition is written"):
        gates({"adherence": text}, METRICS)


def test_an_end_of_an_interval_that_is_zero_was_measured():
    zero = {"value": 0.0, "n": 9, "low": 0.0, "high": 0.0}
    (gate,) = gates({"over_refusal.high": "<= 0.05"}, {"over_refusal": {"before": zero, "after": zero, "change": zero}})
    assert (gate.found, gate.holds) == (0.0, True)


def test_a_metric_that_nobody_has_is_named_before_anything_is_measured():
    with pytest.raises(InputError, match=r"no metric 'adherance'; did you mean 'adherence'"):
        gates({"adherance": ">= 0.8"}, {})
