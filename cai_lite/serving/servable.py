"""Say where an adapter can be served as it is: what vLLM and llama.cpp take, and what they refuse or get wrong.

Source: `PEFTHelper` and `LoRAModel.from_local_checkpoint` of vLLM (`vllm/lora`), `MaxLoRARanks` of its configuration;
`convert_lora_to_gguf.py` of llama.cpp.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from cai_lite.chat.modelfiles import read_object
from cai_lite.chat.weights import adapter_folder
from cai_lite.errors import ModelError

VLLM: Final = "vLLM"
LLAMA_CPP: Final = "llama.cpp"
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # vLLM's max_lora_rank; newer versions take 1, too
MERGE = "--merge makes a model of it that any server takes"
_EMBEDDINGS = ("embed_tokens", "lm_head", "wte", "embed_in", "embed_out")
_TOWER = re.compile(r"\b(visual|vision_\w+|audio_\w+|multi_modal_projector|\w*_projector|connector)\.")
# Modules of recurrent layers, which a converter reorders and splits before it writes them.
_RECURRENT = ("in_proj_qkvz", "in_proj_ba", "in_proj_qkv", "in_proj", "conv1d")


class Finding(NamedTuple):
    """What `server` does with an adapter: `refused`, it does not take it or computes something else; else, a caveat."""

    server: Literal["vLLM", "llama.cpp"]
    refused: bool
    text: str


class Adapter(NamedTuple):
    """An adapter as its files describe it: its settings, and the names of the layers that it changes."""

    folder: Path
    settings: Mapping[str, Any]
    layers: tuple[str, ...]

    @property
    def rank(self) -> int:
        """The rank in its settings."""
        return int(self.settings.get("r", 0))


def read_adapter(folder: Path) -> Adapter:
    """Read settings and names of an adapter; no weights.

    Raises:
        ModelError: it is no LoRA adapter in safetensors.
    """
    from safetensors import SafetensorError, safe_open

    settings = read_object(adapter_folder(folder) / "adapter_config.json")
    if settings.get("peft_type") != "LORA":
        raise ModelError(f"{folder} is an adapter of type {settings.get('peft_type')}; only LoRA adapters are exported")
    file = folder / "adapter_model.safetensors"
    try:
        with safe_open(str(file), framework="pt") as stored:
            names = list(stored.keys())
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{file} cannot be read: {error}") from error
    found = (re.sub(r"\.(lora_|base_layer|weight|bias)\S*$", "", n.removeprefix("base_model.model.")) for n in names)
    return Adapter(folder, settings, tuple(dict.fromkeys(found)))


def findings(adapter: Adapter) -> list[Finding]:
    """Return what vLLM and llama.cpp refuse, compute otherwise, or take on a condition."""
    return [*_vllm(adapter), *_llama_cpp(adapter)]


def max_rank(adapter: Adapter) -> int:
    """Return the least `--max-lora-rank` of vLLM's list that holds the adapter, the largest where none does."""
    return next((rank for rank in RANKS if rank >= adapter.rank), RANKS[-1])


def vllm_command(base: str, adapter: Adapter, folder: Path, name: str) -> str:
    """Return the command that serves the adapter. The chat template is named, since vLLM would take the base's."""
    words = ["vllm", "serve", base, "--enable-lora", "--max-lora-rank", str(max_rank(adapter))]
    words += ["--lora-modules", f"{name}={folder}"]
    if (folder / "chat_template.jinja").is_file():
        words += ["--chat-template", str(folder / "chat_template.jinja")]
    return shlex.join(words)


def _vllm(adapter: Adapter) -> Iterator[Finding]:
    settings = adapter.settings
    if adapter.rank > RANKS[-1]:
        yield Finding(VLLM, True, f"its rank is {adapter.rank}, and vLLM takes at most {RANKS[-1]}; {MERGE}")
    for name, what in (
        ("modules_to_save", "trains whole modules beside LoRA (modules_to_save)"),
        ("use_dora", "is DoRA"),
        ("trainable_token_indices", "trains single tokens (trainable_token_indices)"),
        ("target_parameters", "changes parameters that are no linear layers, such as fused experts"),
    ):
        if settings.get(name):
            yield Finding(VLLM, True, f"it {what}, which vLLM does not load; {MERGE}")
    if settings.get("bias", "none") != "none" or settings.get("lora_bias"):
        yield Finding(VLLM, True, f"it has biases, which vLLM does not load; {MERGE}")
    for name in ("rank_pattern", "alpha_pattern"):
        if settings.get(name):
            yield Finding(VLLM, True, f"vLLM scales every layer alike and does not read its {name}; {MERGE}")
    if towers := _named(adapter, lambda layer: _TOWER.search(layer)):
        yield Finding(VLLM, True, f"it changes {towers} outside of the language model, which vLLM refuses; {MERGE}")
    if embeddings := _named(adapter, lambda layer: layer.rsplit(".", 1)[-1] in _EMBEDDINGS):
        yield Finding(
            VLLM, False, f"it changes {embeddings}, which vLLM takes for some model classes only (embedding_modules)"
        )
    if experts := _named(adapter, lambda layer: ".experts." in layer):
        yield Finding(VLLM, False, f"it changes {experts}; vLLM takes LoRA of experts for some model classes only")


def _llama_cpp(adapter: Adapter) -> Iterator[Finding]:
    settings = adapter.settings
    for name in ("use_dora", "modules_to_save", "trainable_token_indices", "target_parameters"):
        if settings.get(name):
            yield Finding(LLAMA_CPP, True, f"its converter takes nothing but A and B of LoRA, not {name}; {MERGE}")
    for name in ("use_rslora", "alpha_pattern"):
        if settings.get(name):
            text = f"its converter writes one alpha and no {name}, so the adapter would have another scale; {MERGE}"
            yield Finding(LLAMA_CPP, True, text)
    if heads := _named(adapter, lambda layer: layer.rsplit(".", 1)[-1] == "lm_head"):
        yield Finding(LLAMA_CPP, False, f"it changes {heads}, which fails where the base ties it to its embeddings")
    if recurrent := _named(adapter, lambda layer: layer.rsplit(".", 1)[-1] in _RECURRENT):
        yield Finding(
            LLAMA_CPP, False, f"it changes {recurrent}, which the converter may have to reorder and cannot; {MERGE}"
        )


def _named(adapter: Adapter, chosen: Any) -> str:
    """Return the chosen layers for a message: the first, and how many more; "" if there are none."""
    found: Collection[str] = [layer for layer in adapter.layers if chosen(layer)]
    return "" if not found else min(found) + (f" and {len(found) - 1} more" if len(found) > 1 else "")
