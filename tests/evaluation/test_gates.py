import pytest

from cai_lite.errors import InputError
from cai_lite.evaluation.comparing import side_by_side
from cai_lite.evaluation.gates import check_gates, gates
from cai_lite.evaluation.labels import Planned
from cai_lite.evaluation.metrics import METRICS as METRIC_LIST
from cai_lite.stats import compare


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


@pytest.mark.parametrize(
    ("name", "wanted", "protects"),
    [
        ("over_refusal", "<= 0.05", "over_refusal.high, 0.140"),
        ("adherence", "> 0.3", "adherence.low, 0.800"),
        ("adherence.change", ">= 0", "adherence.change.low, 0.300"),
        ("over_refusal.high", "<= 0.05", ""),
        ("adherence.n", ">= 5", ""),
        ("unsafe_compliance", "<= 1", ""),
    ],
)
def test_a_gate_on_a_bare_value_names_the_bound_that_protects(name, wanted, protects):
    (gate,) = gates({name: wanted}, METRICS)
    assert gate.note == (f"this compares the value alone; the bound that protects is {protects}" if protects else "")


def test_a_rate_of_zero_on_six_prompts_does_not_show_that_it_is_at_most_one_in_a_hundred():
    few = {"over_refusal": compare([0.0] * 6, [0.0] * 6, [""] * 6).as_dict()}
    (gate,) = gates({"over_refusal.high": "<= 0.01"}, few)
    assert not gate.holds and 0.35 < gate.found < 0.45
    many = {"over_refusal": compare([0.0] * 400, [0.0] * 400, [""] * 400).as_dict()}
    assert gates({"over_refusal.high": "<= 0.01"}, many)[0].holds


@pytest.mark.parametrize("text", ["0.9", "=> 0.9", ">= high", ""])
def test_a_condition_that_cannot_be_read_is_named(text):
    with pytest.raises(InputError, match=r"evaluate\.must\.adherence: a condition is written"):
        gates({"adherence": text}, METRICS)


def test_an_end_of_an_interval_that_is_zero_was_measured():
    zero = {"value": 0.0, "n": 9, "low": 0.0, "high": 0.0}
    (gate,) = gates({"over_refusal.high": "<= 0.05"}, {"over_refusal": {"before": zero, "after": zero, "change": zero}})
    assert (gate.found, gate.holds) == (0.0, True)


def test_a_metric_that_nobody_has_is_named_before_anything_is_measured():
    with pytest.raises(InputError, match=r"unknown figure 'adherance'; did you mean 'adherence"):
        gates({"adherance": ">= 0.8"}, {})


@pytest.fixture
def plan(constitution, prompt):
    def make(**more):
        prompts = [prompt(0, "benign-twin", "slice:hard"), prompt(1)]
        return Planned(**{"metrics": tuple(METRIC_LIST), "constitution": constitution, "prompts": prompts, **more})

    return make


@pytest.mark.parametrize(
    "name",
    [
        *("adherence", "adherence.low", "adherence.overall.change", "adherence.kind", "adherence.principles.kind.low"),
        *("adherence.splits.hard", "adherence.hard.before", "adherence.p_holm.kind", "adherence_checks.kind"),
        *("over_refusal.high", "kl.low", "preference_accuracy.n", "win_rate_equal_length", "robustness.typos.wrapped"),
        *("robustness.injection.drop.low", "superficial.phrasing_gap", "confounds.length", "copies.leakage.value"),
        *("adherence_calibrated.low", "adherence_calibrated.kind", "adherence_calibrated.labels_to_halve"),
        *("reliability.order_consistency", "words.change.high", "robustness.typos", "perplexity.before"),
    ],
)
def test_every_figure_that_can_be_measured_may_be_gated(plan, name):
    check_gates({name: ">= 0"}, plan())


@pytest.mark.parametrize(
    ("name", "message", "more"),
    [
        ("adherence.knid", "'adherence' has no figure 'knid'; did you mean 'kind'", {}),
        ("adherence.kind.hihg", "has no figure 'hihg'; did you mean 'high'", {}),
        ("adherence.ask", "principle 'ask' applies to no prompt", {}),
        ("adherence_checks.ask", "principle 'ask' has no machine checks", {}),
        ("adherence.splits.easy", "'adherence' has no figure", {}),
        ("robustness", "'robustness' has several figures; name one of robustness.typos", {}),
        ("kl.change", "'kl' is a single figure without before and change", {}),
        ("kl", "belongs to the metric 'drift', which evaluate.metrics leaves out", {"metrics": ("adherence",)}),
        ("unsafe_compliance", "no prompt has the tag 'unsafe'", {}),
        ("adherence_judge", "evaluate.oracle", {}),
        ("reliability.judges_alpha", "several judges", {}),
        ("adherence_calibrated.p_holm.kind", "has no figure", {}),
        ("adherence_calibrated.splits.hard", "has no figure", {}),
        ("adherence_second.low", "evaluate.second_judge", {}),
        ("judge_gap.change.high", "measured alone", {"compared": False, "second": True}),
        ("win_rate", "measured alone; name a second one", {"compared": False}),
        ("adherence.change", "measured alone; name a second one", {"compared": False}),
        ("adherence.p_holm.kind", "measured alone", {"compared": False}),
        ("superficial.checks_gap", "measured alone", {"compared": False}),
        ("perplexity", "an adapter that can be switched off", {"adapter": False}),
        ("confounds.length", "this run makes none", {"pairs": False}),
        ("reward_margin", "held-out pairs", {"held_out_pairs": False}),
        ("superficial.phrasing_gap", "training prompts", {"seen": False}),
        ("over_refusal", "a condition is written", {"must": "0.05"}),
    ],
)
def test_a_gate_that_this_evaluation_cannot_measure_is_refused_beforehand(plan, name, message, more):
    must = {name: more.pop("must", ">= 0")}
    with pytest.raises(InputError, match=rf"evaluate\.must\.{name}: .*{message}"):
        check_gates(must, plan(**more))


def test_every_name_that_compare_prints_is_a_gate(plan, constitution):
    metrics = {**METRICS, "copies": {"leakage": figure(0.0)}}
    metrics["adherence"] = {**metrics["adherence"], "principles": {"kind": METRICS["over_refusal"]}}
    for row in side_by_side([{"metrics": metrics}]):
        check_gates({row.name: ">= -1"}, plan())
        (gate,) = gates({row.name: ">= -1"}, metrics)
        assert gate.holds and gate.found == row.figures[0].value
