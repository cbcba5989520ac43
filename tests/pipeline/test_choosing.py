"""Which half of the held-out prompts decides, and what it decides."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from cai_lite.errors import Stopped
from cai_lite.evaluation.adherence import KeptCell
from cai_lite.pipeline.choosing import changes, choose, stops
from cai_lite.pipeline.recipe import RoundsSection
from cai_lite.stats import Comparison, Figure


def cell(family, before, after, principle="kind"):
    return KeptCell(f"prompt {family}", family, principle, principle, 1.0, (before, after))


def comparison(value, low=0.1):
    figure = Figure(value, 10, value, value)
    return Comparison(figure, figure, Figure(value, 10, low, 1.0))


def round_(number, value, *, low=0.1, outside=()):
    return SimpleNamespace(number=number, change=comparison(value, low), outside=outside, adapter=Path())


def test_the_families_are_halved_and_both_halves_are_measured_against_the_round_before():
    first = [cell(str(i), 0.0, float(i < 5)) for i in range(10)]
    change, other = changes(None, first, seed=0)
    assert change.change.n + other.change.n == 10 and change.change.n == 5
    assert change.before.value == 0.0
    second = [cell(str(i), 0.0, 1.0) for i in range(10)]
    again, rest = changes(first, second, seed=0)
    assert again.before.value == change.after.value and rest.before.value == other.after.value
    assert again.after.value == rest.after.value == 1.0


def test_principles_of_one_family_stay_in_one_half_and_a_single_family_decides_alone():
    both = [cell("a", 0.0, 1.0), cell("a", 0.0, 0.0, "short")]
    change, other = changes(None, both, seed=0)
    assert change.change.n == 2 and other is None
    with pytest.raises(Stopped, match="no held-out answer could be judged"):
        changes(None, [], seed=0)


def test_a_later_round_is_kept_only_if_it_is_clearly_better_and_within_the_bounds():
    def walked(number, kept, outside=()):
        cells = [cell(str(i), 0.0, float(i % 20 < kept)) for i in range(400)]
        return SimpleNamespace(number=number, cells=cells, outside=outside)

    assert choose([walked(1, 10), walked(2, 14), walked(3, 14)], seed=0).number == 2
    assert choose([walked(1, 10), walked(2, 8), walked(3, 14)], seed=0).number == 3
    assert choose([walked(1, 10), walked(2, 14, ["kl"])], seed=0).number == 1
    assert choose([walked(1, 10, ["kl"])], seed=0).number == 1


def test_an_interval_that_holds_0_ends_the_rounds_unless_all_are_asked_for():
    assert stops(round_(2, 0.6, low=0.01), RoundsSection(n=3)) == ""
    assert stops(round_(2, 0.6, low=0.0), RoundsSection(n=3)).startswith("adherence no longer rose in round 2")
    assert stops(round_(2, 0.6, low=-0.1), RoundsSection(n=3, until="rounds")) == ""
