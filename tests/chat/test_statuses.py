"""What an HTTP error means, read from its number, its headers and its body."""

import time
from email.utils import formatdate
from types import SimpleNamespace

import pytest

from cai_lite.chat.statuses import meaning, pause_asked


def error(status, body=None, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return SimpleNamespace(status_code=status, body=body, response=SimpleNamespace(headers=named))


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (307, None, "redirect"),
        (400, {"message": "too long"}, "request"),
        (400, {"error": {"code": "content_filter"}}, "filtered"),
        (400, {"message": "content management policy"}, "filtered"),
        (400, {"message": "a prompt about billing and credit"}, "request"),
        (401, None, "key"),
        (402, None, "credit"),
        (403, {"message": "no"}, "key"),
        (403, "flagged as unsafe", "filtered"),
        (404, None, "address"),
        (413, None, "request"),
        (429, None, "busy"),
        (429, {"type": "insufficient_quota", "message": "retry in 3s"}, "credit"),
        (429, {"message": "rate limit: see billing"}, "busy"),
        (500, None, "passing"),
        (503, None, "busy"),
        (599, None, "passing"),
    ],
)
def test_what_an_error_means(status, body, expected):
    assert meaning(error(status, body)) == expected


def test_billing_is_no_matter_where_the_server_says_when_to_call_again():
    assert meaning(error(429, {"message": "check your billing"})) == "credit"
    assert meaning(error(429, {"message": "check your billing"}, retry_after="20")) == "busy"


@pytest.mark.parametrize(
    "told", [None, "", "0", "-3", "nan", "inf", "-inf", "1e999", "soon", "9" * 300, "Thu, 99 Foo 10", "\x00"]
)
def test_a_pause_that_makes_no_sense_is_none(told):
    assert pause_asked({"retry-after": told}) == 0.0


def test_a_pause_is_a_number_or_a_date():
    assert pause_asked({"retry-after": " 7.5 "}) == 7.5
    assert 55 < pause_asked({"retry-after": formatdate(time.time() + 60, usegmt=True)}) < 65
    early = {"date": formatdate(0, usegmt=True), "retry-after": formatdate(90, usegmt=True)}
    assert pause_asked(early) == 90  # by the server's clock
    assert pause_asked({"retry-after": formatdate(0, usegmt=True)}) == 0
