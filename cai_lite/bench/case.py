"""What every contender is given: a model of random weights, an adapter, pairs. The same seed gives the same numbers."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Literal

from cai_lite.chat.weights import keep_packed
from cai_lite.errors import InputError, did_you_mean
from cai_lite.training.tokens import TokenPair

SHAPES: dict[str, dict[str, Any]] = {
    "small": {
        "hidden_size": 512,
        "intermediate_size": 1376,
        "num_hidden_layers": 8,
        "num_attention_heads": 8,
        "num_key_value_heads": 8,
        "vocab_size": 32000,
    },
    "tiny": {
        "hidden_size": 64,
        "intermediate_size": 160,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 512,
    },
    "llama-2-7b": {
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "vocab_size": 32000,
    },
    "qwen2.5-7b": {
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152064,
        "attention_bias": True,
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`completion_tokens`: the mean; single ones are from 2/3 to 4/3 of it, as answers differ. `pairs`: a step.

    `checkpointing`: whether every contender recomputes its activations, for a small memory.
    """

    shape: str
    prompt_tokens: int
    completion_tokens: int
    pairs: int = 4
    steps: int = 5
    rank: int = 16
    device: Literal["cpu", "cuda"] = "cpu"
    load: Literal["float32", "bfloat16", "nf4"] = "float32"
    checkpointing: bool = False
    tokens_per_batch: int = 1 << 20
    seed: int = 0

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise InputError(f"no model shape '{self.shape}'{did_you_mean(self.shape, SHAPES)}")
        for name in ("prompt_tokens", "completion_tokens", "pairs", "steps", "rank"):
            least = 3 if name == "completion_tokens" else 1
            if getattr(self, name) < least:
                raise InputError(f"{name} should be at least {least}, got {getattr(self, name)}")

    def batches(self) -> list[list[TokenPair]]:
        """One batch for the warm-up, and one for each step."""
        drawn = random.Random(self.seed)
        vocabulary = SHAPES[self.shape]["vocab_size"]

        def ids(tokens: int) -> tuple[int, ...]:
            return tuple(drawn.randrange(3, vocabulary) for _ in range(tokens))

        def completion() -> tuple[int, ...]:
            return ids(round(self.completion_tokens * drawn.uniform(2 / 3, 4 / 3)))

        return [
            [
                TokenPair(
                    prompt_ids=ids(self.prompt_tokens), chosen_ids=completion(), rejected_ids=completion(), p_chosen=1.0
                )
                for _ in range(self.pairs)
            ]
            for _ in range(self.steps + 1)
        ]

    def body_parameters(self) -> int:
        """Of the layers, which every token passes; the embedding is a look-up, the head is counted apart."""
        s = SHAPES[self.shape]
        keys = s["hidden_size"] * s["num_key_value_heads"] // s["num_attention_heads"]
        attention = s["hidden_size"] * (2 * s["hidden_size"] + 2 * keys)
        return int(s["num_hidden_layers"] * (attention + 3 * s["hidden_size"] * s["intermediate_size"]))

    def useful_flops(self, pairs: list[TokenPair]) -> float:
        """Least work of a step: 4N for each body token, its prompt read once; 4VH for each completion token."""
        s = SHAPES[self.shape]
        completions = sum(len(p.chosen_ids) + len(p.rejected_ids) for p in pairs)
        body = completions + sum(len(p.prompt_ids) for p in pairs)
        head = int(s["vocab_size"]) * int(s["hidden_size"])
        return 4.0 * (self.body_parameters() * body + head * completions)


def case_of(*, device: str, load: str, **settings: Any) -> Case:
    """A case with `auto` resolved for this machine.

    Raises:
        InputError: no such device or way of loading, or a number out of range.
    """
    import torch

    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"device should be auto, cpu or cuda, got '{device}'")
    if load not in ("auto", "float32", "bfloat16", "nf4"):
        raise InputError(f"load should be auto, float32, bfloat16 or nf4, got '{load}'")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device cuda: no GPU is found here")
    where: Any = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    how: Any = load if load != "auto" else "bfloat16" if where == "cuda" else "float32"
    return Case(device=where, load=how, **settings)


def model_of(case: Case) -> Any:
    """A Llama of this shape with random weights, as it is loaded for training, without an adapter."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    settings: Any = LlamaConfig
    config = settings(
        **SHAPES[case.shape], max_position_embeddings=1 << 16, pad_token_id=0, bos_token_id=1, eos_token_id=2
    )
    config._attn_implementation = "sdpa"
    kind = torch.float32 if case.load == "float32" else torch.bfloat16
    torch.manual_seed(case.seed)
    before = torch.get_default_dtype()
    torch.set_default_dtype(kind)
    try:
        with torch.device("meta" if case.load == "nf4" else case.device):
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    return _quantised(model, case) if case.load == "nf4" else model


def _quantised(model: Any, case: Case) -> Any:
    """Its layers in NF4 with double quantisation, filled one by one: the whole never exists in 16 bits."""
    import bitsandbytes
    import torch

    layer_of: Any = bitsandbytes.nn
    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            four = layer_of.Linear4bit(
                module.in_features,
                module.out_features,
                bias=module.bias is not None,
                compute_dtype=torch.bfloat16 if case.device == "cuda" else torch.float32,
                quant_type="nf4",
                compress_statistics=True,
                device="meta",
            )
            weight = torch.randn(module.weight.shape, device=case.device, dtype=torch.bfloat16) * 0.02
            four.weight = layer_of.Params4bit(
                weight, requires_grad=False, quant_type="nf4", compress_statistics=True
            ).to(case.device)
            if module.bias is not None:
                four.bias = torch.nn.Parameter(
                    torch.zeros(module.out_features, device=case.device, dtype=torch.bfloat16)
                )
            model.get_submodule(name.rpartition(".")[0]).__setattr__(name.rpartition(".")[2], four)
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if parameter.is_meta:
                ones = "norm" in type(module).__name__.lower()
                filled = torch.empty(parameter.shape, device=case.device, dtype=parameter.dtype)
                filled = filled.fill_(1.0) if ones else filled.normal_(std=0.02)
                setattr(module, name, torch.nn.Parameter(filled, requires_grad=False))
    with torch.device(case.device):
        model.model.rotary_emb = type(model.model.rotary_emb)(model.config)
    model.is_loaded_in_4bit = True
    keep_packed(model)
    return model
