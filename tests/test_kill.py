"""A run that is killed at any moment goes on as if nothing had been: no answered call is asked again."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from cai_lite.run.ledger import Run
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
