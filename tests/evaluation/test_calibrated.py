"""Labels of people correct the judge: by principle, over all, before and after; what is left out is said."""

import numpy as np
import pytest

from cai_lite.evaluation import calibrated
from cai_lite.evaluation.calibrated import calibrate, in_words, measure_calibrated, next_to_label
from cai_lite.evaluation.prediction_powered import rate
from cai_lite.evaluation.result import Answered, as_json
from cai_lite.inputs.labels import AnswerLabel, settle
from cai_lite.records import Message
from cai_lite.stats import Comparison, Figure

WEIGHTS = {"kind": 3.0, "ask": 1.0}


def row(number, side="after", family=None, **verdicts):
    return Answered(
        key=f"{side}{number}",
        prompt=(Message("user", f"question {number}"),),
        family=f"f{number}" if family is None else family,
        tags=(),
        side=side,
        answer="",
        verdicts=verdicts,
    )


def label(answer, principle, keeps, by="ada"):
    return AnswerLabel(answer=answer, principle=principle, keeps=bool(keeps), by=by, at=0.0)


def too_kind(n=200, sides=("after",)):
    """Rows whose judge finds that all keep "kind", and their truth: three in four do; both agree on "ask"."""
    rows = [row(i, side, kind=True, ask=i % 2 == 0) for i in range(n) for side in sides]
    truth = {(f"{side}{i}", "kind"): i % 4 > 0 for i in range(n) for side in sides}
    return rows, truth | {(f"{side}{i}", "ask"): i % 2 == 0 for i in range(n) for side in sides}


def labelled(truth, keys):
    return [label(answer, principle, keeps) for (answer, principle), keeps in truth.items() if answer in keys]


def test_labels_of_some_answers_correct_the_figure_of_all():
    rows, truth = too_kind()
    found = calibrate(rows, labelled(truth, {f"after{i}" for i in range(80)}), WEIGHTS)
    of = found["adherence_calibrated"]
    kind, ask = of["principles"]["kind"], of["principles"]["ask"]
    assert (kind.value, kind.n) == (pytest.approx(0.75), 80)
    assert kind.low < 0.75 < kind.high < 1.0
    assert ask.value == pytest.approx(0.5)
    assert of["overall"].value == pytest.approx((3 * 0.75 + 0.5) / 4, abs=0.02)
    assert (of["labels"], of["people"]) == (160, 1)
    assert of["notes"] == ["no number of labels halves the interval: more held-out prompts would"]
    assert found["judge_people_kappa"].n == 160


def test_both_sides_give_a_comparison_and_the_side_after_alone_a_figure():
    rows, truth = too_kind(sides=("before", "after"))
    some = range(60)
    after = labelled(truth, {f"after{i}" for i in some})
    both = after + labelled(truth, {f"before{i}" for i in some})
    figure = calibrate(rows, after, WEIGHTS)["adherence_calibrated"]["overall"]
    compared = calibrate(rows, both, WEIGHTS)["adherence_calibrated"]["overall"]
    assert isinstance(figure, Figure) and isinstance(compared, Comparison)
    assert compared.after == figure
    assert compared.change.value == 0.0 and compared.change.low < 0 < compared.change.high


def test_a_principle_that_was_labelled_more_often_does_not_count_for_more():
    rows, truth = too_kind()
    few = labelled(truth, {f"after{i}" for i in range(80)})
    more = [label(f"after{i}", "kind", truth[f"after{i}", "kind"]) for i in range(80, 200)]
    of = calibrate(rows, [*few, *more], WEIGHTS)["adherence_calibrated"]
    assert of["overall"].value == pytest.approx((3 * 0.75 + 0.5) / 4, abs=0.02)
    only = calibrate(rows, more, WEIGHTS)["adherence_calibrated"]
    assert "overall" not in only and "kind" in only["principles"]
    assert "no figure over all principles: nobody has labelled ask" in only["notes"]


def test_too_few_labels_give_no_figure_and_a_sentence():
    rows, truth = too_kind()
    of = calibrate(rows, labelled(truth, {f"after{i}" for i in range(4)}), WEIGHTS)["adherence_calibrated"]
    assert of["principles"] == {} and "overall" not in of and of["labels"] == 8
    assert "too few labels for a figure of its own" in of["notes"][0] and of["notes"][0].endswith(": ask, kind")
    assert "no figure over all principles: it takes 10 labels" in of["notes"][1]
    one_family = [row(i, family="f" if i < 190 else f"g{i}", kind=True) for i in range(200)]
    many = [label(f"after{i}", "kind", True) for i in range(100)]
    assert calibrate(one_family, many, WEIGHTS)["adherence_calibrated"]["principles"] == {}
    assert calibrate(rows, [], WEIGHTS) == {}


def test_labels_that_are_not_used_are_counted():
    rows, truth = too_kind(60)
    rows += [row(100, kind=None), row(101, "teacher", kind=True)]
    odd = [
        label("nobody", "kind", True),
        label("after1", "knid", True),
        label("after100", "kind", True),
        label("teacher101", "kind", True),
        label("after59", "kind", True),
        label("after59", "kind", False, by="bo"),
    ]
    of = calibrate(rows, [*labelled(truth, {f"after{i}" for i in range(30)}), *odd], WEIGHTS)["adherence_calibrated"]
    assert of["labels"] == 60
    assert of["notes"][:5] == [
        "not used: 1 labels of answers that this evaluation does not have",
        "not used: 1 labels of principles on which this evaluation has no verdict",
        "not used: 1 labels of answers without a verdict that could be corrected",
        "not used: 1 labels of answers of neither side, before or after",
        "not used: 1 labels on which as many people say yes as no",
    ]


def test_agreement_is_kappa_of_two_people_and_alpha_of_three():
    rows, truth = too_kind(60)
    mine = labelled(truth, {f"after{i}" for i in range(20)})
    same = [label(one.answer, one.principle, one.keeps, by="bo") for one in mine]
    assert calibrate(rows, [*mine, *same], WEIGHTS)["people_agreement"].value == 1.0
    opposite = [label(one.answer, one.principle, not one.keeps, by="cy") for one in mine]
    three = calibrate(rows, [*mine, *same, *opposite], WEIGHTS)
    assert three["people_agreement"].value < 0.2 and three["adherence_calibrated"]["people"] == 3
    assert "people_agreement" not in calibrate(rows, mine, WEIGHTS)


def test_the_order_to_label_is_random_and_stays_when_answers_come_or_go():
    rows, truth = too_kind(40, sides=("before", "after"))
    order = [one.key for one in next_to_label(rows, [], n=100)]
    assert len(order) == 40 and all(key.startswith("after") for key in order)
    assert order != sorted(order) and order != [one.key for one in next_to_label(rows, [], n=100, seed=1)]
    assert [one.key for one in next_to_label(rows[:40], [], n=100)] == [
        key for key in order if int(key.removeprefix("after")) < 20
    ]
    done = labelled(truth, set(order[:5]))
    assert [one.key for one in next_to_label(rows, done, n=3)] == order[5:8]
    assert [one.key for one in next_to_label(rows, done[:1], n=1)] != order[5:6]  # its other principle is not labelled
    assert [one.key for one in next_to_label(rows, done, n=2, by="bo")] == order[:2]
    assert next_to_label([row(1, kind=None)], [], n=5) == []


def test_it_says_in_words_what_the_labels_tell_of_the_judge():
    rows, truth = too_kind(2000)
    found = calibrate(rows, labelled(truth, {f"after{i}" for i in range(40)}), WEIGHTS)
    judged = Figure(0.875, 4000, 0.86, 0.89)
    words = in_words({"metrics": as_json({"adherence": {"overall": judged}, **found})})
    assert words[0].startswith("corrected by 80 labels: adherence 0.6")
    assert words[1].startswith("the judge alone says 0.88, and is too kind by 0.1")
    assert words[2].endswith("labels more would halve the interval")
    assert in_words({"metrics": {}}) == []


def test_it_is_measured_from_the_answers_of_an_evaluation(subject, prompt):
    """The judge says yes to every "kind" answer; people find half of them broken."""
    made = subject("kind", "rude", prompts=[prompt(i) for i in range(40)])
    assert measure_calibrated(made) == {}
    made.labels = [label(one.key, "kind", i % 2) for i, one in enumerate(made.sides[1][:20])]
    found = measure_calibrated(made)
    assert found["adherence_calibrated"]["principles"]["kind"].value == pytest.approx(0.5)


def test_a_weighted_overall_figure_covers_with_several_principles_of_an_answer():
    """Whole answers are labelled, whose principles stand or fall together; 200 runs."""
    rng, hits, truth_of = np.random.default_rng(2), 0, 0.7
    for _ in range(200):
        p = rng.beta(2.1, 0.9, 120)  # of mean 0.7
        truth = rng.random((120, 2)) < p[:, None]
        said = truth | (rng.random((120, 2)) < 0.4)
        rows = [row(i, kind=bool(said[i, 0]), ask=bool(said[i, 1])) for i in range(120)]
        chosen = rng.permutation(120)[:40]
        labels = [label(f"after{i}", name, truth[i, k]) for i in chosen for k, name in enumerate(("kind", "ask"))]
        cells, sides = calibrated._cells(rows, WEIGHTS)
        figure = rate(calibrated._by_side(cells, sides, settle(labels), WEIGHTS)["after"])
        hits += figure.low <= truth_of <= figure.high
    assert 0.9 <= hits / 200 <= 0.99
