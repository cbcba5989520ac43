import pytest

from cai_lite.evaluation.conflicts import Preference, opposition


def test_only_comparisons_on_which_both_prefer_one_are_counted():
    said = [
        ("kind", "1", "first"),
        ("short", "1", "second"),
        ("kind", "2", "first"),
        ("short", "2", "first"),
        ("kind", "3", "tie"),
        ("short", "3", "second"),
        ("alone", "9", "first"),
    ]
    (row,) = opposition(Preference(p, (what, what), choice) for p, what, choice in said)
    assert (row["between"], row["n"]) == (["kind", "short"], 2)
    assert row["opposed"]["value"] == pytest.approx(0.5)
