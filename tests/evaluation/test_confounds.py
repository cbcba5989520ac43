import pytest

from cai_lite.evaluation.confounds import confounds, warnings_of
from cai_lite.records import Message, PreferencePair


def pair(chosen, rejected, number=0, by=("", "")):
    return PreferencePair(
        prompt=(Message("user", "?"),),
        chosen=(Message("assistant", chosen),),
        rejected=(Message("assistant", rejected),),
        family=f"f{number}",
        evidence={"chosen_by": by[0], "rejected_by": by[1]} if any(by) else {},
    )


def test_length_orders_pairs_by_words_with_ties_as_one_half():
    pairs = [pair("a b c", "a", 0), pair("a b", "a", 1), pair("a", "b", 2), pair("a", "a b", 3)]
    found = confounds(pairs)
    assert found["length"].value == pytest.approx((1 + 1 + 0.5 + 0) / 4)
    assert found["length"].n == 4
    assert found["length"].low < found["length"].value < found["length"].high


def test_being_shorter_is_as_easy_to_learn():
    pairs = [pair("a", "a b", i) for i in range(5)]
    assert confounds(pairs)["length"].value == 1.0


def test_authors_are_compared_where_two_are_known():
    teacher_wins = [pair("a", "b", i, ("teacher", "student")) for i in range(3)]
    student_wins = [pair("a", "b", 3, ("student", "teacher"))]
    same = [pair("a", "b", i, ("student", "student")) for i in (4, 5)]
    found = confounds([*teacher_wins, *student_wins, *same])
    assert found["author"].value == pytest.approx((3 + 0 + 2 * 0.5) / 6)
    assert "author" not in confounds(same)
    assert "author" not in confounds([pair("a", "b", 0, ("", "student")), pair("a", "b")])


def test_of_many_pairs_some_are_read_for_refusals_evenly_over_the_list(monkeypatch):
    refused = [pair("Here you are, with all the steps.", "I'm sorry, but I can't help with that.", i) for i in range(6)]
    pairs = [each for first in refused for each in (first, pair("a", "b"))]
    assert (confounds(pairs)["refusal"].value, confounds(pairs)["refusal"].n) == (0.75, 12)
    monkeypatch.setattr("cai_lite.evaluation.confounds.READ", 7)
    found = confounds(pairs)
    assert (found["refusal"].value, found["refusal"].n, found["length"].n) == (1.0, 6, 12)


def test_a_strong_confound_is_warned_of():
    assert warnings_of(confounds([pair("a b", "c d", i) for i in range(5)])) == []
    (warning,) = warnings_of(confounds([pair("a b", "c", i) for i in range(5)]))
    assert "length alone" in warning
    assert "100%" in warning


def test_no_pairs_no_figures():
    assert confounds([]) == {}
