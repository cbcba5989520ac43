"""Losses on pairs: log-probabilities in, one loss per pair out. They know no model and no settings.

Shapes: B pairs. Log-probabilities are sums over a completion's tokens, in nats; lengths are in tokens. To add a loss,
write a function here, name it in `LOSSES`, and its options in `config.LOSS_OPTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class PairLogps(NamedTuple):
    """Summed log-probabilities of both completions, in nats, and their lengths, in tokens. All of shape [B]."""

    chosen_B: Tensor
    rejected_B: Tensor
    chosen_len_B: Tensor
    rejected_len_B: Tensor


def dpo(
    policy: PairLogps,
    reference: PairLogps,
    *,
    beta: float,
    label_smoothing: float = 0.0,
    p_chosen: Tensor | None = None,
) -> Tensor:
    """Loss of each pair, shape [B]: -p log sigmoid(beta * margin) - (1 - p) log sigmoid(-beta * margin).

    `p_chosen` [B]: probability that the label is right (1 where absent). `label_smoothing` e joins it: p' = (1 - e) p
    + e (1 - p). Source: Rafailov et al. 2023, arXiv:2305.18290, eq. 7; with smoothing alone this is conservative DPO
    (Mitchell 2023).
    """
    logits_B = beta * _margin(policy, reference)
    p_B = torch.ones_like(logits_B) if p_chosen is None else p_chosen.to(logits_B)
    p_B = (1 - label_smoothing) * p_B + label_smoothing * (1 - p_B)
    return -p_B * F.logsigmoid(logits_B) - (1 - p_B) * F.logsigmoid(-logits_B)


def ipo(policy: PairLogps, reference: PairLogps, *, beta: float) -> Tensor:
    """(margin - 1 / (2 beta))^2 over summed log-probabilities, as published: Azar et al. 2023, arXiv:2310.12036, eq.

    17.
    """
    return (_margin(policy, reference) - 1 / (2 * beta)) ** 2


def ipo_mean(policy: PairLogps, reference: PairLogps, *, beta: float) -> Tensor:
    """IPO with each log-ratio divided by its completion's length, as TRL computes its `ipo`."""
    chosen_B = (policy.chosen_B - reference.chosen_B) / policy.chosen_len_B.clamp(min=1)
    rejected_B = (policy.rejected_B - reference.rejected_B) / policy.rejected_len_B.clamp(min=1)
    return (chosen_B - rejected_B - 1 / (2 * beta)) ** 2


def hinge(policy: PairLogps, reference: PairLogps, *, beta: float) -> Tensor:
    """max(0, 1 - beta * margin). Source: Zhao et al. 2023 (SLiC), arXiv:2305.10425, over DPO's margin."""
    return F.relu(1 - beta * _margin(policy, reference))


def robust(policy: PairLogps, reference: PairLogps, *, beta: float, label_smoothing: float) -> Tensor:
    """DPO that is unbiased when a share `label_smoothing` of the labels is flipped: Chowdhury et al.

    2024, arXiv:2403.00409, eq. 9.
    """
    logits_B = beta * _margin(policy, reference)
    e = label_smoothing
    return (-(1 - e) * F.logsigmoid(logits_B) + e * F.logsigmoid(-logits_B)) / (1 - 2 * e)


def simpo(policy: PairLogps, reference: PairLogps, *, beta: float, gamma: float = 0.5) -> Tensor:
    """-log sigmoid(beta * (mean chosen - mean rejected) - gamma), log-probabilities per token; `reference` is not
    looked at.

    `gamma` is the paper's target margin, in the units of the reward (not divided by beta): Meng et al. 2024,
    arXiv:2405.14734, eq. 6.
    """
    chosen_B = policy.chosen_B / policy.chosen_len_B.clamp(min=1)
    rejected_B = policy.rejected_B / policy.rejected_len_B.clamp(min=1)
    return -F.logsigmoid(beta * (chosen_B - rejected_B) - gamma)


def dpop(policy: PairLogps, reference: PairLogps, *, beta: float, penalty: float = 50.0) -> Tensor:
    """DPO whose margin loses `penalty` * max(0, reference - policy) of the chosen side, so that it cannot sink.

    Source: Pal et al. 2024 (DPO-Positive, Smaug), arXiv:2402.13228, eq. 3; `penalty` is its lambda, 50 in the paper.
    """
    sunk_B = F.relu(reference.chosen_B - policy.chosen_B)
    return -F.logsigmoid(beta * (_margin(policy, reference) - penalty * sunk_B))


def _margin(policy: PairLogps, reference: PairLogps) -> Tensor:
    """How far the policy moved towards `chosen` beyond `rejected`, seen from the reference, in nats. Shape [B]."""
    return (policy.chosen_B - reference.chosen_B) - (policy.rejected_B - reference.rejected_B)


LOSSES: dict[str, Callable[..., Tensor]] = {
    "dpo": dpo,
    "ipo": ipo,
    "ipo_mean": ipo_mean,
    "hinge": hinge,
    "robust": robust,
    "simpo": simpo,
    "dpop": dpop,
}
