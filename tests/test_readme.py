"""The README runs as printed."""

import contextlib
import io
import json
import random
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import rich.progress  # noqa: F401  (rich draws random numbers while it is imported)
import torch
from typer.testing import CliRunner

import cai_lite as cai
from cai_lite.chat.local import LocalModel
from cai_lite.cli import app


@pytest.fixture
def readme(repository):
    return (repository / "README.md").read_text(encoding="utf-8")


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def seeds():
    """The state of every global random number generator that a caller may rely on."""
    numpys = np.random.get_state(legacy=False)
    return {
        "random": random.getstate(),
        "numpy": (numpys["state"]["key"].tolist(), numpys["state"]["pos"]),
        "torch": torch.get_rng_state().tolist(),
    }


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """The Python block of the README, run as printed: its names, its output, where it ran, and the global seeds."""
    text = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    (code,) = [block for block in blocks(text, "python") if "import cai_lite" in block]
    folder, names, printed = tmp_path_factory.mktemp("readme"), {}, io.StringIO()
    before = seeds()
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), names)
    return names, printed.getvalue(), folder, [name for name, state in seeds().items() if state != before[name]]


def test_the_python_block_has_an_effect(walked):
    adherence = walked[0]["found"]["metrics"]["adherence"]["overall"]
    assert adherence["change"]["low"] > 0.1
    assert adherence["after"]["value"] > 0.9 > 0.7 > adherence["before"]["value"]


def test_the_python_block_prints_what_it_says_and_nothing_else_and_leaves_the_seeds(walked):
    names, printed, _, changed = walked
    figures, page = printed.splitlines()
    assert figures == str(names["found"]["metrics"]["adherence"]["overall"])
    assert page == str(names["run"].path("report.html"))
    assert changed == []


def test_the_python_block_leaves_what_the_command_leaves(walked):
    _, _, folder, _ = walked
    run = folder / "runs" / "first"
    for name in (
        "run.db",
        "pairs.jsonl",
        "dataset_card.md",
        "adapter/adapter_config.json",
        "adapter/README.md",
        "metrics.jsonl",
        "training.json",
        "evaluation.json",
        "report.html",
        "manifest.json",
        "log.txt",
    ):
        assert (run / name).is_file(), name


def test_the_commands_read_the_run_of_the_python_block(walked):
    _, _, folder, _ = walked
    run = str(folder / "runs" / "first")
    assert CliRunner().invoke(app, ["audit", run, "--verify"]).output.strip() == "all digests match"
    status = json.loads(CliRunner().invoke(app, ["status", run, "--json"]).output)
    assert status["left"] == [] and status["done"] == ["pair", "train", "evaluate", "report"]


def test_a_cell_that_is_run_twice_asks_nobody_again(walked, monkeypatch):
    names, _, folder, _ = walked
    monkeypatch.chdir(folder)
    monkeypatch.setattr(LocalModel, "opened", None)  # no model is loaded
    again = cai.Run("runs/first")
    assert again is names["run"]
    sampling = cai.Sampling(temperature=0.8, max_tokens=96)
    drafts = cai.draft(names["student"], names["prompts"], n=4, sampling=sampling, run=again)
    assert drafts == names["drafts"]
    again.close()


def test_every_command_line_is_one_that_the_program_takes(readme):
    whole = [block.replace("\\\n", " ") for block in blocks(readme, "sh")]
    lines = [shlex.split(line, comments=True) for block in whole for line in block.splitlines()]
    commands = [words[1:] for words in lines if words[:1] == ["cai-lite"]]
    assert len(commands) >= 3
    for words in commands:
        options = [word for word in words[1:] if word.startswith("--")]
        named = words[: 2 if words[0] in ("constitution", "prompts") else 1]
        shown = CliRunner().invoke(app, [*named, "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output
        for option in options:
            assert option in shown, words


def test_make_has_the_targets_that_the_readme_names(readme, repository):
    makefile = (repository / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^make ([a-z-]+)", "\n".join(blocks(readme, "sh")), re.MULTILINE)
    assert set(targets) >= {"demo", "test"}
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
