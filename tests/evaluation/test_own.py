"""Metrics of one's own: functions and modules named in a recipe, and mistakes in them before anybody is asked."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from cai_lite.chat.scripted import ScriptedModel
from cai_lite.errors import InputError, RecipeError
from cai_lite.evaluation.evaluate import evaluate
from cai_lite.evaluation.gates import check_gates, gates
from cai_lite.evaluation.labels import Planned
from cai_lite.evaluation.own import OwnMetric, load_own
from cai_lite.evaluation.table import show
from cai_lite.pipeline.recipe import load_recipe
from cai_lite.reporting import report
from cai_lite.run.ledger import Run

CODE = """
def questions(prompt, answer, mark="?"):
    return answer.count(mark)

def about(prompt, answer):
    return None if "question 0" in prompt else len(answer)

def breaks(prompt, answer):
    if "question 1" in prompt:
        raise ZeroDivisionError("by zero")
    return True

def text(prompt, answer):
    return "good"

def lonely(answer):
    return 1
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "metrics.py"
    path.write_text(CODE)
    return path


@pytest.fixture
def measured(subject, file):
    def make(own, after="Why? Where?", before="No.", **more):
        made = subject(after, before)
        return evaluate(
            made.after,
            against=made.before,
            constitution=made.constitution,
            prompts=made.prompts,
            metrics=[],
            baselines=[],
            own=own,
            **more,
        )

    return make


def test_a_function_is_measured_gated_shown_and_labelled(measured, file, tmp_path):
    own = {
        "questions": {"function": f"{file}:questions", "label": "questions asked", "unit": "each", "better": "higher"}
    }
    found = measured(own, must={"own.questions.change.low": ">= 1"})
    figure = found["metrics"]["own"]["questions"]
    assert (figure["before"]["value"], figure["after"]["value"], figure["change"]["n"]) == (0.0, 2.0, 4)
    assert found["gates"][0]["holds"] and gates({"own.questions": "< 1"}, found["metrics"])[0].found == 2.0
    printed = io.StringIO()
    show(found, Console(file=printed, width=120))
    assert "questions asked (each)" in printed.getvalue()
    with Run(tmp_path / "run") as run:
        (tmp_path / "run" / "evaluation.json").write_text(json.dumps(found))
        assert "questions asked (each)" in report(run).read_text()


def test_options_reach_the_function_and_prompts_without_a_number_are_left_out(measured, file):
    own = {
        "stops": {"function": f"{file}:questions", "options": {"mark": "."}},
        "about": {"function": f"{file}:about"},
    }
    found = measured(own)["metrics"]["own"]
    assert found["stops"]["before"]["value"] == 1.0 and found["stops"]["label"] == "stops"
    assert found["about"]["after"]["n"] == 3


def test_an_answer_on_which_the_code_fails_costs_that_answer_alone(subject, file):
    made, said = subject("kind", own=load_own({"breaks": OwnMetric(function=f"{file}:breaks")})), []
    made.screen.warn = said.append
    from cai_lite.evaluation.own import measure_own

    assert measure_own(made)["own"]["breaks"]["n"] == 3
    assert len(said) == 1 and "1 answers have no number" in said[0] and "ZeroDivisionError" in said[0]


def test_a_module_that_is_a_mean_over_answers_has_the_same_interval_as_its_numbers(measured):
    refusals = ["I can't help with that.", "Sure: rest, drink water, and call your doctor tomorrow morning."]
    own = {"refusals": {"module": "refusal_rate", "better": "lower"}}
    found = measured(own, after=lambda r: refusals["question 0" not in r.messages[-1].content])
    figure = found["metrics"]["own"]["refusals"]["after"]
    assert (figure["value"], figure["n"]) == (0.25, 4) and 0 <= figure["low"] < 0.25 < figure["high"] <= 1


def test_a_module_over_all_answers_is_reported_as_it_is_with_a_jackknife_interval(measured):
    texts = ["same", "same", "one", "two"]
    own = {"copies": {"module": "boilerplate", "value": "value"}}
    found = measured(
        own, after=lambda r: texts[int(r.messages[-1].content[-1])], before=lambda r: r.messages[-1].content
    )
    copies = found["metrics"]["own"]["copies"]
    assert (copies["before"]["value"], copies["after"]["value"], copies["change"]["value"]) == (0.0, 0.5, 0.5)
    assert copies["after"]["low"] < 0.5 < copies["after"]["high"]


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"function": "{file}:question"}, "has no function 'question'; did you mean 'questions'"),
        ({"function": "{file}x.py:f"}, "no such file"),
        ({"function": "no_such_package.there:f"}, "cannot be imported: ModuleNotFoundError"),
        ({"function": "{file}:text"}, "should give a number or None, got 'good'|should give a number or None"),
        ({"function": "{file}:lonely"}, "'lonely' should take prompt, answer and its options"),
        ({"function": "{file}:questions", "options": {"marc": "."}}, "unexpected keyword argument 'marc'"),
        ({"module": "refusal_rat"}, "no module 'refusal_rat' on this machine; did you mean 'refusal_rate'"),
        ({"module": "win_rate"}, "reads predictions .*references"),
        ({"module": "preference_accuracy"}, r"the module reads predictions \(float64\)"),
        ({"module": "refusal_rate", "value": "f1"}, "no 'f1'; it has value, n, low, high"),
    ],
)
def test_mistakes_are_said_before_any_model_is_asked(spec, says, constitution, prompt, file):
    model = ScriptedModel(lambda request: "kind")
    given = {name: value.format(file=file) if isinstance(value, str) else value for name, value in spec.items()}
    with pytest.raises(InputError, match=says):
        evaluate(model, constitution=constitution, judge=model, prompts=[prompt(0)], own={"mine": given})
    assert model.asked == []


def test_a_recipe_names_files_beside_it_and_no_others(tmp_path, file):
    from cai_lite.inputs.yamlfile import find_packaged

    packaged = find_packaged("recipes", "medical", RecipeError)
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "metrics.py").write_text(CODE)
    start = f"constitution: medical-embedded\nprompts: {{file: {packaged.parent / 'prompts' / 'medical.jsonl'}}}\n"
    start += "student: {model: 'embedded:student'}\nteacher: {model: 'embedded:teacher'}\n"
    recipe = folder / "mine.yaml"
    recipe.write_text(start + "evaluate: {own: {q: {function: 'metrics.py:questions'}}, must: {own.q: '> 1'}}\n")
    own = load_recipe(recipe).evaluate.own
    assert own["q"].function == f"{folder / 'metrics.py'}:questions" and load_own(own)
    changed = load_recipe(recipe, ["evaluate.own.r.module=refusal_rate", "evaluate.own.q.better=higher"]).evaluate
    assert changed.own["r"].module == "refusal_rate" and changed.own["q"].better == "higher"
    assert load_recipe(recipe).evaluate.measured[-1] == "own"
    (folder / "resolved").mkdir()
    again = folder / "resolved" / "recipe.yaml"
    again.write_text(load_recipe(recipe).resolved())
    assert load_recipe(again).evaluate.own == own
    recipe.write_text(start + "evaluate: {own: {q: {function: '../metrics.py:questions'}}}\n")
    with pytest.raises(RecipeError, match=r"mine\.yaml:5: .*not beside the recipe"):
        load_recipe(recipe)
    recipe.write_text(start + "evaluate: {own: {q: {module: a, function: 'b:c'}}}\n")
    with pytest.raises(RecipeError, match="give either 'function' or 'module'"):
        load_recipe(recipe)


def test_gates_name_only_metrics_that_are_there(constitution, prompt):
    plan = Planned(metrics=("own",), constitution=constitution, prompts=[prompt(0)], own={"q": OwnMetric(module="m")})
    check_gates({"own.q.low": ">= 0"}, plan)
    with pytest.raises(InputError, match=r"own.*no figure 'r'"):
        check_gates({"own.r": ">= 0"}, plan)
    with pytest.raises(InputError, match=r"evaluate\.own names no metric"):
        check_gates({"own.q": ">= 0"}, Planned(metrics=(), constitution=constitution, prompts=[prompt(0)]))
