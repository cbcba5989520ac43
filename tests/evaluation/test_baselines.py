"""Baselines: the prompted base and the teacher, on planted answers whose figures are known by hand."""

from __future__ import annotations

import pytest

from cai_lite.chat.local import LocalModel
from cai_lite.chat.scripted import ScriptedModel
from cai_lite.errors import InputError
from cai_lite.evaluation.baselines import four_sides, gap_closed, prompted_answers
from cai_lite.evaluation.evaluate import evaluate, measure
from cai_lite.evaluation.gates import check_gates
from cai_lite.evaluation.labels import Planned
from cai_lite.evaluation.result import answer_lines, as_json
from cai_lite.evaluation.table import comparison
from cai_lite.records import Reply, Sampling
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Screen


def is_told(request):
    return request.messages[0].role == "system"


def obeys(*numbers):
    """A base that is kind where it is told to, on the questions of these numbers alone."""

    def says(request):
        text = request.messages[-1].content
        kind = is_told(request) and any(text == f"question {number}" for number in numbers)
        return Reply(text="kind" if kind else "rude", tokens_in=107 if is_told(request) else 7)

    return says


@pytest.fixture
def found(subject):
    made = subject("kind", obeys(0), teacher=ScriptedModel(lambda request: "kind", name="teacher"))
    return made, measure(made, ("adherence", "win_rate", "prompted", "teacher"))


def test_the_prompted_base_is_told_the_constitution_and_compared_with_the_trained_student(found):
    made, figures = found
    over = figures["adherence_over_prompted"]
    assert (over.before.value, over.after.value, over.change.value) == (0.25, 1.0, 0.75)
    told = [request for request in made.before.asked if is_told(request)]
    assert len(told) == 4 and all("Be kind." in request.messages[0].content for request in told)
    assert not any(is_told(request) for request in made.after.asked)
    assert figures["prompted_tokens"].value == 100.0 and figures["prompted_tokens"].n == 4
    assert figures["over_refusal_prompted"].value == 0.0 and "unsafe_compliance_prompted" not in figures
    assert 0.5 < figures["win_rate_over_prompted"].value < figures["win_rate"].value


def test_the_teacher_says_how_much_of_the_gap_was_closed(found):
    _, figures = found
    assert figures["adherence_teacher"].value == 1.0
    assert figures["gap_closed"].value == 1.0


def test_the_first_line_names_all_four_sides(found):
    _, figures = found
    metrics = as_json(figures)
    assert four_sides(metrics) == {"base": 0.0, "prompted": 0.25, "trained": 1.0, "teacher": 1.0}
    line = comparison({"metrics": metrics})
    assert line.startswith("adherence: base 0.00 · prompted 0.25 · trained 1.00 · teacher 1.00; 100% of the gap")
    assert comparison({"metrics": {"adherence": metrics["adherence"]}}) == ""


def test_the_answers_of_baselines_stand_in_answers_jsonl_under_the_plain_prompt(found):
    made, _ = found
    lines = list(answer_lines(made))
    assert len(lines) == 16
    assert [side in lines[n] for n, side in enumerate(('"before"', '"after"', '"prompted"', '"teacher"'))] == [True] * 4
    assert "Be kind." not in lines[2] and '"verdicts": {"kind": true}' in lines[2]


def test_the_share_of_the_gap_is_the_ratio_of_the_mean_gains():
    families = [f"f{i}" for i in range(40)]
    before, teacher = [0.0] * 40, [1.0] * 40
    closed = gap_closed(before, [float(i % 4 > 0) for i in range(40)], teacher, families)
    assert closed.value == 0.75 and closed.low < 0.75 < closed.high and closed.n == 40
    assert gap_closed(before, before, teacher, families).value == 0.0
    assert gap_closed(before, teacher, [float(i < 1) for i in range(40)], families) is None  # hardly any gap


def test_nothing_is_measured_against_a_prompt_of_a_model_alone(subject):
    assert "adherence_over_prompted" not in measure(subject("kind"), ("adherence", "prompted"))
    with pytest.raises(InputError, match="needs a model that answers"):
        model = ScriptedModel(lambda request: "kind")
        evaluate(model, constitution="medical-embedded", judge=model, prompts=["Hello"], baselines=["teacher"])
    with pytest.raises(InputError, match="unknown baseline 'promted'; did you mean 'prompted'"):
        evaluate(model, constitution="medical-embedded", judge=model, prompts=["Hello"], baselines=["promted"])


def test_a_server_that_refuses_system_messages_is_no_baseline(subject):
    def refusing(request):
        return Reply(text="", outcome="failed", fault="HTTP 400") if is_told(request) else "rude"

    said = []
    screen = Screen(quiet=True)
    screen.warn = said.append
    figures = measure(subject("kind", refusing, screen=screen), ("adherence", "prompted"))
    assert "adherence_over_prompted" not in figures
    assert any("only 0 of 4 answers have a text" in line and "system: merge" in line for line in said)


def test_the_same_evaluation_asks_nobody_again(subject, tmp_path):
    asked = []
    for _ in range(2):
        with Run(tmp_path / "run") as run:
            made = subject("kind", obeys(0), run=run)
            measure(made, ("adherence", "prompted"))
            asked.append(len(made.before.asked))
    assert asked == [8, 0]


def test_prompts_that_do_not_fit_the_context_are_left_out_and_counted(subject):
    said = []
    screen = Screen(quiet=True)
    screen.warn = said.append
    made = subject("kind", "rude", screen=screen, sampling=Sampling(max_tokens=508))
    made.before = LocalModel("embedded:student")
    assert prompted_answers(made) == []
    (line,) = said
    assert "4 of 4 held-out prompts do not fit into the context of embedded:student" in line and "508 tokens" in line


def test_a_template_without_a_system_turn_gets_the_constitution_in_the_users(subject, prompt):
    base = LocalModel("embedded:student", bridged=True)
    _, tokenizer = base.opened()
    refuse = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    tokenizer.chat_template = refuse + tokenizer.chat_template
    made = subject("kind", "rude", sampling=Sampling(max_tokens=4, temperature=0.0), prompts=[prompt(0)])
    made.before = base
    figures = measure(made, ("adherence", "prompted"))
    assert len(made.told["prompted"]) == 1 and figures["prompted_tokens"].value > 0


def test_gates_on_baselines_are_checked_beforehand(constitution, prompt):
    plan = Planned(metrics=("adherence", "prompted"), constitution=constitution, prompts=[prompt(0)])
    check_gates({"adherence_over_prompted.change.low": ">= 0"}, plan)
    with pytest.raises(InputError, match=r"baseline 'teacher', which evaluate\.baselines leaves out"):
        check_gates({"adherence_teacher": ">= 0.5"}, plan)
    with pytest.raises(InputError, match="it takes 'win_rate' among"):
        check_gates({"win_rate_over_prompted": ">= 0.5"}, plan)


def test_the_earlier_student_is_told_nothing_and_compared_by_principle(subject):
    def earlier(request):
        return "kind" if request.messages[-1].content == "question 1" else "rude"

    made = subject("kind", "rude", earlier=ScriptedModel(earlier, name="earlier"))
    figures = measure(made, ("adherence", "earlier"))
    found = figures["adherence_over_earlier"]
    assert found["overall"].before.value == found["principles"]["kind"].before.value == 0.25
    assert found["principles"]["kind"].change.value == 0.75 and "splits" not in found
    assert not any(is_told(request) for request in made.earlier.asked)
    assert '"side": "earlier"' not in "".join(answer_lines(made))
    assert "adherence_over_earlier" not in measure(subject("kind", "rude"), ("adherence", "earlier"))


def test_a_gate_on_what_changed_since_an_earlier_run_takes_one(constitution, prompt):
    plan = Planned(metrics=("adherence", "earlier"), constitution=constitution, prompts=[prompt(0)], earlier=True)
    check_gates({"adherence_over_earlier.kind.change.low": "> -0.05", "adherence_over_earlier": ">= 0"}, plan)
    with pytest.raises(InputError, match="principle 'ask' applies to no prompt"):
        check_gates({"adherence_over_earlier.ask.change.low": "> -0.05"}, plan)
    with pytest.raises(InputError, match="it takes an earlier run to go on from"):
        check_gates(
            {"adherence_over_earlier": ">= 0"}, Planned(metrics=plan.metrics, constitution=constitution, prompts=[])
        )
