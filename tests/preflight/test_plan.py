"""`plan`: what fits, what makes it fit, and how long it takes."""

from __future__ import annotations

import pytest
from rich.console import Console
from transformers import LlamaConfig

from cai_lite.errors import InputError, ModelError
from cai_lite.pipeline.recipe import load_recipe
from cai_lite.preflight.plan import plan, show_plan


@pytest.fixture(scope="module")
def shape(tmp_path_factory):
    """A folder with nothing but the config of a Llama of 7B."""
    folder = tmp_path_factory.mktemp("llama")
    LlamaConfig(
        hidden_size=4096,
        intermediate_size=11008,
        num_hidden_layers=32,
        num_attention_heads=32,
        vocab_size=32000,
        tie_word_embeddings=False,
    ).save_pretrained(folder)
    return str(folder)


def recipe(shape, monkeypatch, *overrides):
    monkeypatch.setenv("TEACHER_URL", "http://localhost/v1")
    base = [f"student.model={shape}", "train.tokens_per_batch=1", "train.max_tokens=1024", "draft.max_tokens=512"]
    return load_recipe("medical", overrides=[*base, *overrides])


def test_a_7b_in_nf4_stands_as_counted_by_hand(shape, monkeypatch):
    """6.476e9 weights in layers at 0.516 bytes, 2 x 131e6 at two bytes, norms; 40.0e6 LoRA weights at 16 bytes."""
    found = plan(recipe(shape, monkeypatch), gpu_memory=24)
    assert found["weights_gb"] == pytest.approx(6.476 * 0.51587 + 0.5243 + 0.0005, rel=2e-3)
    assert found["adapter_gb"] == pytest.approx(0.03998 * 16, rel=2e-3)
    assert found["longest_pair"] == {"prompt_tokens": 512, "completion_tokens": 512}
    (whole, *_, small) = found["options"]
    assert (whole["layers_recomputed"], small["layers_recomputed"]) == (0, 32)
    # A layer keeps at least its input for 1,535 tokens, in two bytes.
    assert small["peak_gb"] > found["weights_gb"] + found["adapter_gb"] + 0.6 + 32 * 1535 * 4096 * 2 / 1e9
    assert small["peak_gb"] < 7.0
    assert whole["hours"] < small["hours"]


def test_the_smaller_the_gpu_the_more_is_recomputed(shape, monkeypatch):
    chosen = [plan(recipe(shape, monkeypatch), gpu_memory=gb)["best"]["layers_recomputed"] for gb in (24, 12, 8)]
    assert chosen == sorted(chosen)
    assert chosen[0] == 0 < chosen[-1]


def test_what_does_not_fit_says_what_would(shape, monkeypatch):
    found = plan(recipe(shape, monkeypatch, "student.load=bfloat16"), gpu_memory=8)
    assert (found["fits"], found["best"]) == (False, None)
    assert found["advice"] == "does not fit; it fits with student.load: nf4"
    found = plan(recipe(shape, monkeypatch, "train.max_tokens=16384"), gpu_memory=8)
    assert found["advice"].startswith("does not fit; it fits with train.max_tokens: ")
    found = plan(recipe(shape, monkeypatch), gpu_memory=3)
    assert "smaller student" in found["advice"]


def test_twice_the_speed_is_half_the_hours_and_the_table_says_what_was_assumed(shape, monkeypatch):
    read = recipe(shape, monkeypatch)
    one, two = (plan(read, gpu_memory=24, tflops=tflops) for tflops in (50, 100))
    assert one["best"]["hours"] == pytest.approx(2 * two["best"]["hours"])
    console = Console(record=True, width=140)
    show_plan(one, console)
    text = console.export_text()
    assert "predicted" in text
    assert "40% of 50 TFLOP/s" in text


def test_wrong_numbers_and_models_are_refused(shape, monkeypatch, tmp_path):
    with pytest.raises(InputError, match="gpu_memory should be above 0"):
        plan(recipe(shape, monkeypatch), gpu_memory=0)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"the configuration of .* is not on this machine and cannot be downloaded"):
        plan(recipe(str(tmp_path), monkeypatch), gpu_memory=8)
