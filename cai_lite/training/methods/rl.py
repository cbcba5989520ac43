"""Reinforcement learning from rewards of the student's own samples: leave-one-out or group advantages, clipped ratios.

The samples, their rewards and their advantages are made by `on_policy`; here is what an update learns from them. No
value function is learnt, and there is one copy of the weights: the reference is the same model without its adapter, or
with the one that it began with.

Shapes: B prompts of a pass, K completions of each, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cai_lite.chat.rendering import TemplateRefusal
from cai_lite.errors import InputError
from cai_lite.inputs.prompts import as_prompts
from cai_lite.records import Prompt, digest_of_list
from cai_lite.training.alarms import Collapse, level
from cai_lite.training.losses import Logps, TokenLogps
from cai_lite.training.methods.base import Method
from cai_lite.training.policy_gradient import group_relative, grpo, k1, leave_one_out, rloo
from cai_lite.training.rl_settings import WATCHED, Rl
from cai_lite.training.tokens import NothingKept, Row, Sampled, TokenReport, percentiles, refused

if TYPE_CHECKING:
    from torch import Tensor

    from cai_lite.chat.turns import Turns
    from cai_lite.training.source import Asked, Source
    from cai_lite.training.update import Objective


class Reinforcement(Method):
    """The training method "rl"; see `methods.Method` for its members.

    Its rows are plans: the ids of a prompt with as many completions, as long as they can become, by which memory and
    layout are chosen. What is learnt is drawn anew for each iteration.
    """

    unread = ("on", "include_critique", "loss", "sft_weight", "principle_weights", "overlong", "input")
    on_pairs = False
    on_policy = True
    held_out_families = WATCHED
    reads = "token_logps"

    def given(
        self, data: Any, config: Any, log: Callable[[str], None], *, aside: Path | None = None
    ) -> Sequence[Prompt]:
        """Return the prompts of whatever people have. Raises PromptError."""
        return as_prompts(data, "train")

    def rows(
        self, turns: Turns, data: Sequence[Prompt], config: Any, *, max_tokens: int
    ) -> tuple[list[Row], TokenReport]:
        """Return a plan for each prompt, by its key; prompts that leave no room for a completion are dropped."""
        kept: list[Row] = []
        dropped: dict[str, int] = {}
        refusal: TemplateRefusal | None = None
        for prompt in data:
            try:
                ids = tuple(turns.prompt_ids(prompt.messages))
            except TemplateRefusal as error:
                refusal = error
                dropped[refused(error)] = dropped.get(refused(error), 0) + 1
                continue
            if len(ids) + config.rl.max_completion_tokens > max_tokens:
                dropped["longer than max_tokens"] = dropped.get("longer than max_tokens", 0) + 1
                continue
            kept.append(Row(ids, _planned(ids, turns.end, config.rl), key=prompt.key))
        if not kept:
            if refusal is not None and len(dropped) == 1:
                raise refusal
            raise NothingKept(dropped, len(data), "prompts", max_tokens, config.overlong)
        report = TokenReport(
            pairs=len(data),
            kept=len(kept),
            cut=0,
            boundary_mends=0,
            dropped=dropped,
            lengths=percentiles([len(row.prompt_ids) + config.rl.max_completion_tokens for row in kept]),
            unit="prompts",
        )
        return kept, report

    def data_digest(self, data: Sequence[Prompt]) -> str:
        """Return a digest of the prompts."""
        return digest_of_list(prompt.key for prompt in data)

    def family(self, example: Prompt) -> str:
        """Return the family of the prompt."""
        return example.family

    def source(self, objective: Objective, asked: Asked) -> Source:
        """Return the source that draws samples from the model as it is.

        Raises:
            InputError: nothing rewards them.
        """
        from cai_lite.training.on_policy import OnPolicy  # which imports torch

        if asked.feedback is None:
            raise InputError("the method 'rl' needs a reward: train(..., reward=FUNCTION) in Python, or a judge")
        return OnPolicy(objective, asked, asked.feedback)

    def loss(
        self,
        policy: Logps | TokenLogps,
        reference: Logps | None,
        rows: Sequence[Row],
        *,
        update: Sequence[Row],
        config: Any,
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return the share of each row in the mean loss of a completion of the update."""
        from cai_lite.training.on_policy import numbers_of

        assert isinstance(policy, TokenLogps)
        tokens_BKT = policy.tokens_BKT
        known = [row.sampled for row in rows if row.sampled is not None]
        reference_BKT = _padded([one.reference for one in known], tokens_BKT)
        stored = [one.old for one in known if one.old is not None]
        old_BKT = _padded(stored, tokens_BKT) if stored else tokens_BKT.detach()
        advantages_BK = advantages(known, old_BKT, reference_BKT, config.rl)
        if config.rl.form == "rloo":
            found = rloo(policy.sums_BK, old_BKT.sum(-1), advantages_BK, clip=config.rl.clip)
        else:
            there_BKT = _there(policy.lengths_BK, tokens_BKT)
            weight_B11 = tokens_BKT.new_tensor([one.kl_weight for one in known])[:, None, None]
            found = grpo(
                tokens_BKT,
                old_BKT,
                reference_BKT,
                advantages_BK,
                there_BKT,
                clip=config.rl.clip,
                kl_weight=weight_B11,
            )
        completions = sum(len(row.completions) for row in update)
        return found.loss.sum(1) / completions, numbers_of(policy, rows, advantages_BK, found.clipped)

    def closing(self, lines: Sequence[Mapping[str, float]], config: Any) -> str | None:
        """Return a warning if the reward has not risen."""
        return level(lines, config)

    def alarms(
        self, rows: Sequence[Row], config: Any, log: Callable[[str], None]
    ) -> Callable[[Mapping[str, float]], None]:
        """Watch for samples that all earn the same, run into the limit, or lose their variety."""
        return Collapse(log).look


def advantages(known: Sequence[Sampled], old_BKT: Tensor, reference_BKT: Tensor, rl: Rl) -> Tensor:
    """Return the advantages of samples, shape [B, K], in the type of `old_BKT`: of the policy that drew them."""
    import torch

    rewards_BK = torch.tensor([one.rewards for one in known], dtype=torch.float64)
    shaped_BK, there_BK = rewards_BK - rewards_BK.new_tensor([one.penalties for one in known]), ~rewards_BK.isnan()
    if rl.form == "rloo":
        kl_BK = k1(old_BKT.double().sum(-1), reference_BKT.double().sum(-1)).cpu()
        found_BK = leave_one_out(
            shaped_BK - rewards_BK.new_tensor([[one.kl_weight] for one in known]) * kl_BK, there_BK
        )
    else:
        found_BK = group_relative(shaped_BK, there_BK, divided=rl.divides)
    return found_BK.to(old_BKT)


def _planned(prompt_ids: tuple[int, ...], end: int, rl: Any) -> tuple[tuple[int, ...], ...]:
    """Return completions of the greatest length, all different, so that none is read for another."""
    length = rl.max_completion_tokens
    filling = (prompt_ids * (length // len(prompt_ids) + 2))[: length + 1]
    known = sorted(set(prompt_ids))
    found = []
    for number in range(rl.samples):
        digits, rest = list[int](), number
        while rest or not digits:
            digits.append(known[rest % len(known)] if len(known) > 1 else prompt_ids[0])
            rest //= max(2, len(known))
        found.append((*(*digits, *filling)[: length - 1], end))
    return tuple(found)


def _there(lengths_BK: Tensor, tokens_BKT: Tensor) -> Tensor:
    """Return whether a token is part of its completion, shape [B, K, T]."""
    import torch

    return torch.arange(tokens_BKT.shape[2], device=tokens_BKT.device) < lengths_BK[..., None]


def _padded(values: Sequence[Sequence[Sequence[float]]], like: Tensor) -> Tensor:
    """Return the values of the tokens of each completion with zeros behind them, in the shape and type of `like`."""
    width = like.shape[2]
    return like.new_tensor([[[*tokens, *[0.0] * (width - len(tokens))] for tokens in row] for row in values])
