import pytest

from cai_lite.evaluation.agreement import (
    order_consistency,
    pairwise_accuracy,
    pointwise_accuracy,
    pointwise_auc,
    pointwise_kappa,
    reliability,
)
from cai_lite.records import Score, Verdict


def truth(principle, prompt, reply):
    return {"good": True, "bad": False}.get(reply)


@pytest.fixture
def verdict(answers):
    def make(p_first, choice=None, texts=("good", "bad"), order="both", flipped=False):
        first, second = answers(*texts)
        choice = choice or ("first" if p_first > 0.5 else "second")
        return Verdict(
            key="v",
            first=first,
            second=second,
            principle="kind",
            choice=choice,
            p_first=p_first,
            order=order,
            judge="j",
            rule="r",
            flipped=flipped,
        )

    return make


@pytest.fixture
def scores(answers):
    def make(*told):
        return [
            Score(key=f"s{i}", candidate=candidate, principle="kind", log_odds=log_odds)
            for i, (candidate, (_, log_odds)) in enumerate(zip(answers(*(text for text, _ in told)), told, strict=True))
        ]

    return make


def test_order_consistency_counts_pairwise_verdicts_that_could_be_read(verdict):
    verdicts = [
        verdict(0.9),
        verdict(0.6, flipped=True),
        verdict(0.5, "tie", flipped=True),
        verdict(0.2),
        verdict(None, "unreadable"),
        verdict(0.9, order="none"),
    ]
    found = order_consistency(verdicts)
    assert (found.value, found.n) == (0.5, 4)
    assert order_consistency([verdict(0.9, order="none")]) is None


def test_a_pairwise_verdict_is_right_where_it_chooses_the_reply_that_keeps(verdict):
    verdicts = [
        verdict(0.9),  # right
        verdict(0.1),  # wrong
        verdict(0.1, texts=("bad", "good")),  # right
        verdict(0.5, "tie"),  # a half
        verdict(0.9, texts=("good", "good")),  # nothing to choose
        verdict(0.9, texts=("good", "?")),  # no truth
        verdict(None, "failed"),
    ]
    found = pairwise_accuracy(verdicts, truth)
    assert (found.value, found.n) == (0.625, 4)
    assert pairwise_accuracy([verdict(None, "failed")], truth) is None


def test_pointwise_verdicts_against_the_truth(scores):
    told = scores(("good", 2.0), ("good", -1.0), ("bad", -2.0), ("bad", -0.5), ("?", 1.0), ("good", None))
    assert pointwise_accuracy(told, truth).value == 0.75
    assert pointwise_accuracy(told, truth).n == 4
    # Said yes once, true twice of four: agreed .75, by chance 1/4 * 1/2 + 3/4 * 1/2 = 1/2.
    assert pointwise_kappa(told, truth).value == pytest.approx(0.5)
    # 2.0 lies above both bad ones, -1.0 above one of them.
    assert pointwise_auc(told, truth).value == 0.75


def test_a_judge_that_always_says_kept_has_accuracy_but_no_kappa(scores):
    told = scores(*[("good", 1.0)] * 9, ("bad", 1.0))
    assert pointwise_accuracy(told, truth).value == 0.9
    assert pointwise_kappa(told, truth).value == 0.0
    assert pointwise_auc(told, truth).value == 0.5


def test_reliability_holds_only_what_was_measured(verdict, scores):
    assert reliability([], []) == {}
    assert reliability([verdict(0.9)], []).keys() == {"order_consistency"}
    assert reliability([], scores(("good", 1.0)), truth).keys() == {"pointwise_accuracy", "pointwise_kappa"}
    assert len(reliability([verdict(0.9)], scores(("good", 1.0), ("bad", 1.0)), truth)) == 5
