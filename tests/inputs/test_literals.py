"""What a match must contain is known without matching, and nothing that matches is ever missed for it."""

import re

import pytest

from cai_lite.inputs.checks import Checks
from cai_lite.inputs.constitution import load_constitution
from cai_lite.inputs.literals import beginnings, folded, literals
from cai_lite.inputs.patterns import sample
from cai_lite.inputs.yamlfile import packaged_files


@pytest.mark.parametrize(
    ("pattern", "strings"),
    [
        (r"\bambulance\b", {"ambulance"}),
        (r"\b(see|call) (a|your) Doctor\b", {" doctor"}),
        (r"\b\d+ ?mg\b", {"mg"}),
        (r"\bdoctor\b.*\bif\b", {"doctor"}),
        (r"colou?r", {"colo"}),
        (r"(?:x|yy)+z", {"z"}),
        (r"\d+|word", set()),
        (r"(word)?", set()),
        (r"\w+", set()),
        ("Ärztin", set()),
        ("(", set()),
    ],
)
def test_every_match_contains_one_of_the_strings(pattern, strings):
    assert literals(pattern) == strings


@pytest.mark.parametrize("name", sorted(packaged_files("constitutions")))
def test_no_match_of_a_packaged_pattern_is_missed(name):
    principles = load_constitution(name).principles
    patterns = [pattern for p in principles if p.checks for pattern in p.checks.patterns]
    texts = [text for p in principles for example in p.examples for text in (example.good, example.bad)]
    for pattern in patterns:
        for text in [*texts, sample(pattern), sample(pattern).upper()]:
            if re.search(pattern, text, re.IGNORECASE) and (needed := literals(pattern)):
                assert any(string in folded(text) for string in needed), (pattern, text)
                assert any(string in folded(text) for string in beginnings(needed)), (pattern, text)


def test_strings_that_begin_alike_are_looked_up_as_one():
    assert beginnings(frozenset({"any adult can", "any adult could", "any child can", "mg"})) == {
        "any adult c",
        "any child can",
        "mg",
    }
    assert beginnings(frozenset()) == frozenset()


@pytest.mark.parametrize("text", ["\u0130nk", "\u0131nk", "IN\u212a", "\u017fink", "can\u2019t ink"])
def test_letters_that_count_as_others_without_case_are_found(text):
    pattern = {"s": "sink", "c": "can't ink"}.get(folded(text)[0], "ink")
    assert any(string in folded(text) for string in literals(pattern))
    assert Checks(forbid=(pattern,)).passed(text) is False
