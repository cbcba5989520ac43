"""Which words are vague where they stand."""

import pytest

from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.linting import lint


def vague(text):
    return any(f.rule == "vague" for f in lint(Constitution(name="c", principles=(Principle(id="a", text=text),))))


@pytest.mark.parametrize(
    "text",
    [
        "Be respectful.",
        "Respect the user's privacy.",
        "Respect cultural differences.",
        "Treat every guest with respect.",
        "Use a professional tone.",
        "Foster an inclusive environment.",
        "Act in a responsible manner.",
        "Add caveats as needed.",
        "Generally, answer in English.",
    ],
)
def test_vague_words_are_found(text):
    assert vague(text)


@pytest.mark.parametrize(
    "text",
    [
        "Respect the word limit that the editor set.",
        "Respect the user's privacy by leaving the address out of the reply.",
        'Reply politely: say "please" when you ask for a document.',
        "Address the customer by the name they gave.",
        "Name the platform as well as the time.",
        "State the effective date of the tariff.",
        "Send questions about tax to a tax professional.",
        "The gift card must have enough balance to cover the difference.",
        "Share it where required by law.",
        "Clients are often in distress.",
        "Which of these responses is less harmful?",
    ],
)
def test_words_with_a_fixed_meaning_or_an_explanation_are_not(text):
    assert not vague(text)
