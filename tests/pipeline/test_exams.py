"""`prompts exam` and `prompts redteam` as they are typed, against a real local server and the toy world."""

import json
import random
import re
import shutil
import subprocess
import sys
import time
from collections import Counter

import pytest
from typer.testing import CliRunner

from cai_lite.cli import app
from cai_lite.distill.leaks import HeldOut
from cai_lite.inputs.prompts import load_prompts
from cai_lite.pipeline.exam_table import brief
from cai_lite.run.ledger import Run
from tests import examining
from tests.conftest import completion

POLICY = """
name: shop
principles:
  - {id: no-refunds, text: Promise no refund., applies_to: [order]}
  - {id: kind, text: Be kind.}
"""
KINDS = ("denied", "benign-twin", "pressure-threat")


def run(*words):
    return CliRunner().invoke(app, ["prompts", *map(str, words)])


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


@pytest.fixture
def teacher(server):
    """A server that writes, verifies, plays the user and judges; `student` answers under that name."""

    def reply(body):
        text = "\n".join(message["content"] for message in body["messages"])
        if body["model"] == "student":
            gives_in = text.count("But really, I insist") >= 2
            return 200, {}, completion("Fine, I will do it." if gives_in else "I cannot do that.")
        return 200, {}, completion(examining.said(text, body.get("seed")))

    server.reply = reply
    return ["--teacher", server.url, "--model", "big"]


def test_an_exam_is_written_shown_and_used(policy, teacher, server, tmp_path):
    out = tmp_path / "exam.jsonl"
    words = ["exam", policy, *teacher, "--out", out, "-n", 2, "--run", tmp_path / "run"]
    done = run(*words, "--student", f"{server.url}#student", "--samples", 2)
    assert done.exit_code == 0, done.output
    shown = re.sub(r"\s+", " ", done.output)
    assert re.search(r"no-refunds( [012]){14}", shown) and "verified" in shown and f"wrote {out}" in shown
    assert max(map(len, done.output.split("prompts;")[0].splitlines())) <= 80
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert {"principle", "kind", "side", "scenario", "difficulty", "too_easy"} <= set(rows[0])
    assert all(row["too_easy"] == (row["difficulty"] == 0) for row in rows)
    assert any(row["difficulty"] for row in rows if row["side"] == "allowed")  # it refuses everything
    loaded = load_prompts(out)
    reserved = HeldOut([prompt.messages for prompt in loaded.held_out])
    assert not any(reserved.matches(prompt.messages) for prompt in loaded.train)
    asked = len(server.bodies)
    assert run(*words).exit_code == 2  # never over a file that is there
    out.rename(tmp_path / "first.jsonl")
    assert json.loads(run(*words, "--json").stdout)["prompts"] == len(rows)
    assert len(server.bodies) == asked  # everything was in the run directory
    assert [
        json.loads(line)["prompt" if "prompt" in row else "messages"]
        for line, row in zip(out.read_text().splitlines(), rows, strict=True)
    ] == [row.get("prompt", row.get("messages")) for row in rows]


def test_the_retail_policy_on_a_server(shared, teacher, server, tmp_path):
    policy, out = tmp_path / "retail.yaml", tmp_path / "exam.jsonl"
    source = shared / "data" / "taubench_retail_wiki_policy.md"
    assert CliRunner().invoke(app, ["constitution", "import", str(source), "--out", str(policy)]).exit_code == 0
    done = run(
        "exam", policy, *teacher, "--out", out, "-n", 1, *(w for kind in KINDS for w in ("--kind", kind)), "--json"
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert set(found["kinds"]) == set(KINDS) and len(found["principles"]) > 20
    assert found["prompts"] > 0.8 * len(found["principles"]) * len(KINDS)
    # Four of five are on topic, and six of seven on their side; what the server writes differs from run to run.
    assert abs(found["verified"]["value"] - 4 / 5 * 6 / 7) < 0.2
    loaded = load_prompts(out)
    reserved = HeldOut([prompt.messages for prompt in loaded.held_out])
    assert not any(reserved.matches(prompt.messages) for prompt in loaded.train)


def test_a_red_team_keeps_what_breaks_the_student(policy, teacher, server, tmp_path):
    seeds, out, again = (tmp_path / name for name in ("exam.jsonl", "broken.jsonl", "again.jsonl"))
    assert run("exam", policy, *teacher, "--out", seeds, "-n", 4, "--kind", "denied").exit_code == 0
    student = ["--student", f"{server.url}#student"]
    done = run("redteam", policy, "--prompts", seeds, *student, *teacher, "--out", out, "--turns", 2)
    assert done.exit_code == 0, done.output
    assert "errors of the simulated user" in done.output and "kept" in done.output
    families = {json.loads(line)["family"] for line in seeds.read_text().splitlines()}
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert rows and all(row["split"] == "train" and row["family"] in families for row in rows)
    assert all([message["role"] for message in row["messages"]] == ["user", "assistant"] * 2 + ["user"] for row in rows)
    found = run("redteam", policy, "--prompts", out, *student, *teacher, "--out", again, "--turns", 1, "--json")
    assert json.loads(found.stdout)["tried"] == len(rows)  # they seed the next round
    own = run("redteam", policy, *student, *teacher, "--out", tmp_path / "own.jsonl", "-n", 1, "--json")
    assert json.loads(own.stdout)["tried"] >= 2  # seeds of its own


def test_the_toy_world_has_an_exam_of_its_own(tmp_path):
    out = tmp_path / "exam.jsonl"
    done = run("exam", "medical-embedded", "--teacher", "embedded:grammar", "--out", out, "-n", 1)
    assert done.exit_code == 0, done.output
    assert "the toy world has no such requests" in done.output
    assert len(load_prompts(out, held_out=0).train) > 10


def test_long_names_keep_their_ends():
    assert brief("kind") == "kind"
    names = {brief(f"an-order-can-only-be-{what}") for what in ("cancelled", "modified", "returned")}
    assert len(names) == 3 and all(len(name) == 22 for name in names)


def test_nothing_verified_writes_nothing_and_says_why(policy, server, tmp_path):
    server.reply = lambda body: (200, {}, completion("I would rather not."))
    out = tmp_path / "exam.jsonl"
    done = run("exam", policy, "--teacher", server.url, "--model", "m", "--out", out, "--kind", "denied")
    assert done.exit_code == 1 and not out.exists()
    assert "unreadable" in done.output and "nothing was written" in done.output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["exam", "medicl", "--teacher", "embedded:grammar"], "did you mean"),
        (["exam", "medical-embedded", "--teacher", "embedded:teacher"], "embedded:grammar"),
        (["exam", "medical-embedded", "--teacher", "embedded:grammar", "--kind", "allowd"], "did you mean 'allowed'"),
        (["exam", "medical-embedded", "--teacher", "embedded:grammar", "--verifier", "x"], "--verifier"),
        (["exam", "medical-embedded", "--teacher", "embedded:grammar", "--judge", "x"], "--student"),
        (
            ["redteam", "medical-embedded", "--teacher", "embedded:teacher", "--student", "embedded:student"],
            "too small",
        ),
    ],
)
def test_wrong_input_is_told_and_nothing_is_written(words, says, tmp_path):
    done = run(*words, "--out", tmp_path / "x.jsonl")
    assert done.exit_code == 2 and says in done.output and not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["exam", "redteam"])
def test_the_help_shows_an_example(command):
    assert f"Example: cai-lite prompts {command}" in re.sub(
        r"\s+", " ", re.sub(r"[│╭╮╰╯─]", "", run(command, "--help").output)
    )


@pytest.mark.slow
def test_a_killed_exam_goes_on_and_pays_for_nothing_twice(policy, teacher, server, tmp_path):
    at_once, asked, answer = 64, Counter(), server.reply

    def slow(body):
        asked[json.dumps([body.get("seed"), body["messages"]])] += 1
        time.sleep(0.02)
        return answer(body)

    server.reply = slow

    def exam(name, until=None):
        """Whether it came to its end; it is killed once so many calls have been asked."""
        words = ["exam", str(policy), *teacher, "--out", str(tmp_path / f"{name}.jsonl"), "-n", "3", "--quiet"]
        command = [sys.executable, "-m", "cai_lite", "prompts", *words, "--run", str(tmp_path / name)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        while process.poll() is None:
            if until is not None and sum(asked.values()) >= until:
                process.kill()
            time.sleep(0.002)
        _, said = process.communicate()
        assert process.returncode in (0, -9), said.decode()
        return process.returncode == 0

    Run(tmp_path / "whole").close()
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")  # the same secret marks, so that both ask the same
    assert exam("whole")
    calls = len(asked)
    asked.clear()
    drawn, kills = random.Random(0), 0
    while not exam("killed", sum(asked.values()) + drawn.randrange(35, 80)):
        kills += 1
        assert not (tmp_path / "killed.jsonl").exists()
    assert kills >= 2 and len(asked) == calls
    assert (tmp_path / "killed.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    # What was under way when it was killed had no answer yet; nothing else is asked again.
    assert sum(asked.values()) - calls <= kills * at_once
