"""Which pairs are kept from training, and why."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from cai_lite.distill.filters import balance, filter_pairs, resemblance
from cai_lite.records import Message, PreferencePair

WORDS = [
    "apple",
    "river",
    "stone",
    "cloud",
    "bright",
    "walk",
    "under",
    "seven",
    "green",
    "hollow",
    "paper",
    "winter",
    "lamp",
    "garden",
    "quick",
    "silver",
]


def text(seed, n=40):
    drawn = random.Random(seed)
    return " ".join(drawn.choice(WORDS) for _ in range(n))


def changed(words, k):
    """The text with its last k words replaced."""
    words = words.split()
    return " ".join(words[:-k] + [f"new{i}" for i in range(k)]) if k else " ".join(words)


def row(prompt, chosen, rejected):
    return PreferencePair(
        prompt=(Message("user", prompt),),
        chosen=(Message("assistant", chosen),),
        rejected=(Message("assistant", rejected),),
    )


def test_resemblance_is_the_share_of_common_word_triples():
    assert resemblance("a b c d", "A, b; c d!") == 1
    assert resemblance("a b c d", "a b c e") == pytest.approx(1 / 3)  # abc of abc, bcd, bce
    assert resemblance("a b c", "x y z") == 0


def test_near_copies_go_and_the_first_stays():
    first = row(text(1), text(2), text(3))
    copy = row(text(1), text(2), changed(text(3), 2))
    other = row(text(4), text(5), text(6))
    kept, dropped = filter_pairs([first, copy, other], near=0.8)
    assert kept == [first, other]
    assert dropped == {"near an earlier pair": 1}
    assert filter_pairs([first, copy, other])[0] == [first, copy, other]  # not asked for


def test_nearly_every_near_copy_is_found_and_no_other():
    rows = [row(text(3 * i), text(3 * i + 1), text(3 * i + 2)) for i in range(200)]
    copies = [row(text(3 * i), text(3 * i + 1), changed(text(3 * i + 2), 4)) for i in range(200)]
    assert all(0.8 < resemblance(_whole(a), _whole(b)) < 1 for a, b in zip(rows, copies, strict=True))
    kept, dropped = filter_pairs(rows + copies, near=0.8)
    assert kept[:200] == rows
    assert dropped["near an earlier pair"] >= 192


def _whole(pair):
    return "\n".join(side[0].content for side in (pair.prompt, pair.chosen, pair.rejected))


def test_a_prompt_that_is_held_out_word_for_word_or_nearly_is_not_trained_on():
    held_out = [(Message("user", text(7)),)]
    same, near, other = (row(p, text(8), text(9)) for p in (text(7), changed(text(7), 2), text(10)))
    assert filter_pairs([same, near, other], held_out=held_out)[0] == [near, other]
    kept, dropped = filter_pairs([same, near, other], held_out=held_out, near=0.8)
    assert kept == [other]
    assert dropped == {"prompt is held out": 2}


def test_sides_of_very_unequal_length_go():
    rows = [row(text(i), text(100 + i, n), text(200 + i, 20)) for i, n in enumerate((20, 39, 41, 9))]
    kept, dropped = filter_pairs(rows, max_length_ratio=2.0)
    assert kept == rows[:2]
    assert dropped == {"lengths too unequal": 2}


def test_no_principle_has_more_than_so_many_times_the_median():
    def of(principle, margin):
        return replace(row(text(margin), "a", "b"), principle=principle, margin=margin / 100)

    many = [of("kind", margin) for margin in range(1, 10)]
    few = [of("short", 1), of("short", 2), of("true", 1)]
    people = [replace(row("q", "a", "b"), rule="human")] * 5
    kept = balance([*many, *few, *people], 2.0)  # nine, two, one: the median is two, so four at most
    assert [p.margin for p in kept if p.principle == "kind"] == [0.06, 0.07, 0.08, 0.09]  # the widest, in their order
    assert len(kept) == 4 + 3 + 5
    assert balance(people, 2.0) == people
