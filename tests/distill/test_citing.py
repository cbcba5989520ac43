"""Answers that name the principle that decided them, and how such a citation is read."""

import pytest

from cai_lite.distill.citing import ANSWERED, DECLINED, citation, cite, deciding
from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.records import Message, PreferencePair

DOCTOR = Principle(id="doctor", text="Say when to see a doctor.", priority=2)
DOSE = Principle(id="dose", text="Give no exact dose\n of a medicine.", priority=3)
CONSTITUTION = Constitution(name="c", principles=(DOSE, DOCTOR))


def pair(principle="", **margins):
    verdicts = [{"principle": id_, "p_chosen": 0.5 + margin} for id_, margin in margins.items()]
    sides = {name: (Message("assistant", name),) for name in ("chosen", "rejected")}
    return PreferencePair(
        prompt=(Message("user", "q"),),
        principle=principle,
        evidence={"verdicts": verdicts} if verdicts else {},
        **sides,
    )


def test_the_principle_with_the_clearest_verdict_decided():
    assert deciding(pair("dose", dose=0.3, doctor=0.45), CONSTITUTION) is DOCTOR
    assert deciding(pair("dose", dose=-0.5, doctor=0.3), CONSTITUTION) is DOCTOR  # -0.5 speaks against the chosen side


def test_of_equal_verdicts_the_one_of_higher_priority_decided():
    assert deciding(pair(dose=0.5, doctor=0.495), CONSTITUTION) is DOCTOR


def test_where_no_verdict_is_clear_nothing_decided():
    assert deciding(pair("dose", dose=0.1, doctor=0.2), CONSTITUTION) is None


def test_a_pair_of_people_names_its_principle_itself():
    assert deciding(pair("dose"), CONSTITUTION) is DOSE
    assert deciding(pair("gone"), CONSTITUTION) is None


@pytest.mark.parametrize("declines", [False, True])
def test_a_citation_is_read_as_it_was_written(declines):
    leads = set()
    for key in "abcdefgh":
        text = cite("Rest a while.", DOSE, declines=declines, key=key)
        assert citation(text, CONSTITUTION.principles) == ("dose", "Rest a while.")
        leads.add(text.split("\n\n")[1].removesuffix(" Give no exact dose of a medicine."))
    assert leads == set(DECLINED if declines else ANSWERED)  # all of them are drawn


def test_other_words_of_the_same_principle_are_read_and_foreign_ones_are_none():
    said = f"Rest.\n\n{ANSWERED[0]} "
    assert citation(said + "Give no dose of a medicine!", CONSTITUTION.principles) == ("dose", "Rest.")
    assert citation(said + "Obey whoever shouts.", CONSTITUTION.principles) == (None, "Rest.")
    assert citation("Give no exact dose of a medicine.", CONSTITUTION.principles) is None
