"""The settings of a training, as plain data. Nothing here imports torch, so that a recipe can be read without it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, Literal, cast, get_args

from cai_lite.errors import InputError, did_you_mean, shortened
from cai_lite.training.losses import LOSSES, options_of
from cai_lite.training.methods import METHODS
from cai_lite.training.optim import OPTIMIZERS, SCHEDULES
from cai_lite.training.rl_settings import Rl
from cai_lite.training.trackers import TRACKERS

Overlong = Literal["drop", "cut_prompt"]
Layouts = Literal["auto", "shared", "plain"]
Keep = Literal["best", "last"]
Reference = Literal["base", "init"]  # None: the default, see TrainingConfig
Input = Literal["joint", "principle"]
Option = float | int | bool | str

MEMORY_SHARE = 0.92  # share of the memory that is planned for, by trainer and `plan`; the rest is fragmentation
MOST = 1_000_000_000  # the upper limit of counts, far above any that is meant
BETA = 0.1  # where a loss takes a beta without a default of its own

# The values that an option may have, by its name, in whatever loss; an option that is not listed may have any.
RANGES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "beta": ("above 0", lambda value: value > 0),
    "label_smoothing": ("from 0 to below 0.5", lambda value: 0 <= value < 0.5),
    "gamma": ("0 or more", lambda value: value >= 0),
    "penalty": ("0 or more", lambda value: value >= 0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """A LoRA adapter on every linear layer but the head (Hu et al. 2021, arXiv:2106.09685).

    `alpha`: the scale is alpha / rank; twice the rank where left out. `targets`: names of layers, or "all-linear".
    """

    rank: int = 16
    alpha: float | None = None
    dropout: float = 0.0
    targets: tuple[str, ...] = ("all-linear",)

    def __post_init__(self) -> None:
        _check(self.rank >= 1, "lora.rank", "at least 1", self.rank)
        _check(self.rank <= 65_536, "lora.rank", "at most 65,536", self.rank)
        alpha = 1.0 if self.alpha is None else self.alpha
        _check(0 < alpha <= 1e6, "lora.alpha", "above 0 and at most 1,000,000", self.alpha)
        _check(0 <= self.dropout < 1, "lora.dropout", "from 0 to below 1", self.dropout)
        _check(bool(self.targets), "lora.targets", "a list of layer names, or [all-linear]", list(self.targets))


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Loss:
    """A loss by name, with its options: `Loss("simpo", beta=2.0, gamma=0.5)`.

    The options of a loss are the keyword arguments of its function; see `cai_lite.losses`. None leaves an option at
    its default. `given`: the options that were set, and beta, sorted by name.

    Raises:
        InputError: there is no such loss, it has no such option, an option is missing, or a value is out of range.
    """

    name: str
    given: tuple[tuple[str, Option], ...]

    def __init__(self, /, name: str = "dpo", beta: float | None = None, **options: Option | None) -> None:
        if not isinstance(name, str) or name not in LOSSES:
            raise InputError(f"no loss '{name}'{did_you_mean(str(name), LOSSES)}")
        takes, of_any = options_of(name), {option for each in LOSSES for option in options_of(each)}
        given: dict[str, Option] = {}
        if beta is None and "beta" in takes:
            default = takes["beta"].default
            beta = BETA if default is inspect.Parameter.empty else default
        for option, value in {"beta": beta, **options}.items():
            # Recipes written by earlier versions list the options of every loss, as null where they do not apply.
            if value is None and option in of_any | {"beta"}:
                continue
            if option not in takes:
                known = " and ".join(takes) or "no options"
                near = did_you_mean(option, takes)
                mend = near if near.startswith("; did") else ""
                raise InputError(f"loss '{name}' takes {known}; it has no '{option}'{mend}")
            _check_type(f"loss.{option}", value, _type_of(takes[option]))
            expected, holds = RANGES.get(option, ("", lambda _: True))
            _check(holds(value), f"loss.{option}", expected, value)
            given[option] = value  # type: ignore[assignment]
        for option, parameter in takes.items():
            if parameter.default is parameter.empty and option not in given:
                raise InputError(f"loss '{name}' needs '{option}'")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "given", tuple(sorted(given.items())))

    def __repr__(self) -> str:
        return f"Loss({', '.join([repr(self.name), *(f'{option}={value}' for option, value in self.given)])})"

    @property
    def beta(self) -> float:
        """The factor that makes a reward of a log-ratio; 1 where the loss has no beta."""
        return cast(float, dict(self.given).get("beta", 1.0))

    def options(self) -> dict[str, Option]:
        """Return the keyword arguments for the loss function, which has the defaults of those left out."""
        return dict(self.given)

    def as_section(self) -> dict[str, Option | None]:
        """Return the section of a recipe that this loss is read from; null stands for an option left out."""
        return {"name": self.name, **dict.fromkeys(options_of(self.name)), **dict(self.given)}

    @classmethod
    def section_keys(cls, section: Mapping[str, Any]) -> dict[str, Any]:
        """Return the type of each key of such a section, as `yamlfile` asks for it.

        The options of other losses are among them: `__init__` refuses those in words of its own.
        """
        name = section.get("name", "dpo")
        if not isinstance(name, str) or name not in LOSSES:
            return {**dict.fromkeys(section, Any), "name": str}
        others = {option: Any for each in LOSSES for option in options_of(each)}
        return {"name": str, **others, **_types_of(name)}

    @classmethod
    def section_kinds(cls) -> tuple[str, str, dict[str, dict[str, Any]]]:
        """Return the key that says which others a section may have, its default, and their types by its values.

        The options of other losses may be there as null.
        """
        others = {option: type(None) for each in LOSSES for option in options_of(each)}
        return "name", "dpo", {name: {**others, **_types_of(name)} for name in LOSSES}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """How a student is trained.

    `method`: one of `cai_lite.training.methods.METHODS`: "sft", "dpo", "listwise", "preference_model" or "rl".
    `on`: what the method "sft" learns: "revisions" (of the run), "chosen" (the chosen sides of pairs), "citing" (the
    same with a citation of the principle that decided), "prompted" (the student's own answers under the constitution)
    or, as a training alone, "critiques" (of the teachers, for a critic);
    what a preference model learns: the run's pairs where left out, or "verdicts" (all that the judges said of the
    candidates).
    `include_critique`: with `on: revisions` or `prompted`, learn to criticise and revise as well: each draft is
    followed by a request for a critique, the critique, a request for a revision and the revision, and both answers of
    the assistant carry loss; the prompt, the draft and the requests do not. The revision as an answer to the prompt is
    learnt all the same.
    `loss`: of the method "dpo"; "listwise" takes its beta.
    `rl`: of the method "rl".
    `batch_size`: pairs (rows) of an update; of the method "rl", the prompts of an iteration. `gradient_accumulation`
    splits an update into at least that many passes of the model, and `tokens_per_batch` limits the tokens of a pass;
    both change memory and speed, not the result, but for rounding. Under torchrun, a `gradient_accumulation` of at
    least the number of processes gives what one process gives with it, to the bit where it is itself the same each
    time, as on a CPU.
    `max_steps`: number of updates, in place of `epochs`.
    `max_tokens`: limit of prompt and completion together; `overlong`: what happens to longer pairs.
    `warmup`: the linear warm-up of the learning rate, as a share of all steps (below 1) or a whole number of steps. As
    in transformers, the first step has learning rate 0, and the first one after the warm-up the full one.
    `warmup_steps`: the same as a number of steps; only one of the two can be given.
    `max_grad_norm`: 0 clips nothing. `checkpoint_every`: updates between checkpoints.
    `eval_every`: updates between evaluations of the loss on held-out examples, 0 for none; `auto` evaluates ten times
    in a training of at least 100 updates, or with held-out examples given, and else not at all. If none are given, the
    examples of a tenth of the prompt families, at most 256 of them, are split off the training data.
    `keep`: the adapter that is kept where there are evaluations: that with the least held-out loss, or the last one.
    `trackers`: experiment trackers that are told each line of metrics.jsonl: "tensorboard", "wandb", "mlflow" and
    "trackio"; none by default. They need the extra `cai-lite[trackers]`, and are given numbers alone.
    `early_stop`: stop after this many evaluations without a lower held-out loss; 0 never stops early.
    `memory`: limit of the whole training in gigabytes; `auto` takes what a GPU has free and sets no limit on a CPU.
    `activation_checkpointing`: whether every layer is recomputed in the backward pass; `auto` recomputes as few layers
    as memory allows.
    `shard`: under torchrun, each process holds a part of every layer only; for models that do not fit one GPU, in 16 or
    32 bits. The result is the same.
    `layout`: `shared` reads each prompt once for all of its completions, `plain` once for each; `auto` takes `shared`
    where that saves tokens and gives the same numbers on this model.
    `sft_weight`: weight of the mean negative log-likelihood of the chosen tokens of an update, beside the preference
    loss.
    `input`: what a preference model reads: "joint" the prompt and an answer, "principle" also the text of the principle
    that the answers are judged by, which takes `on: verdicts`.
    `principle_weights`: factors of the weights of pairs, by the id of their principle, such as {urgent-care: 2.0}; a
    principle that is left out has the factor 1, and pairs of one with 0 are dropped. Read by "dpo" and
    "preference_model".
    `init_adapter`: folder of a peft adapter to begin from, in place of `lora`. It may be the adapter of the output
    folder itself, which is moved aside when the training begins.
    `reference`: the model that the policy is compared with. `base` is the student without an adapter, `init` the
    student with `init_adapter`, or with the adapter of the phase before; `init` is the default where there is one of
    them, otherwise both are the same.

    Raises:
        InputError: a value is out of range, or names nothing.
    """

    method: str = field(default="dpo", metadata={"one_of": METHODS})
    on: str | None = None
    include_critique: bool = False
    loss: Loss = field(default_factory=Loss)
    rl: Rl = field(default_factory=Rl)
    lora: Lora = field(default_factory=Lora)
    learning_rate: float = 2e-5
    epochs: float = 1.0
    max_steps: int | None = None
    batch_size: int = 16
    gradient_accumulation: int = 1
    tokens_per_batch: int = 8192
    max_tokens: int = 2048
    overlong: Overlong = "drop"
    layout: Layouts = "auto"
    optimizer: str = field(default="adamw", metadata={"one_of": OPTIMIZERS})
    scheduler: str = field(default="linear", metadata={"one_of": SCHEDULES})
    warmup: float = 0.0
    warmup_steps: int = 0
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    sft_weight: float = 0.0
    principle_weights: Mapping[str, float] = field(default_factory=dict)
    input: Input = "joint"
    memory: float | Literal["auto"] = "auto"
    activation_checkpointing: bool | Literal["auto"] = "auto"
    shard: bool = False
    init_adapter: str | None = None
    reference: Reference | None = None
    shuffle: bool = True
    seed: int = 0
    checkpoint_every: int = 50
    eval_every: int | Literal["auto"] = "auto"
    keep: Keep = "best"
    early_stop: int = 0
    trackers: tuple[str, ...] = field(default=(), metadata={"one_of": TRACKERS})

    def __post_init__(self) -> None:
        for name, table in (("method", METHODS), ("optimizer", OPTIMIZERS), ("scheduler", SCHEDULES)):
            value = getattr(self, name)
            if not isinstance(value, str) or value not in table:
                raise InputError(f"'{name}': there is no {name} '{value}'{did_you_mean(str(value), table)}")
        if unknown := next((name for name in self.trackers if name not in TRACKERS), None):
            raise InputError(f"'trackers': there is no tracker '{unknown}'{did_you_mean(unknown, TRACKERS)}")
        choices = (
            ("overlong", Overlong),
            ("layout", Layouts),
            ("reference", Reference),
            ("keep", Keep),
            ("input", Input),
        )
        for name, choice in choices:
            value, known = getattr(self, name), get_args(choice)
            left_out = name == "reference" and value is None
            _check(left_out or value in known, name, f"one of {', '.join(known)}", value)
        _check(0 < self.learning_rate <= 100, "learning_rate", "above 0 and at most 100", self.learning_rate)
        _check(0 < self.epochs <= 10_000, "epochs", "above 0 and at most 10,000", self.epochs)
        for name in ("batch_size", "gradient_accumulation", "tokens_per_batch", "max_tokens", "checkpoint_every"):
            _check(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
            _check(getattr(self, name) <= MOST, name, f"at most {MOST:,}", getattr(self, name))
        for name in ("warmup", "warmup_steps", "weight_decay", "max_grad_norm", "sft_weight", "early_stop"):
            _check(0 <= getattr(self, name) <= MOST, name, f"from 0 to {MOST:,}", getattr(self, name))
        whole = self.warmup < 1 or float(self.warmup).is_integer()
        _check(whole, "warmup", "a share of the steps below 1, or a whole number of steps", self.warmup)
        if self.warmup and self.warmup_steps:
            raise InputError(
                f"'warmup' ({self.warmup:g}) and 'warmup_steps' ({self.warmup_steps}) are both given; keep one of them"
            )
        every = 0 if self.eval_every == "auto" else self.eval_every
        _check(0 <= every <= MOST, "eval_every", f"auto, or from 0 to {MOST:,}", self.eval_every)
        memory = 1.0 if self.memory == "auto" else self.memory
        _check(0 < memory <= MOST, "memory", "auto, or gigabytes above 0 and below infinity", self.memory)
        _check(
            self.max_steps is None or 1 <= self.max_steps <= MOST, "max_steps", f"from 1 to {MOST:,}", self.max_steps
        )
        for name, weight in self.principle_weights.items():
            _check(0 <= weight <= 1e6, f"principle_weights.{name}", "from 0 to 1,000,000", weight)
        _check(0 <= self.seed < 2**63, "seed", "from 0 to below 2^63", self.seed)
        _check(
            self.gradient_accumulation <= self.batch_size,
            "gradient_accumulation",
            f"at most batch_size {self.batch_size}",
            self.gradient_accumulation,
        )
        if self.method == "rl":
            what = f"at most batch_size {self.batch_size}, the prompts that they share"
            _check(self.rl.minibatches <= self.batch_size, "rl.minibatches", what, self.rl.minibatches)
        self._check_read()

    def _check_read(self) -> None:
        """Check that nothing is set that the method does not read."""
        for each in fields(self):
            default = each.default if each.default_factory is MISSING else each.default_factory()
            if each.name in METHODS[self.method].unread and getattr(self, each.name) != default:
                raise InputError(f"'{each.name}' means nothing to the method '{self.method}'; leave it out")
        if "loss.name" in METHODS[self.method].unread and self.loss != Loss(beta=self.loss.beta):
            raise InputError(
                f"'loss' of the method '{self.method}' takes beta alone: its loss is the Plackett-Luce form of dpo; "
                "leave the rest out"
            )
        if self.include_critique and self.on in ("chosen", "citing"):
            raise InputError("'include_critique' is for 'on: revisions': nobody criticised the chosen sides of pairs")
        if self.include_critique and self.on == "critiques":
            raise InputError("'include_critique' is for 'on: revisions': 'on: critiques' learns nothing else anyway")

    def as_section(self) -> dict[str, Any]:
        """Return the section of a recipe that these settings are read from, without what the method does not read."""
        left_out = METHODS[self.method].unread
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name not in left_out}

    @property
    def reference_is_init(self) -> bool:
        """Whether the reference is the student with `init_adapter`, and not the bare student."""
        return self.init_adapter is not None and self.reference != "base"

    @property
    def updates_of_batch(self) -> int:
        """The number of updates that are made of a batch of rows; more than one where it is sampled for them."""
        return self.rl.ppo_epochs * self.rl.minibatches if METHODS[self.method].on_policy else 1

    def warmup_of(self, total: int) -> int:
        """Return the number of warm-up steps of a training of `total` steps; a share is rounded up."""
        share = self.warmup if self.warmup < 1 else 0.0
        return math.ceil(share * total) if share else int(self.warmup) or self.warmup_steps

    def identity(self) -> dict[str, Any]:
        """Return the settings that determine the result of a training, for its digest.

        The digest must not change between versions of this library, or finished trainings would start anew. A field
        that was added after the first release is therefore included only if it differs from its default, and the
        default must behave as before the field existed. `reference` was added when `base` was the only choice, so it
        is included only if it is `init`. The settings of evaluation are left out, since the loop records them itself;
        so are those that choose the data, which have a digest of their own.
        """
        settings = asdict(self)
        options = dict(self.loss.given)
        settings["loss"] = {
            "name": self.loss.name,
            "beta": self.loss.beta,
            **dict.fromkeys(("label_smoothing", "gamma", "penalty")),
            **options,
        }
        for name in ("on", "include_critique", "reference", "warmup", "eval_every", "keep", "early_stop", "trackers"):
            del settings[name]
        del settings["shard"]
        if not self.principle_weights:
            del settings["principle_weights"]
        if self.input == "joint":
            del settings["input"]
        if self.method == "rl":
            settings["rl"] = self.rl.identity()
        else:
            del settings["rl"]
        if self.warmup >= 1:
            settings["warmup_steps"] = int(self.warmup)
        elif self.warmup:
            settings["warmup"] = self.warmup
        return {**settings, **({"reference": "init"} if self.reference_is_init else {})}


def _types_of(loss: str) -> dict[str, Any]:
    """Return the type of each option of a loss; null leaves it at its default."""
    return {option: _type_of(parameter) | None for option, parameter in options_of(loss).items()}


def _type_of(option: inspect.Parameter) -> Any:
    """Return the type of a loss option: its annotation where that is a plain type, else that of its default."""
    plain = {"float": float, "int": int, "bool": bool, "str": str}
    written = option.annotation if isinstance(option.annotation, str) else getattr(option.annotation, "__name__", "")
    default = type(option.default).__name__
    return plain.get(written, plain.get(default, Any))


def _check_type(name: str, value: Any, expected: Any) -> None:
    if expected is float:
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        _check(number, name, "a finite number", repr(value))
    elif expected is not Any:
        what = {int: "a whole number", bool: "true or false", str: "text"}[expected]
        _check(type(value) is expected, name, what, repr(value))


def _check(holds: bool, name: str, expected: str, got: object) -> None:
    if not holds:
        raise InputError(f"'{name}' should be {expected}, got {shortened(got) if isinstance(got, int) else got}")
