"""Policy gradients over groups of completions: advantages, the clipped ratio, KL estimates. No model, no settings.

Every prompt has K completions, which the policy itself has drawn; each has one reward. An advantage compares a
completion with the others of its prompt, so no value function is learnt.

Shapes: B prompts, K completions of a prompt, T tokens of the longest completion. Log-probabilities are in nats.
`there`: True where a token is part of a completion, or where a completion has a reward.

This module imports torch only inside functions, so that a recipe can be read without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

ROUNDING = 1e-4  # added to the standard deviation of a group, as TRL does
KL_STEP, KL_ERROR = 0.1, 0.2  # of the controller: its gain, and the limit of the relative error that it answers to


class Surrogate(NamedTuple):
    """The clipped objective as a loss, and whether the ratio was outside of the clip; both of the shape given."""

    loss: Tensor
    clipped: Tensor


def leave_one_out(rewards_BK: Tensor, there_BK: Tensor) -> Tensor:
    """Return each reward less the mean of the others of its prompt, shape [B, K].

    A completion without a reward, or with no other to compare with, has the advantage 0.

    Source: Ahmadian et al. 2024, arXiv:2402.14740, eq. 8; Kool et al. 2019, "Buy 4 REINFORCE samples, get a baseline
    for free!".
    """
    import torch

    there = there_BK.to(rewards_BK)
    known_BK = torch.where(there_BK, rewards_BK, 0.0)
    others_BK = there.sum(1, keepdim=True) - 1
    baseline_BK = (known_BK.sum(1, keepdim=True) - known_BK) / others_BK.clamp(min=1)
    return torch.where(there_BK & (others_BK > 0), known_BK - baseline_BK, 0.0)


def group_relative(rewards_BK: Tensor, there_BK: Tensor, *, divided: bool = True) -> Tensor:
    """Return each reward less the mean of its prompt, divided by their standard deviation if `divided`; [B, K].

    The standard deviation is that of a sample (over K - 1). Undivided, prompts whose rewards hardly differ do not weigh
    as much as others (Liu et al. 2025, arXiv:2503.20783).

    Source: Shao et al. 2024, arXiv:2402.03300, section 4.1.2.
    """
    import torch

    there = there_BK.to(rewards_BK)
    known_BK, many_B1 = torch.where(there_BK, rewards_BK, 0.0), there.sum(1, keepdim=True)
    apart_BK = torch.where(there_BK & (many_B1 > 1), known_BK - known_BK.sum(1, keepdim=True) / many_B1.clamp(min=1), 0)
    if not divided:
        return apart_BK
    spread_B1 = (apart_BK.square().sum(1, keepdim=True) / (many_B1 - 1).clamp(min=1)).sqrt()
    return apart_BK / (spread_B1 + ROUNDING)


def clipped_surrogate(log_ratio: Tensor, advantage: Tensor, *, clip: float) -> Surrogate:
    """Return -min(ratio * advantage, clip(ratio, 1 - clip, 1 + clip) * advantage), elementwise.

    `log_ratio`: of the policy and the policy that drew the sample, for a token or a whole completion.

    Source: Schulman et al. 2017, arXiv:1707.06347, eq. 7.
    """
    import torch

    ratio = log_ratio.exp()
    loss = -torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)
    return Surrogate(loss, (ratio - 1).abs() > clip)


def k1(policy: Tensor, reference: Tensor) -> Tensor:
    """Return the log-ratio, whose mean over the policy's own samples is KL(policy || reference); it may be negative."""
    return policy - reference


def k3(policy: Tensor, reference: Tensor) -> Tensor:
    """Return the estimate of KL(policy || reference) that is never negative and has less variance than `k1`.

    Source: Schulman 2020, "Approximating KL divergence", http://joschu.net/blog/kl-approx.html.
    """
    back = reference - policy
    return back.exp() - back - 1


def mean_of_tokens(values_BKT: Tensor, there_BKT: Tensor) -> Tensor:
    """Return the mean over the tokens of each completion, shape [B, K]; 0 where it has none."""
    import torch

    return torch.where(there_BKT, values_BKT, 0.0).sum(-1) / there_BKT.sum(-1).clamp(min=1)


def rloo(
    policy_BK: Tensor,
    old_BK: Tensor,
    advantages_BK: Tensor,
    *,
    clip: float,
) -> Surrogate:
    """Return the loss of each completion as one action, from summed log-probabilities; all of shape [B, K].

    The KL penalty belongs to the rewards, from which the advantages are made.

    Source: Ahmadian et al. 2024, arXiv:2402.14740; with the clipped ratio of whole completions, as TRL's RLOOTrainer.
    """
    return clipped_surrogate(policy_BK - old_BK, advantages_BK, clip=clip)


def grpo(
    policy_BKT: Tensor,
    old_BKT: Tensor,
    reference_BKT: Tensor,
    advantages_BK: Tensor,
    there_BKT: Tensor,
    *,
    clip: float,
    kl_weight: Tensor | float,
) -> Surrogate:
    """Return the mean loss of the tokens of each completion, and the share of them that is clipped; shape [B, K].

    Each token has a ratio of its own, the advantage of its completion, and the penalty `kl_weight` times `k3` times the
    ratio. With the ratio, which has a gradient even where it is 1, the gradient of the penalty is that of KL(policy ||
    reference) over the policy's samples; `k3` alone has that of KL(reference || policy). The optimum is then the same
    as with `rloo`.

    Source: Shao et al. 2024, arXiv:2402.03300, eq. 3 and 4; the ratio: DeepSeek-AI 2025, arXiv:2512.02556, and TRL's
    GRPOTrainer, which multiplies by it unless told otherwise (`use_bias_correction_kl`).
    """
    log_ratio_BKT = policy_BKT - old_BKT
    found = clipped_surrogate(log_ratio_BKT, advantages_BK[..., None], clip=clip)
    loss_BKT = found.loss + kl_weight * log_ratio_BKT.exp() * k3(policy_BKT, reference_BKT)
    return Surrogate(mean_of_tokens(loss_BKT, there_BKT), mean_of_tokens(found.clipped.to(loss_BKT), there_BKT))


def adapted(kl_weight: float, kl: float, *, target: float) -> float:
    """Return the weight of the KL penalty for the next samples: larger where `kl` is above `target`, smaller below.

    Source: Ziegler et al. 2019, arXiv:1909.08593, section 2.2.
    """
    error = min(KL_ERROR, max(-KL_ERROR, kl / target - 1))
    return kl_weight * (1 + KL_STEP * error)
