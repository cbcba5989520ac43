"""Open the model to be trained, with a LoRA adapter on it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cai_lite.chat.bases import check_base
from cai_lite.chat.preference import is_preference_adapter, with_score
from cai_lite.chat.weights import (
    Load,
    adapter_folder,
    base_record,
    load_peft,
    open_weights,
    quiet_peft,
    weights_digest,
)
from cai_lite.errors import ModelError
from cai_lite.records import digest
from cai_lite.training.config import Lora


class Student(NamedTuple):
    """The model to be trained, and how it is served: `template` and `system` as `cai.open_model` takes them."""

    model: str
    load: Load | None
    template: Mapping[str, Any]
    system: Literal["keep", "merge"]

    @property
    def digest(self) -> str:
        """The digest of the weights and of how they are loaded."""
        return digest(weights_digest(self.model), self.load or "auto")

    @property
    def served_digest(self) -> tuple[Any, ...]:
        """The part of a training's identity that says how the student is served; empty for the defaults."""
        return (dict(self.template), self.system) if self.template or self.system != "keep" else ()


def open_student(
    model: str,
    *,
    load: Load | None,
    lora: Lora,
    init_adapter: str | None,
    seed: int,
    score: bool = False,
    host: bool = False,
) -> tuple[Any, Any]:
    """Return the peft model and the tokenizer of a model by name; see `with_adapter`. `host`: in host memory.

    Raises:
        ModelError: the model or the adapter cannot be opened.
    """
    weights, tokenizer = open_weights(model, load=load, host=host)
    base = base_record(model, weights.config, tokenizer) if init_adapter is not None else None
    return with_adapter(weights, lora=lora, init_adapter=init_adapter, seed=seed, base=base, score=score), tokenizer


def with_adapter(
    weights: Any,
    *,
    lora: Lora,
    init_adapter: str | None,
    seed: int,
    base: Mapping[str, Any] | None = None,
    score: bool = False,
) -> Any:
    """Return the model with an adapter drawn from `seed` or read from `init_adapter`; nothing else takes a gradient.

    `base`: the record of the model, with which that of `init_adapter` is compared. `score`: add a score head, which is
    trained and saved with the adapter; `init_adapter` may then be that of a preference model or of a policy, whose
    layers are taken over. The model's own dropout is turned off: with it, policy and reference would differ before the
    first step.

    Raises:
        ModelError: the adapter cannot be opened or put on.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    from cai_lite.logps.head import add_score
    from cai_lite.training.targets import lora_targets  # which imports torch

    for parameter in weights.parameters():
        parameter.requires_grad_(False)
    for module in weights.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name, value in list(vars(module).items()):  # attention_dropout, residual_dropout, ...
            if name.endswith("dropout") and isinstance(value, float):
                setattr(module, name, 0.0)
    torch.manual_seed(seed)  # for drawing the adapter, and for its dropout
    if init_adapter is not None:
        try:
            if not score:
                return load_peft(weights, init_adapter, base=base, trainable=True)
            if is_preference_adapter(init_adapter):
                return with_score(weights, init_adapter, base=base, trainable=True)
            return _scoring(weights, init_adapter, base=base)
        except ModelError as error:
            raise ModelError(f"train.init_adapter: {error}") from error
    targets: Any = lora_targets(weights, lora.targets)
    settings: Any = LoraConfig
    if score:
        add_score(weights)
    config = settings(
        r=lora.rank,
        lora_alpha=lora.alpha if lora.alpha is not None else 2 * lora.rank,
        lora_dropout=lora.dropout,
        target_modules=targets,
        bias="none",
        task_type="SEQ_CLS" if score else "CAUSAL_LM",  # peft trains and saves the score head of the former
    )
    try:
        with quiet_peft():
            return get_peft_model(weights, config)
    except ValueError as error:
        raise ModelError(f"lora.targets {list(lora.targets)}: {str(error).splitlines()[0]}") from error


def _scoring(weights: Any, adapter: str, *, base: Mapping[str, Any] | None) -> Any:
    """Return the model with a new score head and the layers of a policy's adapter.

    Raises:
        ModelError: as `load_peft`.
    """
    from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors.torch import load_file

    from cai_lite.logps.head import add_score

    folder: Path = adapter_folder(adapter)
    if base is not None:
        check_base(folder, base)
    settings: Any = LoraConfig.from_pretrained(str(folder))
    settings.task_type, settings.inference_mode = "SEQ_CLS", False
    add_score(weights)
    unfit = f"the adapter {folder} does not fit this model"
    try:
        with quiet_peft():
            model: Any = get_peft_model(weights, settings)
            own = get_peft_model_state_dict(model, save_embedding_layers=False)
            head = {name: value for name, value in own.items() if "lora_" not in name}
            stored = load_file(folder / "adapter_model.safetensors")
            loaded: Any = set_peft_model_state_dict(model, {**stored, **head})
    except (RuntimeError, ValueError, OSError) as error:
        raise ModelError(f"{unfit}: {str(error).splitlines()[0]}") from error
    absent = [name for name in loaded.missing_keys if "lora_" in name]
    if absent or loaded.unexpected_keys:
        raise ModelError(f"{unfit}: it has other layers, such as {(absent or loaded.unexpected_keys)[0]}")
    return model


def separate_padding(tokenizer: Any, ends: Collection[int]) -> None:
    """Give a tokenizer whose padding is also an end token another one.

    transformers reads the score of a preference model at the last token that is not padding, which has to be the end.
    """
    if tokenizer.pad_token_id in ends or tokenizer.pad_token_id is None:
        others = [token for token in tokenizer.all_special_ids if token not in ends]
        tokenizer.pad_token_id = others[0] if others else next(i for i in range(len(tokenizer)) if i not in ends)


def set_checkpointing(model: Any, layers: int) -> None:
    """Recompute the first `layers` layers in the backward pass, keeping only their input (Chen et al. 2016)."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    base = model.get_base_model()
    if layers:
        if hasattr(base, "activation_checkpointing_enable"):  # transformers 5.23; 5.17 knows the old name alone
            base.activation_checkpointing_enable({"use_reentrant": False})
        else:
            base.gradient_checkpointing_enable({"use_reentrant": False})
    found = [module for module in base.modules() if isinstance(module, GradientCheckpointingLayer)]
    for place, module in enumerate(found):
        module.gradient_checkpointing = place < layers


def has_dropout(model: Any) -> bool:
    """Return whether the adapter has dropout, so that a pass in training mode differs from one without."""
    return any(config.lora_dropout for config in model.peft_config.values())


def lora_parameters(model: Any) -> dict[str, Any]:
    """Return the parameters that are trained, by name, in a fixed order."""
    return {name: p for name, p in sorted(model.named_parameters()) if p.requires_grad}
