"""The window of calls under way, on a clock of its own."""

from __future__ import annotations

import pytest

from cai_lite.chat.window import Window


@pytest.fixture
def clock():
    class Clock:
        now = 0.0

        def __call__(self):
            return self.now

    return Clock()


def rounds(window, n, seconds=0.2):
    """n round trips in which every slot is used; the sizes after each."""
    sizes = []
    for _ in range(n):
        for _ in range(window.size):
            window.answered(seconds, 10)
        sizes.append(window.size)
    return sizes


def test_it_doubles_until_it_is_full(clock):
    assert rounds(Window(64, clock), 4) == [16, 32, 64, 64]


def test_a_refusal_halves_it_once_and_then_it_grows_by_one_a_round(clock):
    window = Window(64, clock)
    rounds(window, 3)
    for _ in range(30):  # all on their way together
        window.refused()
    assert window.size == 32
    sizes = rounds(window, 4)
    assert sizes == sorted(sizes)
    assert 34 <= sizes[-1] <= 37
    clock.now += 5
    window.refused()
    assert 16 <= window.size <= 18


def test_it_never_falls_below_one_and_never_starts_above_the_most(clock):
    assert Window(3, clock).size == 3
    window = Window(4, clock)
    for _ in range(9):
        clock.now += 5
        window.refused()
    assert window.size == 1


def test_it_stops_growing_where_answers_only_wait_longer(clock):
    window = Window(256, clock)
    rounds(window, 2)
    before = window.size
    rounds(window, 2, seconds=0.2 * 4)
    assert window.size == before
    window.answered(0.8, 40)  # as slow, but for a longer answer
    assert window.size == before + 1
