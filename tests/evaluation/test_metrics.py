"""Every figure is labelled once, and a metric is added by one function and one line."""

import io
import json

import pytest
from rich.console import Console

from cai_lite.evaluation.comparing import side_by_side
from cai_lite.evaluation.evaluate import evaluate
from cai_lite.evaluation.gates import check_gates, gates
from cai_lite.evaluation.labels import Label, Planned
from cai_lite.evaluation.metrics import METRICS, Metric, check_metrics, figure_labels, label_of
from cai_lite.evaluation.table import show, show_side_by_side
from cai_lite.pipeline.recipe import load_recipe
from cai_lite.reporting import report
from cai_lite.reporting.card import card
from cai_lite.run.ledger import Run


def questions(subject):
    return {"questions": subject.mean(lambda answer: "?" in answer.text)}


@pytest.fixture
def added(monkeypatch):
    line = Metric(questions, {"questions": Label("answers with a question", "share", better="higher")})
    monkeypatch.setitem(METRICS, "mine", line)


@pytest.fixture
def evaluation(added, subject):
    made = subject("Where? I see, kind.", "No.")
    return evaluate(
        made.after,
        against=made.before,
        constitution=made.constitution,
        judge=made.judges,
        prompts=made.prompts,
        metrics=["mine"],
        baselines=[],
    )


def test_a_metric_of_ones_own_is_measured_gated_compared_and_shown(evaluation, tmp_path):
    assert evaluation["metrics"]["questions"]["change"]["value"] == 1.0
    (gate,) = gates({"questions.change.low": "> 0"}, evaluation["metrics"])
    assert gate.holds and 0 < gate.found < 0.5  # four prompts cannot show more
    assert [row.name for row in side_by_side([evaluation])] == ["questions"]
    printed = io.StringIO()
    show(evaluation, Console(file=printed, width=120))
    assert "answers with a question (share)" in printed.getvalue()
    show_side_by_side(["run"], [evaluation], [], Console(file=printed, width=120))
    assert "questions" in printed.getvalue().split("after training")[1]
    assert "| answers with a question (share) | 0.000 | 1.000 | +1.000 |" in card(evaluation)
    with Run(tmp_path) as run:
        (tmp_path / "evaluation.json").write_text(json.dumps(evaluation))
        page = report(run).read_text()
    assert "answers with a question (share)" in page and "questions; higher is better" in page


def test_a_metric_of_ones_own_stands_in_a_recipe(added, constitution, prompt):
    recipe = load_recipe(
        "medical", ["evaluate.metrics=[mine]", 'evaluate.must={questions: ">= 0.1"}'], profile="embedded"
    )
    assert recipe.evaluate.metrics == ("mine",)
    plan = Planned(metrics=recipe.evaluate.metrics, constitution=constitution, prompts=[prompt(0)])
    check_gates(recipe.evaluate.must, plan)


def test_a_figure_that_its_metric_does_not_name_is_refused(monkeypatch, evaluation, subject):
    monkeypatch.setitem(METRICS, "mine", Metric(questions, {"question": Label("a question")}))
    made = subject("kind")
    with pytest.raises(ValueError, match="measured 'questions', which its figures do not name"):
        evaluate(
            made.after,
            against=None,
            constitution=made.constitution,
            judge=made.judges,
            prompts=made.prompts,
            metrics=["mine"],
        )


def test_no_figure_belongs_to_two_metrics_and_no_label_is_used_twice():
    names = [name for metric in METRICS.values() for name in metric.figures]
    assert len(names) == len(set(names))
    shown = [part for label in figure_labels().values() for part in (label.parts.values() or [label])]
    assert len({label.heading for label in shown}) == len(shown)


def test_parts_and_principles_are_labelled_by_their_paths():
    assert label_of("robustness.typos").text == "adherence to prompts with typos"
    assert label_of("adherence.kind-tone").text == "kind-tone"
    assert label_of("adherence.splits.unseen_phrasing").text == "split unseen phrasing"
    assert label_of("written_elsewhere.part").text == "written elsewhere: part"


def test_a_name_that_is_no_metric_is_refused():
    with pytest.raises(ValueError, match="unknown metric 'refusal'; did you mean 'refusals'"):
        check_metrics(["refusal"])
