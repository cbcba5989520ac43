"""A run is exported as a folder that says what was written, what servers do with it, and what to type next."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec

import pytest
from typer.testing import CliRunner

import cai_lite
from cai_lite.cli import app
from cai_lite.errors import InputError
from cai_lite.serving.export import export
from cai_lite.serving.gguf import LORA, MODEL
from tests.real_server import serving
from tests.serving.exported import measured
from tests.serving.test_gguf import WRITES

LLAMA_CPP = os.environ.get("LLAMA_CPP", "")


@pytest.fixture(autouse=True)
def _no_llama_cpp(monkeypatch):
    monkeypatch.delenv("LLAMA_CPP", raising=False)


@pytest.fixture
def converters(tmp_path):
    folder = tmp_path / "llama.cpp"
    folder.mkdir()
    for name in (LORA, MODEL):
        (folder / name).write_text(WRITES)
    return folder


TOLD = """
import runpy, sys
sys.path.insert(1, {place!r})
from conversion.base import TextModel
TextModel.get_vocab_base_pre = lambda *_: "gpt-2"
runpy.run_path({place!r} + "/{script}", run_name="__main__")
"""


def exported(run, out, *more):
    return CliRunner().invoke(app, ["export", str(run), "--out", str(out), *map(str, more)])


def test_the_adapter_alone_is_exported_with_the_command_that_serves_it(untrained, tmp_path):
    done = exported(untrained, tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["written"] == {"adapter": str(tmp_path / "out" / "adapter")} and found["findings"] == []
    settings = json.loads((tmp_path / "out" / "adapter" / "adapter_config.json").read_text())
    assert settings["r"] == 4 and settings["base_model_name_or_path"].endswith("student")
    (command,) = found["commands"]
    assert command["command"].startswith("vllm serve ") and "--max-lora-rank 8 " in command["command"]
    assert (tmp_path / "out" / "adapter" / "README.md").read_text().count("library_name: peft") == 1
    record = json.loads((tmp_path / "out" / "export.json").read_text())
    assert record["written"] == found["written"] and record["run"] == os.path.relpath(untrained, tmp_path / "out")


def test_all_of_it_at_once(untrained, converters, tmp_path):
    out = tmp_path / "out"
    done = exported(untrained, out, "--merge", "--gguf", "--ollama", "--dataset", "--llama-cpp", converters)
    assert done.exit_code == 0, done.output
    record = json.loads((out / "export.json").read_text())
    assert set(record["written"]) == {"adapter", "merged", "adapter.gguf", "merged.gguf", "Modelfile", "dataset"}
    assert (out / "gguf" / "merged.gguf").read_bytes().endswith(b"--outtype f16")
    assert record["drift"]["tokens"] > 50 and "drift of the log-probability" in done.output
    card = (out / "merged" / "README.md").read_text()
    assert "library_name: transformers" in card and "Merged into the base in float16." in card and "Drift of" in card
    assert (out / "Modelfile").read_text().startswith("FROM ./gguf/merged.gguf\nTEMPLATE")
    assert "PARAMETER temperature" in (out / "Modelfile").read_text()
    again = exported(untrained, out, "--dataset")  # an earlier export may be replaced
    assert again.exit_code == 0, again.output
    assert set(json.loads((out / "export.json").read_text())["written"]) == {"dataset"}


def test_without_llama_cpp_the_commands_are_printed_and_the_status_tells(untrained, tmp_path, monkeypatch):
    monkeypatch.setattr("cai_lite.serving.gguf.shutil.which", lambda name: None)
    done = exported(untrained, tmp_path / "out", "--gguf", "--ollama")
    assert done.exit_code == 1, done.output
    assert "converters are not installed here" in done.output
    assert f'python "$LLAMA_CPP"/{LORA} ' in done.output and "llama-server -m" in done.output
    modelfile = (tmp_path / "out" / "Modelfile").read_text()
    assert "ADAPTER ./adapter\n" in modelfile and "student\n" in modelfile.splitlines()[0] + "\n"


def test_an_adapter_that_no_server_takes_is_exported_with_status_1(untrained, tmp_path):
    run = shutil.copytree(untrained, tmp_path / "run")
    file = run / "adapter" / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "alpha_pattern": {"q_proj": 3}}))
    done = exported(run, tmp_path / "out")
    assert done.exit_code == 1 and "vLLM refuses the adapter" in done.output and "vllm serve" not in done.output


def test_what_is_not_a_run_or_not_an_empty_folder_is_refused(untrained, tmp_path):
    with pytest.raises(InputError, match=r"not the directory of a finished run \(recipe\.yaml not found\)"):
        export(tmp_path, tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years")
    for place, says in ((tmp_path / "full", "is not empty"), (untrained, "holds the run itself")):
        with pytest.raises(InputError, match=says):
            export(untrained, place)
    assert not (tmp_path / "out").exists() and (tmp_path / "full" / "thesis.txt").read_text() == "years"


def test_a_push_is_checked_before_anything_is_written(untrained, tmp_path):
    done = exported(untrained, tmp_path / "out", "--push", "me/adapter")
    assert done.exit_code == 2 and "the base embedded:student is not on the hub" in done.output
    both = exported(untrained, tmp_path / "out", "--dataset", "--merge", "--push", "me/x")
    assert both.exit_code == 2 and "one kind at a time" in both.output
    assert not (tmp_path / "out").exists()


def test_the_public_name_is_the_function():
    assert cai_lite.export is export


def examined(run, url, name):
    words = ["evaluate", "--served", f"{url}#{name}", "--out", str(run), "--margin", "0.15", "--quiet", "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code in (0, 1), done.output
    found = json.loads(done.stdout)
    assert found["holds"] is (done.exit_code == 0)
    return found


def as_good(found):
    """Check that what was served is what the run measured; at temperature 0 it says nearly the same."""
    change = found["paired"]["adherence"]["change"]
    assert found["holds"] and change["low"] <= 0 <= change["high"], found
    assert found["same_answers"] >= 0.75, found


def worse(found):
    """Check that the exam saw that the adapter was lost."""
    assert not found["holds"] and found["paired"]["adherence"]["change"]["high"] < -0.15, found


@pytest.mark.slow
def test_the_merged_model_served_by_transformers_is_as_good_as_the_run_and_its_base_is_not(tmp_path):
    pytest.importorskip("fastapi", reason="transformers serve needs fastapi")
    pytest.importorskip("uvicorn", reason="transformers serve needs uvicorn")
    run = measured(tmp_path / "run", prompts=8)
    export(run, tmp_path / "out", merge=True)
    program = "from transformers.cli.transformers import main; main()"  # it opens the model that a request names
    command = [sys.executable, "-c", program, "serve", "--port", "PORT", "--device", "cpu", "--no-continuous-batching"]
    with serving(command, tmp_path / "log.txt") as url:
        as_good(examined(run, url, str(tmp_path / "out" / "merged")))
        worse(examined(run, url, str(tmp_path / "base")))


@pytest.mark.slow
@pytest.mark.skipif(
    not shutil.which("llama-server") or not LLAMA_CPP,
    reason="needs llama.cpp: llama-server on PATH, and its folder with the converters as LLAMA_CPP",
)
def test_the_gguf_served_by_llama_cpp_is_as_good_as_the_run_and_its_base_is_not(tmp_path, told):
    run, out = measured(tmp_path / "run", prompts=8), tmp_path / "out"
    made = export(run, out, gguf=True, llama_cpp=told)
    assert set(made.written) == {"adapter", "adapter.gguf"}, made.problems
    commands = dict(made.commands)
    subprocess.run(commands["convert the base, once"], shell=True, capture_output=True, check=True)
    words = [*shlex.split(commands["serve it with the adapter"]), "--port", "PORT"]
    with serving(words, tmp_path / "log.txt") as url:
        as_good(examined(run, url, "student"))
    at = words.index("--lora")
    with serving([*words[:at], *words[at + 2 :]], tmp_path / "log.txt") as url:
        worse(examined(run, url, "base"))


@pytest.fixture
def told(tmp_path):
    """A folder with llama.cpp's converters, told which pre-tokenizer the embedded tokenizer has: GPT-2's.

    They know the tokenizers of released models by a digest of what these make of a text, and refuse all others.
    """
    folder = tmp_path / "told"
    folder.mkdir()
    (folder / LORA).write_text(TOLD.format(place=LLAMA_CPP, script=LORA))
    (folder / MODEL).write_text(TOLD.format(place=LLAMA_CPP, script=MODEL))
    if find_spec("sentencepiece") is None:  # is imported, and not used where there is no tokenizer.model
        (folder / "sentencepiece.py").write_text("SentencePieceProcessor = None\n")
    return folder
