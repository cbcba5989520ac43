"""Which layers get an adapter: those of the text model, and no router."""

import pytest

from cai_lite.bench.families import tiny_model
from cai_lite.training.targets import lora_targets
from tests.tiny import needs_transformers

ALL = ("all-linear",)
NEMOTRON_H = pytest.param("Nemotron H", marks=needs_transformers("5.17"))


@pytest.mark.parametrize("name", ["Llama 3", "Qwen 3 MoE", "gpt-oss", "Gemma 3 (text)"])
def test_a_plain_text_model_leaves_the_choice_to_peft(name):
    assert lora_targets(tiny_model(name), ALL) == "all-linear"


@pytest.mark.parametrize("name", ["Gemma 3 (with vision)", "Mistral Small 3 (with vision)"])
def test_vision_towers_and_projectors_get_no_adapter(name):
    chosen = lora_targets(tiny_model(name), ALL)
    assert chosen and all("language_model" in layer for layer in chosen)
    assert any(layer.endswith("self_attn.q_proj") for layer in chosen)


@pytest.mark.parametrize("name", ["Falcon H1", NEMOTRON_H, "Granite 4 hybrid"])
def test_layers_whose_weights_the_kernels_of_mamba_read_get_no_adapter(name):
    chosen = lora_targets(tiny_model(name), ALL)
    assert any(layer.endswith("in_proj") for layer in chosen)
    assert not any(layer.endswith("out_proj") for layer in chosen)


@pytest.mark.parametrize("name", ["Granite 4 hybrid", "Qwen 3 Next"])
def test_routers_of_experts_get_no_adapter(name):
    chosen = lora_targets(tiny_model(name), ALL)
    assert not any("router" in layer or layer.endswith("shared_expert_gate") for layer in chosen)


def test_layers_that_are_named_are_taken_as_they_are():
    assert lora_targets(tiny_model("Gemma 3 (with vision)"), ("q_proj", "v_proj")) == ["q_proj", "v_proj"]
