"""The predicted peak against what a real pass allocates; fitting into a budget; running out of memory."""

from __future__ import annotations

import random
import re
from itertools import islice, pairwise

import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM, LlamaConfig, LlamaForCausalLM, Qwen2Config

from cai_lite.errors import TrainingError
from cai_lite.logps.attention import attention_of
from cai_lite.logps.footprint import Live
from cai_lite.logps.fused import fuse
from cai_lite.training import loop, memory
from cai_lite.training.batch import Passes, tokens_read, total_steps, updates
from cai_lite.training.config import MEMORY_SHARE, Lora, TrainingConfig
from cai_lite.training.loop import train
from cai_lite.training.memory import fit
from cai_lite.training.ranks import ALONE, Ranks
from cai_lite.training.student import lora_parameters, set_checkpointing, with_adapter
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


@pytest.fixture(scope="module", autouse=True)
def _each_footprint_is_computed_once():
    """A footprint is a function of what it is asked for, and takes seconds; tests ask for the same ones."""
    honest, known = memory.footprint_of, {}

    def remembered(model_config, rows, config, **how):
        decides = config.method, config.lora, config.optimizer  # the budget does not
        key = repr((model_config.to_json_string(use_diff=False), list(rows), decides, sorted(how.items())))
        if key not in known:
            known[key] = honest(model_config, rows, config, **how)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "footprint_of", remembered)
        yield


def opened(name):
    model = with_adapter(KINDS[name]().requires_grad_(False), lora=Lora(rank=4), init_adapter=None, seed=0)
    fuse(model)
    return model.train()


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("layout", ["plain", "shared"])
@pytest.mark.parametrize("recomputed", [0, 2, 6])
def test_the_prediction_is_within_a_tenth_of_what_a_real_pass_allocates(name, layout, recomputed):
    model = opened(name)
    predicted = memory.footprint_of(
        model.config, PAIRS[:2], CONFIG, layout=layout, quantised=False, dtype=torch.float32
    ).pass_bytes(recomputed)
    set_checkpointing(model, recomputed)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)
    with attention_of(model, layout), Live() as live:
        logps = Passes(layout, 1 << 30, 0).values(model, PAIRS[:2])
        logps.sums_BK.sum().backward()
    assert predicted == pytest.approx(live.peak, rel=0.1)


def test_the_parts_that_stand_are_counted_as_they_are():
    model = opened("llama")
    found = memory.footprint_of(model.config, PAIRS, CONFIG, layout="shared", quantised=False, dtype=torch.float32)
    frozen = sum(4 * p.numel() for p in model.parameters() if not p.requires_grad)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert found.weights == frozen
    assert found.adapter == 16 * trained  # the weight, its gradient, two moments


def recomputing(model):
    layers = [m for m in model.modules() if hasattr(m, "gradient_checkpointing") and hasattr(m, "self_attn")]
    return [m.gradient_checkpointing for m in layers]


def said_by_fit(limit, ranks=ALONE, **settings):
    model, said = opened("llama"), []
    passes = Passes("shared", 4096, 0, ranks=ranks)
    fit(model, PAIRS, passes, TrainingConfig(memory=limit, lora=Lora(rank=4), **settings), said.append)
    return recomputing(model), passes.tokens, " ".join(said)


def test_the_smaller_the_budget_the_more_layers_are_recomputed_and_then_the_smaller_the_passes():
    counts = []
    for megabytes in (1000, 12, 5):
        on, tokens, said = said_by_fit(megabytes / 1000)
        assert on == sorted(on, reverse=True)
        counts.append((sum(on), tokens))
        assert f"{sum(on)} of 6 layers recomputed" in said
    assert counts[0] == (0, tokens_read(range(4), PAIRS, "shared"))  # all in one pass
    for (on, tokens), (more_on, fewer_tokens) in pairwise(counts):
        assert fewer_tokens < tokens or more_on > on
    assert counts[-1][1] < counts[0][1]


def like_a_medical_run(count):
    """Pairs with prompts of 40 to 400 tokens and completions of 50 to 500."""
    drawn = random.Random(0)

    def ids(low, high):
        return tuple(drawn.randrange(3, 300) for _ in range(drawn.randint(low, high)))

    return [Row(ids(40, 400), (ids(50, 500), ids(50, 500))) for _ in range(count)]


def measured(model, rows, part, passes):
    for parameter in lora_parameters(model).values():
        parameter.grad = torch.zeros_like(parameter)
    with attention_of(model, passes.layout), Live() as live:
        passes.values(model, [rows[i] for i in part]).sums_BK.sum().backward()
    return live.peak


@pytest.mark.parametrize("tokens", [4096, 1280])  # the most and the least of the packaged recipes' profiles
def test_no_pass_of_the_training_is_above_the_plan_and_the_heaviest_meets_it(tokens):
    rows, said = like_a_medical_run(32), []
    settings = TrainingConfig(memory=0.005 + tokens * 12e-6, lora=Lora(rank=4), tokens_per_batch=tokens)
    model, passes = opened("llama"), Passes("shared", tokens, 0)
    fit(model, rows, passes, settings, said.append)
    recomputed = sum(recomputing(model))
    assert recomputed > 0
    cut = [
        part
        for _, batch in islice(updates(len(rows), settings), total_steps(len(rows), settings))
        for part in passes.cut(batch, rows)
    ]
    heavy = max(cut, key=lambda part: tokens_read(part, rows, "shared"))
    assert tokens_read(heavy, rows, "shared") == passes.tokens <= tokens
    assert tokens_read(heavy, rows, "shared") > tokens_read(cut[0], rows, "shared")  # the first is not the heaviest
    standing = sum(4 * p.numel() for p in model.parameters() if not p.requires_grad)
    standing += sum(16 * p.numel() for p in lora_parameters(model).values())
    planned = float(re.search(r"peak about ([\d.]+) GB", said[-1])[1]) * 1e9
    assert planned <= (0.005e9 + tokens * 12e3) * MEMORY_SHARE + 0.005e9  # as printed, with two digits
    peaks = [measured(model, rows, part, passes) for part in [heavy, *cut[::4]]]
    predicted = predicted_peak(model, [rows[i] for i in heavy], recomputed)
    assert peaks[0] == pytest.approx(predicted, rel=0.1)
    assert max(peaks) <= 1.1 * predicted
    assert standing + peaks[0] == pytest.approx(planned, abs=0.005e9 + 0.1 * planned)


def predicted_peak(model, rows, recomputed):
    config = model.get_base_model().config
    found = memory.footprint_of(config, rows, CONFIG, layout="shared", quantised=False, dtype=torch.float32)
    return found.pass_bytes(recomputed)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_model_of_few_layers_with_a_type_for_each_is_planned_too(layers):
    config = Qwen2Config(**{**SIZES, "num_hidden_layers": layers})
    assert len(config.layer_types) == layers
    found = memory.footprint_of(config, PAIRS[:1], CONFIG, layout="shared", quantised=False, dtype=torch.float32)
    assert found.layers == layers
    assert found.pass_bytes(0) > 0


def test_too_small_a_budget_is_said_and_tried():
    on, _, said = said_by_fit(0.0001)
    assert all(on)
    assert "trying all the same" in said and "train.shard" not in said
    _, _, said = said_by_fit(0.0001, ranks=Ranks(0, 2))
    assert "each GPU holds the whole model, which train.shard: true splits over them" in said


def test_on_a_cpu_nothing_is_recomputed_unless_asked():
    assert said_by_fit("auto") == ([False] * 6, 4096, "")
    assert said_by_fit("auto", activation_checkpointing=True)[0] == [True] * 6


SETTINGS = {"batch_size": 8, "learning_rate": 0.5, "optimizer": "sgd", "lora": Lora(rank=2), "epochs": 2}


def adapter(out):
    from safetensors.torch import load_file

    return load_file(out / "adapter" / "adapter_model.safetensors")


def test_out_of_memory_recomputes_more_layers_before_it_halves_passes(student, pairs, tmp_path, monkeypatch):
    whole = train(student, pairs, config=TrainingConfig(**SETTINGS), out=tmp_path / "whole", log=lambda _: None)
    honest, sizes, said = Passes.values, [], []

    def scarce(self, model, part):
        if torch.is_grad_enabled():
            sizes.append(len(part))
            if len(part) > 2:
                raise torch.OutOfMemoryError("as a GPU says it")
        return honest(self, model, part)

    monkeypatch.setattr(Passes, "values", scarce)
    scant = train(student, pairs, config=TrainingConfig(**SETTINGS), out=tmp_path / "scant", log=said.append)
    assert sizes[:3] == [8, 8, 8]
    assert max(sizes[6:]) <= 4
    assert sizes[-1] <= 2
    told = [line.removeprefix("out of memory: ") for line in said if line.startswith("out of memory")]
    assert [line.split(" from here")[0] for line in told[:2]] == [f"{n} of 2 layers recomputed" for n in (1, 2)]
    assert all(line.startswith("passes of at most") for line in told[2:])
    assert scant.last["loss"] == pytest.approx(whole.last["loss"], abs=1e-5)
    for name, expected in adapter(tmp_path / "whole").items():
        torch.testing.assert_close(adapter(tmp_path / "scant")[name], expected, rtol=0, atol=1e-5)


def test_what_the_settings_say_about_recomputation_is_kept(student, pairs, tmp_path, monkeypatch):
    honest, said = Passes.values, []

    def scarce(self, model, part):
        if torch.is_grad_enabled() and len(part) > 4:
            raise torch.OutOfMemoryError("as a GPU says it")
        return honest(self, model, part)

    monkeypatch.setattr(Passes, "values", scarce)
    settings = TrainingConfig(**SETTINGS, activation_checkpointing=False)
    train(student, pairs, config=settings, out=tmp_path, log=said.append)
    assert not any("recomputed" in line for line in said)
    assert any("out of memory: passes of at most" in line for line in said)


def test_out_of_memory_with_a_single_pair_is_an_error_that_says_what_helps(student, pairs, tmp_path, monkeypatch):
    def never(*args, **kwargs):
        raise torch.OutOfMemoryError("as a GPU says it")

    monkeypatch.setattr(loop.METHODS["dpo"], "loss", never)
    with pytest.raises(TrainingError, match=r"one row \(a pair\) a pass: lower train\.max_tokens"):
        train(student, pairs, config=TrainingConfig(**SETTINGS), out=tmp_path, log=lambda _: None)
