"""Find out before anything is paid for whether a student can be trained, on a tiny random model of its architecture.

Only the configuration and the tokenizer are read, no weights. What cannot be made tiny is not judged: a note says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from cai_lite.chat.modelfiles import config_of_source, tokenizer_of_source
from cai_lite.chat.rendering import TemplateRefusal
from cai_lite.chat.turns import SWITCHES, Turns, plain_source
from cai_lite.chat.weights import resolve
from cai_lite.errors import ModelError
from cai_lite.records import Message
from cai_lite.training.config import Lora

VOCABULARY = 512
# Settings of layer widths and numbers of parts, and what a tiny model has.
_SMALL = {
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "moe_intermediate_size": 64,
    "shared_expert_intermediate_size": 64,
    "shared_intermediate_size": 64,
    "block_ff_dim": 64,
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "mamba_n_groups": 1,
    "n_groups": 1,
    "mamba_num_heads": 4,
    "mamba_d_state": 16,
    "ssm_state_size": 16,
    "mamba_chunk_size": 16,
    "chunk_size": 16,
    "num_kv_shared_layers": 0,
    "attn_layer_indices": [1],
    "hidden_size_per_layer_input": 16,
    "vocab_size_per_layer_input": VOCABULARY,
    "first_k_dense_replace": 1,
    "vocab_size": VOCABULARY,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_NO_WIDTH = ("position", "window", "vocab", "chunk", "token")  # settings that equal the hidden size by chance


def check_trainable(
    student: str,
    *,
    lora: Lora,
    template: Mapping[str, Any] | None = None,
    system: Literal["keep", "merge"] = "keep",
    needs_tokenizer: bool = True,
) -> list[str]:
    """Check that a student can be trained; return notes on what to mind and what could not be checked.

    Offline, it takes a second or two; a model on the hub is checked as far as it is in the cache. `needs_tokenizer`:
    a folder without a tokenizer is an error, not a note.

    Raises:
        ModelError: the student cannot be trained with these settings, or its chat template cannot be used.
    """
    if student.startswith("embedded:"):  # these are trained in every test
        return []
    source = resolve(student)
    tokenizer: Any = None
    try:
        config = config_of_source(student, source, local=True)
        absent = () if needs_tokenizer else (ModelError,)
        with suppress(*absent):
            tokenizer = tokenizer_of_source(student, source, local=True)
            if not needs_tokenizer and not tokenizer.chat_template:
                tokenizer = None  # transformers makes an empty one for a configuration alone
    except ModelError:
        if Path(source).is_dir():
            raise
        return [f"the student {student} is not on this machine yet: whether it can be trained was not checked"]
    try:
        notes = ["it has no tokenizer here: its chat template was not checked"]
        if tokenizer is not None:
            notes = _template_notes(tokenizer, source, template, system)
        return [*(f"the student {student}: {note}" for note in notes), *_architecture_notes(student, config, lora)]
    except ModelError as error:
        raise ModelError(f"the student {student} cannot be trained: {error}") from error


def _template_notes(
    tokenizer: Any, source: str, template: Mapping[str, Any] | None, system: Literal["keep", "merge"]
) -> list[str]:
    from transformers import GenerationConfig

    try:
        ends = GenerationConfig.from_pretrained(source, local_files_only=True).eos_token_id
    except OSError:
        ends = None
    turns = Turns(tokenizer, template=template, system=system)
    more = ends if isinstance(ends, list) else [] if ends is None else [ends]
    turns = Turns(tokenizer, ends=turns.ends | set(more), template=template, system=system)
    user, assistant = Message("user", "Hi"), Message("assistant", "Hello")
    turns.split((user,), [(assistant,)])
    notes = []
    for what, prompt in (
        ("a system message", (Message("system", "Be kind."), user)),
        ("earlier turns", (user, assistant, user)),
    ):
        try:
            turns.split(prompt, [(assistant,)])
        except TemplateRefusal as error:
            mend = "; set 'system: merge' for it" if prompt[0].role == "system" else ""
            refused = "will be left out, because the chat template refuses them"
            notes.append(f"prompts with {what} {refused}: {error.why}{mend}")
    if turns.bridge:
        switch = next(
            (name for name in SWITCHES if name in plain_source(tokenizer) and name not in turns.template), None
        )
        mend = f"; set 'template: {{{switch}: false}}' for it, so that it is asked in the same way" if switch else ""
        notes.append(f"it is trained behind {turns.bridge!r}, which its chat template writes in front of answers{mend}")
    turns.served_template()
    return notes


def _architecture_notes(student: str, config: Any, lora: Lora) -> list[str]:
    """Raise ModelError if the architecture cannot be trained; return a note if that could not be found out."""
    import torch

    from cai_lite.logps.fused import fuse
    from cai_lite.training.batch import Passes
    from cai_lite.training.checks import check_head, unreached
    from cai_lite.training.student import lora_parameters, with_adapter
    from cai_lite.training.tokens import Row

    rows = [Row(tuple(range(3 + i, 19 + i)), ((40 + i, 41, 42, 2), (50 + i, 51, 2))) for i in range(0, 160, 40)]
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = with_adapter(_tiny(config), lora=lora, init_adapter=None, seed=0)
            fuse(model)
            check_head(model, rows[0])
            logps = Passes("plain", 1 << 20, 0).values(model.train(), rows)
            logps.sums_BK.sum().backward()
    except ModelError:
        raise
    except Exception as error:  # a tiny model of an unknown architecture may fail where the real one does not
        return [
            f"the student {student}: whether {config.model_type} can be trained could not be checked on a tiny model "
            f"({type(error).__name__}: {_first_line(error)})"
        ]
    if without := unreached(lora_parameters(model)):
        raise ModelError(
            f"no gradient reaches {len(without)} of its adapter matrices, such as {without[0]}; name the layers to "
            "train in train.lora.targets"
        )
    return []


def _tiny(config: Any) -> Any:
    """Return a random model of the text part of an architecture, with a layer of each kind.

    Widths of heads are kept, since the rotary embedding depends on them.
    """
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    text = config.get_text_config()
    settings: dict[str, Any] = text.to_dict()
    for name in ("quantization_config", "architectures", "dtype", "model_type", "transformers_version"):
        settings.pop(name, None)
    layers, heads = text.num_hidden_layers, text.num_attention_heads
    hidden, head_width = settings["hidden_size"], settings.get("head_dim") or settings["hidden_size"] // heads
    keys = settings.get("num_key_value_heads") or heads
    narrow = 2 * head_width
    lists = {name: value for name, value in settings.items() if isinstance(value, list) and len(value) == layers}
    kinds = list(zip(*lists.values(), strict=True)) or [()] * layers
    kept = sorted({str(kind): place for place, kind in reversed(list(enumerate(kinds)))}.values())[:4]
    kept += [place for place in range(layers) if place not in kept][: max(0, 2 - len(kept))]
    for name, value in settings.items():
        if name in lists:
            settings[name] = [value[place] for place in sorted(kept)]
        elif name == "per_layer_config":  # of Gemma 4; its keys are numbers of layers
            settings[name] = {i: value[place] for i, place in enumerate(sorted(kept)) if place in value}
        elif type(value) is int and value == hidden and not any(part in name for part in _NO_WIDTH):
            settings[name] = narrow
        elif name in _SMALL and value is not None:
            settings[name] = _SMALL[name]
    for name in ("intermediate_size", "ffn_hidden_size"):
        if name in settings:
            width = settings[name]
            settings[name] = [2 * narrow] * len(width) if isinstance(width, list) else 2 * narrow
    settings |= {"num_hidden_layers": len(kept), "hidden_size": narrow, "num_attention_heads": 2}
    if "num_key_value_heads" in settings:
        settings["num_key_value_heads"] = 2 if keys == heads else 1
    if settings.get("mamba_d_head") and settings.get("mamba_expand"):
        settings["mamba_n_heads"] = settings["mamba_expand"] * narrow // settings["mamba_d_head"]
        if settings.get("mamba_d_ssm"):
            settings["mamba_d_ssm"] = settings["mamba_n_heads"] * settings["mamba_d_head"]
    settings |= {name: _SMALL[name] for name in ("vocab_size", "pad_token_id", "bos_token_id", "eos_token_id")}
    small = type(text)(**settings)
    classes: Any = MODEL_FOR_CAUSAL_LM_MAPPING
    return classes[type(small)](small).float().eval()


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
