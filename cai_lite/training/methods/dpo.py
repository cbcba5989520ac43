"""Preference training on pairs: DPO and every loss of `cai_lite.losses`, with an optional likelihood term.

The rewards of a pair are those that the loss implies: beta times the log-ratio of policy and reference (Rafailov et
al. 2023, arXiv:2305.18290, eq. 5). A loss without a reference, such as SimPO, has beta times the mean log-probability
per token (Meng et al. 2024, arXiv:2405.14734, eq. 4).

Shapes: B pairs of a pass, K = 2: chosen, rejected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cai_lite.errors import InputError, TrainingError, did_you_mean
from cai_lite.inputs.pairs import as_pairs
from cai_lite.records import PreferencePair, Rating, digest, digest_of_list
from cai_lite.training.alarms import Alarms, unlearnt, warn_of_length
from cai_lite.training.losses import LABELS, LOSSES, Logps, PairLogps, needs_reference, takes_labels
from cai_lite.training.methods.base import Method
from cai_lite.training.tokens import NothingKept, Row, TokenReport, tokenize

if TYPE_CHECKING:
    from torch import Tensor

    from cai_lite.chat.turns import Turns

ROUNDING = 1e-6  # of a log-probability: a smaller margin is a tie, which counts as not ordered
NOT_WEIGHED = "of principles with weight 0"
SAME = 1e-2  # of a log-probability: largest difference of policy and reference before the first step


class Preference(Method):
    """The training method "dpo"; see `methods.Method` for its members."""

    unread = ("on", "include_critique", "input", "rl")

    def given(
        self, data: Any, config: Any, log: Callable[[str], None], *, aside: Path | None = None
    ) -> Sequence[PreferencePair]:
        """Return the pairs of whatever people have. Raises PairError; InputError for unknown `principle_weights`."""
        pairs = as_pairs(data, aside)
        check_principles(pairs, config.principle_weights, log)
        return pairs

    def rows(
        self, turns: Turns, data: Sequence[PreferencePair], config: Any, *, max_tokens: int
    ) -> tuple[list[Row], TokenReport]:
        """Return the pairs as rows of two completions, chosen first, with their weights."""
        pairs = weighed(data, config.principle_weights) if config.principle_weights else data
        if not pairs:
            raise NothingKept({NOT_WEIGHED: len(data)}, len(data), "pairs", max_tokens, config.overlong)
        rows, report = tokenize(turns, pairs, max_tokens=max_tokens, overlong=config.overlong)
        if left_out := len(data) - len(pairs):
            report = replace(report, pairs=len(data), dropped={**report.dropped, NOT_WEIGHED: left_out})
        return rows, report

    def data_digest(self, data: Sequence[PreferencePair]) -> str:
        """Return a digest of texts, labels and weights; where a pair came from does not count."""

        def weight(pair: PreferencePair) -> list[float]:
            return [] if pair.weight == 1 else [pair.weight]  # as before pairs had one

        return digest_of_list(
            digest(pair.prompt, pair.chosen, pair.rejected, pair.p_chosen, *weight(pair)) for pair in data
        )

    def needs_reference(self, config: Any) -> bool:
        """Return whether the loss uses a reference, as its signature says."""
        return needs_reference(config.loss.name)

    def loss(
        self,
        policy: Logps,
        reference: Logps | None,
        rows: Sequence[Row],
        *,
        update: Sequence[Row],
        config: Any,
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return the mean preference loss of the update, plus `sft_weight` times the mean loss of a chosen token."""
        pairs = _pairs(policy)
        options: dict[str, Any] = {**config.loss.options()}
        if takes_labels(config.loss.name):
            options[LABELS] = pairs.chosen_B.new_tensor([row.p_chosen for row in rows])
        before = None if reference is None else _pairs(reference)
        loss_B = LOSSES[config.loss.name](pairs, before, **options) / len(update)
        if config.sft_weight:
            chosen_tokens = sum(len(row.completions[0]) for row in update)
            loss_B = loss_B - config.sft_weight * pairs.chosen_B / chosen_tokens
        return loss_B, _numbers(policy, reference, config.loss.beta)

    def family(self, example: PreferencePair) -> str:
        """Return the family of the pair's prompt, or a digest of the prompt where none is named."""
        return example.family or digest(example.prompt)

    def closing(self, lines: Sequence[Mapping[str, float]], config: Any) -> str | None:
        """Return a warning if the reward margin is still about 0, where a loss against a reference begins."""
        return unlearnt(lines, config) if self.needs_reference(config) else None

    def checks(self, first: Mapping[str, float], config: Any) -> None:
        """Check that the rewards of both sides are 0 before the first step. Raises TrainingError."""
        check_same(first, config.loss.beta)

    def alarms(
        self, rows: Sequence[Row], config: Any, log: Callable[[str], None]
    ) -> Callable[[Mapping[str, float]], None]:
        """Warn of unused soft labels and of unequal lengths; then watch for a collapse."""
        if not takes_labels(config.loss.name) and any(row.p_chosen != 1 for row in rows):
            log(f"the loss '{config.loss.name}' takes no soft labels: p_chosen is not used")
        warn_of_length(rows, log)
        return Alarms(config.loss.beta, log, reference=self.needs_reference(config)).look


def weighed(pairs: Sequence[PreferencePair], weights: Mapping[str, float]) -> list[PreferencePair]:
    """Return the pairs, their weights multiplied by those of their principles, without those of weight 0."""
    factors = [weights.get(pair.principle, 1.0) for pair in pairs]
    return [replace(p, weight=p.weight * factor) for p, factor in zip(pairs, factors, strict=True) if factor]


def check_principles(
    pairs: Sequence[PreferencePair | Rating], weights: Mapping[str, float], log: Callable[[str], None]
) -> None:
    """Say which principles with a weight no pair names.

    Raises:
        InputError: no pair names any of them.
    """
    if not weights:
        return
    there = {pair.principle for pair in pairs}
    absent = [name for name in weights if name not in there]
    if len(absent) == len(weights):
        near = did_you_mean(absent[0], filter(None, there))
        raise InputError(f"train.principle_weights: no pair names {' or '.join(absent)}{near}")
    if absent:
        log(f"principle_weights: no pair names {' or '.join(absent)}")


def check_same(first: Mapping[str, float], beta: float) -> None:
    """Check that the rewards of both sides are 0 before the first step. Raises TrainingError."""
    for side in ("chosen", "rejected"):
        reward = first[f"rewards/{side}"]
        if abs(reward) > SAME * beta * max(1.0, abs(first[f"logps/{side}"])):
            what = f"the mean reward of the {side} side is {reward:.4f}, not 0"
            raise TrainingError(f"before the first step the policy should equal the reference, but {what}")


def _pairs(logps: Logps) -> PairLogps:
    return PairLogps(*logps.sums_BK.unbind(1), *logps.lengths_BK.unbind(1))


def _numbers(policy: Logps, reference: Logps | None, beta: float) -> dict[str, Tensor]:
    """Return what is reported of each pair, computed in float64 on the CPU.

    "kl" estimates KL(reference || policy) in nats per answer by the mean log-ratio, as far as the answers were drawn
    from the reference; without a reference it is absent.
    """
    import torch

    given = [policy.sums_BK, policy.lengths_BK if reference is None else reference.sums_BK]
    sums_BK, others_BK = torch.stack([column.detach().double() for column in given]).cpu()
    change_BK = sums_BK / others_BK.clamp(min=1) if reference is None else sums_BK - others_BK
    chosen_reward_B, rejected_reward_B = (beta * change_BK).unbind(1)
    margin_B = chosen_reward_B - rejected_reward_B
    chosen_B, rejected_B = sums_BK.unbind(1)
    numbers = {
        "rewards/chosen": chosen_reward_B,
        "rewards/rejected": rejected_reward_B,
        "rewards/accuracies": (margin_B > ROUNDING * beta * chosen_B.abs()).double(),
        "rewards/margins": margin_B,
        "logps/chosen": chosen_B,
        "logps/rejected": rejected_B,
    }
    if reference is not None:
        before_BK = others_BK
        numbers["kl"] = (before_BK[:, 0] - chosen_B + before_BK[:, 1] - rejected_B) / 2
    return numbers
