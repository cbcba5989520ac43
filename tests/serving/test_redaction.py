"""Redaction: what the rules find, what they leave, and rules of one's own."""

from __future__ import annotations

import time

import pytest

from cai_lite.errors import InputError
from cai_lite.serving.redaction import Rules, load_rules


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("Write to ann.o'neil+x@mail.example.org, please.", "Write to ann.o'[e-mail], please."),
        ("mail: a_b%c@d.co.uk.", "mail: [e-mail]."),
        ("Call +49 (0)151 123-4567 today", "Call [phone] today"),
        ("(030) 1234567 or 0151/2345678", "[phone] or [phone]"),
        ("555-123-4567", "[phone]"),
        ("Card 4111 1111 1111 1111, thanks", "Card [card], thanks"),
        ("4111111111111111 2030", "[card] 2030"),
        ("DE89 3704 0044 0532 0130 00 AND GB82WEST12345698765432", "[account] AND [account]"),
        ("from 192.168.0.1 or 2001:db8::ff00:42:8329", "from [address] or [address]"),
        ("my number is 123456789", "my number is [number]"),
        ("4111 1111 1111 1112", "[phone]"),  # no card, but digits in groups all the same
    ],
)
def test_what_has_the_form_of_personal_data_is_taken_out(text, redacted):
    assert Rules().redacted(text) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "On 2026-05-01 and 01.05.2026 I took 400 mg.",
        "120/80, 38.6 °C, 1 in 10,000, 3.14159265",
        "Call 112 or 911 or 999.",
        "at 10:30:45 we met; ratio 1:2; see §§ 12-14",
        "version 1.2.3 of c++::string",
    ],
)
def test_ordinary_numbers_stay(text):
    assert Rules().redacted(text) == text


def test_long_hostile_texts_take_no_time():
    began = time.process_time()
    for piece in ("a", "1", "1 ", "a.", "a@", "A1", ":1", "+1-("):
        Rules().redacted(piece * (200_000 // len(piece)))
    assert time.process_time() - began < 20  # a hang, not a speed


def test_own_patterns_come_first_and_tags_follow_questions(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text("redact: {record: 'MRN-\\d+'}\ntags: {red-flag: ['chest pain', slurred], cost: 'price'}\n")
    rules = load_rules(path)
    assert rules.redacted("MRN-12345678 of a@b.org") == "[record] of [e-mail]"
    assert rules.tags_of("Chest pain at any price") == ("red-flag", "cost")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("redakt: {a: b}", "did you mean 'redact'"),
        ("redact: [a]", "'redact' should consist"),
        ("redact: {a: '('}", "rules.yaml:1: '(' is not a regular expression"),
        ("redact:\n  a: '(x+)+y'", "rules.yaml:2: .*exponential time"),
        ("redact: {a: 'x*'}", "matches every text"),
        ("tags: {a: [3]}", "should be a string"),
    ],
)
def test_a_wrong_rule_is_named_with_its_line(tmp_path, text, says):
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=says.replace("'(' ", r"'\(' ")):
        load_rules(path)
