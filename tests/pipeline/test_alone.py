"""One training alone: on a file, or on the material of a run."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from cai_lite.cli import app

QUICK = ["--set", "train.max_steps=1", "--set", "train.batch_size=2", "--quiet", "--json"]
ASKED = [{"role": "user", "content": "I have a cough."}]


@pytest.fixture
def run_dir(tmp_path):
    """What a run leaves that a training reads: its recipe, pairs and revisions. Its prompts are elsewhere."""
    out = tmp_path / "run"
    out.mkdir()
    (out / "recipe.yaml").write_text(
        "constitution: medical-embedded\nprompts: {file: /nowhere/prompts.jsonl}\n"
        "teacher: {model: 'embedded:teacher'}\n"
        "student: {model: 'embedded:student'}\nseed: 5\n"
        "train:\n- {method: sft, on: revisions, lora: {rank: 2}, epochs: 3}\n- {method: dpo, loss: {beta: 0.3}}\n"
    )
    sides = {"chosen": [{"role": "assistant", "content": "See a doctor."}], "rejected": "It is nothing."}
    rows = [{"prompt": [{"role": "user", "content": f"Pain {i}"}], **sides} for i in range(3)]
    for row in rows:
        row["rejected"] = [{"role": "assistant", "content": "It is nothing."}]
    (out / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    steps = [
        {"role": "assistant", "content": "It is nothing."},
        {"role": "user", "content": "What is wrong with it?"},
        {"role": "assistant", "content": "It names no doctor."},
        {"role": "user", "content": "Rewrite it."},
        {"role": "assistant", "content": "See a doctor."},
    ]
    row = {"prompt": ASKED, "completion": steps[-1:], "steps": steps, "principle": "p", "family": "f", "key": "k"}
    (out / "revisions.jsonl").write_text(json.dumps(row) + "\n")
    return out


def train(*words):
    return CliRunner().invoke(app, ["train", *map(str, words), *QUICK])


@pytest.mark.parametrize(
    ("words", "unit", "count"),
    [
        (["--method", "dpo"], "pairs", 3),
        (["--method", "sft", "--on", "revisions"], "demonstrations", 1),
        (["--method", "sft", "--on", "revisions", "--set", "train.include_critique=true"], "demonstrations", 3),
        (["--method", "sft", "--on", "chosen"], "demonstrations", 3),
        (["--method", "listwise"], "rankings", 3),
    ],
)
def test_one_phase_is_trained_alone_on_what_a_run_made(run_dir, tmp_path, words, unit, count):
    done = train("--run", run_dir, "--out", tmp_path / "alone", *words)
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert (found["pairs"]["unit"], found["pairs"]["kept"], found["steps"]) == (unit, count, 1)
    assert (tmp_path / "alone" / "adapter" / "adapter_config.json").is_file()
    assert sorted(path.name for path in run_dir.iterdir()) == ["pairs.jsonl", "recipe.yaml", "revisions.jsonl"]


def test_its_settings_are_those_of_the_runs_own_phase(run_dir):
    from cai_lite.pipeline.recipe import recorded_training
    from cai_lite.training.config import Loss

    path = run_dir / "recipe.yaml"
    _, sft = recorded_training(path, ["train.method=sft", "train.on=revisions"])
    assert (sft.epochs, sft.lora.rank, sft.seed) == (3, 2, 5)
    assert recorded_training(path, ["train.method=dpo"])[1].loss == Loss("dpo", 0.3)
    assert recorded_training(path, ["train.method=sft", "train.on=chosen"])[1].epochs == 1  # it has none of these


def test_a_file_of_demonstrations_is_trained_with_its_bad_rows_set_aside(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [{"prompt": ASKED, "completion": f"Drink tea {i}."} for i in range(30)]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"prompt": "x"}]))
    done = train("--student", "embedded:student", "--pairs", path, "--method", "sft", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["quarantined"] == 1
    assert "no 'completion'" in (tmp_path / "out" / "quarantine.jsonl").read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--run", "RUN"], "has several phases: sft, dpo; name the one to train by --method"),
        (["--run", "RUN", "--method", "dpo", "--on", "chosen"], "'on' means nothing to the method 'dpo'"),
        (["--run", "RUN", "--method", "sft", "--on", "revision"], "did you mean 'revisions'?"),
        (["--run", "RUN", "--pairs", "x.jsonl"], "--pairs and --run are both given"),
        (["--run", "nowhere"], "is not the directory of a recipe's run"),
        (["--student", "embedded:student"], "give --student and --pairs, or --run with a run directory"),
    ],
)
def test_what_is_missing_is_told_before_anything_is_written(run_dir, tmp_path, words, says):
    words = [run_dir if word == "RUN" else word for word in words]
    done = train(*words, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert says in done.output
    assert not (tmp_path / "out").exists()
