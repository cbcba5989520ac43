"""Rows that are drawn from the policy as it is: sampled, rewarded, and learnt from in a few updates before the next.

Shapes: B prompts of an iteration, K completions of each, T tokens.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from cai_lite.chat.capacity import SMALL, release, within_memory
from cai_lite.errors import TrainingError
from cai_lite.records import Prompt, digest
from cai_lite.training import policy_gradient
from cai_lite.training.batch import total_steps, updates
from cai_lite.training.goodhart import Looked, Watched
from cai_lite.training.losses import Logps, TokenLogps
from cai_lite.training.rewards import Feedback, malformed, rewarded
from cai_lite.training.samples import Sample, Sampler
from cai_lite.training.source import Asked, Batch
from cai_lite.training.student import has_dropout, lora_parameters
from cai_lite.training.tokens import Row, Sampled
from cai_lite.training.update import Objective

SAME = 1e-2  # nats per completion: largest divergence of policy and reference before the first step


class OnPolicy:
    """The source of the method "rl". `objective`: with a row for each prompt, which memory was planned by."""

    def __init__(self, objective: Objective, asked: Asked, feedback: Feedback) -> None:
        self._objective, self._asked, self._feedback = objective, asked, feedback
        config = objective.config
        self._config, self._kl_weight = config, config.rl.kl_weight
        self._prompts: dict[str, Prompt] = {prompt.key: prompt for prompt in asked.data}
        self._initial = _cloned(objective.model) if config.reference_is_init else None
        self._same = config.init_adapter is None or config.reference_is_init  # policy and reference, at first
        # With a single update of each batch of samples, its own pass reads the policy that drew them.
        self._single = config.updates_of_batch == 1 and not has_dropout(objective.model)
        self._sampler = Sampler(objective.model, asked.turns, tokens=SMALL, pad=objective.passes.pad_token_id)
        self._drawn: tuple[int, list[Row]] | None = None  # the iteration, and its rows
        self.total = total_steps(len(objective.rows), config)
        self.ended = ""

    # What the loop asks

    def batches(self, start: int) -> Iterator[Batch]:
        """Yield the batch of each update after the first `start`; samples are drawn when their first one is due."""
        config, each = self._config, self._config.updates_of_batch
        planned = islice(updates(len(self._objective.rows), config), math.ceil(self.total / each))
        for iteration, (epoch, chosen) in enumerate(planned):
            first = iteration * each
            if first + each <= start:
                continue
            if self._drawn is None or self._drawn[0] != iteration:
                rows = self._draw(iteration, chosen)
                if self.ended:
                    return
                self._drawn = iteration, rows
            objective = replace(self._objective, rows=self._drawn[1])
            for number, part in enumerate(self._parts(iteration, len(objective.rows)), first):
                if start <= number < self.total:
                    yield Batch(epoch, objective, part)

    def takes(self, numbers: Mapping[str, float]) -> bool:
        """Return whether an update is made that has these numbers: the divergence is known by them at last."""
        assert self._drawn is not None
        return not self._single or self._within(self._drawn[0], numbers["kl"])

    def held_out(
        self, rows: Sequence[Row], data: Sequence[Any], reference: Logps | None, *, every: int, checkpoints: Path
    ) -> Watched:
        """Return what draws and rewards one reply to each held-out prompt, and watches the reward by it."""
        prompts = {prompt.key: prompt for prompt in data}

        def look() -> Looked:
            return self._looked(rows, [prompts[row.key] for row in rows])

        return Watched(
            look, [prompts[row.key].family for row in rows], every=every, config=self._config, checkpoints=checkpoints
        )

    def record(self) -> dict[str, Any] | None:
        """Return the weight of the penalty and the rows that are being learnt from."""
        if self._drawn is None:
            return {"kl_weight": self._kl_weight}
        iteration, rows = self._drawn
        stored = [[row.prompt_ids, row.completions, row.key, _plain(row.sampled)] for row in rows]
        return {"kl_weight": self._kl_weight, "iteration": iteration, "rows": stored}

    def resume(self, record: dict[str, Any] | None) -> None:
        """Continue from the record of a checkpoint."""
        if record is None:
            return
        self._kl_weight = record["kl_weight"]
        if "rows" in record:
            self._drawn = record["iteration"], [_stored(*each) for each in record["rows"]]

    # How samples are made

    def _draw(self, iteration: int, chosen: Sequence[int]) -> list[Row]:
        """Return the rows of an iteration, rewarded; or none, and say in `ended` why the training ends here."""
        config = self._config
        planned = [self._objective.rows[i] for i in chosen]
        prompts = [self._prompts[row.key] for row in planned]
        drawn = self._samples(planned, prompts, config.rl.samples, f"{config.seed}:{iteration}")
        rewards_BK = torch.tensor(
            rewarded(
                self._feedback.reward,
                [prompt for prompt in prompts for _ in range(config.rl.samples)],
                [sample.text for each in drawn for sample in each],
            ),
            dtype=torch.float64,
        ).view(len(planned), -1)
        rows, weight = _completed(planned, drawn), self._kl_weight
        reference, policy = self._of_reference(rows), None
        if not self._single:
            policy = self._values(rows)
            if not self._within(iteration, float(_kl(policy, reference).mean())):
                return []
        compared_B = (~rewards_BK.isnan()).sum(1) > 1
        if missing := int(rewards_BK.isnan().sum()):
            self._asked.log(f"iteration {iteration + 1}: {missing} of {rewards_BK.numel()} samples have no reward")
        return [
            replace(
                row,
                sampled=Sampled(
                    rewards=tuple(rewards_BK[b].tolist()),
                    penalties=tuple(map(self._penalty, drawn[b])),
                    old=None if policy is None else _tokens(policy, b),
                    reference=_tokens(reference, b),
                    ended=tuple(sample.ended for sample in drawn[b]),
                    kl_weight=weight,
                ),
            )
            for b, row in enumerate(rows)
            if compared_B[b]
        ]

    def _within(self, iteration: int, kl: float) -> bool:
        """Return whether samples may be learnt from whose policy diverges so far, and adapt the weight of the penalty.

        `kl`: nats per completion. If not, `ended` says why.
        """
        rl = self._config.rl
        if iteration == 0 and self._same and abs(kl) > SAME:
            raise TrainingError(
                f"before the first step the policy should equal the reference, but their KL is {kl:.4f}"
            )
        if rl.kl_limit is not None and kl > rl.kl_limit:
            self.ended = (
                f"the policy is {kl:.2f} nats per completion away from the reference, beyond train.rl.kl_limit "
                f"{rl.kl_limit:g}"
            )
            if iteration == 0:
                raise TrainingError(f"before the first step {self.ended}; raise it, or set train.reference: init")
            return False
        if rl.kl_target is not None and math.isfinite(kl):
            self._kl_weight = policy_gradient.adapted(self._kl_weight, kl, target=rl.kl_target)
        return True

    def _samples(self, rows: Sequence[Row], prompts: Sequence[Prompt], each: int, seed: str) -> list[list[Sample]]:
        return self._sampler.draw(
            prompts,
            rows,
            each=each,
            max_tokens=self._config.rl.max_completion_tokens,
            seed=int(digest("samples", seed)[:12], 16),
        )

    def _penalty(self, sample: Sample) -> float:
        return self._config.rl.missing_end * (not sample.ended) + self._config.rl.malformed * malformed(sample.text)

    def _values(self, rows: Sequence[Row]) -> TokenLogps:
        """Return the log-probabilities of the model as it is, on the CPU, without gradient or dropout.

        A pass that runs out of memory is read in halves.

        Raises:
            TrainingError: memory runs out with a single row.
        """
        model, passes = self._objective.model, self._objective.passes
        most, longest = len(rows[0].completions), max(len(ids) for row in rows for ids in row.completions)
        lengths_BK = torch.tensor([[len(ids) for ids in row.completions] for row in rows])
        tokens_BKT, entropies_BKT = torch.zeros(2, len(rows), most, longest)
        training = model.training
        model.eval()
        try:
            waiting = passes.cut(range(len(rows)), rows)[::-1]
            while waiting:
                part, found = waiting.pop(), None
                with within_memory(), torch.no_grad():
                    found = passes.token_logps(model, [rows[i] for i in part])
                if found is not None:
                    tokens_BKT[part, :, : found.tokens_BKT.shape[2]] = found.tokens_BKT.cpu()
                    entropies_BKT[part, :, : found.tokens_BKT.shape[2]] = found.entropies_BKT.cpu()
                    continue
                if len(part) == 1:
                    raise TrainingError(
                        f"out of memory while reading {most} completions of one prompt: lower train.rl.samples or "
                        "train.rl.max_completion_tokens, or set load: nf4"
                    )
                release(model.get_input_embeddings().weight.device)
                waiting += [part[len(part) // 2 :], part[: len(part) // 2]]
        finally:
            model.train(training)
        return TokenLogps(tokens_BKT.sum(-1), lengths_BK, tokens_BKT, entropies_BKT)

    def _of_reference(self, rows: Sequence[Row]) -> TokenLogps:
        """Return the log-probabilities of the reference."""
        with self._as_reference():
            return self._values(rows)

    @contextmanager
    def _as_reference(self) -> Iterator[None]:
        """Within this context the model is the reference: without its adapter, or with the one that it began with."""
        model = self._objective.model
        if self._initial is None:
            with model.disable_adapter():
                yield
            return
        now = _cloned(model)
        _put(model, self._initial)
        try:
            yield
        finally:
            _put(model, now)

    def _parts(self, iteration: int, rows: int) -> Iterator[list[int]]:
        """Yield the rows of each update of an iteration: every epoch in an order of its own, cut into minibatches."""
        rl = self._config.rl
        for epoch in range(rl.ppo_epochs):
            order = list(range(rows))
            if self._config.shuffle:
                random.Random(f"{self._config.seed}:{iteration}:{epoch}").shuffle(order)
            for number in range(
                rl.minibatches
            ):  # the last batch of the data may have fewer rows than there are updates
                yield order[number :: rl.minibatches] or [order[number % rows]]

    def _looked(self, rows: Sequence[Row], prompts: Sequence[Prompt]) -> Looked:
        """Draw one reply to each prompt, the same random numbers each time, and reward it by both judges."""
        drawn = self._samples(rows, prompts, 1, f"{self._config.seed}:held out")
        texts = [each[0].text for each in drawn]
        read = _completed(rows, drawn)
        policy, second = self._values(read), self._feedback.second
        kl_BK = _kl(policy, self._of_reference(read))
        return Looked(
            reward=rewarded(self._feedback.reward, prompts, texts),
            second=None if second is None else rewarded(second, prompts, texts),
            numbers={
                "kl": float(kl_BK.mean()),
                "entropy": float(_mean_entropy(policy).mean()),
                "length": fmean(len(each[0].ids) for each in drawn),
                "unfinished": fmean(not each[0].ended for each in drawn),
                "malformed": fmean(malformed(text) for text in texts),
            },
        )


def numbers_of(
    policy: TokenLogps, rows: Sequence[Row], advantages_BK: torch.Tensor, clipped_BK: torch.Tensor
) -> Mapping[str, torch.Tensor]:
    """Return what is reported of each row: means over its completions, shape [B], computed in float64 on the CPU."""
    known = [row.sampled for row in rows]
    assert all(one is not None for one in known)

    def column(values: Callable[[Sampled], Sequence[float]]) -> torch.Tensor:
        return torch.tensor([values(one) for one in known if one is not None], dtype=torch.float64)

    rewards_BK, reference_BK = column(lambda one: one.rewards), column(lambda one: [sum(k) for k in one.reference])
    found = {
        "reward": rewards_BK.nanmean(1),  # of at least two of each prompt
        "reward_std": _spread(rewards_BK),
        "advantage": advantages_BK.double().cpu().abs().mean(1),
        "kl": policy_gradient.k1(policy.sums_BK.detach().double().cpu(), reference_BK).mean(1),
        "kl_weight": column(lambda one: [one.kl_weight])[:, 0],
        "entropy": _mean_entropy(policy).double().cpu().mean(1),
        "clip_fraction": clipped_BK.detach().double().cpu().mean(1),
        "length": policy.lengths_BK.double().cpu().mean(1),
        "unfinished": 1 - column(lambda one: one.ended).mean(1),
    }
    return found


def _completed(planned: Sequence[Row], drawn: Sequence[Sequence[Sample]]) -> list[Row]:
    """Return the rows with what was drawn for them."""
    return [
        replace(row, completions=tuple(sample.ids for sample in each)) for row, each in zip(planned, drawn, strict=True)
    ]


def _kl(policy: TokenLogps, reference: TokenLogps) -> torch.Tensor:
    """Return the log-ratio of policy and reference of each completion, in nats, float64, shape [B, K]."""
    return policy_gradient.k1(policy.sums_BK.double(), reference.sums_BK.double())


def _mean_entropy(policy: TokenLogps) -> torch.Tensor:
    """Return the mean entropy of the distributions that predict the tokens of each completion, in nats, [B, K]."""
    return policy.entropies_BKT.sum(-1) / policy.lengths_BK


def _spread(rewards_BK: torch.Tensor) -> torch.Tensor:
    """Return the standard deviation of the rewards of each prompt that are there, shape [B]."""
    there_BK = ~rewards_BK.isnan()
    undivided = policy_gradient.group_relative(rewards_BK, there_BK, divided=False)
    return (undivided.square().sum(1) / (there_BK.sum(1) - 1).clamp(min=1)).sqrt()


def _tokens(logps: TokenLogps, row: int) -> tuple[tuple[float, ...], ...]:
    lengths = logps.lengths_BK[row].tolist()
    return tuple(tuple(logps.tokens_BKT[row, k, :n].tolist()) for k, n in enumerate(lengths))


def _plain(sampled: Sampled | None) -> list[Any]:
    """Return what `_stored` reads; JSON has no NaN."""
    assert sampled is not None
    return [[None if math.isnan(reward) else reward for reward in sampled.rewards], *sampled[1:]]


def _stored(prompt_ids: list[int], completions: list[list[int]], key: str, sampled: list[Any]) -> Row:
    """Return a row as `record` stored it."""
    rewards, penalties, old, reference, ended, kl_weight = sampled
    return Row(
        tuple(prompt_ids),
        tuple(map(tuple, completions)),
        key=key,
        sampled=Sampled(
            tuple(math.nan if reward is None else reward for reward in rewards),
            tuple(penalties),
            None if old is None else tuple(map(tuple, old)),
            tuple(map(tuple, reference)),
            tuple(ended),
            kl_weight,
        ),
    )


def _cloned(model: Any) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in lora_parameters(model).items()}


def _put(model: Any, weights: Mapping[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for name, parameter in lora_parameters(model).items():
            parameter.copy_(weights[name])
