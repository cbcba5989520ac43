"""A soup is the weighted sum of the changes: exact as stacked adapters, and the best of its rank where it is cut."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

from cai_lite.chat.weights import load_peft, quiet_peft
from cai_lite.errors import InputError, ModelError
from cai_lite.serving.soup import merge_adapters


def base(width=32):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=width,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    return LlamaForCausalLM(config).eval()


def adapter(folder: Path, seed: int, *, rank=4, width=32, targets=("q_proj", "down_proj"), **more) -> Path:
    settings = LoraConfig(r=rank, lora_alpha=3 * rank, target_modules=list(targets), task_type="CAUSAL_LM", **more)
    with quiet_peft():
        model = get_peft_model(base(width), settings)
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(str(folder), save_embedding_layers=False)
    return folder


def changed(*adapters: tuple[Path, float]) -> dict[str, torch.Tensor]:
    """The weights of the base with the sum of the changes, computed one by one."""
    plain = base().state_dict()
    total = {name: weight.clone() for name, weight in plain.items()}
    for folder, share in adapters:
        whole = load_peft(base(), folder).merge_and_unload().state_dict()
        for name, weight in whole.items():
            total[name] += share * (weight - plain[name])
    return total


@pytest.fixture
def two(tmp_path):
    return adapter(tmp_path / "first", 1, rank=4), adapter(tmp_path / "second", 2, rank=2)


def test_the_merged_adapter_makes_the_weighted_sum_of_the_changes(two, tmp_path):
    first, second = two
    assert merge_adapters({first: 0.3, second: 0.7}, tmp_path / "soup") == 0.0
    soup = load_peft(base(), tmp_path / "soup").eval()
    assert soup.peft_config["default"].r == 6
    wanted = base()
    wanted.load_state_dict(changed((first, 0.3), (second, 0.7)))
    tokens = torch.arange(40).reshape(2, 20)
    torch.testing.assert_close(soup(tokens).logits, wanted(tokens).logits, atol=1e-5, rtol=1e-5)


def test_a_weight_of_one_beside_zero_is_the_adapter_itself(two, tmp_path):
    first, second = two
    merge_adapters({first: 1.0, second: 0.0}, tmp_path / "soup")
    tokens = torch.arange(20)[None]
    logits = [load_peft(base(), folder).eval()(tokens).logits for folder in (first, tmp_path / "soup")]
    torch.testing.assert_close(*logits)


def test_a_cut_is_the_best_approximation_of_its_rank_and_tells_its_error(two, tmp_path):
    first, second = two
    error = merge_adapters({first: 0.5, second: 0.5}, tmp_path / "cut", rank=3)
    merge_adapters({first: 0.5, second: 0.5}, tmp_path / "whole")
    whole, cut = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("whole", "cut"))
    lost = total = best = 0.0
    for name in [name for name in whole if name.endswith("lora_A.weight")]:
        other = name.replace("lora_A", "lora_B")
        change, kept = (state[other] @ state[name] for state in (whole, cut))
        assert cut[name].shape[0] == 3
        lost += float((change - kept).square().sum())
        total += float(change.square().sum())
        best += float(torch.linalg.svdvals(change)[3:].square().sum())
    assert error == pytest.approx((lost / total) ** 0.5, rel=1e-3)
    assert lost == pytest.approx(best, rel=1e-3)
    assert 0 < error < 1


def test_the_rest_of_the_folder_is_that_of_the_first(two, tmp_path):
    first, second = two
    (first / "template.json").write_text('{"enable_thinking": false}')
    merge_adapters({first: 0.5, second: 0.5}, tmp_path / "soup")
    assert json.loads((tmp_path / "soup" / "template.json").read_text()) == {"enable_thinking": False}
    assert not list(tmp_path.glob(".*"))  # nothing half done is left


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"targets": ("q_proj",)}, "do not change the same layers"),
        ({"width": 16}, "belong to different models"),
        ({"use_dora": True}, "only plain LoRA adapters"),
        ({"use_rslora": True}, "only plain LoRA adapters"),
    ],
)
def test_adapters_that_do_not_belong_together_are_refused(made, said, tmp_path):
    first, second = adapter(tmp_path / "first", 1), adapter(tmp_path / "second", 2, **made)
    with pytest.raises(ModelError, match=said):
        merge_adapters({first: 0.5, second: 0.5}, tmp_path / "soup")
    assert not (tmp_path / "soup").exists()


@pytest.mark.parametrize("weights", [(0.0, 0.0), (-0.1, 1.1), (float("nan"), 1.0), (float("inf"), 1.0)])
def test_weights_that_mean_nothing_are_refused(weights, two, tmp_path):
    with pytest.raises(InputError, match="weight"):
        merge_adapters(dict(zip(two, weights, strict=True)), tmp_path / "soup")
