"""Shared = plain: the same pairs in both layouts, on a tiny random model of each architecture."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    FalconConfig,
    FalconForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GptOssConfig,
    GptOssForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    PhiConfig,
    PhiForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from cai_lite.chat.weights import quiet_peft
from cai_lite.logps.attention import segments
from cai_lite.logps.head import completion_logps
from cai_lite.logps.layout import Group, pack, tokens_of
from cai_lite.training.checks import shared_fault
from cai_lite.training.tokens import Row
from tests.tiny import SIZES, hybrid

WINDOW = {"sliding_window": 5, "layer_types": ["sliding_attention", "full_attention"]}
EXACT = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SIZES)),
    "qwen2 with a window": lambda: Qwen2ForCausalLM(
        Qwen2Config(**SIZES, use_sliding_window=True, max_window_layers=1, sliding_window=5)
    ),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SIZES, head_dim=8)),
    "mistral, all layers in a window": lambda: MistralForCausalLM(MistralConfig(**SIZES, sliding_window=5)),
    "gemma2, soft caps and windows": lambda: Gemma2ForCausalLM(
        # transformers 5.17 takes sdpa by itself, which leaves the cap out; 5.23 takes eager
        Gemma2Config(
            **SIZES,
            **WINDOW,
            head_dim=8,
            attn_logit_softcapping=3.0,
            final_logit_softcapping=4.0,
            attn_implementation="eager",
        )
    ),
    "gemma3, windows": lambda: Gemma3ForCausalLM(Gemma3TextConfig(**SIZES, **WINDOW, head_dim=8)),
    "phi": lambda: PhiForCausalLM(PhiConfig(**SIZES)),
    "phi3": lambda: Phi3ForCausalLM(Phi3Config(**SIZES)),
}
REFUSED = {
    "a recurrent hybrid": hybrid,
    "attention sinks": lambda: GptOssForCausalLM(
        GptOssConfig(**SIZES, **WINDOW, head_dim=8, num_local_experts=2, num_experts_per_tok=1)
    ),
    "an attention of its own": lambda: FalconForCausalLM(FalconConfig(**SIZES, alibi=True)),
}
LONG, SHORT = tuple(range(3, 14)), (5, 9)
SEQUENCES = [
    (LONG, (20, 21, 22, 23, 24, 25, 26, 2)),
    (LONG, (30, 31, 2)),
    (SHORT, (40, 2)),
    (SHORT, (2,)),  # nothing but the end token: nothing to read
    (LONG, (30, 31, 2)),  # a completion that stands in two pairs
    (LONG, (50, 51, 52, 53, 54, 2)),  # and more of the same prompt than it is long
    (LONG, (33, 34, 35, 36, 2)),
]


def adapted(make):
    torch.manual_seed(0)
    model = make().requires_grad_(False)
    with quiet_peft():
        model = get_peft_model(model, LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def logps_and_gradients(model, layout):
    packed = pack(SEQUENCES, layout, pad_token_id=0)
    model.zero_grad()
    logps = completion_logps(model, packed)
    (logps * torch.tensor([1.0, -2.0, 0.5, 3.0, 0.7, -0.2, 0.9])).sum().backward()
    return logps.detach(), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", EXACT)
def test_log_probs_and_gradients_are_those_of_plain_rows(name):
    model = adapted(EXACT[name])
    plain, plain_gradients = logps_and_gradients(model, "plain")
    with segments(model):
        shared, shared_gradients = logps_and_gradients(model, "shared")
    torch.testing.assert_close(shared, plain, rtol=1e-5, atol=1e-4)
    assert shared_gradients.keys() == plain_gradients.keys() != set()
    for key, gradient in plain_gradients.items():
        torch.testing.assert_close(shared_gradients[key], gradient, rtol=1e-3, atol=1e-4, msg=key)
    again, _ = logps_and_gradients(model, "plain")
    torch.testing.assert_close(again, plain, rtol=0, atol=0)  # the model's own attention is back


PAIRS = [
    Row(LONG, (SEQUENCES[0][1], SEQUENCES[1][1])),
    Row(SHORT, ((40, 2), (41, 42, 2))),
]


@pytest.mark.parametrize("name", EXACT)
def test_an_exact_model_passes_the_check(name):
    torch.manual_seed(0)
    assert shared_fault(EXACT[name]().requires_grad_(False), PAIRS, 0) is None


@pytest.mark.parametrize("name", REFUSED)
def test_a_model_that_cannot_share_is_found_out(name):
    torch.manual_seed(0)
    fault = shared_fault(REFUSED[name]().requires_grad_(False), PAIRS, 0)
    assert fault is not None
    assert "differs by up to" in fault or "does not take segments" in fault


def test_a_shared_row_holds_each_prompt_and_completion_once():
    packed = pack(SEQUENCES, "shared", pad_token_id=0)
    assert packed.segments.groups == (Group(prompt=11, completions=(7, 2, 5, 4)), Group(prompt=2, completions=(1, 0)))
    assert packed.ids_RT.shape == (1, tokens_of(SEQUENCES, "shared")) == (1, 32)
    assert packed.positions_RT[0, 11:20].tolist() == [11, 12, 13, 14, 15, 16, 17, 11, 12]
    assert sorted(packed.sequence_N.tolist()) == [0] * 8 + [1] * 3 + [2] * 2 + [3] + [4] * 3 + [5] * 6 + [6] * 5
    for place, (prompt, completion) in enumerate(SEQUENCES):
        mine = packed.sequence_N == place
        assert tuple(packed.targets_N[mine].tolist()) == completion
        read = packed.ids_RT[0, packed.predicts_N[mine]].tolist()
        assert read == [prompt[-1], *completion[:-1]]


def test_plain_rows_are_padded_to_the_longest():
    packed = pack(SEQUENCES, "plain", pad_token_id=0)
    assert packed.ids_RT.shape == (7, 18)
    assert packed.ids_RT.numel() == tokens_of(SEQUENCES, "plain")
    assert packed.mask_RT.sum(1).tolist() == [len(p) + len(c) - 1 for p, c in SEQUENCES]
    assert packed.ids_RT[3].tolist() == [5, 9] + [0] * 16


def test_a_shared_row_outside_of_segments_is_refused():
    model = EXACT["llama"]().requires_grad_(False)
    with pytest.raises(RuntimeError, match="needs `with segments"):
        completion_logps(model, pack(SEQUENCES, "shared", pad_token_id=0))


@pytest.mark.parametrize("layout", ["plain", "shared"])
def test_whole_completions_are_read_to_their_last_token(layout):
    sequences = [((1, 2), (3, 4)), ((1, 2), (5,)), ((6,), (7, 8, 9)), ((1, 2), (3, 4))]
    packed = pack(sequences, layout, pad_token_id=0, whole=True)
    read = packed.ids_RT.flatten()[packed.last_S]
    assert read.tolist() == [4, 5, 9, 4], "the last token of each, also of one that occurs twice"
    assert tokens_of(sequences, layout, whole=True) == packed.ids_RT.numel()
    assert packed.ids_RT.flatten()[pack(sequences, layout, pad_token_id=0).last_S].shape == (4,)
    short = pack(sequences, layout, pad_token_id=0)
    assert short.ids_RT.flatten()[short.last_S].tolist() == [3, 2, 8, 3], "without it, what predicts the last token"
    same = pack(sequences, layout, pad_token_id=0, whole=True)
    assert same.targets_N.tolist() == short.targets_N.tolist()
    before = packed.ids_RT.flatten()[packed.predicts_N].tolist()
    assert before == short.ids_RT.flatten()[short.predicts_N].tolist()
