"""Chunked log-probabilities against plain transformers: logits, log-softmax, gather; values and gradients."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)

from cai_lite.chat.weights import quiet_peft
from cai_lite.errors import ModelError
from cai_lite.logps import head
from cai_lite.logps.head import completion_logps, head_logps
from cai_lite.logps.layout import pack
from cai_lite.training.batch import Passes
from cai_lite.training.checks import check_head
from cai_lite.training.tokens import Row

PAIRS = [
    Row((3, 9, 4), ((7, 8, 1), (5, 1))),
    Row((6,), ((9, 9, 9, 9, 1), (2, 1))),
]
SIZES = {
    "vocab_size": 23,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "initializer_range": 0.5,
    "pad_token_id": 0,
}


def llama(**more):
    return LlamaForCausalLM(LlamaConfig(**SIZES))


def gemma2():
    """Its soft cap is set so low that it bends the logits a good deal."""
    return Gemma2ForCausalLM(Gemma2Config(**SIZES, head_dim=8, final_logit_softcapping=2.0))


def cohere():
    return CohereForCausalLM(CohereConfig(**SIZES, logit_scale=0.3, bos_token_id=1, eos_token_id=2))


def granite():
    return GraniteForCausalLM(GraniteConfig(**SIZES, logits_scaling=3.0, bos_token_id=1, eos_token_id=2))


def with_head_bias():
    model = llama()
    model.lm_head.bias = torch.nn.Parameter(torch.randn(SIZES["vocab_size"]))
    return model


def adapted(model, targets="all-linear"):
    """With LoRA on it whose second matrices are not nothing, so that a gradient reaches the first ones, too."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with quiet_peft():
        model = get_peft_model(model, LoraConfig(r=2, target_modules=targets, task_type="CAUSAL_LM"))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def plain(model, pair, completion):
    """One row, unpadded, through the model's own forward pass."""
    ids = torch.tensor([pair.prompt_ids + completion])
    log_probs = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
    return log_probs.gather(1, ids[0, 1:, None])[len(pair.prompt_ids) - 1 :].sum()


def gradients(model, total):
    model.zero_grad()
    total.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("make", [llama, gemma2, cohere, granite, with_head_bias])
@pytest.mark.parametrize("chunk", [3, 1024])
def test_values_and_every_lora_gradient_equal_those_of_the_whole_logits(make, chunk, monkeypatch):
    torch.manual_seed(0)
    model = adapted(make())
    rows = [(pair, pair.completions[side]) for side in (0, 1) for pair in PAIRS]
    expected = torch.stack([plain(model, pair, completion) for pair, completion in rows])
    weights = torch.tensor([1.0, -2.0, 0.5, 3.0])  # unlike ones, so that a row taken for another is seen
    expected_gradients = gradients(model, (weights * expected).sum())

    monkeypatch.setattr(head, "LOGITS", chunk * SIZES["vocab_size"])
    packed = pack([(pair.prompt_ids, completion) for pair, completion in rows], "plain", pad_token_id=0)
    found = completion_logps(model, packed)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    found_gradients = gradients(model, (weights * found).sum())
    assert set(found_gradients) == set(expected_gradients)
    for name, gradient in found_gradients.items():
        assert gradient.abs().max() > 0, name
        torch.testing.assert_close(gradient, expected_gradients[name], rtol=1e-4, atol=1e-5, msg=name)


def test_the_gradient_is_the_numerical_one():
    torch.manual_seed(0)
    model = with_head_bias().double()
    hidden, targets = torch.randn(5, 16, dtype=torch.float64, requires_grad=True), torch.tensor([0, 4, 4, 22, 7])
    model.requires_grad_(False)
    chosen = torch.randn(5)
    found = torch.autograd.grad((head_logps(model, hidden, targets, chunk=2) * chosen).sum(), hidden)[0]
    whole = (model.lm_head(hidden).log_softmax(-1).gather(1, targets[:, None])[:, 0] * chosen).sum()
    torch.testing.assert_close(found, torch.autograd.grad(whole, hidden)[0], rtol=1e-5, atol=1e-7)


def test_in_bfloat16_a_gradient_of_the_same_type_comes_back():
    torch.manual_seed(0)
    model = llama().to(torch.bfloat16).requires_grad_(False)
    hidden = torch.randn(4, 16, dtype=torch.bfloat16, requires_grad=True)
    logps = head_logps(model, hidden, torch.tensor([1, 2, 3, 4]))
    logps.sum().backward()
    assert (logps.dtype, hidden.grad.dtype) == (torch.float32, torch.bfloat16)


def test_the_columns_of_a_pair_are_its_own():
    torch.manual_seed(0)
    model = adapted(llama())
    with torch.no_grad():
        found = Passes("plain", 99, 0).values(model, PAIRS)
        for i, pair in enumerate(PAIRS):
            assert found.sums_BK[i, 0] == pytest.approx(float(plain(model, pair, pair.completions[0])), abs=1e-5)
            assert found.sums_BK[i, 1] == pytest.approx(float(plain(model, pair, pair.completions[1])), abs=1e-5)
    assert found.lengths_BK.tolist() == [[3, 2], [5, 2]]


def test_lora_on_the_head_is_refused():
    model = adapted(llama(), ["q_proj", "lm_head"])
    with pytest.raises(ModelError, match=r"output layer .* leave it out of lora.targets"):
        Passes("plain", 99, 0).values(model, PAIRS)


@pytest.mark.parametrize("make", [llama, gemma2, cohere, granite, with_head_bias])
def test_a_head_that_is_understood_passes_the_check(make):
    check_head(adapted(make()), PAIRS[0])


def test_a_head_that_bends_its_logits_in_its_own_way_is_refused_before_training():
    model = llama()
    model.lm_head.register_forward_hook(lambda _module, _inputs, logits: logits * 0.3)
    with pytest.raises(ModelError, match="the output layer of llama is not supported"):
        check_head(adapted(model), PAIRS[0])


def test_a_gpu_reads_the_head_for_at_least_512_states_and_a_cpu_as_before():
    from torch._subclasses.fake_tensor import FakeTensorMode

    states = torch.empty(1, 4)
    assert [head.chunk_of(states, size) for size in (100, 152_000, 1 << 23)] == [41943, 27, 1]
    with FakeTensorMode():  # what a GPU's memory is planned by
        assert [head.chunk_of(torch.empty(1, 4), size) for size in (100, 152_000, 1 << 23)] == [41943, 512, 512]
