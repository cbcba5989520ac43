import json
from dataclasses import replace

import pytest

from cai_lite.chat.scripted import ScriptedModel
from cai_lite.errors import InputError, PromptError
from cai_lite.evaluation.evaluate import evaluate, measure
from cai_lite.evaluation.metrics import METRICS, Metric
from cai_lite.evaluation.result import read_answers
from cai_lite.inputs.checks import Checks


def call(constitution, prompts, **more):
    model = ScriptedModel(lambda request: "yes")
    return evaluate(model, against=None, constitution=constitution, judge=model, prompts=prompts, **more)


def test_a_model_alone_has_neither_changes_nor_p_values(constitution, prompt):
    found = call(constitution, [prompt(i) for i in range(3)])
    assert found["against"] == "" and found["metrics"]["adherence"].keys() == {"overall", "principles", "splits"}
    for absent in ("p_holm", "change", "win_rate", "superficial"):
        assert f"'{absent}'" not in str(found["metrics"])


def test_without_a_judge_machine_checks_decide_and_nothing_is_compared(constitution, prompt):
    policy = replace(constitution, principles=tuple(replace(p, checks=None) for p in constitution.principles))
    policy = replace(policy, principles=(replace(policy.principles[0], checks=Checks(forbid=("rude",))),))
    models = [ScriptedModel(lambda request, text=text: text, name=text) for text in ("rude", "kind")]
    prompts = [prompt(i) for i in range(3)]
    metrics = [name for name in METRICS if name not in ("drift", "preference_accuracy")]
    found = evaluate(models[1], against=models[0], constitution=policy, prompts=prompts, metrics=metrics)
    change = found["metrics"]["adherence"]["overall"]["change"]["value"]
    assert (found["judge"], change) == ("machine checks", 1.0)
    assert found["metrics"]["adherence_checks"] == found["metrics"]["adherence"]
    assert not {"win_rate", "reliability", "adherence_judge"} & found["metrics"].keys()


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


def test_mistakes_are_said_before_anybody_is_asked(constitution, prompt, tmp_path):
    with pytest.raises(PromptError, match="no held-out prompts"):
        call(constitution, [])
    with pytest.raises(InputError, match="unknown metric 'adherance'; did you mean 'adherence'"):
        call(constitution, [prompt(0)], metrics=["adherance"])
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match="give the local model"):
        evaluate(
            tmp_path,
            against=ScriptedModel(lambda request: "yes"),
            constitution=constitution,
            judge=ScriptedModel(lambda request: "yes"),
            prompts=[prompt(0)],
        )


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"prompts": 3}, "prompts should be a path, .*; got 3"),
        ({"judge": []}, "'judge' is an empty list"),
        ({"judge": 5}, "a model should be .*, got 5"),
        ({"against": {"model": "x"}}, "a model should be .*, got \\{'model': 'x'\\}"),
        ({"must": {"adherance": ">= 0.5"}}, "did you mean 'adherence'"),
    ],
)
def test_an_argument_of_a_wrong_kind_is_refused_in_words(constitution, prompt, more, says):
    model = ScriptedModel(lambda request: "yes")
    given = {"against": None, "constitution": constitution, "judge": model, "prompts": [prompt(0)], **more}
    with pytest.raises(InputError, match=says):
        evaluate(model, **given)


def test_texts_and_a_constitution_by_name_are_enough_and_a_run_gets_the_file(tmp_path):
    model = ScriptedModel(lambda request: "yes")
    found = evaluate(
        model,
        constitution="medical",
        judge=model,
        prompts=["My head hurts."],
        metrics=["adherence"],
        mode="pointwise",
        must={"adherence": ">= 0.5"},
        run=tmp_path / "run",
    )
    assert json.loads((tmp_path / "run" / "evaluation.json").read_text()) == found
    assert found["constitution"] == "medical" and found["gates"][0]["holds"]
    assert {"evaluation.json", "answers.jsonl"} <= json.loads((tmp_path / "run" / "manifest.json").read_text()).keys()
    answered = read_answers(tmp_path / "run")
    assert [(one.side, one.answer) for one in answered] == [("after", "yes")] and set(
        answered[0].verdicts.values()
    ) == {True}


def test_a_judge_too_small_to_compare_is_asked_pointwise(constitution, prompt):
    judge = ScriptedModel(lambda request: "yes", name="small")
    judge.wording = "short"
    model = ScriptedModel(lambda request: "kind")
    found = evaluate(model, against=None, constitution=constitution, judge=judge, prompts=[prompt(0)])
    assert found["metrics"]["adherence"]["overall"]["value"] == 1.0


def test_a_server_of_the_same_weights_answers_in_their_place(subject):
    served = ScriptedModel(lambda request: "kind from the server", name="served")
    made = subject("rude", "rude", answering={"after": served})
    before, after = made.sides
    assert {c.author for c in before} == {"before"} and {c.author for c in after} == {"served"}
