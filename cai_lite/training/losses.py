"""Preference losses: log-probabilities in, one loss per row out. They know no model and no settings.

The losses of `LOSSES` are over pairs; `listwise` is over rankings of K completions.

Shapes: B pairs or rows, K completions of a row. Log-probabilities are sums over the tokens of a completion, in nats;
lengths are in tokens.

To add a loss over pairs, write a function here and name it in `LOSSES`. Its signature says the rest:

    def mine(policy, reference, *, beta: float, gamma: float = 0.5) -> Tensor: ...

- The keyword arguments are its options, in YAML (`loss: {name: mine, gamma: 1.0}`) and in Python
  (`Loss("mine", gamma=1.0)`). An argument without a default has to be given; `beta` is 0.1 where left out.
- `p_chosen`, if it is an argument, receives the soft labels of the pairs, shape [B]; it is not an option.
- `reference: PairLogps | None = None` marks a loss that needs no reference: none is computed, and it receives None.

This module imports torch only inside functions, so that a recipe can be read without it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Logps(NamedTuple):
    """Summed log-probabilities of the completions of each row, in nats, and their lengths in tokens. Shape [B, K].

    For a method that reads scores, `sums_BK` holds the scores of the completions instead.
    Where rows have different numbers of completions, the missing ones have sum 0 and length 0.
    """

    sums_BK: Tensor
    lengths_BK: Tensor


class TokenLogps(NamedTuple):
    """The same with the log-probability of each token, shape [B, K, T], 0 behind the end of a completion.

    `entropies_BKT`: of the distribution that predicts each token, in nats, without a gradient.
    """

    sums_BK: Tensor
    lengths_BK: Tensor
    tokens_BKT: Tensor
    entropies_BKT: Tensor


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
    """Return -p log sigmoid(beta * margin) - (1 - p) log sigmoid(-beta * margin) of each pair, shape [B].

    `p_chosen` [B]: probability that the label is right, 1 where absent. `label_smoothing` e is combined with it:
    p' = (1 - e) p + e (1 - p); alone, it makes this conservative DPO (Mitchell 2023).

    Source: Rafailov et al. 2023, arXiv:2305.18290, eq. 7.
    """
    logits_B = beta * _margin(policy, reference)
    p_B = logits_B.new_ones(logits_B.shape) if p_chosen is None else p_chosen.to(logits_B)
    p_B = (1 - label_smoothing) * p_B + label_smoothing * (1 - p_B)
    return -p_B * _log_sigmoid(logits_B) - (1 - p_B) * _log_sigmoid(-logits_B)


def ipo(policy: PairLogps, reference: PairLogps, *, beta: float) -> Tensor:
    """Return (margin - 1 / (2 beta))^2 over summed log-probabilities, as published.

    Source: Azar et al. 2023, arXiv:2310.12036, eq. 17.
    """
    margin_B: Tensor = _margin(policy, reference)
    return (margin_B - 1 / (2 * beta)) ** 2


def ipo_mean(policy: PairLogps, reference: PairLogps, *, beta: float) -> Tensor:
    """Return IPO with each log-ratio divided by the length of its completion, as TRL computes its `ipo`."""
    chosen_B = (policy.chosen_B - reference.chosen_B) / policy.chosen_len_B.clamp(min=1)
    rejected_B = (policy.rejected_B - reference.rejected_B) / policy.rejected_len_B.clamp(min=1)
    return (chosen_B - rejected_B - 1 / (2 * beta)) ** 2


def hinge(policy: PairLogps, reference: PairLogps, *, beta: float) -> Tensor:
    """Return max(0, 1 - beta * margin), the hinge loss of SLiC over DPO's margin.

    Source: Zhao et al. 2023, arXiv:2305.10425.
    """
    return _relu(1 - beta * _margin(policy, reference))


def robust(policy: PairLogps, reference: PairLogps, *, beta: float, label_smoothing: float) -> Tensor:
    """Return DPO corrected to be unbiased when a share `label_smoothing` of the labels is flipped.

    Source: Chowdhury et al. 2024, arXiv:2403.00409, eq. 9.
    """
    logits_B = beta * _margin(policy, reference)
    e = label_smoothing
    return (-(1 - e) * _log_sigmoid(logits_B) + e * _log_sigmoid(-logits_B)) / (1 - 2 * e)


def simpo(policy: PairLogps, reference: PairLogps | None = None, *, beta: float, gamma: float = 0.5) -> Tensor:
    """Return -log sigmoid(beta * (mean chosen - mean rejected) - gamma), with log-probabilities per token.

    `reference` is not used. `gamma` is the paper's target margin, in the units of the reward (not divided by beta).

    Source: Meng et al. 2024, arXiv:2405.14734, eq. 6.
    """
    chosen_B = policy.chosen_B / policy.chosen_len_B.clamp(min=1)
    rejected_B = policy.rejected_B / policy.rejected_len_B.clamp(min=1)
    return -_log_sigmoid(beta * (chosen_B - rejected_B) - gamma)


def dpop(policy: PairLogps, reference: PairLogps, *, beta: float, penalty: float = 50.0) -> Tensor:
    """Return DPO with `penalty` * max(0, reference - policy) of the chosen side taken from the margin.

    The penalty keeps the chosen completion from losing probability; it is the paper's lambda, there 50.

    Source: Pal et al. 2024 (DPO-Positive, Smaug), arXiv:2402.13228, eq. 3.
    """
    lost_B = _relu(reference.chosen_B - policy.chosen_B)
    return -_log_sigmoid(beta * (_margin(policy, reference) - penalty * lost_B))


def listwise(policy: Logps, reference: Logps, *, beta: float, preferences_BKK: Tensor | None = None) -> Tensor:
    """Return DPO's loss under the Plackett-Luce model of each ranking, shape [B]; with two completions it is `dpo`.

    A reward is beta times the log-ratio of policy and reference. Without `preferences_BKK` the completions of a row
    stand in their order, best first, and the loss is that of the paper: the sum over places k of
    -log softmax(rewards of k and all behind it)[k]. Missing completions have length 0 and take no part.

    `preferences_BKK` [B, K, K]: the probability, above 0.5, that completion j is better than l where j is preferred to
    l, and 0 where the ranking does not order them. Each completion is then compared with those that it is preferred to
    and with no other, so ties and gaps add nothing. Labels below 1 make the target of such a choice soft: by Luce's
    axiom the odds of two completions do not depend on the others, so that the chance of l to be the best among j and
    those behind it is proportional to (1 - p_jl) / p_jl, and 1 for j. For two completions that target is (p, 1 - p).

    Source: Rafailov et al. 2023, arXiv:2305.18290, appendix A.3, eq. 20 and 21; Luce 1959.
    """
    import torch

    rewards_BK = beta * (policy.sums_BK - reference.sums_BK)
    there_BK = policy.lengths_BK > 0
    width = rewards_BK.shape[1]
    if preferences_BKK is None:
        preferences_BKK = rewards_BK.new_ones(len(rewards_BK), width, width).triu(1)
    p_BKK = preferences_BKK.to(rewards_BK) * (there_BK[:, :, None] & there_BK[:, None, :])
    itself_KK = torch.eye(width, dtype=torch.bool, device=rewards_BK.device)
    compared_BKK = (p_BKK > 0) | itself_KK
    odds_BKK = torch.where(p_BKK > 0, (1 - p_BKK) / p_BKK.clamp(min=0.5), itself_KK.to(p_BKK))
    target_BKK = odds_BKK / odds_BKK.sum(-1, keepdim=True)
    # A finite floor in place of -inf, whose gradient would be NaN where the target is 0.
    scores_BKK = rewards_BK[:, None, :].expand_as(p_BKK).masked_fill(~compared_BKK, torch.finfo(p_BKK.dtype).min)
    return -(target_BKK * scores_BKK.log_softmax(-1).masked_fill(~compared_BKK, 0)).sum((1, 2))


def bradley_terry(logits_B: Tensor, p_B: Tensor) -> Tensor:
    """Return -p log sigmoid(logit) - (1 - p) log sigmoid(-logit), shape [B].

    `logits_B`: the score of the first answer minus that of the second. `p_B`: probability that the first is better.

    Source: Bradley and Terry 1952, Biometrika 39; as a loss of scores: Bai et al. 2022, arXiv:2204.05862, section 2.
    """
    return -p_B * _log_sigmoid(logits_B) - (1 - p_B) * _log_sigmoid(-logits_B)


def _margin(policy: PairLogps, reference: PairLogps) -> Tensor:
    """Return how far the policy moved towards `chosen` and away from `rejected`, in nats. Shape [B]."""
    return (policy.chosen_B - reference.chosen_B) - (policy.rejected_B - reference.rejected_B)


def _log_sigmoid(x: Tensor) -> Tensor:
    from torch.nn.functional import logsigmoid

    return logsigmoid(x)


def _relu(x: Tensor) -> Tensor:
    from torch.nn.functional import relu

    return relu(x)


LOSSES: dict[str, Callable[..., Tensor]] = {
    "dpo": dpo,
    "ipo": ipo,
    "ipo_mean": ipo_mean,
    "hinge": hinge,
    "robust": robust,
    "simpo": simpo,
    "dpop": dpop,
}

LABELS = "p_chosen"  # the argument that receives the soft labels


def options_of(name: str) -> dict[str, inspect.Parameter]:
    """Return the options of a loss, by name, in the order of its signature."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {o: parameter for o, parameter in _signature(name)[2:] if o != LABELS and parameter.kind in named}


def takes_labels(name: str) -> bool:
    """Return whether a loss uses the soft labels of the pairs."""
    return LABELS in dict(_signature(name))


def needs_reference(name: str) -> bool:
    """Return whether a loss uses the log-probabilities of the reference: its second argument has no default."""
    return _signature(name)[1][1].default is inspect.Parameter.empty


def _signature(name: str) -> list[tuple[str, inspect.Parameter]]:
    return list(inspect.signature(LOSSES[name]).parameters.items())
