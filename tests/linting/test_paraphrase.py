"""Which principles say the same, or the opposite, in other words."""

import pytest

from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.linting import lint


def found(first, second):
    principles = (Principle(id="a", text=first), Principle(id="b", text=second))
    return {f.rule: f.level for f in lint(Constitution(name="c", principles=principles))}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Notify the tenant of a repair.", "Tell the lodger about a repair."),
        ("Put allergens in bold.", "Allergens are printed in bold type."),
        ("Reply to buyers within two days.", "Purchasers get a response in 48 hours or less."),
        (
            "Offer a refund if the concert is called off.",
            "When a concert is cancelled, customers get their money back.",
        ),
        ("Put angry guests through to the manager.", "Transfer irate visitors to the supervisor."),
    ],
)
def test_the_same_in_other_words_is_a_near_duplicate(first, second):
    assert found(first, second)["near-duplicate"] == "warning"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Reply to buyers within two days.", "Purchasers get a response in three days or less."),
        ("Tell the tenant about a repair.", "Never tell the lodger about a repair."),
        ("Transfer angry guests to the manager.", "Transfer deaf guests to the supervisor."),
    ],
)
def test_another_amount_polarity_or_case_is_none(first, second):
    assert "near-duplicate" not in found(first, second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Use American spelling in articles.", "All articles are written in British English."),
        ("Write recipes in grams.", "Give the quantities in recipes in ounces."),
        ("Password links are sent by e-mail only.", "Send the password link by text message."),
        ("Only a nurse may change an appointment.", "The bot changes appointments on request."),
        ("Meeting notes are kept for five years.", "Erase meeting notes after six months."),
        ("Quizzes have ten questions.", "Set five questions per quiz."),
        ("Every essay gets a grade.", "Essays are returned ungraded."),
    ],
)
def test_the_opposite_in_other_words_is_a_contradiction(first, second):
    assert found(first, second)["contradiction"] in ("warning", "note")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Meeting notes are kept for six months.", "Erase meeting notes after six months."),
        ("Roaming in the EU is included in all plans.", "Roaming in the US is not included in any plan."),
        ("Send the password link by e-mail.", "Send the password link by text message."),
        ("A nurse may change an appointment.", "The bot changes appointments on request."),
    ],
)
def test_what_can_be_kept_together_is_no_contradiction(first, second):
    assert "contradiction" not in found(first, second)
