"""The settings of a training. Plain data: a recipe reads it, the loop obeys it. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cai_lite.errors import InputError, did_you_mean

# The options of each loss beside beta, with their defaults: `losses.LOSSES` has the functions, and a test holds both
# equal.
LOSS_OPTIONS: Mapping[str, Mapping[str, float | None]] = {
    "dpo": {"label_smoothing": 0.0},
    "ipo": {},
    "ipo_mean": {},
    "hinge": {},
    "robust": {"label_smoothing": None},
    "simpo": {"gamma": 0.5},
    "dpop": {"penalty": 50.0},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """A LoRA adapter (Hu et al. 2021, arXiv:2106.09685) on every linear layer but the head.

    `alpha`: the scale is alpha / rank; twice the rank where left out. `targets`: names of layers, or "all-linear".
    """

    rank: int = 16
    alpha: float | None = None
    dropout: float = 0.0
    targets: tuple[str, ...] = ("all-linear",)

    def __post_init__(self) -> None:
        _check(self.rank >= 1, "lora.rank", "at least 1", self.rank)
        _check(0 <= self.dropout < 1, "lora.dropout", "from 0 to below 1", self.dropout)
        _check(bool(self.targets), "lora.targets", "a list of layer names, or [all-linear]", list(self.targets))


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss by name, with its options; see `cai_lite.losses` for what each means."""

    name: Literal["dpo", "ipo", "ipo_mean", "hinge", "robust", "simpo", "dpop"] = "dpo"
    beta: float = 0.1
    label_smoothing: float | None = field(default=None, kw_only=True)
    gamma: float | None = field(default=None, kw_only=True)
    penalty: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.name not in LOSS_OPTIONS:
            raise InputError(f"no loss '{self.name}'{did_you_mean(self.name, LOSS_OPTIONS)}")
        _check(self.beta > 0, "loss.beta", "above 0", self.beta)
        takes = LOSS_OPTIONS[self.name]
        for option in ("label_smoothing", "gamma", "penalty"):
            if getattr(self, option) is not None and option not in takes:
                raise InputError(f"loss '{self.name}' takes {' and '.join(['beta', *takes])}; it has no '{option}'")
            if option in takes and takes[option] is None and getattr(self, option) is None:
                raise InputError(f"loss '{self.name}' needs '{option}'")
        for option in ("gamma", "penalty"):
            value = getattr(self, option)
            _check(value is None or value >= 0, f"loss.{option}", "0 or more", value)
        if self.label_smoothing is not None:
            _check(0 <= self.label_smoothing < 0.5, "loss.label_smoothing", "from 0 to below 0.5", self.label_smoothing)

    def options(self) -> dict[str, float]:
        """Keyword arguments of the loss function."""
        given = {name: getattr(self, name) for name in LOSS_OPTIONS[self.name]}
        defaults = LOSS_OPTIONS[self.name]
        filled = {name: value if value is not None else defaults[name] for name, value in given.items()}
        return {"beta": self.beta, **{name: value for name, value in filled.items() if value is not None}}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """How a student is trained.

    `batch_size`: pairs per update. `gradient_accumulation` cuts an update into at least so many passes, and
    `tokens_per_batch` bounds the tokens of one pass; both change memory and speed, not the result. `max_steps`:
    updates, in place of `epochs`.
    `max_tokens`: prompt and completion together; `overlong`: what happens to longer pairs. `max_grad_norm` 0 clips
    nothing.
    `memory`: gigabytes that the training may take in all, `auto` for what a GPU has free, and without bound on a CPU.
    `activation_checkpointing`: recompute every layer in the backward pass, or none; `auto`: as few as memory allows.
    `layout`: `shared` reads each prompt once for both completions, `plain` once for each; `auto` shares where that
    saves tokens and this model's numbers stay the same.
    `sft_weight`: weight of the mean negative log-likelihood of the chosen tokens of an update, beside the preference
    loss.
    `warmup_steps`: as in transformers, the first step's rate is 0 and the full rate stands at step `warmup_steps` + 1.
    `init_adapter`: a peft adapter to begin from, in place of `lora`; the reference is the model without it.
    `checkpoint_every`: updates between checkpoints.
    """

    method: Literal["dpo"] = "dpo"
    loss: Loss = field(default_factory=Loss)
    lora: Lora = field(default_factory=Lora)
    learning_rate: float = 5e-6
    epochs: float = 1.0
    max_steps: int | None = None
    batch_size: int = 16
    gradient_accumulation: int = 1
    tokens_per_batch: int = 8192
    max_tokens: int = 2048
    overlong: Literal["drop", "cut_prompt"] = "drop"
    layout: Literal["auto", "shared", "plain"] = "auto"
    optimizer: Literal["adamw", "sgd", "adamw_8bit", "adamw_8bit_paged"] = "adamw"
    scheduler: Literal["constant", "linear", "cosine"] = "linear"
    warmup_steps: int = 0
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    sft_weight: float = 0.0
    memory: float | Literal["auto"] = "auto"
    activation_checkpointing: bool | Literal["auto"] = "auto"
    init_adapter: str | None = None
    shuffle: bool = True
    seed: int = 0
    checkpoint_every: int = 50

    def __post_init__(self) -> None:
        _check(self.learning_rate > 0, "learning_rate", "above 0", self.learning_rate)
        _check(self.epochs > 0, "epochs", "above 0", self.epochs)
        for name in ("batch_size", "gradient_accumulation", "tokens_per_batch", "max_tokens", "checkpoint_every"):
            _check(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        for name in ("warmup_steps", "weight_decay", "max_grad_norm", "sft_weight"):
            _check(getattr(self, name) >= 0, name, "0 or more", getattr(self, name))
        _check(self.memory == "auto" or self.memory > 0, "memory", "auto, or gigabytes above 0", self.memory)
        _check(self.max_steps is None or self.max_steps >= 1, "max_steps", "at least 1", self.max_steps)
        _check(
            self.gradient_accumulation <= self.batch_size,
            "gradient_accumulation",
            f"at most batch_size {self.batch_size}",
            self.gradient_accumulation,
        )


def _check(holds: bool, name: str, expected: str, got: object) -> None:
    if not holds:
        raise InputError(f"'{name}' should be {expected}, got {got}")
