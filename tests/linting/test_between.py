"""Which two principles contradict or repeat each other, and which only look like it."""

import pytest

from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.linting import lint


def between(first, second, rule="contradiction"):
    """Return the level at which the rule speaks about two texts, or None."""
    principles = (Principle(id="a", text=first), Principle(id="b", text=second))
    return next((f.level for f in lint(Constitution(name="c", principles=principles)) if f.rule == rule), None)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Share the report with the insurer.", "Never share the report with the insurer."),
        ("Agents may discuss competitors.", "Agents must never discuss competitors."),
        ("Use humour in replies.", "Avoid humour in replies."),
        ("Ask for the order number before you answer.", "Ask for the order number after you answer."),
        ("Speak in the first person.", "Speak in the third person."),
        ("Always respond in English.", "Always respond in Spanish."),
    ],
)
def test_the_same_demanded_and_forbidden_is_an_error(first, second):
    assert between(first, second) == between(second, first) == "error"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Reply in at most 50 words.", "Write at least 200 words."),
        ("Keep every reply under 100 words.", "Every reply should contain 150 words or more."),
        ("Limit stories to 300 words.", "Stories should be a minimum of 500 words."),
        ("Answers are no longer than two paragraphs.", "Answers have at least four paragraphs."),
        (
            "Refunds are paid no later than 5 days after a return.",
            "Refunds are paid no earlier than 10 days after a return.",
        ),
    ],
)
def test_bounds_that_exclude_each_other_are_an_error(first, second):
    assert between(first, second) == "error"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("If the order is pending, allow cancellation.", "If the order is delivered, do not allow cancellation."),
        ("Pending orders can be changed by the agent.", "Delivered orders cannot be changed by the agent."),
        (
            "Answer questions about fees if the user is logged in.",
            "Do not answer questions about fees if the user is not logged in.",
        ),
        ("Share test results with the patient.", "Never share test results with the patient's employer."),
        ("Reply in at most 50 words.", "Reply in at least 20 words."),
        ("Domestic calls last at most 5 minutes.", "International calls last at least 10 minutes."),
        ("For adults, use at most 50 words.", "For experts, use at least 200 words."),
        ("The user can add bags to a booking.", "The user cannot remove bags from a booking."),
        ("Do not quote prices unless the user asks for them.", "Quote prices when the user asks for them."),
    ],
)
def test_other_cases_objects_and_exceptions_are_no_contradiction(first, second):
    assert between(first, second) is between(second, first) is None


def test_an_exception_that_nobody_has_written_down_is_a_note():
    assert between("Offer a discount to loyal customers.", "Don't offer discounts.") == "note"
    assert between("State the price.", "When the price is in dispute, do not state the price.") == "note"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Customers in California may cancel within 5 days.", "Customers in Texas may cancel within 5 days."),
        ("Refund customers within 30 days of the purchase.", "Refund customers within 60 days of the purchase."),
        ("A silver member may check one bag.", "A gold member may check one bag."),
        (
            "An order can be cancelled if its status is 'pending'.",
            "An order can be returned if its status is 'delivered'.",
        ),
        ("Show the delivery address.", "Do not show the delivery address."),
    ],
)
def test_numbers_names_states_and_negations_tell_principles_apart(first, second):
    assert between(first, second, "near-duplicate") is None


def test_the_same_in_another_order_is_a_near_duplicate():
    first, second = (
        "Before changing a seat, ask for the booking code.",
        "Ask for the booking code before you change a seat.",
    )
    assert between(first, second, "near-duplicate") == "warning"


def test_helpfulness_beside_avoiding_harm_wants_a_decision():
    assert between("Be maximally helpful.", "Minimise harm.", "no-tie-break") == "warning"
    assert between("Be maximally helpful.", "Minimise harm.") is None
