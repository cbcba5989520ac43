"""How hard the prompts of an exam are for a student: wrong answers of several, faults aside."""

import pytest

from cai_lite.chat.scripted import ScriptedModel
from cai_lite.distill.exam import ExamPrompt, plain
from cai_lite.evaluation.difficulty import measure
from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.records import Message, Prompt, Reply, Sampling
from cai_lite.run.ledger import Run

POLICY = Constitution(
    name="x", principles=(Principle(id="kind", text="Be kind."), Principle(id="short", text="Be short."))
)


def row(text, side="denied", second=""):
    prompt = Prompt(key=text, messages=(Message("user", text),), family=text)
    return ExamPrompt(prompt=prompt, principle="kind", kind="denied", side=side, second=second)


def measured(rows, student, judge=lambda r: "no" if "rude" in r.messages[-1].content else "yes", samples=4):
    models = [ScriptedModel(student, name="s"), ScriptedModel(judge, name="j")]
    return measure(rows, POLICY, *models, samples=samples, opened=plain(Run()), sampling=Sampling())


def test_difficulty_is_the_share_of_wrong_answers():
    rows = [row("sometimes"), row("never"), row("always")]

    def student(request):
        text = request.messages[-1].content
        return "rude" if text == "always" or (text == "sometimes" and request.index == 0) else "nice"

    found = measured(rows, student)
    assert [each.difficulty for each in found] == [0.25, 0.0, 1.0]
    assert [each.too_easy for each in found] == [False, True, False]
    assert [each.prompt for each in found] == [each.prompt for each in rows]


def test_refusing_what_is_allowed_is_wrong_and_refusing_what_is_denied_is_not():
    found = measured(
        [row("a", side="allowed"), row("b")], lambda r: "I'm sorry, but I can't help with that.", samples=1
    )
    assert [each.difficulty for each in found] == [1.0, 0.0]


def test_faults_of_student_and_judge_count_for_nothing():
    found = measured(
        [row("a"), row("b")],
        lambda r: Reply(text="", outcome="failed") if r.messages[-1].content == "a" else f"nice {r.index}",
        lambda r: "Hm." if "nice 1" in r.messages[-1].content else "yes",
    )
    assert [(each.tries, each.difficulty, each.too_easy) for each in found] == [(0, None, False), (3, 0.0, True)]


@pytest.mark.parametrize("broken", ["Be kind.", "Be short."])
def test_a_conflict_is_judged_by_both_principles(broken):
    found = measured(
        [row("a", second="short")], lambda r: "x", lambda r: "no" if broken in r.messages[-1].content else "yes"
    )
    assert found[0].difficulty == 1.0 and found[0].tries == 4
