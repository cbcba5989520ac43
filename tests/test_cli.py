"""What a user types and what comes back: exit status, one clear line, no traceback."""

import json
import re
import subprocess
import sys
import time

import pytest
import typer
from typer.testing import CliRunner

from cai_lite.cli import app
from cai_lite.cli.shared import exit_by_gates, run_name
from cai_lite.errors import UNSAFE, TrainingError
from cai_lite.evaluation.adherence import CELLS, KeptCell
from cai_lite.run.ledger import Run


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
        (["pairs", "medical", "--profile", "embedded", "--on", "rey"], "such as ray://HOST:10001"),
        (["demo", "cooking"], "cooking"),
        (["report", "nowhere"], "not a run directory"),
        (["chat", "./nowhere", "--say", "hi"], "no such folder"),
        (["chat", "embedded:student", "--best-of", "8", "--say", "hi"], "go together"),
        (["chat", "embedded:student", "--best-of", "8", "--by", "embedded:teacher", "--say", "hi"], "cannot score"),
        (["chat", "embedded:student", "--guard", "nowhere", "--say", "hi"], "guard.json"),
        (["guard", "nowhere", "--model", "nowhere", "--cost", "5"], "answers.jsonl"),
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


def test_a_training_that_cannot_go_on_does_not_promise_that_the_same_command_resumes(monkeypatch, tmp_path):
    def failed(*args, **kwargs):
        raise TrainingError("3 updates in a row were skipped")

    monkeypatch.setattr("cai_lite.pipeline.walk.run_recipe", failed)
    told = run("demo", "--out", str(tmp_path / "x"))
    assert told.exit_code == 3 and "Finished work is saved." in told.output
    assert "resumes from here" not in told.output


def test_an_interrupt_says_that_the_same_command_goes_on(monkeypatch, tmp_path):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("cai_lite.pipeline.walk.run_recipe", interrupted)
    told = run("demo", "--out", str(tmp_path / "x"))
    assert told.exit_code == 130 and "the same command resumes from here" in told.output


def test_debug_shows_the_traceback(monkeypatch):
    monkeypatch.setenv("CAI_LITE_DEBUG", "1")
    assert "RecipeError" in repr(run("run", "medcal").exception)


def test_the_version_is_printed():
    told = run("--version")
    assert told.exit_code == 0 and re.fullmatch(r"cai-lite \d+\.\d+\.\d+\n", told.output)


def test_a_dry_run_ends_with_what_to_do_next_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["run", "medical", "--profile", "embedded", "--set", "prompts.limit=4", "--dry-run"]
    told = run(*words)
    assert told.exit_code == 0, told.output
    lines = told.output.rstrip().splitlines()
    assert lines[-2].startswith("ready: 154 prompts (4 for training, 150 held out), about ")
    assert lines[-1] == "next: cai-lite run medical --profile embedded --set prompts.limit=4 --out runs/medical"
    assert "learning_rate" not in told.output
    assert "learning_rate: 0.0025" in run(*words, "--show").output
    found = json.loads(run(*words, "--json").output)
    assert found["ready"] == lines[-2] and "learning_rate: 0.0025" in found["resolved"]
    assert list(tmp_path.iterdir()) == []


def test_a_paid_run_is_told_to_begin_with_a_preflight(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = ["teacher.url=http://localhost:1/v1", "student.model=embedded:student", "student.load=null"]
    told = run("run", "medical", "--dry-run", *(word for setting in settings for word in ("--set", setting)))
    assert told.exit_code == 0, told.output
    assert "not measured yet" in told.output
    assert "next: cai-lite preflight medical --set teacher.url=http://localhost:1/v1" in told.output


def test_init_begins_a_project_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = run("init", "mine", "--from", "creative")
    assert told.exit_code == 0 and told.output.rstrip().endswith("cai-lite run mine/recipe.yaml --profile embedded")
    again = run("init", "mine")
    assert again.exit_code == 2 and "is there already" in again.output


def test_the_run_directory_of_a_project_bears_its_name(tmp_path):
    assert run_name("medical") == "medical" and run_name("my/recipes/own.yaml") == "own"
    assert run_name(str(tmp_path / "mine" / "recipe.yaml")) == "mine"


def test_chat_answers_a_question():
    told = run("chat", "embedded:student", "--say", "I have a headache.", "--max-tokens", "12")
    assert told.exit_code == 0 and told.output.startswith("reply: ")


HOSTILE = "\x1b[2J\x1b]0;x\x07\x9b31m\u202eb\u200b[red]c[/nothing]"


def test_nothing_that_a_file_or_a_model_wrote_is_obeyed_by_the_terminal(tmp_path):
    constitution = tmp_path / f"{HOSTILE.replace('/', '')}.yaml"
    text = json.dumps(
        {"name": HOSTILE, "principles": [{"id": "kind", "text": f"Be kind, {HOSTILE} etc.", "source": HOSTILE}]}
    )
    constitution.write_text(text)
    broken = tmp_path / "prompts.jsonl"
    broken.write_text(json.dumps({"prompt": "Hi", HOSTILE: 1}) + "\n")
    with Run(tmp_path / "run") as made:
        payload = {"messages": [["user", HOSTILE]], "family": HOSTILE, "text": HOSTILE, "author": HOSTILE}
        made.keep_rows("prompt", [("k1", (), payload)])
    figure = {"value": 0.5, "n": 9, "low": 0.4, "high": 0.6}
    compared = {"before": figure, "after": figure, "change": figure}
    evaluation = {
        "format": 1,
        "model": HOSTILE,
        "against": HOSTILE,
        "constitution": HOSTILE,
        "judge": HOSTILE,
        "seed": 0,
        "metrics": {"adherence": {"overall": compared, "principles": {HOSTILE: compared}}},
    }
    (tmp_path / "run" / "evaluation.json").write_text(json.dumps(evaluation))
    shown = [
        run("lint", str(constitution)),
        run("lint", str(constitution), "--json"),
        run("lint", str(tmp_path / f"no{HOSTILE}")),
        run("lint", str(constitution), "--prompts", str(broken)),
        run("constitution", "diff", "medical", str(constitution)),
        run("audit", str(tmp_path / "run"), "k1"),
        run("audit", str(tmp_path / "run"), "k1", "--json"),
        run("audit", str(tmp_path / "run"), "--verify"),
        run("audit", str(tmp_path / "run"), HOSTILE),
        run("evaluate", "--compare", str(tmp_path / "run")),
        run("run", HOSTILE),
        run("run", "medical", "--set", f"teacher.model={HOSTILE}", "--dry-run"),
    ]
    for number, done in enumerate(shown):
        assert done.output and not UNSAFE.search(done.output), (number, done.output)
        assert done.exception is None or isinstance(done.exception, SystemExit), (number, done.exception)
    assert json.loads(shown[6].output)["payload"]["text"] == HOSTILE  # JSON's escapes lose nothing


def test_report_compare_prints_the_paired_difference_and_refuses_other_prompts(tmp_path):
    def figure(value):
        return {"value": value, "n": 40, "low": value / 2, "high": 1.0}

    def made(name, prompts, good):
        cells = [KeptCell(f"{prompts}{i}", f"f{i // 2}", "kind", "digest", 1.0, (float(i < good),)) for i in range(40)]
        with Run(tmp_path / name) as opened:
            opened.remember(CELLS, cells)
        found = {"format": 1, "model": "m", "against": "", "constitution": "c", "judge": "j", "seed": 0}
        metrics = {"adherence": {"overall": figure(good / 40), "principles": {"kind": figure(good / 40)}}}
        (tmp_path / name / "evaluation.json").write_text(json.dumps({**found, "metrics": metrics}))
        return str(tmp_path / name)

    first, better, elsewhere = made("a", "p", 10), made("b", "p", 30), made("c", "q", 30)
    done = run("report", first, "--compare", better, "--margin", "0.02", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    (against,) = found["against"]
    kind = against["paired"]["adherence.kind"]
    assert found["margin"] == 0.02 and against["shared_prompts"] == 40
    assert kind["change"]["value"] == 0.5 and kind["change"]["low"] > 0.2
    assert kind["not_worse"] and kind["p_holm"] == kind["p"] < 0.01
    told = run("report", first, "--compare", better)
    assert "paired by prompt and principle" in told.output and "report.html" in told.output
    refused = run("report", first, "--compare", elsewhere)
    assert refused.exit_code == 2 and "other held-out prompts" in refused.output
    allowed = run("evaluate", "--compare", first, "--compare", elsewhere, "--unpaired")
    assert allowed.exit_code == 0 and "UNPAIRED" in allowed.output


def test_a_password_in_a_url_is_never_printed(tmp_path):
    url = "http://user:hunter2@127.0.0.1:9/v1?api_key=topsecret"
    settings = ["--set", f"teacher.url={url}", "--set", "teacher.model=m", "--set", "teacher.load=null"]
    settings += ["--set", "student.model=embedded:student", "--set", "student.load=null"]
    shown = [
        run("run", "medical", *settings, "--dry-run"),
        run("run", "medical", *settings, "--dry-run", "--show"),
        run("run", "medical", *settings, "--dry-run", "--json"),
        run(
            "run",
            "medical",
            "--set",
            "teacher.url=ftp://user:hunter2@h?api_key=topsecret",
            "--set",
            "teacher.model=m",
            "--dry-run",
        ),
        run("lint", "medical", "--judge", url),
        run("chat", url),
        run("train", "--student", url, "--pairs", str(tmp_path / "p"), "--out", str(tmp_path / "o")),
    ]
    for done in shown:
        assert done.output and "hunter2" not in done.output and "topsecret" not in done.output, done.output
    assert all("http://***@127.0.0.1:9/v1?api_key=***" in done.output for done in shown[:3])


def test_the_help_stays_one_screen():
    """A line for each command, in 80 columns."""
    lines = run("--help").stdout.splitlines()
    named = [line for line in lines if re.match(r"│ [a-z]+ {2,}\S", line)]
    commands = {info.name or info.callback.__name__.rstrip("_") for info in app.registered_commands}
    assert {line.split()[1] for line in named} == commands | {"constitution", "prompts"}
    assert len(lines) <= 48 and max(map(len, lines)) <= 80


def test_a_failed_gate_is_told_where_nothing_else_is_printed(capsys):
    gates = [
        {"name": "adherence.low", "wanted": ">= 0.8", "found": 0.72546, "holds": False, "note": ""},
        {"name": "over_refusal.high", "wanted": "<= 0.2", "found": 0.1, "holds": True, "note": ""},
    ]
    with pytest.raises(typer.Exit):
        exit_by_gates({"gates": gates}, untold=True)
    assert capsys.readouterr().err == "cai-lite: gate failed: adherence.low >= 0.8, found 0.725\n"
    exit_by_gates({"gates": gates[1:]}, untold=True)
    assert capsys.readouterr().err == ""
