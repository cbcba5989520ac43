"""Patterns that never come back are known by their look; the ones that do are left in peace."""

import re
import subprocess
import sys
import time

import pytest

from cai_lite.inputs.checks import Checks
from cai_lite.inputs.patterns import READABLE, catastrophic, readable, sample

# Each with a text on which Python's own engine needs exponential time.
SLOW = [
    (r"(a+)+$", "a" * 40 + "!"),
    (r"(\w+\s?)*$", "word" * 12 + "!"),
    (r"(.*,)+x", "a," * 40),
    (r"(a|aa)+$", "a" * 60 + "!"),
    (r"(x+x+)+y", "x" * 40),
    (r"^(\s*\w+\s*)+$", "word" * 12 + "!"),
    (r"(\d+-?)+$", "1" * 40 + "!"),
    (r"([a-z]*)*$", "a" * 40 + "!"),
    (r"(\w{1,9})+!", "a" * 40),
    (r"(?:\w\w?)+!", "a" * 60),
    (r"(\w+ñ)+$", "ñ" * 40 + "!"),
    (r"([а-я]+[а-я])+!", "б" * 50),  # noqa: RUF001
    (r"(?:(a)|b)(?(1)(a+)+c|d)", "a" * 40),
]
FAST = [
    r"(\w+\s)*x",
    r"([a-z]+,)*",
    r"(foo|bar)+",
    r"(a|ab)*c",
    r"\bdoctor\b.*\b(if|when)\b",
    r"\b\d+ ?(mg|ml)\b",
    r"(?:[^.!?]+[.!?])+",
    r"\byou (definitely|certainly) have\b",
    r"(?:\d{1,3},)*\d{3}",
    r"(ab?)*c",
    r"\b(how|do|does)\b[^.!?]*\?",
    r"(?:[A-Z]\w* ){2,5}",
    r"(colou?r, )+",
]


@pytest.mark.parametrize(("pattern", "text"), SLOW)
def test_what_blows_up_is_found_and_does_blow_up(pattern, text):
    assert catastrophic(pattern)
    program = f"import re; re.search({pattern!r}, {text!r})"
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([sys.executable, "-c", program], timeout=1.5, check=False)


@pytest.mark.parametrize("pattern", FAST)
def test_what_comes_back_is_left_in_peace(pattern):
    assert catastrophic(pattern) == ""


@pytest.mark.parametrize("pattern", ["(?:(?:x{9999}){9999}){9999}", "(?:(?:(?:){999}){999}){999}", "a" * 5001])
def test_counts_that_multiply_and_endless_patterns_are_refused(pattern):
    assert catastrophic(pattern)


@pytest.mark.parametrize(
    ("pattern", "limit"),
    [
        (r"\bdoctor\b", READABLE[0]),
        (r"a.*c", READABLE[1]),
        (r"\b\d+ \w+ (street|road)\b", READABLE[1]),  # the blank between the repeats matches neither
        (r"a.*b.*c", READABLE[2]),
        (r"a.*b.*c.*d", READABLE[3]),
    ],
)
def test_a_pattern_reads_as_much_as_it_can_within_seconds(pattern, limit):
    assert readable(pattern) == limit


def test_a_pattern_returns_from_a_text_that_repeats_itself():
    checks = Checks(forbid=("a.*b.*c",), require_any=("^ab",))
    began = time.process_time()
    assert checks.passed("ab" * 1_000_000)
    assert time.process_time() - began < 10
    assert not checks.passed("abc") and re.search("a.*b.*c", "abc")


@pytest.mark.parametrize(
    "pattern", [r"\bdoctor\b.*\b(if|when)\b", r"[^.!?]+ (\d{2}) ?mg", "(a|b)+c?", r"(?>ab)\W", "x"]
)
def test_a_sample_is_matched_by_its_pattern(pattern):
    assert re.search(pattern, sample(pattern), re.IGNORECASE)


@pytest.mark.parametrize("pattern", [r"(?=a)b", r"(", r"a(?<!a)"])
def test_a_pattern_that_nothing_is_found_for_has_no_sample(pattern):
    assert sample(pattern) == ""
