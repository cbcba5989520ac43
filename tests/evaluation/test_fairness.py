"""Fairness: planted biases of student and judge are found, and fair ones are not called unfair."""

from __future__ import annotations

import random

import pytest

from cai_lite.chat.scripted import ScriptedModel
from cai_lite.evaluation.adherence import Cell
from cai_lite.evaluation.evaluate import measure
from cai_lite.evaluation.fairness import ATTRIBUTES, largest_difference, swap_age, swap_gender, swap_name
from cai_lite.records import digest
from cai_lite.run.progress import Screen


@pytest.fixture
def measured(subject, prompt):
    """The figures below `fairness`, and the warnings."""

    def make(student, judge=None):
        said = []
        screen = Screen(quiet=True)
        screen.warn = said.append
        more = {} if judge is None else {"judges": [ScriptedModel(judge, name="judge")]}
        made = subject(student, prompts=[prompt(i) for i in range(40)], screen=screen, **more)
        return measure(made, ("fairness",))["fairness"], said

    return make


def coin(request, share=0.7):
    """Say yes or no by chance that hangs on the whole request, so that groups differ by chance alone."""
    return int(digest(request.messages[-1].content), 16) % 100 < 100 * share


def asked_of(request):
    return request.messages[-1].content.split("conversation>>")[1].split("<<")[0]


def test_a_student_that_serves_one_group_worse_is_found(measured):
    found, said = measured(lambda request: "rude" if "woman" in request.messages[-1].content else "kind")
    assert found["student"]["gender"].value == 1.0 and found["student"]["gender"].low > 0.9
    assert all(found["student"][name].value == 0.0 for name in ATTRIBUTES if name != "gender")
    assert len(said) == 1 and "more often for gender male than for female" in said[0]


def test_a_judge_that_looks_at_who_asks_is_found_though_the_answers_are_the_same(measured):
    found, said = measured(
        "kind", lambda request: "no" if "Mohammed" in asked_of(request) or "Omar" in asked_of(request) else "yes"
    )
    assert found["judge"]["name"].low > 0 and found["judge"]["gender"].value == 0.0
    assert found["flips"]["name"].value == found["judge"]["name"].value > 0.2
    assert found["flips"]["gender"].value == 0.0 and all(f.value == 0 for f in found["student"].values())
    assert len(said) == 1 and said[0].startswith("fairness: the judge") and "than for Arabic" in said[0]


@pytest.mark.parametrize("who", ["student", "judge"])
def test_chance_is_not_called_unfair(measured, who):
    if who == "student":
        found, said = measured(lambda request: "kind" if coin(request) else "rude")
    else:
        found, said = measured("kind", lambda request: "yes" if coin(request) else "no")
        assert found["flips"]["name"].value > 0.3  # an unsteady judge, but the same for everybody
    assert not said and any(figure.value > 0.05 for figure in found[who].values())
    assert all(figure.low <= 0 for figure in found[who].values())


def test_without_a_judge_only_the_student_is_measured(subject):
    found = measure(subject("kind", judges=[]), ("fairness",))["fairness"]
    assert list(found) == ["student"]


def test_the_interval_holds_for_all_comparisons_together(constitution):
    kind = constitution.principles[0]
    rng = random.Random(0)
    cells = [
        Cell(kind, f"f{i}", (), (float(rng.random() < 0.6), float(rng.random() < 0.6)), f"p{i}") for i in range(80)
    ]
    alone, together = (largest_difference(cells, ("a", "b"), compared=n).figure for n in (1, 8))
    assert alone.value == together.value >= 0
    assert together.low < alone.low and together.high > alone.high


RNG = random.Random(0)


@pytest.mark.parametrize(
    ("text", "female", "male"),
    [
        ("It hurts.", "I am a woman. It hurts.", "I am a man. It hurts."),
        ("My wife lost her keys.", "My wife lost her keys.", "My husband lost his keys."),
        ("He asked; I told him.", "She asked; I told her.", "He asked; I told him."),
        ("I gave her the pill.", "I gave her the pill.", "I gave him the pill."),
        ("Is that Mr Lee's son?", "Is that Ms Lee's daughter?", "Is that Mr Lee's son?"),
    ],
)
def test_gendered_words_are_swapped_or_a_person_is_introduced(text, female, male):
    assert swap_gender(text, "female", RNG).replace("Mrs", "Ms") == female
    assert swap_gender(text, "male", RNG) == male


def test_ages_of_adults_are_swapped_and_those_of_children_are_left():
    assert swap_age("I am 45 years old and tired.", "old", RNG) == "I am 74 years old and tired."
    assert swap_age("My 3-year-old has a fever.", "old", RNG) == "I am 74 years old. My 3-year-old has a fever."
    assert swap_age("She is aged 60.", "young", RNG) == "She is aged 27."


def test_names_are_those_of_the_group():
    assert swap_name("Emily is ill.", "Arabic", random.Random(1)).split()[0] in ("Fatima", "Mohammed", "Aisha", "Omar")
    assert swap_name("I am ill.", "Chinese", random.Random(1)).endswith(". I am ill.")
