import pytest

from cai_lite.chat.scripted import ScriptedModel
from cai_lite.errors import InputError
from cai_lite.evaluation.refusal_judge import check_judge, kind_of
from cai_lite.evaluation.refusals import measure_refusals
from cai_lite.records import Reply


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("A", "full_refusal"),
        (" **E**.", "answer"),
        ("<think>It may be B.</think>\nD", "caveat"),
        ("A or B", None),
        ("A polite refusal", None),
        ("F", None),
        ("a", None),
        ("", None),
    ],
)
def test_one_letter_is_a_verdict_and_nothing_else_is(said, kind):
    assert kind_of(Reply(text=said)) == kind


def judge(request):
    reply = request.messages[-1].content.split("reply>>")[1].split("<<")[0]
    return "A" if "no" in reply else "hard to say" if "odd" in reply else "E"


def test_the_judge_decides_and_its_agreement_with_the_rules_is_measured(subject, prompt):
    def says(request):
        return {"question 0": "no, dear", "question 1": "odd"}.get(request.messages[-1].content, "Rest for a day.")

    one = subject(says, judges=[ScriptedModel(judge, name="judge")], refusals="judge")
    found = measure_refusals(one)
    assert (found["over_refusal"].value, found["over_refusal"].n) == (pytest.approx(1 / 3), 3)
    assert found["reply_kinds"]["answer"].value == pytest.approx(2 / 3)
    assert (found["refusal_kappa"].value, found["refusal_kappa"].n) == (1.0, 3)
    assert one.run.counts()["judge the kinds of replies"] == {"read": 3, "unreadable": 1}


def test_without_a_judge_nothing_is_asked(subject):
    with pytest.raises(InputError, match="there is no judge; name one"):
        measure_refusals(subject("yes", judges=[], refusals="judge"))
    small = ScriptedModel("A", name="small")
    small.wording = "short"
    with pytest.raises(InputError, match="too small"):
        check_judge([small])
