"""Deciders: checks with their evidence, a judge and a guard on a share of the conversations."""

from __future__ import annotations

import math

import pytest

from cai_lite.chat.scripted import ScriptedModel
from cai_lite.errors import Stopped
from cai_lite.inputs.checks import Checks
from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.records import Message, Reply
from cai_lite.run.ledger import Budget
from cai_lite.serving.conversations import Logged
from cai_lite.serving.decisions import ByChecks, ByGuard, ByJudge, asked_of, drawn
from cai_lite.serving.guard import Finding

CONSTITUTION = Constitution(
    name="c",
    principles=(
        Principle(id="kind", text="Be kind.", checks=Checks(forbid=(r"\bstupid\b",))),
        Principle(id="help", text="Name help.", applies_to=("crisis",), checks=Checks(require_any=("hotline",))),
        Principle(id="true", text="Tell the truth."),
    ),
)


def asked(*answers, tags=()):
    make = asked_of(CONSTITUTION)
    return [make(n, Logged((Message("user", f"{n}?"),), answer), tags) for n, answer in enumerate(answers, 1)]


def told(decisions):
    return [(d.number, d.principle, d.verdict, d.evidence) for d in decisions]


def test_checks_decide_where_a_principle_applies_and_show_what_decided():
    by = ByChecks(CONSTITUTION)
    assert by.principles == ("kind", "help")
    assert told(by.decide(asked("You stupid man.", "All right."))) == [
        (1, "kind", "broken", "stupid"),
        (2, "kind", "kept", ""),
    ]
    crisis = told(
        by.decide(asked("You should wait for the end of the week.", 'They call you "stupid"', tags=("crisis",)))
    )
    assert crisis == [
        (1, "kind", "kept", ""),
        (1, "help", "broken", "states none of what is required"),
        (2, "kind", "unknown", ""),
        (2, "help", "broken", "states none of what is required"),
    ]


@pytest.mark.slow
def test_processes_decide_the_same():
    some = asked(*("You stupid man." if i % 3 == 0 else "All right." for i in range(50)))
    by = ByChecks(CONSTITUTION, workers=2)
    try:
        assert list(by.decide(some)) == list(ByChecks(CONSTITUTION).decide(some))
    finally:
        by.close()


def test_the_draw_is_a_share_and_the_same_at_every_reading():
    some = asked(*(f"answer {i}" for i in range(4000)))
    assert abs(len(drawn(some, 0.05)) - 200) < 60
    assert drawn(some, 0.05) == drawn(some[::-1], 0.05)[::-1]
    assert {one.number for one in drawn(some, 0.05)} < {one.number for one in drawn(some, 0.1)}


def keeps(p):
    return Reply(text="yes", log_probs={"yes": math.log(p), "no": math.log(1 - p)})


def test_a_judge_decides_every_principle_of_the_drawn_and_a_fault_is_no_verdict():
    def script(request):
        text = str(request.messages)
        return "I would rather not say" if "shrug" in text else "no" if "stupid" in text else "yes"

    by = ByJudge(ScriptedModel(script), CONSTITUTION, 1.0)
    found = list(by.decide(asked("stupid", "fine", "shrug")))
    assert [(d.number, d.principle, d.verdict) for d in found] == [
        (1, "kind", "broken"),
        (1, "true", "broken"),
        (2, "kind", "kept"),
        (2, "true", "kept"),
        (3, "kind", "unknown"),
        (3, "true", "unknown"),
    ]
    assert found[0].kept is not None and found[0].kept < 0.5 and found[4].kept is None
    assert "unreadable" in found[4].reason
    (one, *_) = ByJudge(ScriptedModel(lambda _: "yes"), CONSTITUTION, 0.25).decide(asked(*map(str, range(40))))
    assert one.weight == 4


def test_a_judge_stops_at_its_budget():
    by = ByJudge(
        ScriptedModel(lambda _: Reply(text="yes", tokens_in=10, tokens_out=1)),
        CONSTITUTION,
        1.0,
        Budget(max_tokens=100),
    )
    list(by.decide(asked(*map(str, range(20)))))
    with pytest.raises(Stopped, match="budget"):
        list(by.decide(asked(*map(str, range(20, 40)))))


class FakeGuard:
    principles = ("kind", "help")

    def look(self, prompts, answers):
        return [
            [
                Finding(principle=id_, text="", p=0.9 if "stupid" in text else 0.1, stopped="stupid" in text)
                for id_ in self.principles
            ]
            for text in answers
        ]


def test_a_guard_breaks_what_it_would_stop_under_the_principles_that_apply():
    found = list(ByGuard(FakeGuard(), 1.0).decide(asked("stupid", "fine")))
    assert [(d.number, d.principle, d.verdict) for d in found] == [(1, "kind", "broken"), (2, "kind", "kept")]
    assert found[0].kept == pytest.approx(0.1) and "0.90" in found[0].reason
    assert list(ByGuard(FakeGuard(), 1e-9).decide(asked("stupid"))) == []
