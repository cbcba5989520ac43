"""When a critic is refused."""

import pytest

from cai_lite.evaluation.critics import critic_figures, planted_figures, refusal, untrusted
from cai_lite.evaluation.planted import Planted
from cai_lite.records import Candidate, Critique, Message, Prompt


@pytest.fixture
def rows():
    """Critiques of one text each under the principle that `said` names: "kind:yes short:no ..."."""

    def made(said):
        found = []
        for number, word in enumerate(said.split()):
            principle, _, violated = word.partition(":")
            prompt = Prompt(key=f"p{number}", messages=(Message("user", "q"),), family=f"f{number}")
            candidate = Candidate(key=f"c{number}", prompt=prompt, text="t", author="s")
            found.append(Critique(key="k", candidate=candidate, principle=principle, text="", violated=violated))
        return found

    return made


TEACHER = "kind:yes kind:no " * 10


def test_a_critic_that_says_what_the_teacher_says_is_used(rows):
    found = critic_figures(rows(TEACHER), rows(TEACHER))
    assert (found["agreement"]["value"], found["kappa"]["value"], found["agreement"]["n"]) == (1.0, 1.0, 20)
    assert found["principles"]["kind"]["agreement"]["n"] == 20
    assert refusal(found, 0.8) == ""


def test_a_critic_below_the_least_agreement_is_refused_with_figures(rows):
    found = critic_figures(rows(TEACHER), rows("kind:yes kind:no " * 7 + "kind:no kind:yes " * 3))
    assert found["agreement"]["value"] == 0.7
    assert "agrees with the teacher in 0.70 [" in refusal(found, 0.8) and "kappa 0.40" in refusal(found, 0.8)
    assert refusal(found, 0.6) == ""


def test_what_the_critic_leaves_unreadable_is_no_agreement_and_what_the_teacher_does_is_left_out(rows):
    found = critic_figures(rows(TEACHER + "kind:unreadable"), rows("kind:yes kind:unreadable " * 10 + "kind:yes"))
    assert (found["agreement"]["value"], found["agreement"]["n"], found["unreadable"]["value"]) == (0.5, 20, 0.5)
    assert "50% of its critiques could not be read" in refusal(found, 0.8)


def test_a_critic_that_always_says_the_same_is_refused_however_often_that_is_right(rows):
    found = critic_figures(rows("kind:no " * 19 + "kind:yes"), rows("kind:no " * 20))
    assert found["agreement"]["value"] == 0.95
    assert "always says the same" in refusal(found, 0.8)
    assert refusal(critic_figures(rows("kind:no " * 9), rows("kind:no " * 9)), 0.8) == ""


def test_a_principle_that_a_critic_does_not_understand_refuses_it(rows):
    teacher, critic = "kind:yes kind:no " * 30 + "short:yes " * 10, "kind:yes kind:no " * 30 + "short:no " * 10
    found = critic_figures(rows(teacher), rows(critic))
    assert found["agreement"]["value"] > 0.8
    assert "on the principle 'short'" in refusal(found, 0.8)


def test_a_critic_that_misses_plain_violations_is_refused_and_subtle_ones_are_only_shown(rows):
    def planted(subtlety, said):
        of = rows(said)
        return [Planted(row.candidate, row.principle, subtlety) for row in of], of

    (plain, said), (subtle, passed) = (
        planted("plain", "kind:no " * 8),
        planted("subtle", "kind:yes " * 2 + "kind:no " * 6),
    )
    found = critic_figures(rows(TEACHER), rows(TEACHER))
    found["planted"] = planted_figures(subtle, passed)
    assert found["planted"]["subtle"]["value"] == 0.25 and refusal(found, 0.8) == ""
    found["planted"] = planted_figures(plain, said)
    assert "finds 0.00" in refusal(found, 0.8)


def test_a_critic_that_could_not_be_read_or_compared_is_refused(rows):
    assert "none of its 20 critiques could be read" in refusal(
        critic_figures(rows(TEACHER), rows("kind:unreadable " * 20)), 0.0
    )
    assert "could not be compared" in refusal(critic_figures(rows("kind:unreadable"), rows("kind:no")), 0.0)


@pytest.mark.parametrize(
    ("reference", "said", "why"),
    [
        (TEACHER, TEACHER, ""),
        (TEACHER, "kind:yes kind:no " * 7 + "kind:no kind:yes " * 3, "agreement 0.70"),
        ("kind:no " * 19 + "kind:yes", "kind:no " * 20, "agreement not beyond chance"),
        ("kind:no " * 20, "kind:no " * 20, "agreement not beyond chance"),  # no violation was there to be found
        ("kind:yes kind:no " * 3, "kind:yes kind:no " * 3, "only 6 replies"),
        (TEACHER, "kind:unreadable " * 20, "none of its critiques could be read"),
        ("short:yes short:no " * 10, "short:yes short:no " * 10, "nothing to measure it by"),
    ],
)
def test_a_critic_without_a_teacher_is_used_where_it_agrees_beyond_chance(rows, reference, said, why):
    found = untrusted(critic_figures(rows(reference), rows(said)), "kind", 0.8)
    assert (why in found) if why else found == ""
