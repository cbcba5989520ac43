"""The measurement of the embedded teacher, on teachers whose quality is known."""

from __future__ import annotations

import random

import pytest

from cai_lite.embedded import measure, revising
from cai_lite.embedded.examples import critique_of
from cai_lite.embedded.grammar import DOMAINS, text_of

MEDICAL = DOMAINS["medical"]
CASE = measure.CASES["held-out words"]
EXAMPLES = 60


def teacher(change=lambda text: text, *, mends=True):
    """A teacher that critiques by the grammar and revises by it; `change` spoils its revisions."""
    rng = random.Random(f"measure {MEDICAL.name} {CASE} 0")
    asked = [measure.draw_asked(MEDICAL, CASE, rng) for _ in range(EXAMPLES)]

    def write(texts):
        if len(texts) == EXAMPLES:
            return [critique_of(one.rule, one.reply) for one in asked]
        broken = [one for one in asked if not one.good]
        revised = [revising.mended(one.ask, one.rule, one.reply, rng) if mends else one.reply for one in broken]
        return [change(text_of(reply)) for reply in revised]

    return write


def measured(write):
    return measure.measure(write, MEDICAL, CASE, examples=EXAMPLES)


def test_a_perfect_teacher_gets_full_marks():
    found = measured(teacher())
    assert (found.verdicts, found.critiques, found.mended, found.kept, found.exact) == (1, 1, 1, 1, 1)
    assert 20 < found.revised < 40


def test_a_teacher_that_copies_the_reply_keeps_all_and_mends_nothing():
    found = measured(teacher(mends=False))
    assert (found.mended, found.kept, found.exact) == (0, 1, 1)


@pytest.mark.parametrize(
    ("change", "meaning"),
    [
        (lambda text: text.replace("knee ache", "earache").replace("back ache", "rash"), 0),
        (lambda text: text + " " + "Fresh air can ease migraine.", 0),
        (lambda text: text.replace("The ", "Now the "), 1),
    ],
    ids=["another symptom", "a sentence more", "another phrasing"],
)
def test_what_a_revision_says_otherwise_is_a_loss_and_how_it_says_it_is_none(change, meaning):
    perfect, found = measured(teacher()), measured(teacher(change))
    assert found.exact < perfect.exact
    assert (found.kept == perfect.kept) is bool(meaning)
