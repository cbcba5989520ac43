"""What vLLM and llama.cpp take of an adapter, read off its files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from cai_lite.errors import ModelError
from cai_lite.serving.servable import findings, max_rank, read_adapter, vllm_command

PLAIN = {"peft_type": "LORA", "r": 12, "lora_alpha": 24, "bias": "none", "target_modules": ["q_proj"]}
LAYER = "model.layers.0.self_attn.q_proj"


def adapter(folder: Path, *layers: str, **settings):
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({**PLAIN, **settings}))
    names = [f"base_model.model.{layer}.lora_{side}.weight" for layer in layers or (LAYER,) for side in "AB"]
    save_file({name: np.zeros((2, 2), np.float32) for name in names}, folder / "adapter_model.safetensors")
    return read_adapter(folder)


def test_a_plain_adapter_is_taken_by_both(tmp_path):
    found = adapter(tmp_path / "a")
    assert found.layers == (LAYER,) and findings(found) == []


@pytest.mark.parametrize(("rank", "held"), [(1, 8), (8, 8), (12, 16), (65, 128), (257, 320), (321, 512), (512, 512)])
def test_the_least_rank_of_the_list_that_holds_it_is_named(rank, held, tmp_path):
    found = adapter(tmp_path / "a", r=rank)
    assert max_rank(found) == held and not findings(found)
    assert f"--max-lora-rank {held} " in vllm_command("Qwen/Qwen3-8B", found, tmp_path / "a", "mine")


@pytest.mark.parametrize(
    ("settings", "layers", "refusing"),
    [
        ({"r": 513}, (), {"vLLM"}),
        ({"use_dora": True}, (), {"vLLM", "llama.cpp"}),
        ({"modules_to_save": ["lm_head"]}, (), {"vLLM", "llama.cpp"}),
        ({"bias": "all"}, (), {"vLLM"}),
        ({"alpha_pattern": {"q_proj": 3}}, (), {"vLLM", "llama.cpp"}),
        ({"rank_pattern": {"q_proj": 3}}, (), {"vLLM"}),
        ({"use_rslora": True}, (), {"llama.cpp"}),
        ({}, ("model.visual.blocks.0.attn.q_proj", LAYER), {"vLLM"}),
        ({}, ("model.embed_tokens",), set()),
        ({}, ("lm_head",), set()),
        ({}, ("model.layers.0.linear_attn.in_proj_qkvz",), set()),
    ],
)
def test_what_a_server_refuses_is_said(settings, layers, refusing, tmp_path):
    found = findings(adapter(tmp_path / "a", *layers, **settings))
    assert found and {one.server for one in found if one.refused} == refusing


def test_the_command_names_the_template_that_vllm_would_not_take_from_the_adapter(tmp_path):
    found = adapter(tmp_path / "a")
    (tmp_path / "a" / "chat_template.jinja").write_text("{{ 1 }}")
    words = vllm_command("base", found, tmp_path / "a", "mine").split()
    assert words[words.index("--chat-template") + 1] == str(tmp_path / "a" / "chat_template.jinja")
    assert words[words.index("--lora-modules") + 1] == f"mine={tmp_path / 'a'}"


def test_what_is_no_lora_is_refused(tmp_path):
    with pytest.raises(ModelError, match="adapter of type IA3"):
        adapter(tmp_path / "a", peft_type="IA3")
    with pytest.raises(ModelError, match="not a peft adapter"):
        read_adapter(tmp_path)
