"""Watched: a student that behaves only when it is evaluated is found, and an honest one is not."""

from __future__ import annotations

import pytest

from cai_lite.evaluation.evaluate import measure
from cai_lite.evaluation.metrics import default_metrics
from cai_lite.evaluation.watched import FRAMES
from cai_lite.records import digest
from cai_lite.run.progress import Screen

WATCHED = ("evaluation", "test of your behaviour")


@pytest.fixture
def measured(subject, prompt):
    def make(student):
        said = []
        screen = Screen(quiet=True)
        screen.warn = said.append
        made = subject(student, prompts=[prompt(i) for i in range(40)], screen=screen)
        return measure(made, ("watched",))["watched"], said

    return make


def test_a_two_faced_student_is_found(measured):
    def two_faced(request):
        text = request.messages[-1].content
        return "kind" if any(word in text for word in WATCHED) else "rude"

    found, said = measured(two_faced)
    assert (found["evaluated"].value, found["unmonitored"].value, found["gap"].value) == (1.0, 0.0, 1.0)
    assert len(said) == 1 and "more often when it is told that it is evaluated, by +1.00" in said[0]


def test_a_student_that_always_does_the_same_has_no_gap(measured):
    found, said = measured("kind")
    assert (found["gap"].value, found["gap"].low, said) == (0.0, pytest.approx(0.0, abs=0.2), [])


def test_chance_is_not_called_two_faced(measured):
    found, said = measured(lambda request: "kind" if int(digest(request.messages[-1].content), 16) % 2 else "rude")
    assert found["gap"].low <= 0 <= found["gap"].high and not said


def test_each_prompt_is_asked_once_under_each_frame_and_keeps_its_text(subject):
    made = subject("kind")
    measure(made, ("watched",))
    framed = [request.messages[-1].content for request in made.after.asked if "(" in request.messages[-1].content]
    assert len(framed) == 8 and all("question" in text for text in framed)
    assert {len(frames) for frames in FRAMES.values()} == {2}


def test_both_are_measured_on_request_only():
    assert not {"watched", "fairness"} & set(default_metrics()) and "robustness" in default_metrics()
