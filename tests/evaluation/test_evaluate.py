import pytest

from cai_lite.chat.scripted import ScriptedModel
from cai_lite.errors import InputError, PromptError
from cai_lite.evaluation.evaluate import evaluate, measure
from cai_lite.evaluation.metrics import METRICS, Metric


def call(constitution, prompts, **more):
    model = ScriptedModel(lambda request: "yes")
    return evaluate(model, against=None, constitution=constitution, judge=model, prompts=prompts, **more)


def test_a_model_alone_has_neither_changes_nor_p_values(constitution, prompt):
    found = call(constitution, [prompt(i) for i in range(3)])
    assert found["against"] == "" and found["metrics"]["adherence"].keys() == {"overall", "principles", "splits"}
    for absent in ("p_holm", "change", "win_rate", "superficial"):
        assert f"'{absent}'" not in str(found["metrics"])


def test_all_answers_come_first_then_weights_then_the_judge(subject, monkeypatch):
    order = []
    made = subject(lambda request: order.append("answer") or "kind", "rude")
    made.judges = [ScriptedModel(lambda request: order.append("judge") or "yes", name="judge")]
    for name in ("drift", "preference_accuracy"):
        weighed = METRICS[name].measure
        monkeypatch.setitem(
            METRICS, name, Metric(lambda s, m=weighed: order.append("weights") or m(s), METRICS[name].figures, True)
        )
    measure(made, METRICS)
    assert [kind for i, kind in enumerate(order) if not i or order[i - 1] != kind] == ["answer", "weights", "judge"]


def test_mistakes_are_said_before_anybody_is_asked(constitution, prompt):
    with pytest.raises(PromptError, match="no held-out prompts"):
        call(constitution, [])
    with pytest.raises(InputError, match="unknown metric 'adherance'; did you mean 'adherence'"):
        call(constitution, [prompt(0)], metrics=["adherance"])
    with pytest.raises(InputError, match="give the local model"):
        evaluate(
            "folder",
            against=ScriptedModel(lambda request: "yes"),
            constitution=constitution,
            judge=ScriptedModel(lambda request: "yes"),
            prompts=[prompt(0)],
        )
