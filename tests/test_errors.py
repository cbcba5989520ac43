"""How messages show values, near names, and texts that somebody else wrote."""

import pytest

from cai_lite.errors import (
    UNSAFE,
    ChatError,
    InputError,
    MissingPackageError,
    did_you_mean,
    plain,
    shortened,
    without_secrets,
)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("short", "'short'"),
        ("x" * 12000, f"'{'x' * 60}'... (12,000 characters)"),
        (0.5, "0.5"),
        (None, "None"),
        ([1, 2], "[1, 2]"),
        (list(range(1000)), "a list of 1,000"),
        ([["nested"]], "a list of 1"),
        ({"a": 1}, "{'a': 1}"),
        ({"a": [1]}, "a dict of 1"),
        (object(), "an object"),
    ],
)
def test_a_value_in_a_message_is_short(value, shown):
    assert shortened(value) == shown


def test_a_number_of_thousands_of_digits_is_not_written_out():
    assert shortened(10**5000) == "a huge number"


def test_initials_and_near_names_are_recognised():
    assert did_you_mean("lr", ["lora", "learning_rate"]) == "; did you mean 'learning_rate'?"
    assert did_you_mean("lorra", ["lora", "learning_rate"]) == "; did you mean 'lora'?"
    assert did_you_mean("zzz", ["lora"]) == "; known: lora"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b2J", r"\x9b2J"),
        ("over\rwritten", r"over\rwritten"),
        ("back\x08space", r"back\x08space"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\u2066a\u2069", r"\u2066a\u2069"),
        ("pay\u200bpal", r"pay\u200bpal"),
        ("ab\u200dc", r"ab\u200dc"),
        ("line\u2028end", r"line\u2028end"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
        ("\x00", r"\x00"),
    ],
)
def test_what_a_terminal_obeys_or_hides_is_shown_as_an_escape(text, shown):
    assert plain(text) == shown and not UNSAFE.search(plain(text))


@pytest.mark.parametrize(
    "text", ["a\tb\nc\r\n", "Größe, naïve, 日本語, עברית", "👩\u200d🔬", "\u0645\u06cc\u200c\u062e\u0648", "[b]"]
)
def test_ordinary_text_of_any_script_stays(text):
    assert plain(text) == text


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:pw@host/v1", "https://***@host/v1"),
        ("https://token@host", "https://***@host"),
        ("https://user:p@ss@host", "https://***@host"),
        ("https://user:p/w@host/v1", "https://***@host/v1"),
        ("http://h:8000/v1?api_key=abc&x=1", "http://h:8000/v1?api_key=***&x=1"),
        ("http://h/v1?x=1&access_token=q#a", "http://h/v1?x=1&access_token=***#a"),
        ("http://localhost:8000/v1", "http://localhost:8000/v1"),
        ("write to a@b.example, see http://h/v1", "write to a@b.example, see http://h/v1"),
    ],
)
def test_passwords_and_keys_of_urls_are_not_shown(url, shown):
    assert without_secrets(url) == shown


def test_no_error_shows_the_password_of_a_url():
    for kind in (InputError, ChatError, MissingPackageError):
        assert str(kind("https://u:hunter2@h/v1 answers HTTP 401")) == "https://***@h/v1 answers HTTP 401"
