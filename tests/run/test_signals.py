"""Ctrl-C, SIGTERM and a closed terminal: work is saved, one sentence is said, and the same command resumes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cai_lite.errors import InputError
from cai_lite.inputs.pairs import load_pairs
from cai_lite.pipeline.recipe import load_recipe
from cai_lite.records import Reply
from cai_lite.run import signals
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Screen
from cai_lite.training.config import Lora, TrainingConfig
from cai_lite.training.loop import train
from tests.conftest import completion

STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
SAID = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP (the terminal was closed)"}


@pytest.fixture(autouse=True)
def as_in_a_terminal():
    """Handle signals as in a terminal, also where the tests run in the background and their parent ignores some."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGHUP, signal.SIGTERM)}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def arrive(number=signal.SIGTERM):
    os.kill(os.getpid(), number)


def test_a_signal_takes_effect_at_once():
    with signals.handled(), pytest.raises(KeyboardInterrupt):
        arrive()
        time.sleep(1)
    assert signals.asked() == signal.SIGTERM and signals.told() == "stopped by SIGTERM"


def test_a_signal_waits_for_what_must_not_be_cut_in_two():
    done = []
    with signals.handled(), pytest.raises(KeyboardInterrupt):
        with signals.held():
            arrive()
            done.append("inside")
        done.append("after")
    assert done == ["inside"]


def test_a_transaction_of_the_ledger_is_not_cut_off(tmp_path, monkeypatch):
    put = Run._put

    def interrupted(*args, **more):
        arrive(signal.SIGINT)
        put(*args, **more)

    monkeypatch.setattr(Run, "_put", interrupted)
    with signals.handled(), Run(tmp_path) as run, pytest.raises(KeyboardInterrupt):
        run.keep_replies("draft", "m", {"k": Reply(text="paid for")})
    with Run(tmp_path) as run:
        assert run.replies(["k"])["k"].text == "paid for"


def test_a_signal_that_arrives_during_a_step_takes_effect_before_the_next_one():
    seen = []
    with signals.handled(), pytest.raises(KeyboardInterrupt):
        for item in signals.unbroken(range(5)):
            if item == 2:
                arrive()
            signals.check()  # a tick inside of the step
            seen.append((item, signals.asked()))
    assert seen == [(0, 0), (1, 0), (2, signal.SIGTERM)]


def test_a_signal_during_the_last_step_lets_the_work_end():
    with signals.handled():
        for item in signals.unbroken(range(3)):
            if item == 2:
                arrive()
        with pytest.raises(KeyboardInterrupt), Screen(quiet=True) as screen, screen.stage("evaluate") as tick:
            tick(1, 2)


def test_without_handlers_nothing_waits_and_nothing_is_asked():
    with signals.handled():
        pass
    with signals.held():
        signals.check()
    assert not signals.asked() and list(signals.unbroken([1])) == [1]


def test_what_the_parent_ignores_stays_ignored_and_handlers_are_put_back():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals.handled():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGHUP, before)


def test_in_another_thread_nothing_is_held():
    def work():
        with signals.held():
            found.append(signals._held)

    found: list[int] = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [0]


def pairs(tmp_path: Path):
    sides = {"chosen": "A kind answer.", "rejected": "No."}
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"Question {i}?", **sides}) + "\n" for i in range(4)))
    return load_pairs(path)


def test_a_training_saves_a_checkpoint_at_the_next_step_and_resumes_to_the_same_adapter(tmp_path):
    rows, config = pairs(tmp_path), TrainingConfig(max_steps=5, batch_size=2, lora=Lora(rank=2), checkpoint_every=100)

    def run(out, progress=None):
        return train("embedded:student", rows, config=config, out=tmp_path / out, load="float32", progress=progress)

    run("whole")
    with signals.handled(), pytest.raises(KeyboardInterrupt):
        run("stopped", lambda done, total: arrive() if done == 3 else None)
    assert [folder.name for folder in (tmp_path / "stopped" / "checkpoints").glob("step-*")] == ["step-3"]
    with signals.handled():
        assert run("stopped").resumed_from == 3
    adapters = [tmp_path / out / "adapter" / "adapter_model.safetensors" for out in ("whole", "stopped")]
    assert adapters[0].read_bytes() == adapters[1].read_bytes()


def started(*words, **more):
    command = [sys.executable, "-m", "cai_lite", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_command_that_waits_for_a_server_ends_with_one_sentence(server, tmp_path, number):
    reached, release = threading.Event(), threading.Event()

    def reply(body):
        if body["messages"][-1]["content"] == "Question 0?":
            return 200, {}, completion("An answer.")
        reached.set()
        release.wait(30)
        return 200, {}, completion("An answer.")

    server.reply = reply
    (tmp_path / "prompts.jsonl").write_text(
        "".join(json.dumps({"prompt": f"Question {i}?", "family": str(i)}) + "\n" for i in range(4))
    )
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "constitution: medical-embedded\nprompts: {file: prompts.jsonl}\n"
        f"teacher: {{url: '{server.url}', model: m, concurrency: 2}}\nstudent: {{model: 'embedded:student'}}\n"
        "draft: {from: teacher, n: 1}\n"
    )
    load_recipe(recipe)
    process = started("pairs", str(recipe), "--out", str(tmp_path / "run"), "--quiet")
    assert reached.wait(60)
    time.sleep(0.3)  # the first answer is stored
    process.send_signal(number)
    began = time.monotonic()
    said = process.communicate(timeout=25)[1]
    release.set()
    assert process.returncode == STATUS[number], said
    assert time.monotonic() - began < 20  # not as long as the server takes
    last = said.strip().splitlines()[-1]
    assert last == (
        f"cai-lite: stopped by {SAID[number]}; finished work is saved, and the same command resumes from here"
    )
    assert "Traceback" not in said
    with Run(tmp_path / "run") as run:
        assert run.recovered is None and run.calls()[0]["calls"] == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_command_that_still_imports_its_libraries_ends_without_a_traceback(tmp_path, number):
    """At moments all over the start-up; what comes before the handlers is Python itself."""
    for seconds in (0.25, 0.6, 1.2):
        process = started("demo", "--out", str(tmp_path / "run"), "--quiet")
        time.sleep(seconds)
        process.send_signal(number)
        said = process.communicate(timeout=60)[1]
        assert process.returncode == STATUS[number], (seconds, said)
        assert "Traceback" not in said and said.strip().splitlines()[-1].startswith("cai-lite: stopped by"), said


def test_a_second_signal_ends_the_process_at_once(tmp_path):
    code = (
        "import time\nfrom cai_lite.run import signals\n"
        "with signals.handled(), signals.held():\n    print('ready', flush=True)\n    time.sleep(60)\n"
        "    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    process.send_signal(signal.SIGHUP)  # a shell sends one of its own beside the terminal's
    time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    process.stdout.close()


def test_errors_of_users_keep_their_status_under_the_handlers(tmp_path):
    process = started("run", "medcal")
    assert process.communicate(timeout=60)[0] == "" and process.returncode == 2
    assert issubclass(InputError, ValueError)
