"""The predicted peak against what a real pass allocates; fitting into a budget; running out of memory."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM, LlamaConfig, LlamaForCausalLM

from cai_lite.errors import TrainingError
from cai_lite.logps.attention import attention_of
from cai_lite.logps.footprint import Live
from cai_lite.logps.fused import fuse
from cai_lite.training import loop
from cai_lite.training.batch import Passes
from cai_lite.training.config import Lora, TrainingConfig
from cai_lite.training.loop import train
from cai_lite.training.memory import fit, footprint_of
from cai_lite.training.student import set_checkpointing, with_adapter
from cai_lite.training.tokens import Row

SIZES = {
    "vocab_size": 300,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
}
KINDS = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES)),
    "gemma2": lambda: Gemma2ForCausalLM(Gemma2Config(**SIZES, head_dim=16)),
}
PAIRS = [Row((i + 3,) * 120, ((7,) * (60 + 9 * i), (8,) * 70)) for i in range(4)]


CONFIG = TrainingConfig(lora=Lora(rank=4))


def opened(name):
    model = with_adapter(KINDS[name]().requires_grad_(False), lora=Lora(rank=4), init_adapter=None, seed=0)
    fuse(model)
    return model.train()


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("layout", ["plain", "shared"])
@pytest.mark.parametrize("recomputed", [0, 2, 6])
def test_the_prediction_is_within_a_tenth_of_what_a_real_pass_allocates(name, layout, recomputed):
    model = opened(name)
    predicted = footprint_of(
        model.config, PAIRS, CONFIG, layout=layout, quantised=False, dtype=torch.float32
    ).pass_bytes(recomputed)
    set_checkpointing(model, recomputed)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)
    with attention_of(model, layout), Live() as live:
        logps = Passes(layout, 1 << 30, 0).logps(model, PAIRS)
        logps.sums_BK.sum().backward()
    assert predicted == pytest.approx(live.peak, rel=0.1)


def test_the_parts_that_stand_are_counted_as_they_are():
    model = opened("llama")
    found = footprint_of(model.config, PAIRS, CONFIG, layout="shared", quantised=False, dtype=torch.float32)
    frozen = sum(4 * p.numel() for p in model.parameters() if not p.requires_grad)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert found.weights == frozen
    assert found.adapter == 16 * trained  # the weight, its gradient, two moments


def said_by_fit(memory, **settings):
    model, said = opened("llama"), []
    passes = Passes("shared", 4096, 0)
    fit(model, PAIRS, passes, TrainingConfig(memory=memory, lora=Lora(rank=4), **settings), said.append)
    layers = [m for m in model.modules() if hasattr(m, "gradient_checkpointing") and hasattr(m, "self_attn")]
    return [m.gradient_checkpointing for m in layers], passes.tokens, " ".join(said)


def test_the_smaller_the_budget_the_more_layers_are_recomputed_and_then_the_smaller_the_passes():
    counts = []
    for megabytes in (1000, 12, 5):
        on, tokens, said = said_by_fit(megabytes / 1000)
        assert on == sorted(on, reverse=True)
        counts.append((sum(on), tokens))
        assert f"{sum(on)} of 6 layers recomputed" in said
    assert counts[0] == (0, 4096)
    for (on, tokens), (more_on, fewer_tokens) in pairwise(counts):
        assert fewer_tokens < tokens or more_on > on
    assert counts[-1][1] < 4096


def test_too_small_a_budget_is_said_and_tried():
    on, _, said = said_by_fit(0.0001)
    assert all(on)
    assert "trying all the same" in said


def test_on_a_cpu_nothing_is_recomputed_unless_asked():
    assert said_by_fit("auto") == ([False] * 6, 4096, "")
    assert said_by_fit("auto", activation_checkpointing=True)[0] == [True] * 6


SETTINGS = {"batch_size": 8, "learning_rate": 0.5, "optimizer": "sgd", "lora": Lora(rank=2), "epochs": 2}


def adapter(out):
    from safetensors.torch import load_file

    return load_file(out / "adapter" / "adapter_model.safetensors")


def test_out_of_memory_halves_the_passes_and_changes_nothing_else(student, pairs, tmp_path, monkeypatch):
    whole = train(student, pairs, config=TrainingConfig(**SETTINGS), out=tmp_path / "whole", log=lambda _: None)
    honest, sizes, said = Passes.logps, [], []

    def scarce(self, model, part):
        if torch.is_grad_enabled():
            sizes.append(len(part))
            if len(part) > 2:
                raise torch.OutOfMemoryError("as a GPU says it")
        return honest(self, model, part)

    monkeypatch.setattr(Passes, "logps", scarce)
    scant = train(student, pairs, config=TrainingConfig(**SETTINGS), out=tmp_path / "scant", log=said.append)
    assert sizes[0] == 8
    assert max(sizes[4:]) <= 4
    assert sizes[-1] <= 2
    assert any("out of memory: passes of at most" in line for line in said)
    assert scant.last["loss"] == pytest.approx(whole.last["loss"], abs=1e-5)
    for name, expected in adapter(tmp_path / "whole").items():
        torch.testing.assert_close(adapter(tmp_path / "scant")[name], expected, rtol=0, atol=1e-5)


def test_out_of_memory_with_a_single_pair_is_an_error_that_says_what_helps(student, pairs, tmp_path, monkeypatch):
    def never(*args, **kwargs):
        raise torch.OutOfMemoryError("as a GPU says it")

    monkeypatch.setattr(loop.METHODS["dpo"], "loss", never)
    with pytest.raises(TrainingError, match=r"one row \(a pair\) a pass: lower train\.max_tokens"):
        train(student, pairs, config=TrainingConfig(**SETTINGS), out=tmp_path, log=lambda _: None)
