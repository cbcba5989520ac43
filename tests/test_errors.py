"""How messages show values and near names."""

import pytest

from cai_lite.errors import did_you_mean, shortened


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
