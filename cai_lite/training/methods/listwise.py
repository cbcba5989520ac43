"""Preference training on rankings: DPO under the Plackett-Luce model, over all candidates of a prompt at once.

A row is a prompt with its K candidates, none behind one that it is preferred to; the shared layout reads the prompt
once. Rankings may be partial and labels soft, see `losses.listwise`. The first candidate of a row is reported as
chosen, the last as rejected; margins and accuracies are over all ordered pairs of a row.

Shapes: B rows of a pass, K completions of a row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cai_lite.inputs.rankings import as_rankings
from cai_lite.records import Ranking, digest
from cai_lite.training.alarms import Alarms, unlearnt
from cai_lite.training.losses import Logps, listwise
from cai_lite.training.methods.base import Method
from cai_lite.training.methods.dpo import ROUNDING, check_same
from cai_lite.training.tokens import Example, Row, TokenReport, tokenize_examples

if TYPE_CHECKING:
    from torch import Tensor

    from cai_lite.chat.turns import Turns


class Listwise(Method):
    """The training method "listwise"; see `methods.Method` for its members. Of `loss` it reads beta alone."""

    unread = ("on", "include_critique", "loss.name", "principle_weights", "input", "rl")

    def given(
        self, data: Any, config: Any, log: Callable[[str], None], *, aside: Path | None = None
    ) -> Sequence[Ranking]:
        """Return rankings of whatever people have, made from pairs where they are pairs. Raises PairError."""
        found, counts = as_rankings(data)
        if counts:
            log(f"{len(found)} rankings from pairs: " + ", ".join(f"{n} {what}" for what, n in counts.items() if n))
        return found

    def rows(
        self, turns: Turns, data: Sequence[Ranking], config: Any, *, max_tokens: int
    ) -> tuple[list[Row], TokenReport]:
        """Return the rankings as rows of K completions."""
        examples = [Example(row.prompt, row.completions, preferences=row.preferences) for row in data]
        return tokenize_examples(turns, examples, max_tokens=max_tokens, overlong=config.overlong, unit="rankings")

    def data_digest(self, data: Sequence[Ranking]) -> str:
        """Return a digest of texts and labels."""
        return digest([digest(row.prompt, row.completions, row.preferences) for row in data])

    def needs_reference(self, config: Any) -> bool:
        """Return True: rewards are log-ratios."""
        return True

    def loss(
        self,
        policy: Logps,
        reference: Logps | None,
        rows: Sequence[Row],
        *,
        update: Sequence[Row],
        config: Any,
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return the mean loss of a ranking, plus `sft_weight` times the mean loss of a token of the first ones."""
        assert reference is not None
        p_BKK = _preferences(rows, policy.sums_BK)
        loss_B = listwise(policy, reference, beta=config.loss.beta, preferences_BKK=p_BKK) / len(update)
        if config.sft_weight:
            loss_B = loss_B - config.sft_weight * policy.sums_BK[:, 0] / sum(len(row.completions[0]) for row in update)
        return loss_B, _numbers(policy, reference, p_BKK, config.loss.beta)

    def family(self, example: Ranking) -> str:
        """Return the family of the prompt, or a digest of the prompt where none is named."""
        return example.family or digest(example.prompt)

    def closing(self, lines: Sequence[Mapping[str, float]], config: Any) -> str | None:
        """Return a warning if the reward margin is still about 0, where the loss begins."""
        return unlearnt(lines, config)

    def checks(self, first: Mapping[str, float], config: Any) -> None:
        """Check that the rewards of first and last are 0 before the first step. Raises TrainingError."""
        check_same(first, config.loss.beta)

    def alarms(
        self, rows: Sequence[Row], config: Any, log: Callable[[str], None]
    ) -> Callable[[Mapping[str, float]], None]:
        """Say how much of the rankings is ordered; then watch for a collapse."""
        sizes = [len(row.completions) for row in rows]
        ordered = sum(p > 0 for row in rows for line in row.preferences for p in line)
        both = sum(size * (size - 1) // 2 for size in sizes)
        log(
            f"rankings of {min(sizes)} to {max(sizes)} candidates; {ordered} of their {both} pairs are ordered, and "
            "the others add nothing to the loss"
        )
        return Alarms(config.loss.beta, log).look


def _preferences(rows: Sequence[Row], like: Tensor) -> Tensor:
    """Return the labels of some rows, shape [B, K, K], 0 where a row has fewer completions; of the type of `like`."""
    p_BKK = like.new_zeros(len(rows), like.shape[1], like.shape[1])
    for place, row in enumerate(rows):
        size = len(row.preferences)
        p_BKK[place, :size, :size] = like.new_tensor(row.preferences)
    return p_BKK


def _numbers(policy: Logps, reference: Logps, p_BKK: Tensor, beta: float) -> dict[str, Tensor]:
    """Return what is reported of each row, computed in float64 on the CPU; with two candidates it is that of DPO."""
    import torch

    sums_BK, before_BK = (logps.sums_BK.detach().double().cpu() for logps in (policy, reference))
    lengths_BK, ordered_BKK = policy.lengths_BK.cpu(), (p_BKK > 0).cpu()
    reward_BK = beta * (sums_BK - before_BK)
    margin_BKK = reward_BK[:, :, None] - reward_BK[:, None, :]
    many_B = ordered_BKK.sum((1, 2)).clamp(min=1)
    right_BKK = ordered_BKK & (margin_BKK > ROUNDING * beta * sums_BK.abs()[:, :, None])
    last_B1 = (lengths_BK > 0).sum(1, keepdim=True) - 1

    def ends(values_BK: Tensor) -> tuple[Tensor, Tensor]:
        return values_BK[:, 0], values_BK.gather(1, last_B1)[:, 0]

    reward_first_B, reward_last_B = ends(reward_BK)
    first_B, final_B = ends(sums_BK)
    return {
        "rewards/chosen": reward_first_B,
        "rewards/rejected": reward_last_B,
        "rewards/accuracies": right_BKK.sum((1, 2)).double() / many_B,
        "rewards/margins": torch.where(ordered_BKK, margin_BKK, 0).sum((1, 2)) / many_B,
        "logps/chosen": first_B,
        "logps/rejected": final_B,
        "kl": (before_BK - sums_BK).sum(1) / (lengths_BK > 0).sum(1),
    }
