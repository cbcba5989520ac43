"""The case that every contender is given: a model with random weights, an adapter and pairs, all drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from cai_lite.chat.weights import keep_packed
from cai_lite.errors import InputError, did_you_mean
from cai_lite.training.tokens import Row

BETA, RATE = 0.1, 1e-5
Step = Callable[[int], dict[str, float]]
"""Does step i and returns its `loss`, `logps/chosen` and `logps/rejected`."""

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
    """The size of a benchmark.

    `completion_tokens`: the mean; each completion has 2/3 to 4/3 of it. `pairs`: number in a step.
    `checkpointing`: whether every contender recomputes its activations to save memory.
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
            minimum = 3 if name == "completion_tokens" else 1
            if getattr(self, name) < minimum:
                raise InputError(f"{name} should be at least {minimum}, got {getattr(self, name)}")

    def batches(self) -> list[list[Row]]:
        """Return one batch for the warm-up and one for each step."""
        drawn = random.Random(self.seed)
        vocabulary = SHAPES[self.shape]["vocab_size"]

        def ids(tokens: int) -> tuple[int, ...]:
            return tuple(drawn.randrange(3, vocabulary) for _ in range(tokens))

        def completion() -> tuple[int, ...]:
            return ids(round(self.completion_tokens * drawn.uniform(2 / 3, 4 / 3)))

        return [
            [Row(ids(self.prompt_tokens), (completion(), completion())) for _ in range(self.pairs)]
            for _ in range(self.steps + 1)
        ]

    def body_parameters(self) -> int:
        """Return the number of weights in the layers; the embedding is a look-up, the head is counted separately."""
        s = SHAPES[self.shape]
        keys = s["hidden_size"] * s["num_key_value_heads"] // s["num_attention_heads"]
        attention = s["hidden_size"] * (2 * s["hidden_size"] + 2 * keys)
        return int(s["num_hidden_layers"] * (attention + 3 * s["hidden_size"] * s["intermediate_size"]))

    def useful_flops(self, pairs: list[Row]) -> float:
        """Return the least work of a step in FLOPs, with each prompt read once.

        4N for each token of the body (N weights), 4VH for each completion token in the head.
        """
        s = SHAPES[self.shape]
        completions = sum(len(ids) for pair in pairs for ids in pair.completions)
        body = completions + sum(len(pair.prompt_ids) for pair in pairs)
        head = int(s["vocab_size"]) * int(s["hidden_size"])
        return 4.0 * (self.body_parameters() * body + head * completions)


def case_of(*, device: str, load: str, shape: str = "auto", **settings: Any) -> Case:
    """Return a case with `auto` resolved for this machine: 7B in NF4 on a GPU, as the recipes train, else "small".

    Raises:
        InputError: there is no such device or way of loading, or a number is out of range.
    """
    import torch

    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"device should be auto, cpu or cuda, got '{device}'")
    if load not in ("auto", "float32", "bfloat16", "nf4"):
        raise InputError(f"load should be auto, float32, bfloat16 or nf4, got '{load}'")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device cuda: this machine has no GPU that torch can use")
    where: Any = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    how: Any = load if load != "auto" else "nf4" if where == "cuda" else "float32"
    size = shape if shape != "auto" else "qwen2.5-7b" if where == "cuda" else "small"
    return Case(device=where, load=how, shape=size, **settings)


def config_of(case: Case) -> Any:
    """Return the configuration of a Llama of this shape."""
    from transformers import LlamaConfig

    settings: Any = LlamaConfig
    return settings(
        **SHAPES[case.shape], max_position_embeddings=1 << 16, pad_token_id=0, bos_token_id=1, eos_token_id=2
    )


def model_of(case: Case) -> Any:
    """Return a Llama of this shape with random weights, as it is loaded for training, without an adapter."""
    import torch
    from transformers import LlamaForCausalLM

    config = config_of(case)
    config._attn_implementation = "sdpa"
    dtype = torch.float32 if case.load == "float32" else torch.bfloat16
    torch.manual_seed(case.seed)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device("meta" if case.load == "nf4" else case.device):
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    return _quantised(model, case) if case.load == "nf4" else model


def _quantised(model: Any, case: Case) -> Any:
    """Return the model with its layers in NF4 with double quantisation.

    They are filled one by one, so that the whole model never exists in 16 bits.
    """
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
