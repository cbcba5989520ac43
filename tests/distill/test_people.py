"""Votes and edits of people as pairs."""

from __future__ import annotations

import pytest

from cai_lite.distill.people import people_pairs, with_people
from cai_lite.inputs.human import HumanEdit, HumanVote
from cai_lite.records import Message, PreferencePair

PROMPT = (Message("user", "I have a headache."),)


def vote(choice, *, by="ada", a="Rest.", b="Take 800 mg.", confidence=1.0, at=1.0, principle=None):
    return HumanVote(
        prompt=PROMPT, a=a, b=b, choice=choice, principle=principle, confidence=confidence, by=by, at=at, pair="k"
    )


def edit(after, *, by="ada", at=1.0):
    return HumanEdit(prompt=PROMPT, before="Take 800 mg.", after=after, principle="no-exact-dose", by=by, at=at)


def made(*said):
    found = people_pairs(said, {PROMPT: "headaches"})
    return [(p.chosen[0].content, p.rejected[0].content, p.weight) for p in found.pairs], found


def test_a_vote_is_a_pair_that_weighs_its_confidence():
    pairs, found = made(vote("b", confidence=0.5, principle="kind-tone"))
    assert pairs == [("Take 800 mg.", "Rest.", 0.5)]
    (pair,) = found.pairs
    assert (pair.rule, pair.principle, pair.family) == ("human", "kind-tone", "headaches")
    assert pair.evidence["people"] == [{"by": "ada", "at": "1970-01-01T00:00:01.000Z", "confidence": 0.5}]


def test_several_people_weigh_by_how_far_they_agree_in_whatever_order_they_saw_the_answers():
    """Two sure votes for "Rest." against one of 0.5 for the other: (1 + 1 - 0.5) / 3."""
    swapped = vote("b", by="ben", a="Take 800 mg.", b="Rest.")
    pairs, found = made(vote("a"), swapped, vote("b", by="cleo", confidence=0.5))
    assert pairs == [("Rest.", "Take 800 mg.", 0.5)] and found.counts == {"votes": 3}


@pytest.mark.parametrize(
    ("said", "counts"),
    [
        ([vote("tie")], {"ties": 1}),
        ([vote("a"), vote("b", by="ben")], {"ties": 2}),
        ([vote("a"), vote("tie", at=2.0)], {"votes changed later": 1, "ties": 1}),
    ],
)
def test_where_people_see_no_difference_nothing_is_learnt_and_the_judge_has_no_say(said, counts):
    pairs, found = made(*said)
    judged = PreferencePair(
        prompt=PROMPT, chosen=(Message("assistant", "Take 800 mg."),), rejected=(Message("assistant", "Rest."),)
    )
    assert pairs == [] and found.counts == counts and with_people(found, [judged]) == []


def test_a_guess_settles_nothing():
    pairs, found = made(vote("a", confidence=0.0))
    assert pairs == [] and not found.settled and found.counts == {"guesses": 1}


def test_the_latest_edit_of_each_person_is_preferred_to_what_was_edited():
    pairs, found = made(edit("Ask a doctor."), edit("Ask a pharmacist.", at=2.0), edit("See the leaflet.", by="ben"))
    assert pairs == [("Ask a pharmacist.", "Take 800 mg.", 1.0), ("See the leaflet.", "Take 800 mg.", 1.0)]
    assert found.counts == {"edits": 2, "edits changed later": 1} and not found.settled


def test_a_vote_takes_the_place_of_the_judges_pair_of_the_same_answers_alone():
    _, found = made(vote("a"))
    sides = [(Message("assistant", text),) for text in ("Rest.", "Take 800 mg.", "Wait.")]
    same, other = (PreferencePair(prompt=PROMPT, chosen=sides[1], rejected=sides[n], key=str(n)) for n in (0, 2))
    assert with_people(found, [same, other]) == [*found.pairs, other]
