"""`cai-lite status`: how far a run is, whoever works in it."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from cai_lite.chat.submitted import Submitted
from cai_lite.cli import app
from cai_lite.errors import InputError
from cai_lite.pipeline.status import status
from cai_lite.records import Reply
from cai_lite.run.ledger import Run


@pytest.fixture
def begun(tmp_path):
    """A run that was stopped while it was critiquing."""
    out = tmp_path / "begun"
    with Run(out) as run:
        run.keep_replies("draft", "m", {"a": Reply(text="x", tokens_in=2, tokens_out=3, cost=0.5)})
        run.keep_replies("critique", "t", {"b": Reply(text="", outcome="failed", fault="HTTP 500")})
        run.count("draft", {"asked": 1, "kept": 1})
    (out / "recipe.yaml").write_text("")
    (out / "log.txt").write_text("draft: 1 of 1\ncritique: stopped\n")
    return out


def test_a_run_that_stopped_says_what_is_left_and_how_to_go_on(begun):
    found = status(begun)
    assert found["done"] == [] and found["left"] == ["pair", "train", "evaluate", "report"]
    assert (found["faults"], found["cost"], found["tokens"], found["working"]) == (1, 0.5, 5, False)
    assert found["last"]["line"] == "critique: stopped"
    assert found["next"] == f"cai-lite run {begun / 'recipe.yaml'} --out {begun}"
    shown = CliRunner().invoke(app, ["status", str(begun)])
    assert shown.exit_code == 0 and "left: pair, train, evaluate, report" in shown.output
    assert "cost so far: 0.50" in shown.output and shown.output.rstrip().endswith(found["next"].split()[-1])


def test_a_batch_under_way_is_shown_with_its_calls(begun):
    with Run(begun) as run:
        one = Submitted(mark="m", model="d", keys=("a", "b"), file="file-1").noted(run, id="batch_7", state="submitted")
        assert [batch["id"] for batch in status(begun)["batches"]] == ["batch_7"]
        shown = CliRunner().invoke(app, ["status", str(begun)])
        assert "batch batch_7: 2 calls, submitted 20" in shown.output
        one.noted(run, state="done")
    assert status(begun)["batches"] == []


def test_it_is_read_while_another_process_works_in_it(begun):
    code = f"from cai_lite.run.ledger import Run; r = Run({str(begun)!r}); print('open', flush=True); input()"
    worker = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert worker.stdout.readline() == "open\n"
        shown = CliRunner().invoke(app, ["status", str(begun), "--json"])
        assert shown.exit_code == 0, shown.output
        found = json.loads(shown.output)
        assert found["working"] and found["calls"] and found["next"] == f"cai-lite status {begun}"
    finally:
        worker.communicate("\n")


def test_what_is_done_is_seen_by_its_file(begun):
    (begun / "pairs.jsonl").write_text("")
    (begun / "training.json").write_text('{"finished": false}')
    (begun / "metrics.jsonl").write_text("{}\n{}\n")
    assert status(begun)["left"] == ["train", "evaluate", "report"] and status(begun)["steps"] == 2
    (begun / "training.json").write_text('{"finished": true}')
    (begun / "evaluation.json").write_text("{}")
    assert status(begun)["next"] == f"cai-lite report {begun}"
    (begun / "report.html").write_text("")
    assert status(begun)["left"] == []


def test_a_folder_without_a_run_is_an_error(tmp_path):
    with pytest.raises(InputError, match="is not a run directory"):
        status(tmp_path)
    assert CliRunner().invoke(app, ["status", str(tmp_path)]).exit_code == 2


def logged(run, *lines):
    (run / "log.txt").write_text("".join(f"2026-11-21 23:0{n}:00 {line}\n" for n, line in enumerate(lines)))
    return status(run)["now"]


def test_the_stage_at_work_is_said_with_its_share_and_the_time_left(begun):
    now = logged(begun, "draft: begins", "draft: 96 of 1,960 (5%), about 9 min left", "! a warning")
    assert now == {
        "stage": "draft",
        "done": 96,
        "total": 1960,
        "share": "5%",
        "left": "9 min",
        "at": "2026-11-21 23:01:00",
    }
    shown = CliRunner().invoke(app, ["status", str(begun)]).output
    assert "stopped in: draft, 96 of 1,960 (5%) (2026-11-21 23:01:00)" in shown
    assert "faults: 1 of 2 calls" in shown and "last: ! a warning (2026-11-21 23:02:00)" in shown
    with Run(begun):
        shown = CliRunner().invoke(app, ["status", str(begun)]).output
        assert "now: draft, 96 of 1,960 (5%), about 9 min left" in shown


def test_a_stage_that_ended_is_not_at_work_and_one_that_began_is(begun):
    assert logged(begun, "draft: begins", "draft: 960 of 960") is None
    assert logged(begun, "draft: 960 of 960", "judge: begins")["stage"] == "judge"
