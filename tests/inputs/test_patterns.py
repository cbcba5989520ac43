"""Patterns that never come back are known by their look; the ones that do are left in peace."""

import subprocess
import sys

import pytest

from cai_lite.inputs.patterns import catastrophic

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
