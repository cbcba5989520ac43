"""Labels that come after an evaluation: the figures follow without a model."""

import json

import pytest

from cai_lite.chat.scripted import ScriptedModel
from cai_lite.errors import InputError, LabelError
from cai_lite.evaluation.evaluate import evaluate
from cai_lite.evaluation.relabelled import relabel, relabelled, take_labels
from cai_lite.evaluation.result import read_answers, read_evaluation
from cai_lite.inputs.labels import LABELS
from cai_lite.reporting import write_report
from cai_lite.run.ledger import Run


@pytest.fixture
def evaluated(constitution, prompt, tmp_path):
    """Evaluate in a run directory; further calls use its other arguments."""

    def do(**more):
        return evaluate(
            ScriptedModel(lambda request: "kind", name="after"),
            against=ScriptedModel(lambda request: "rude", name="before"),
            constitution=constitution,
            judge=ScriptedModel(lambda request: "yes", name="judge"),
            mode="pointwise",
            log_probs=False,
            prompts=[prompt(i, *(["pain"] if i % 2 else [])) for i in range(40)],
            metrics=["adherence", "adherence_calibrated"],
            must={"adherence_calibrated.low": ">= 0.3", "adherence": ">= 0.5"},
            run=tmp_path / "run",
            **more,
        )

    return do


def lines(folder, share, by="ada"):
    """Labels of the first answers after training, of which every `share`-th is broken."""
    rows = [row for row in read_answers(folder) if row.side == "after"]
    found = [
        {"answer": row.key, "principle": principle, "keeps": bool(i % share), "by": by, "at": i}
        for i, row in enumerate(rows[:30])
        for principle in row.verdicts
    ]
    return "".join(json.dumps(one) + "\n" for one in found)


def test_the_figures_follow_the_labels_to_the_same_bytes_that_an_evaluation_writes(evaluated, tmp_path):
    run = tmp_path / "run"
    first = evaluated()
    assert "adherence_calibrated" not in first["metrics"]
    assert [(gate["found"], gate["holds"]) for gate in first["gates"]] == [(None, False), (1.0, True)]
    (run / LABELS).write_text(lines(run, 4))
    with Run(run) as opened:
        assert relabel(opened) == ["evaluation.json"]
        assert relabel(opened) == []
    found = read_evaluation(run)
    overall = found["metrics"]["adherence_calibrated"]["overall"]
    assert overall["low"] < 0.75 < overall["high"] and overall["n"] == 45
    assert found["gates"][0] == {
        "name": "adherence_calibrated.low",
        "wanted": ">= 0.3",
        "found": overall["low"],
        "holds": True,
    }
    assert json.loads((run / "evaluation.1.json").read_text()) == first
    assert evaluated() == found
    with Run(run) as opened:
        assert relabelled(opened) is None


def test_the_report_takes_up_labels_and_lets_go_of_them(evaluated, tmp_path):
    run = tmp_path / "run"
    evaluated()
    assert "evaluation.json" not in write_report(run)
    (run / LABELS).write_text(lines(run, 4))
    assert "evaluation.json" in write_report(run)
    assert "corrected by people" in (run / "report.html").read_text()
    (run / LABELS).write_text("")
    write_report(run)
    assert "adherence_calibrated" not in read_evaluation(run)["metrics"]


def test_a_file_of_labels_becomes_that_of_the_run(evaluated, tmp_path):
    run, file = tmp_path / "run", tmp_path / "mine.jsonl"
    evaluated()
    file.write_text(lines(run, 3))
    assert "overall" in evaluated(labels=file)["metrics"]["adherence_calibrated"]
    assert (run / LABELS).read_text() == file.read_text()
    assert evaluated()["metrics"]["adherence_calibrated"]["labels"] == 45  # those in the run, from now on
    file.write_text(lines(run, 2))
    with pytest.raises(InputError, match=r"has a labels\.jsonl of its own"):
        evaluated(labels=file)


def test_faulty_labels_are_an_error_and_no_labels_are_none(tmp_path):
    assert take_labels(None, tmp_path) == take_labels(None, None) == []
    (tmp_path / LABELS).write_text("{}\n")
    with pytest.raises(LabelError, match="'answer' is missing"):
        take_labels(None, tmp_path)
    with pytest.raises(LabelError, match="no such file"):
        take_labels(tmp_path / "nowhere", None)
