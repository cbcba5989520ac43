from dataclasses import replace

from cai_lite.evaluation.deciders import checks_keep, judge_keeps, oracle_keeps
from cai_lite.records import Score


def test_the_judge_decides_by_the_sign_of_the_log_odds_and_a_fault_decides_nothing(constitution, answers):
    (answer,) = answers("text")
    kind, ask = constitution.principles

    def score(log_odds):
        return Score(key="s", candidate=answer, principle="kind", log_odds=log_odds)

    assert judge_keeps([score(0.2)])(answer, kind) == 1.0
    assert judge_keeps([score(-0.2)])(answer, kind) == 0.0
    assert judge_keeps([score(None)])(answer, kind) is None
    assert judge_keeps([score(0.2)])(answer, ask) is None


def test_checks_decide_only_principles_that_have_some_and_an_empty_answer_keeps_none(constitution, answers):
    kind, ask = constitution.principles
    fine, rude, empty = answers("Hello.", "You Fool.", " ")
    assert [checks_keep(a, kind) for a in (fine, rude, empty)] == [1.0, 0.0, 0.0]
    assert checks_keep(fine, ask) is None
    assert checks_keep(rude, replace(kind, checks=None)) is None


def test_the_oracle_gets_domain_principle_prompt_and_reply(constitution, answers):
    asked = []

    def truth(*what):
        asked.append(what)
        return {"yes": True, "no": False}.get(what[-1])

    keeps = oracle_keeps("medical", truth)
    assert [keeps(a, constitution.principles[0]) for a in answers("yes", "no", "?")] == [1.0, 0.0, None]
    assert asked[0] == ("medical", "kind", "question 0", "yes")


def test_an_answer_on_which_the_checks_abstain_is_left_undecided(constitution, answers):
    (quoted,) = answers("He said 'you fool' and left.")
    assert checks_keep(quoted, constitution.principles[0]) is None
