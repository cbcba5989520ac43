"""Try model families on tiny random models: drafting, the layout of rows, training, saving, loading in peft.

    python -m cai_lite.bench.families --out families.md

A family works whole if greedy drafts are those of `generate`, a gradient reaches every adapter matrix, the loss falls
on four pairs within a few steps, and plain peft loads the adapter onto the same model and prefers the chosen answers.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import warnings
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from cai_lite.chat.local import LocalModel
from cai_lite.chat.weights import open_weights, quiet_peft
from cai_lite.errors import CaiError
from cai_lite.records import Message, PreferencePair, Request, Sampling
from cai_lite.training.config import Lora, Loss, TrainingConfig
from cai_lite.training.loop import train

SIZES: dict[str, Any] = {
    "vocab_size": 272,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.3,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
}
HEAD = {"head_dim": 8}
WINDOW = {"sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"]}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
DELTA = {
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention"],
}
MAMBA = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_n_groups": 1, "mamba_chunk_size": 16}
LATENT = {
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    "num_key_value_heads": 4,
}
VISION = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
}
PIXTRAL = {"model_type": "pixtral", **VISION, "head_dim": 16}

# The class of the configuration, and what it wants besides `SIZES`. A wrapper's text part stands under "text_config".
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "Llama 3": ("LlamaConfig", {}),
    "Qwen 2.5": ("Qwen2Config", {}),
    "Qwen 3": ("Qwen3Config", HEAD),
    "Qwen 3 MoE": ("Qwen3MoeConfig", {**HEAD, **EXPERTS}),
    "Qwen 3 Next": ("Qwen3NextConfig", {**HEAD, **DELTA, **EXPERTS, "shared_expert_intermediate_size": 24}),
    "Qwen 3.5 (text)": ("Qwen3_5TextConfig", {**HEAD, **DELTA}),
    "Qwen 3.5 (with vision)": (
        "Qwen3_5Config",
        {
            "text_config": {**HEAD, **DELTA},
            "vision_config": {**VISION, "depth": 1, "num_heads": 2, "out_hidden_size": 32},
        },
    ),
    "Mistral": ("MistralConfig", {**HEAD, "sliding_window": 16}),
    "Ministral": ("MinistralConfig", {**HEAD, **WINDOW}),
    "Ministral 3": ("Ministral3Config", HEAD),
    "Mixtral": ("MixtralConfig", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "Mistral Small 3 (with vision)": (
        "Mistral3Config",
        {"text_config": {"model_type": "mistral", **HEAD}, "vision_config": PIXTRAL},
    ),
    "Gemma": ("GemmaConfig", HEAD),
    "Gemma 2": ("Gemma2Config", {**HEAD, **WINDOW, "query_pre_attn_scalar": 8}),
    "Gemma 3 (text)": ("Gemma3TextConfig", {**HEAD, **WINDOW, "query_pre_attn_scalar": 8}),
    "Gemma 3 (with vision)": (
        "Gemma3Config",
        {
            "text_config": {**HEAD, **WINDOW, "query_pre_attn_scalar": 8},
            "vision_config": {"model_type": "siglip_vision_model", **VISION},
            "mm_tokens_per_image": 4,
        },
    ),
    "Gemma 4 (text)": (
        "Gemma4TextConfig",
        {**HEAD, **WINDOW, "global_head_dim": 8, "hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 272},
    ),
    "Phi 2": ("PhiConfig", {}),
    "Phi 3, Phi 4": ("Phi3Config", {}),
    "OLMo 2": ("Olmo2Config", {}),
    "OLMo 3": ("Olmo3Config", WINDOW),
    "OLMo hybrid": ("OlmoHybridConfig", {**DELTA, "head_dim": 8}),
    "SmolLM 3": ("SmolLM3Config", {}),
    "GLM 4": ("Glm4Config", HEAD),
    "GLM 4.5 MoE": (
        "Glm4MoeConfig",
        {**HEAD, **EXPERTS, "n_routed_experts": 4, "first_k_dense_replace": 1},
    ),
    "EXAONE 4": ("Exaone4Config", {**WINDOW, "sliding_window_pattern": 2}),
    "Seed-OSS": ("SeedOssConfig", HEAD),
    "Granite": ("GraniteConfig", {"logits_scaling": 4.0, "residual_multiplier": 0.5}),
    "Granite 4 hybrid": (
        "GraniteMoeHybridConfig",
        {
            **MAMBA,
            "layer_types": ["mamba", "attention"],
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "shared_intermediate_size": 24,
        },
    ),
    "Command R7B (Cohere 2)": ("Cohere2Config", {**WINDOW, "logit_scale": 0.5}),
    "LFM 2": ("Lfm2Config", {"layer_types": ["conv", "full_attention"], "block_ff_dim": 48}),
    "Falcon H1": ("FalconH1Config", {**HEAD, **MAMBA, "mamba_d_ssm": 64, "lm_head_multiplier": 0.5}),
    "Nemotron H": (
        "NemotronHConfig",
        {
            **HEAD,
            "layers_block_type": ["linear_attention", "full_attention", "mlp"],
            "mamba_num_heads": 4,
            "mamba_head_dim": 16,
            "ssm_state_size": 8,
            "n_groups": 1,
            "chunk_size": 16,
            "num_hidden_layers": 3,
        },
    ),
    "gpt-oss": (
        "GptOssConfig",
        {**HEAD, **WINDOW, "num_local_experts": 4, "num_experts_per_tok": 2},
    ),
    "StableLM": ("StableLmConfig", {}),
    "StarCoder 2": ("Starcoder2Config", {"sliding_window": None}),
    "DeepSeek V3, Kimi K2": (
        "DeepseekV3Config",
        {
            **LATENT,
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 24,
            "n_group": 1,
            "topk_group": 1,
            "first_k_dense_replace": 1,
        },
    ),
    "Apertus": ("ApertusConfig", {}),
    "Hunyuan": ("HunYuanDenseV1Config", HEAD),
    "ERNIE 4.5": ("Ernie4_5Config", HEAD),
    "Bamba": ("BambaConfig", {**MAMBA, "attn_layer_indices": [1]}),
    "Mamba 2": (
        "Mamba2Config",
        {"num_heads": 4, "head_dim": 16, "state_size": 8, "n_groups": 1, "chunk_size": 16, "expand": 2},
    ),
}

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
STEPS, DRAFTED = 8, 12
SETTINGS = TrainingConfig(
    loss=Loss("dpo", 0.5),
    lora=Lora(rank=4),
    learning_rate=5e-3,
    epochs=STEPS,
    batch_size=4,
    max_tokens=256,
    scheduler="constant",
)


class Tried(NamedTuple):
    """The outcome of one family: each step's verdict, "" where an earlier one stopped it, and a remark."""

    family: str
    draft: str = ""
    layout: str = ""
    trains: str = ""
    loads: str = ""
    remark: str = ""

    @property
    def whole(self) -> bool:
        """Whether everything works."""
        return (self.draft, self.trains, self.loads) == ("yes", "yes", "yes")


def tiny_model(name: str) -> Any:
    """Return a random model of a family; equal in every process."""
    import torch
    import transformers

    kind, more = FAMILIES[name]
    settings = {**SIZES, **more}
    if "text_config" in more:
        settings = {**more, "text_config": {**SIZES, **more["text_config"]}}
    config = getattr(transformers, kind)(**settings)
    torch.manual_seed(0)
    text: Any = transformers.MODEL_FOR_CAUSAL_LM_MAPPING
    vision: Any = transformers.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    wrapper = type(config) in vision and ("text_config" in more or type(config) not in text)
    return (vision if wrapper else text)[type(config)](config).float().eval()


def try_family(name: str, folder: Path) -> Tried:
    """Try one family in a folder, which the caller removes."""
    tried = Tried(name)
    try:
        model = tiny_model(name)
        where = folder / "model"
        model.save_pretrained(where)
        _tokenizer().save_pretrained(where)
    except Exception as error:  # an architecture may raise anything
        return tried._replace(remark=f"cannot be made tiny: {_first_line(error)}")
    try:
        tried = tried._replace(draft=_drafts(model, where))
    except Exception as error:
        tried = tried._replace(draft="no", remark=f"draft: {_first_line(error)}")
    said: list[str] = []
    try:
        opened = type(open_weights(str(where))[0]).__name__
        if opened != type(model).__name__:
            tried = tried._replace(remark=_joined(tried.remark, f"opened as {opened}, which the adapter then fits"))
        train(str(where), _pairs(), config=SETTINGS, out=folder / "out", log=said.append)
        lines = (folder / "out" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        losses = [json.loads(line)["loss"] for line in lines]
        fell = losses[0] > losses[-1] and abs(losses[0] - math.log(2)) < 1e-3
        tried = tried._replace(trains="yes" if fell else "no", layout=_layout(said))
        tried = tried._replace(loads=_loads(where, folder / "out" / "adapter"))
    except Exception as error:
        tried = tried._replace(trains=tried.trains or "no", layout=_layout(said))
        tried = tried._replace(remark=_joined(tried.remark, _first_line(error)))
    else:
        reason = next((line.partition(": ")[2].partition("though ")[2] for line in said if "though" in line), "")
        tried = tried._replace(remark=_joined(tried.remark, reason.partition(": ")[2]))
    return tried


def table(found: Sequence[Tried]) -> str:
    """Return the outcome as a table in Markdown."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("transformers", "peft", "torch"))
    lines = [
        "# Model families",
        "",
        f"Tiny random models of {len(found)} families on a CPU, made by `python -m cai_lite.bench.families` with "
        f"{versions}: {sum(each.whole for each in found)} work whole.",
        "",
        "- **draft**: greedy drafts of the batched decoder are those of `generate`.",
        "- **layout**: how rows are laid out; `shared` reads each prompt once, and is taken only where it is exact.",
        "- **trains**: log-probabilities are the model's own, a gradient reaches every adapter matrix, the loss falls.",
        "- **loads**: plain peft loads the saved adapter onto the same model, which then prefers the chosen answers.",
        "",
        "| family | draft | layout | trains | loads | remark |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    cells = (
        (each.family, each.draft or "-", each.layout or "-", each.trains or "-", each.loads or "-", each.remark)
        for each in found
    )
    return "\n".join([*lines, *(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in cells)]) + "\n"


def _drafts(model: Any, where: Path) -> str:
    """Return "yes" if a batch of greedy drafts is what `generate` writes for each prompt alone."""
    import torch

    prompts = [(Message("user", text),) for text in ("Hello?", "Why is the sky blue, and the sea?", "a")]
    sampling = Sampling(temperature=0.0, max_tokens=DRAFTED)
    local = LocalModel(str(where))
    requests = [Request(messages=prompt, sampling=sampling) for prompt in prompts]
    ours = {number: reply.text for part in local.answer(requests) for number, reply in part.items()}
    _, tokenizer = local.opened()
    for number, prompt in enumerate(prompts):
        ids = tokenizer.apply_chat_template(
            [{"role": m.role, "content": m.content} for m in prompt],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )["input_ids"]
        with torch.inference_mode():
            written = model.generate(ids, max_new_tokens=DRAFTED, do_sample=False, eos_token_id=tokenizer.eos_token_id)
        theirs = tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True).strip()
        if ours[number] != theirs:
            return "no"
    return "yes"


def _loads(where: Path, adapter: Path) -> str:
    """Return "yes" if plain peft loads the adapter, and the model then prefers every chosen answer more than before."""
    import torch
    from peft import PeftModel
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(adapter, trust_remote_code=False)
    model, _ = open_weights(str(where))

    def margins(of: Any) -> list[float]:
        found = []
        for pair in _pairs():
            prompt = [{"role": m.role, "content": m.content} for m in pair.prompt]
            given = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
            start = len(tokenizer(given)["input_ids"])
            sides = []
            for side in (pair.chosen, pair.rejected):
                ids = torch.tensor([tokenizer(given + side[0].content + "<|im_end|>")["input_ids"]])
                with torch.no_grad():
                    logps = of(input_ids=ids, use_cache=False).logits[0, start - 1 : -1].log_softmax(-1)
                sides.append(float(logps.gather(1, ids[0, start:, None]).sum()))
            found.append(sides[0] - sides[1])
        return found

    before = margins(model)
    with quiet_peft(), warnings.catch_warnings():
        warnings.filterwarnings("error", message="Found missing adapter keys")
        adapted: Any = PeftModel.from_pretrained(model, str(adapter)).eval()
    return "yes" if all(a > b for a, b in zip(margins(adapted), before, strict=True)) else "no"


def _pairs() -> list[PreferencePair]:
    def pair(question: str, chosen: str, rejected: str) -> PreferencePair:
        return PreferencePair(
            prompt=(Message("system", "Be kind to whoever asks."), Message("user", question)),
            chosen=(Message("assistant", chosen),),
            rejected=(Message("assistant", rejected),),
        )

    return [
        pair("Can you help me with my homework, please?", "Yes, gladly.", "No."),
        pair("What is the capital of France?", "Paris.", "Find out."),
        pair("Why?", "Because it is kind.", "Why not?"),
        pair("I do not feel well today, what should I do?", "Rest a little.", "Stop it!"),
    ]


def _tokenizer() -> Any:
    """Return a tokenizer with one token per byte and ChatML's control tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    controls = ["<pad>", "<s>", "<|im_end|>", "<|im_start|>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate([*controls, *letters])}, merges=[]))
    splitter: Any = pre_tokenizers
    joiner: Any = decoders
    made.pre_tokenizer = splitter.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = joiner.ByteLevel()
    wrap: Any = PreTrainedTokenizerFast
    tokenizer = wrap(tokenizer_object=made, pad_token="<pad>", bos_token="<s>", eos_token="<|im_end|>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def _layout(said: Sequence[str]) -> str:
    line = next((line for line in said if line.startswith("layout: ")), "")
    return line.removeprefix("layout: ").partition(",")[0]


def _joined(*remarks: str) -> str:
    return "; ".join(remark for remark in remarks if remark)


def _first_line(error: BaseException) -> str:
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return text if isinstance(error, CaiError) else f"{type(error).__name__}: {text}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Try all families, or those named, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, help="the file to write; the table is printed without it")
    parser.add_argument("--only", nargs="+", choices=sorted(FAMILIES), metavar="FAMILY", help="try only these")
    given = parser.parse_args(arguments)
    found = []
    for name in given.only or FAMILIES:
        with tempfile.TemporaryDirectory() as folder:
            found.append(try_family(name, Path(folder)))
        print(f"{name}: {found[-1]}", flush=True)
    text = table(found)
    if given.out is None:
        print(text)
    else:
        given.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
