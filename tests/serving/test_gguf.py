"""llama.cpp's converters are found, called as they are meant to be, and believed only where they made a GGUF."""

from __future__ import annotations

from pathlib import Path

import pytest

from cai_lite.errors import InputError
from cai_lite.serving.gguf import (
    LORA,
    MODEL,
    adapter_conversion,
    convert,
    find_converters,
    lost_in_tokenizer,
    model_conversion,
    tokenizer_problem,
)

WRITES = """
import sys
words = sys.argv[1:]
open(words[words.index("--outfile") + 1], "wb").write(b"GGUF" + " ".join(words).encode())
"""


@pytest.fixture
def converters(tmp_path) -> Path:
    """A folder like llama.cpp's, whose scripts write down how they were called."""
    folder = tmp_path / "llama cpp"
    folder.mkdir()
    for name in (LORA, MODEL):
        (folder / name).write_text(WRITES)
    return folder


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch):
    monkeypatch.delenv("LLAMA_CPP", raising=False)
    monkeypatch.setenv("PATH", "")


def test_the_converters_are_found_where_they_are_named(converters, monkeypatch, tmp_path):
    assert find_converters() is None
    assert find_converters(converters) == converters
    monkeypatch.setenv("LLAMA_CPP", str(converters))
    assert find_converters() == converters
    with pytest.raises(InputError, match=r"no convert_lora_to_gguf\.py there"):
        find_converters(tmp_path)


def test_the_converters_are_found_on_path(converters, monkeypatch):
    (converters / LORA).chmod(0o755)
    monkeypatch.setenv("PATH", str(converters))
    assert find_converters() == converters


def test_an_adapter_and_a_model_are_converted(converters, tmp_path):
    (tmp_path / "base").mkdir()
    asked = adapter_conversion(converters, str(tmp_path / "base"), tmp_path / "adapter", tmp_path / "g" / "a.gguf")
    assert convert(asked, converters).problem == ""
    words = asked.file.read_bytes().removeprefix(b"GGUF").decode()
    assert words.startswith(f"{tmp_path / 'adapter'} --base {tmp_path / 'base'} --outfile") and "--outtype f32" in words
    whole = model_conversion(converters, str(tmp_path / "merged"), tmp_path / "g" / "m.gguf", "bfloat16")
    assert not convert(whole, converters).problem and b"--outtype bf16" in whole.file.read_bytes()
    hub = adapter_conversion(converters, "Qwen/Qwen3-8B", tmp_path / "adapter", tmp_path / "b.gguf")
    assert "--base-model-id Qwen/Qwen3-8B" in hub.text
    assert sorted(path.name for path in (tmp_path / "g").iterdir()) == ["a.gguf", "m.gguf"]


def test_without_converters_the_command_is_the_result(tmp_path):
    asked = model_conversion(None, "merged", tmp_path / "m.gguf")
    done = convert(asked, None)
    assert "not installed" in done.problem and not done.file.exists()
    assert done.text == f'python "$LLAMA_CPP"/{MODEL} merged --outfile {tmp_path / "m.gguf"} --outtype auto'


def test_the_tokenizer_of_a_base_is_tried_without_its_weights(converters, tmp_path):
    base = tmp_path / "g" / "base.gguf"
    assert tokenizer_problem(converters, "base", base) == "" and not list(base.parent.iterdir())
    refusal = "raise NotImplementedError('pre-tokenizer was not recognized')"
    (converters / MODEL).write_text(f"import sys\nassert '--vocab-only' in sys.argv\n{refusal}")
    assert "does not know this tokenizer" in tokenizer_problem(converters, "base", base)
    assert [path.name for path in base.parent.iterdir()] == ["base-tokenizer.log"]


def test_a_sentencepiece_tokenizer_without_its_scores_is_told(tmp_path):
    assert lost_in_tokenizer(tmp_path) == ""
    (tmp_path / "tokenizer.json").write_text('{"model": {"type": "BPE", "byte_fallback": false}}')
    assert lost_in_tokenizer(tmp_path) == ""
    (tmp_path / "tokenizer.json").write_text('{"model": {"type": "BPE", "byte_fallback": true}}')
    assert "no tokenizer.model, so a GGUF may split text into other tokens" in lost_in_tokenizer(tmp_path)
    (tmp_path / "tokenizer.model").write_bytes(b"scores")
    assert lost_in_tokenizer(tmp_path) == ""


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("raise NotImplementedError('BPE pre-tokenizer was not recognized')", "does not know this tokenizer"),
        ("raise NotImplementedError", "reorders weights of this architecture"),
        ("raise SystemExit('lm_head is present in adapter, but is ignored')", "ties its output layer"),
        ("import sentencepiece_of_nobody", "need the package sentencepiece_of_nobody: pip install sentencepiece_of_n"),
        ("raise SystemExit('out of luck')", "status 1: out of luck"),
        (WRITES.replace('b"GGUF"', 'b"half"'), "status 0"),
        ("pass", "it said nothing"),
    ],
)
def test_a_converter_that_fails_leaves_its_words_and_no_file(script, says, converters, tmp_path):
    (converters / LORA).write_text(script)
    asked = adapter_conversion(converters, "a/b", tmp_path, tmp_path / "a.gguf")
    asked.file.write_bytes(b"GGUF of another adapter")
    done = convert(asked, converters)
    assert says in done.problem and not asked.file.exists()
    assert (tmp_path / "a.log").is_file() and not list(tmp_path.glob(".*.partial"))
