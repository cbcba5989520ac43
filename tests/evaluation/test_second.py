"""A second judge beside the first: what it says, and how far the two are apart before and after."""

import pytest

from cai_lite.chat.scripted import ScriptedModel
from cai_lite.evaluation.second import measure_second
from cai_lite.stats import Figure


def who_likes(word):
    def judged(request):
        return "yes" if word in request.messages[-1].content.split("reply>>")[1].split("<<")[0] else "no"

    return ScriptedModel(judged, name=f"likes {word}")


def test_a_gain_that_only_the_first_judge_sees_widens_the_gap(subject):
    found = measure_second(subject("kind words", "short", second=who_likes("short")))
    assert found["adherence_second"]["overall"].change.value == -1.0
    gap = found["judge_gap"]
    assert (gap.before.value, gap.after.value, gap.change.value, gap.change.n) == (-1.0, 1.0, 2.0, 4)


def test_judges_of_one_mind_have_no_gap(subject):
    found = measure_second(subject("kind words", second=who_likes("kind")))
    assert isinstance(found["judge_gap"], Figure) and found["judge_gap"].value == 0.0
    assert found["adherence_second"]["overall"].value == pytest.approx(1.0)


def test_without_a_second_judge_nothing_is_measured_and_without_a_first_no_gap(subject):
    assert measure_second(subject("kind")) == {}
    assert measure_second(subject("kind", judges=[], second=who_likes("kind"))).keys() == {"adherence_second"}
