"""Greedy decoding in a padded batch against `generate`, one prompt at a time, over the kinds of architecture."""

import pytest
import torch
import transformers as t

from cai_lite.chat.decoding import decode
from cai_lite.errors import ModelError
from cai_lite.records import Request, Sampling
from tests.tiny import SIZES, hybrid, needs_transformers

MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_n_groups": 1, "mamba_d_state": 8, "mamba_chunk_size": 8}
GATED_DELTA = {
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
SLIDING = {"head_dim": 8, "sliding_window": 6, "layer_types": ["sliding_attention", "full_attention"]}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
PURE = {name: SIZES[name] for name in SIZES if name.endswith("_id") or name in ("vocab_size", "hidden_size")}


def llama():
    return t.LlamaForCausalLM(t.LlamaConfig(**SIZES))


def gemma_3():
    return t.Gemma3ForCausalLM(t.Gemma3TextConfig(**SIZES, **SLIDING))


def gemma_4():
    shared = {"num_kv_shared_layers": 1, "hidden_size_per_layer_input": 4, "vocab_size_per_layer_input": 61}
    layers = {"num_hidden_layers": 3, "layer_types": ["sliding_attention", "full_attention", "full_attention"]}
    return t.Gemma4ForCausalLM(t.Gemma4TextConfig(**SIZES | SLIDING | shared | layers, global_head_dim=8))


def gpt_oss():
    return t.GptOssForCausalLM(t.GptOssConfig(**SIZES, **SLIDING, num_local_experts=2, num_experts_per_tok=1))


def lfm_2():
    return t.Lfm2ForCausalLM(t.Lfm2Config(**SIZES, layer_types=["conv", "full_attention"], block_multiple_of=8))


def falcon_h1():
    return t.FalconH1ForCausalLM(t.FalconH1Config(**SIZES, **MAMBA | {"mamba_d_ssm": 64}, head_dim=8))


def granite_hybrid():
    experts = {"num_local_experts": 0, "num_experts_per_tok": 0, "shared_intermediate_size": 48}
    config = t.GraniteMoeHybridConfig(**SIZES, **MAMBA, **experts, layer_types=["mamba", "attention"])
    return t.GraniteMoeHybridForCausalLM(config)


def bamba():
    return t.BambaForCausalLM(t.BambaConfig(**SIZES, **MAMBA, attn_layer_indices=[1]))


def nemotron_h():
    mamba = {"mamba_num_heads": 8, "mamba_head_dim": 8, "n_groups": 1, "ssm_state_size": 8, "chunk_size": 8}
    return t.NemotronHForCausalLM(
        t.NemotronHConfig(**SIZES, **mamba, layers_block_type=["mamba", "attention"], head_dim=8)
    )


def qwen_3_5():
    from transformers.models.qwen3_5 import Qwen3_5ForCausalLM, Qwen3_5TextConfig

    return Qwen3_5ForCausalLM(Qwen3_5TextConfig(**SIZES, **GATED_DELTA, head_dim=8))


def olmo_hybrid():
    return t.OlmoHybridForCausalLM(t.OlmoHybridConfig(**SIZES, **GATED_DELTA | {"linear_num_key_heads": 4}))


def mamba_2():
    return t.Mamba2ForCausalLM(
        t.Mamba2Config(**PURE, num_hidden_layers=2, num_heads=8, head_dim=8, state_size=8, n_groups=1, chunk_size=8)
    )


def gemma_3_with_vision():
    images = {"mm_tokens_per_image": 4, "image_token_index": 60, "boi_token_index": 59, "eoi_token_index": 58}
    return t.AutoModelForCausalLM.from_config(
        t.Gemma3Config(text_config={**SIZES, **SLIDING}, vision_config=VISION, **images)
    )


def qwen_3_5_with_vision():
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 32}
    config = t.Qwen3_5Config(
        text_config={**SIZES, **GATED_DELTA, "head_dim": 8},
        vision_config=vision,
        image_token_id=60,
        video_token_id=59,
    )
    return t.AutoModelForImageTextToText.from_config(config)


def mistral_3_with_vision():
    text = {**SIZES, "model_type": "mistral", "head_dim": 8, "sliding_window": None}
    config = t.Mistral3Config(text_config=text, vision_config={"model_type": "pixtral", **VISION}, image_token_index=60)
    return t.AutoModelForImageTextToText.from_config(config)


ATTENTION = [llama, gemma_3, gemma_4, gpt_oss]
RECURRENT = [hybrid, qwen_3_5, lfm_2, falcon_h1, granite_hybrid, bamba, nemotron_h]
RECENT = [pytest.param(make, marks=needs_transformers("5.17")) for make in (olmo_hybrid, mamba_2)]
WRAPPED = [gemma_3_with_vision, qwen_3_5_with_vision, mistral_3_with_vision]


@pytest.mark.filterwarnings("ignore")  # transformers tells of fast kernels that are not installed
@pytest.mark.parametrize("make", ATTENTION + RECURRENT + RECENT + WRAPPED, ids=lambda make: make.__name__)
def test_greedy_decoding_in_a_padded_batch_equals_generate_row_by_row(make):
    torch.manual_seed(0)
    model = make().eval()
    with torch.no_grad():
        for parameter in model.parameters():  # not every architecture draws its weights as widely as the others
            if parameter.dim() > 1:
                parameter.normal_(std=0.3)
    prompts = [torch.randint(3, 50, (length,)).tolist() for length in (14, 9, 2)]
    # Rows leave the batch one after another, so that what is left of the cache is another row's every time.
    steps = [4, 2, 6]
    asked = [Request(messages=(), sampling=Sampling(temperature=0, max_tokens=n)) for n in steps]
    with torch.inference_mode():
        found, first = decode(model, prompts, asked, ends=set(), pad=0)
        assert first is None
        for prompt, n, (tokens, end) in zip(prompts, steps, found, strict=True):
            ids = torch.tensor([prompt])
            options = {"attention_mask": torch.ones_like(ids), "eos_token_id": None, "pad_token_id": 0}
            expected = model.generate(ids, max_new_tokens=n, do_sample=False, **options)[0, len(prompt) :].tolist()
            assert tokens == expected
            assert end is None


def test_an_architecture_with_a_cache_of_its_own_is_refused_in_words():
    config = t.RwkvConfig(vocab_size=61, hidden_size=32, num_hidden_layers=2, context_length=16)
    with pytest.raises(ModelError, match="RwkvForCausalLM decodes with a cache of its own"):
        decode(t.RwkvForCausalLM(config), [[3]], [Request(messages=(), sampling=Sampling())], ends=set(), pad=0)


def test_the_first_logits_are_kept_for_requests_with_options():
    torch.manual_seed(0)
    model, prompts = llama().eval(), [[3, 4, 5], [6, 7]]
    asked = [Request(messages=(), sampling=Sampling(max_tokens=2), options=options) for options in (("A", "B"), ())]
    with torch.inference_mode():
        _, first = decode(model, prompts, asked, ends=set(), pad=0)
        for prompt, logits in zip(prompts, first, strict=True):
            assert torch.allclose(model(torch.tensor([prompt])).logits[0, -1], logits, atol=1e-5)
