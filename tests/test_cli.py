"""What a user types and what comes back: exit status, one clear line, no traceback."""

import json
import re
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from cai_lite.cli import app


def run(*words):
    return CliRunner().invoke(app, list(words))


PAIR = {
    "prompt": [{"role": "user", "content": "Hi"}],
    "chosen": [{"role": "assistant", "content": "Hello."}],
    "rejected": [{"role": "assistant", "content": "No."}],
}


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text(
        "".join(json.dumps({**PAIR, "prompt": [{"role": "user", "content": f"Hi {i}"}]}) + "\n" for i in range(4))
    )
    return path


def test_every_command_has_help_with_an_example():
    commands = [command.name or command.callback.__name__ for command in app.registered_commands]
    assert {"demo", "run", "pairs", "train", "evaluate", "report", "chat"} <= set(commands)
    for command in commands:
        shown = run(command, "--help")
        assert shown.exit_code == 0
        assert f"Example: cai-lite {command}" in re.sub(r"\s+", " ", re.sub(r"[│╭╮╰╯─]", "", shown.output)), command


def test_help_imports_neither_torch_nor_transformers():
    code = "import sys, cai_lite.cli; print(sorted({'torch', 'transformers', 'openai', 'numpy'} & set(sys.modules)))"
    started = time.perf_counter()
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
    assert time.perf_counter() - started < 20  # a hang, not a speed: speed is measured, never tested


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "medcal"], "did you mean 'medical'"),
        (["run", "medical", "--profile", "embeded"], "did you mean 'embedded'"),
        (["run", "medical", "--profile", "embedded", "--set", "train.los.beta=1"], "did you mean 'loss'"),
        (["run", "medical", "--profile", "embedded", "--set", "train.loss.beta=warm"], "train.loss.beta"),
        (["run", "medical", "--profile", "embedded", "--set", "nonsense"], "key.key=value"),
        (["run", "medical"], "TEACHER_URL"),
        (["run", "nowhere.yaml"], "nowhere.yaml"),
        (["demo", "cooking"], "cooking"),
        (["report", "nowhere"], "not a run directory"),
        (["chat", "./nowhere", "--say", "hi"], "no such folder"),
    ],
)
def test_a_mistake_is_one_clear_line_and_status_2(words, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = run(*words)
    assert told.exit_code == 2
    assert says in told.output and "Traceback" not in told.output
    assert list(tmp_path.iterdir()) == []  # nothing was written


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{broken", "pairs.jsonl:2"),
        (json.dumps({**PAIR, "rejected": PAIR["chosen"]}), "equal"),
        (json.dumps({"chosen": 3}), "pairs.jsonl:2"),
    ],
)
def test_a_bad_pair_is_named_with_its_line(pairs, line, says, tmp_path):
    lines = pairs.read_text().splitlines()
    pairs.write_text("\n".join([lines[0], line]) + "\n")
    told = run("train", "--student", "embedded:student", "--pairs", str(pairs), "--out", str(tmp_path / "out"))
    assert told.exit_code == 2 and says in told.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--student", "./nowhere"], "no such folder"),
        (["--student", "embedded:student", "--load", "int3"], "int3"),
        (["--student", "embedded:student", "--set", "train.optimizer=adam"], "train.optimizer"),
    ],
)
def test_train_refuses_what_it_cannot_use(pairs, options, says, tmp_path):
    told = run("train", "--pairs", str(pairs), "--out", str(tmp_path / "out"), *options)
    assert told.exit_code == 2 and says in told.output
    assert not (tmp_path / "out").exists()


def test_nf4_without_bitsandbytes_is_refused_before_anything_is_written(pairs, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    told = run(
        "train", "--student", "embedded:student", "--load", "nf4", "--pairs", str(pairs), "--out", str(tmp_path / "o")
    )
    assert told.exit_code == 2 and "bitsandbytes" in told.output
    assert not (tmp_path / "o").exists()


def test_train_leaves_an_adapter_and_prints_json(pairs, tmp_path):
    words = [
        "train",
        "--student",
        "embedded:student",
        "--pairs",
        str(pairs),
        "--out",
        str(tmp_path / "out"),
        "--json",
        "--set",
        "train.max_steps=2",
        "--set",
        "train.batch_size=2",
        "--set",
        "train.lora.rank=2",
    ]
    told = run(*words)
    assert told.exit_code == 0, told.output
    result = json.loads(told.stdout)
    assert result["steps"] == 2 and (tmp_path / "out" / "adapter" / "adapter_model.safetensors").exists()
    assert len((tmp_path / "out" / "metrics.jsonl").read_text().splitlines()) == 2
    assert json.loads(run(*words).stdout)["resumed_from"] == 2  # done already


def test_train_lists_the_rows_that_it_leaves_out(pairs, tmp_path):
    with pairs.open("a", encoding="utf-8") as file:
        file.write(json.dumps({**PAIR, "chosen": [{"role": "assistant", "content": " "}]}) + "\n")
    words = ["train", "--student", "embedded:student", "--pairs", str(pairs), "--out", str(tmp_path / "out"), "--json"]
    refused = run(*words, "--max-bad", "0.01")
    assert refused.exit_code == 2 and "1 blank text" in refused.output and not (tmp_path / "out").exists()
    told = run(*words, "--max-bad", "0.5", "--set", "train.max_steps=1", "--set", "train.lora.rank=2")
    assert told.exit_code == 0 and json.loads(told.stdout)["quarantined"] == 1
    (row,) = map(json.loads, (tmp_path / "out" / "quarantine.jsonl").read_text(encoding="utf-8").splitlines())
    assert (row["file"], row["kind"]) == (str(pairs), "blank text")


def test_an_interrupt_says_that_the_same_command_goes_on(monkeypatch, tmp_path):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("cai_lite.pipeline.walk.run_recipe", interrupted)
    told = run("demo", "--out", str(tmp_path / "x"))
    assert told.exit_code == 130 and "the same command resumes from here" in told.output


def test_debug_shows_the_traceback(monkeypatch):
    monkeypatch.setenv("CAI_LITE_DEBUG", "1")
    assert "RecipeError" in repr(run("run", "medcal").exception)


def test_chat_answers_a_question():
    told = run("chat", "embedded:student", "--say", "I have a headache.", "--max-tokens", "12")
    assert told.exit_code == 0 and told.output.startswith("reply: ")
