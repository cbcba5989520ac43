"""Shapes of random models so small that a test can compute them by hand, or twice."""

from __future__ import annotations

from typing import Any

import pytest
import transformers
from packaging.version import Version
from transformers import Qwen3NextConfig, Qwen3NextForCausalLM

SIZES: dict[str, Any] = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.3,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def hybrid() -> Qwen3NextForCausalLM:
    """A recurrent layer before one of attention: its state runs over the borders of a shared row."""
    config = Qwen3NextConfig(
        **SIZES,
        head_dim=8,
        layer_types=["linear_attention", "full_attention"],
        linear_num_value_heads=4,
        linear_num_key_heads=2,
        linear_key_head_dim=8,
        linear_value_head_dim=8,
        num_experts=0,
        mlp_only_layers=[0, 1],
    )
    return Qwen3NextForCausalLM(config)


def needs_transformers(version: str) -> pytest.MarkDecorator:
    """Skip a case with a transformers older than `version`, which does not run its architecture as later ones do."""
    return pytest.mark.skipif(
        Version(transformers.__version__) < Version(version), reason=f"the architecture needs transformers {version}"
    )
