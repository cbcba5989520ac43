"""Similarity by the words that two texts share."""

import math

import pytest

from cai_lite.inputs.similar import similarities


def test_the_same_words_are_alike_whatever_their_case_and_marks():
    same, other = similarities("A rash, since Monday!", ["a RASH since monday", "Bake bread."])
    assert same == pytest.approx(1.0) and other == 0.0


def test_a_rare_word_counts_more_than_a_common_one():
    rare, common = similarities("the rash", ["rash here", "the here"] + ["the end"] * 5)[:2]
    assert rare > common > 0


def test_the_numbers_are_those_of_the_formula():
    """Three texts: a is in two of them, b and c in one. Weights log(1 + 3/2) and log(1 + 3/1)."""
    a, b = math.log(2.5), math.log(4)
    (first, _) = similarities("a b", ["a", "c"])
    assert first == pytest.approx(a / math.hypot(a, b))


def test_nothing_is_like_an_empty_text():
    assert similarities("", ["a", ""]) == [0.0, 0.0]
    assert similarities("a", []) == []
