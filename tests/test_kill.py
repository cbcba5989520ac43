"""A run that is killed at any moment goes on as if nothing had been: no answered call is asked again."""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from cai_lite.run.ledger import Run
from tests.chat.batch_server import asked, batch_server
from tests.conftest import completion

AT_ONCE = 4
DRAFTED = re.compile(r"Advice (0\.\d+)")


@pytest.mark.slow
def test_kills_at_random_moments_repeat_no_answered_call_and_change_no_pair(server, tmp_path: Path) -> None:
    rows = [{"prompt": f"I have had pain number {i} since Monday.", "family": str(i)} for i in range(8)]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"constitution: medical-embedded\nprompts: {{file: {tmp_path / 'prompts.jsonl'}}}\n"
        f"teacher: {{url: '{server.url}', model: m, concurrency: {AT_ONCE}}}\nstudent: {{model: 'embedded:student'}}\n"
        "draft: {from: teacher, n: 3}\njudge: {log_probs: never, principles: 1}\n"
        "pair: {rules: [best_over_worst], min_margin: 0.1}\n"
    )
    asked: Counter[str] = Counter()
    answers: dict[str, str] = {}
    lock = threading.Lock()

    def reply(body):
        """The same request has the same answer in both runs, and is counted; the judge prefers the greater number."""
        text = body["messages"][-1]["content"]
        key = json.dumps([body.get("seed"), text])
        time.sleep(0.02)
        drafted = DRAFTED.findall(text)
        with lock:
            asked[key] += 1
            judged = "A" if len(drafted) == 2 and drafted[0] > drafted[1] else "B"
            return 200, {}, completion(answers.setdefault(key, judged if drafted else f"Advice {random.random():.6f}"))

    server.reply = reply

    def run(out: Path, until: int | None = None) -> bool:
        """Whether it came to its end; it is killed once so many calls have been asked in all."""
        command = [sys.executable, "-m", "cai_lite", "pairs", str(recipe), "--out", str(out), "--quiet"]
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
    assert run(tmp_path / "whole")
    calls = len(asked)
    asked.clear()
    drawn, kills = random.Random(0), 0
    while not run(tmp_path / "killed", sum(asked.values()) + drawn.randrange(6, 22)):
        kills += 1
    assert kills >= 3  # `make soak` has more than a hundred
    pairs = (tmp_path / "whole" / "pairs.jsonl").read_bytes()
    assert len(pairs.splitlines()) >= 12
    assert (tmp_path / "killed" / "pairs.jsonl").read_bytes() == pairs
    assert len(asked) == calls
    # What was under way when it was killed had no answer yet; nothing else is asked again.
    assert sum(asked.values()) - calls <= kills * AT_ONCE


@pytest.mark.slow
def test_a_batch_under_way_outlives_ctrl_c_and_a_kill_and_is_paid_once(tmp_path: Path) -> None:
    rows = [{"prompt": f"I have had pain number {i} since Monday.", "family": str(i)} for i in range(4)]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe, out = tmp_path / "recipe.yaml", tmp_path / "run"
    with batch_server() as server:
        recipe.write_text(
            f"constitution: medical-embedded\nprompts: {{file: {tmp_path / 'prompts.jsonl'}, held_out: 0}}\n"
            f"teacher: {{url: '{server.url}', model: m, batch: {{least: 1}}}}\nstudent: {{model: 'embedded:student'}}\n"
            "draft: {from: teacher, n: 2}\njudge: {log_probs: never, principles: 1}\n"
            "pair: {rules: [best_over_worst], min_margin: 0.1}\n"
        )

        def reply(body):
            """The greater number is preferred."""
            drafted = DRAFTED.findall(asked(body))
            judged = "A" if len(drafted) == 2 and drafted[0] > drafted[1] else "B"
            return 200, completion(judged if drafted else f"Advice 0.{body['seed']}")

        server.answer, server.looks = reply, 10**9
        command = [sys.executable, "-m", "cai_lite", "pairs", str(recipe), "--out", str(out)]

        def stopped(batch: str, number: int) -> tuple[int, str]:
            """The exit status and what was said, after a signal while this batch is waited for."""
            # Where tests run in the background, SIGINT is ignored, and a child would inherit that.
            before = signal.signal(signal.SIGINT, signal.default_int_handler)
            process, looks = subprocess.Popen(command, stderr=subprocess.PIPE, text=True), server.seen[batch]
            signal.signal(signal.SIGINT, before)
            while process.poll() is None and server.seen[batch] == looks:
                time.sleep(0.01)
            process.send_signal(number)
            return process.wait(), process.communicate()[1]

        status, said = stopped("GET /batches/batch_0", signal.SIGINT)
        assert status == 130 and "8 calls are submitted as batch batch_0" in said, said
        assert stopped("GET /batches/batch_0", signal.SIGKILL)[0] == -signal.SIGKILL
        server.looks = 1
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "batch batch_0 of 8 calls was submitted earlier and is awaited" in done.stderr
    assert [len(server.rows(batch)) for batch in server.batches.values()] == [8, 8]  # the drafts, and both orders
    assert sum(server.paid.values()) == 16 and not server.live
    assert (out / "pairs.jsonl").read_text()
