"""Fused LoRA layers and MLPs against peft's and transformers' own, values and gradients."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import Gemma2Config, Gemma2ForCausalLM, LlamaConfig, LlamaForCausalLM, Phi3Config, Phi3ForCausalLM

from cai_lite.chat.weights import quiet_peft
from cai_lite.logps.fused import fuse
from cai_lite.training.config import Lora
from cai_lite.training.student import open_student

SIZES = {
    "vocab_size": 61,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.1,
    "pad_token_id": 0,
}
IDS = torch.arange(1, 41).view(2, 20)
KINDS = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, attention_bias=True)),
    "gemma2": lambda: Gemma2ForCausalLM(Gemma2Config(**SIZES, head_dim=16)),
    "phi3": lambda: Phi3ForCausalLM(Phi3Config(**SIZES)),  # its gate and up are one layer
}


def adapted(make, kind=torch.float32, **settings):
    torch.manual_seed(0)
    model = make().to(kind).requires_grad_(False)
    with quiet_peft():
        config = LoraConfig(r=4, lora_alpha=12, target_modules="all-linear", task_type="CAUSAL_LM", **settings)
        model = get_peft_model(model, config)
    awaken(model)
    return model


def awaken(model):
    """Give every second matrix, which begins as zeros, something to say."""
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)


def loss_and_gradients(model, ids=IDS):
    model.zero_grad()
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    return loss.detach(), {n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad}


def held_bytes(model, ids=IDS):
    """Of activations kept for the backward pass."""
    kept = {}
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(input_ids=ids, use_cache=False)
    return sum(size for size, _ in kept.values())


@pytest.mark.parametrize("name", KINDS)
def test_values_and_gradients_are_those_of_peft(name):
    model = adapted(KINDS[name])
    loss, gradients = loss_and_gradients(model)
    assert fuse(model) == sum(1 for n, _ in model.named_parameters() if "lora_A" in n)
    fused_loss, fused_gradients = loss_and_gradients(model)
    torch.testing.assert_close(fused_loss, loss, rtol=1e-5, atol=1e-6)
    for key, gradient in gradients.items():
        assert gradient.abs().max() > 0
        torch.testing.assert_close(fused_gradients[key], gradient, rtol=1e-4, atol=1e-6, msg=key)


def test_the_fused_node_has_the_numerical_gradient():
    from cai_lite.logps.fused import _GatedDown, _LoraLinear

    torch.manual_seed(0)
    base = torch.nn.Linear(5, 4).double().requires_grad_(False)
    x, gate, up = (torch.randn(3, 5, dtype=torch.float64, requires_grad=True) for _ in range(3))
    a, b = (
        torch.randn(2, 5, dtype=torch.float64, requires_grad=True),
        torch.randn(4, 2, dtype=torch.float64, requires_grad=True),
    )
    assert torch.autograd.gradcheck(lambda x, a, b: _LoraLinear.apply(x, base, a, b, 0.7), (x, a, b))
    act = torch.nn.functional.silu
    assert torch.autograd.gradcheck(
        lambda gate, up, a, b: _GatedDown.apply(gate, up, act, base, a, b, 0.7), (gate, up, a, b)
    )


def test_in_bfloat16_it_is_nearer_to_float32_than_rounding_and_holds_less():
    exact, exact_gradients = loss_and_gradients(adapted(KINDS["llama"]))
    model = adapted(KINDS["llama"], torch.bfloat16)
    before = held_bytes(model)
    plain, _ = loss_and_gradients(model)
    fuse(model)
    loss, gradients = loss_and_gradients(model)
    assert abs(float(loss - exact)) <= 2 * abs(float(plain - exact)) + 1e-2
    for key, gradient in gradients.items():
        assert gradient.dtype == torch.float32
        one, two = gradient.flatten(), exact_gradients[key].flatten()
        assert torch.cosine_similarity(one, two, dim=0) > 0.99, key
    assert held_bytes(model) < 0.7 * before


def test_a_quantised_layer_gives_the_gradients_of_peft():
    model, _ = open_student("embedded:student", load="nf4", lora=Lora(rank=2), init_adapter=None, seed=0)
    awaken(model)
    ids = torch.arange(3, 15).view(1, 12)
    model.train()
    loss, gradients = loss_and_gradients(model, ids)
    assert fuse(model) > 0
    fused_loss, fused_gradients = loss_and_gradients(model, ids)
    torch.testing.assert_close(fused_loss, loss, rtol=1e-4, atol=1e-5)
    for key, gradient in gradients.items():
        torch.testing.assert_close(fused_gradients[key], gradient, rtol=1e-3, atol=1e-5, msg=key)


@pytest.mark.parametrize("state", ["off", "merged"])
def test_an_adapter_that_is_off_or_merged_goes_through_peft(state):
    model = adapted(KINDS["llama"])
    with torch.no_grad():
        expected = model(input_ids=IDS).logits
        with model.disable_adapter():
            bare = model(input_ids=IDS).logits
    fuse(model)
    if state == "merged":
        model.merge_adapter()
    with torch.no_grad(), model.disable_adapter() if state == "off" else nullcontext():
        found = model(input_ids=IDS).logits
    torch.testing.assert_close(found, bare if state == "off" else expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(bare, expected, atol=1e-2)


@pytest.mark.parametrize("settings", [{"lora_dropout": 0.3}, {"use_dora": True}])
def test_what_is_not_plain_lora_is_left_to_peft(settings):
    model = adapted(KINDS["llama"], **settings)
    assert fuse(model) == 0
