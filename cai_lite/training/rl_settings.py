"""The settings of the method "rl", the section `train.rl`, as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from cai_lite.errors import InputError

Form = Literal["rloo", "grpo"]
WATCHED = 40  # prompt families below which the watch over a reward sees large gaps alone, see `training.goodhart`


@dataclass(frozen=True, slots=True, kw_only=True)
class Rl:
    """How a student learns from rewards of its own samples.

    A batch of prompts (`train.batch_size`) is an iteration: completions are drawn from the student as it is, at
    temperature 1, rewarded, and learnt from in `ppo_epochs` times `minibatches` updates. `train.epochs` counts how
    often the prompts are walked, `train.max_steps` updates.

    `form`: "rloo" takes a completion for one action, compares its reward with the mean of the others of its prompt, and
    takes the KL penalty off the reward; "grpo" takes each token for an action, divides a group's advantages by their
    standard deviation, and adds the KL penalty to the loss, times the ratio.
    `divide_by_std`: of "grpo"; if false, a group's advantages are not divided by their standard deviation.
    `samples`: completions of a prompt, at least 2.
    `max_completion_tokens`: length limit of a completion.
    `clip`: a ratio of new and old probability further than this from 1 gets no gradient to go on.
    `kl_weight`: weight of the KL divergence from the reference, in units of the reward per nat; its first value where
    there is a `kl_target`.
    `kl_target`: nats per completion to which the weight is adapted (Ziegler et al. 2019); None keeps the weight.
    `kl_limit`: nats per completion above which no further update is made: the training ends with that reason. None sets
    no limit.
    `missing_end`: taken off the reward of a completion that reaches `max_completion_tokens` without an end token.
    `malformed`: taken off the reward of a completion that is empty or repeats itself.
    `judge`: weight in the reward of the recipe's judge, who says of each principle drawn whether a completion keeps it.
    `preference_model`: weight in the reward of the preference model that the last phase before this one has trained, by
    its calibrated probability that a completion is good. It is a second copy of the weights in memory.
    `checks`: taken off the reward for each principle whose machine checks a completion fails. These three are for
    recipes; in Python the reward is a function of the caller's.
    `stop_when_parted`: end the training when the reward and the second judge have parted, see `training.goodhart`.

    Raises:
        InputError: a value is out of range.
    """

    form: Form = "rloo"
    divide_by_std: bool | None = None
    samples: int = 4
    max_completion_tokens: int = 256
    ppo_epochs: int = 1
    minibatches: int = 1
    clip: float = 0.2
    kl_weight: float = 0.05
    kl_target: float | None = None
    kl_limit: float | None = None
    missing_end: float = 1.0
    malformed: float = 1.0
    judge: float = 1.0
    preference_model: float = 0.0
    checks: float = 0.5
    stop_when_parted: bool = False

    def __post_init__(self) -> None:
        forms = get_args(Form)
        _check(self.form in forms, "form", f"one of {', '.join(forms)}", self.form)
        _check(2 <= self.samples <= 1024, "samples", "from 2 to 1,024", self.samples)
        for name in ("max_completion_tokens", "ppo_epochs", "minibatches"):
            value = getattr(self, name)
            _check(1 <= value <= 1_000_000, name, "from 1 to 1,000,000", value)
        _check(0 < self.clip < 1, "clip", "above 0 and below 1", self.clip)
        for name in ("kl_weight", "missing_end", "malformed", "judge", "preference_model", "checks"):
            value = getattr(self, name)
            _check(0 <= value <= 1e6, name, "from 0 to 1,000,000", value)
        for name in ("kl_target", "kl_limit"):
            value = getattr(self, name)
            _check(value is None or 0 < value <= 1e6, name, "above 0 and at most 1,000,000", value)
        if self.kl_target is not None and self.kl_weight == 0:
            raise InputError("'rl.kl_target' adapts 'rl.kl_weight', which is 0 and so stays 0; set it above 0")
        if self.divide_by_std is not None and self.form != "grpo":
            raise InputError(f"'rl.divide_by_std' belongs to 'form: grpo', and 'form' is '{self.form}'; leave it out")

    @property
    def divides(self) -> bool:
        """Whether the advantages of a group are divided by their standard deviation."""
        return self.form == "grpo" and self.divide_by_std is not False

    def identity(self) -> dict[str, Any]:
        """Return the settings that decide the result."""
        return asdict(self)


def _check(holds: bool, name: str, expected: str, got: object) -> None:
    if not holds:
        raise InputError(f"'rl.{name}' should be {expected}, got {got}")
