"""Which aims pull apart, and where."""

import pytest

from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.linting import lint
from cai_lite.linting.aims import AIMS


def undecided(first, second, priority=5):
    principles = (Principle(id="a", text=first), Principle(id="b", text=second, priority=priority))
    return "no-tie-break" in {f.rule for f in lint(Constitution(name="c", principles=principles))}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Stay neutral in disputes between neighbours.", "Stand up for a neighbour who is treated unfairly."),
        ("Mention the premium plan.", "Steer the caller to the plan that costs least."),
        ("Treat all guests alike.", "Bend the rules for guests with a good excuse."),
        ("Take a guest's word for a minibar charge.", "Ask guests for proof about a minibar charge."),
    ],
)
def test_opposing_aims_about_one_subject_want_a_decision(first, second):
    assert undecided(first, second)
    assert not undecided(first, second, priority=1)


def test_opposing_aims_about_different_subjects_do_not():
    assert not undecided("Stay neutral in disputes between neighbours.", "Stand up for the rights of cyclists.")


def test_an_aim_that_is_denied_is_none():
    assert not undecided("Treat all guests alike.", "Never bend the rules for guests.")


def test_each_family_of_aims_has_two_sides():
    assert all(name != against and words != others for name, words, against, others in AIMS)
