"""Advantages, clipped ratios and KL estimates, by hand, and held to the formulas that TRL publishes."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from cai_lite.training.batch import Passes
from cai_lite.training.config import Lora, TrainingConfig
from cai_lite.training.policy_gradient import (
    adapted,
    clipped_surrogate,
    group_relative,
    grpo,
    k1,
    k3,
    leave_one_out,
    rloo,
)
from cai_lite.training.rl_settings import Rl
from cai_lite.training.student import lora_parameters, open_student
from cai_lite.training.tokens import Row, Sampled
from cai_lite.training.update import Objective


def test_a_reward_is_compared_with_the_mean_of_the_others():
    rewards = torch.tensor([[1.0, 2.0, 6.0]])
    assert leave_one_out(rewards, torch.ones(1, 3, dtype=torch.bool)).tolist() == [[-3.0, -1.5, 4.5]]


def test_a_completion_without_a_reward_takes_no_part():
    there = torch.tensor([[True, False, True], [True, False, False]])
    rewards = torch.tensor([[1.0, math.nan, 5.0], [7.0, math.nan, math.nan]])
    assert leave_one_out(rewards, there).tolist() == [[-4.0, 0.0, 4.0], [0.0, 0.0, 0.0]]
    assert group_relative(rewards, there, divided=False).tolist() == [[-2.0, 0.0, 2.0], [0.0, 0.0, 0.0]]
    assert group_relative(rewards, there)[1].tolist() == [0.0, 0.0, 0.0]


def test_a_group_is_divided_by_its_standard_deviation():
    rewards, there = torch.tensor([[1.0, 2.0, 6.0]]), torch.ones(1, 3, dtype=torch.bool)
    spread = math.sqrt((4 + 1 + 9) / 2)
    expected = [gap / (spread + 1e-4) for gap in (-2, -1, 3)]
    assert group_relative(rewards, there)[0].tolist() == pytest.approx(expected)
    assert group_relative(torch.ones(1, 3), there).tolist() == [[0.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "slope"),
    [
        (1.1, 2.0, -2.2, -2.0),  # within the clip
        (1.5, 2.0, -2.4, 0.0),  # risen enough already: no gradient to rise more
        (0.5, 2.0, -1.0, -2.0),  # fallen though it was good: brought back
        (0.5, -2.0, 1.6, 0.0),  # fallen enough already
        (1.5, -2.0, 3.0, 2.0),  # risen though it was bad: brought back
    ],
)
def test_the_clip_takes_the_gradient_where_the_ratio_has_gone_far_enough(ratio, advantage, loss, slope):
    log_ratio = torch.tensor([math.log(ratio)], dtype=torch.float64, requires_grad=True)
    found = clipped_surrogate(log_ratio, torch.tensor([advantage], dtype=torch.float64), clip=0.2)
    found.loss.sum().backward()
    assert found.loss.item() == pytest.approx(loss)
    assert log_ratio.grad.item() == pytest.approx(slope * ratio)
    assert found.clipped.item() == (abs(ratio - 1) > 0.2)


def test_both_estimates_of_kl_have_its_mean_over_the_samples_of_the_policy():
    policy, reference = (torch.tensor(p, dtype=torch.float64).log() for p in ([0.5, 0.3, 0.2], [0.2, 0.3, 0.5]))
    kl = float((policy.exp() * (policy - reference)).sum())
    for estimate in (k1, k3):
        assert float((policy.exp() * estimate(policy, reference)).sum()) == pytest.approx(kl)
    assert k3(policy, reference).min() >= 0 > k1(policy, reference).min()


def test_the_weight_of_the_penalty_follows_the_divergence_within_limits():
    assert adapted(0.1, 5.0, target=5.0) == 0.1
    assert adapted(0.1, 5.5, target=5.0) == pytest.approx(0.1 * 1.01)
    assert adapted(0.1, 500.0, target=5.0) == pytest.approx(0.1 * 1.02)
    assert adapted(0.1, -3.0, target=5.0) == pytest.approx(0.1 * 0.98)


# The two functions below write out, in the order of TRL's own code and on its flat shapes (a row for each completion,
# padded tokens and a mask), what its RLOOTrainer and GRPOTrainer compute: `_generate_and_score_completions` for the
# advantages and `_compute_loss` for the loss, with GRPO's loss_type "grpo" and importance sampling by token. They are
# written by hand from the published formulas, and share no code with this library.


def trl_rloo(logps, old, reference, mask, rewards, *, generations, beta, epsilon):
    kl = ((old - reference) * mask).sum(-1)
    rewards = rewards - beta * kl
    grouped = rewards.view(-1, generations)
    baselines = (grouped.sum(dim=1, keepdim=True) - grouped) / (generations - 1)
    advantages = rewards - baselines.view(-1)
    log_ratio = (logps * mask).sum(1) - (old * mask).sum(1)
    coef_1 = torch.exp(log_ratio)
    coef_2 = torch.clamp(coef_1, 1 - epsilon, 1 + epsilon)
    return -torch.min(coef_1 * advantages, coef_2 * advantages).mean()


def trl_grpo(logps, old, reference, mask, rewards, *, generations, beta, epsilon, scale):
    grouped = rewards.view(-1, generations)
    mean = grouped.mean(dim=1).repeat_interleave(generations, dim=0)
    advantages = rewards - mean
    if scale:
        advantages = advantages / (grouped.std(dim=1).repeat_interleave(generations, dim=0) + 1e-4)
    per_token_kl = torch.exp(reference - logps) - (reference - logps) - 1
    coef_1 = torch.exp(logps - old)
    coef_2 = torch.clamp(coef_1, 1 - epsilon, 1 + epsilon)
    per_token_loss = -torch.min(coef_1 * advantages.unsqueeze(1), coef_2 * advantages.unsqueeze(1))
    per_token_loss = per_token_loss + beta * per_token_kl * coef_1
    return ((per_token_loss * mask).sum(-1) / mask.sum(-1).clamp(min=1.0)).mean()


@pytest.fixture(params=range(3))
def drawn(request):
    """Log-probabilities of 3 prompts with 4 completions of up to 7 tokens, in float64, and their rewards."""
    generator = torch.Generator().manual_seed(request.param)
    lengths = torch.randint(1, 8, (3, 4), generator=generator)
    lengths[0, 0] = 7
    there = torch.arange(7) < lengths[..., None]
    old = -3 * torch.rand(3, 4, 7, generator=generator, dtype=torch.float64) * there
    policy = (old + 0.25 * torch.randn(3, 4, 7, generator=generator, dtype=torch.float64) * there).requires_grad_()
    reference = old + 0.4 * torch.randn(3, 4, 7, generator=generator, dtype=torch.float64) * there
    rewards = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    return policy, old, reference, there, rewards


def flat(tensor):
    return tensor.reshape(12, *tensor.shape[2:])


def test_loss_and_gradient_are_those_of_trls_rloo(drawn):
    policy, old, reference, there, rewards = drawn
    theirs = trl_rloo(
        *map(flat, (policy, old, reference, there.double(), rewards)), generations=4, beta=0.07, epsilon=0.2
    )
    (expected,) = torch.autograd.grad(theirs, policy)
    shaped = rewards - 0.07 * k1(old.sum(-1), reference.sum(-1))
    advantages = leave_one_out(shaped, torch.ones(3, 4, dtype=torch.bool))
    ours = rloo(policy.sum(-1), old.sum(-1), advantages, clip=0.2).loss.mean()
    (found,) = torch.autograd.grad(ours, policy)
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-5)
    torch.testing.assert_close(found * there, expected, rtol=0, atol=1e-5)
    assert found.abs().max() > 0.01


@pytest.mark.parametrize("divided", [True, False])
def test_loss_and_gradient_are_those_of_trls_grpo(drawn, divided):
    policy, old, reference, there, rewards = drawn
    theirs = trl_grpo(
        *map(flat, (policy, old, reference, there.double(), rewards)),
        generations=4,
        beta=0.07,
        epsilon=0.2,
        scale=divided,
    )
    (expected,) = torch.autograd.grad(theirs, policy)
    advantages = group_relative(rewards, torch.ones(3, 4, dtype=torch.bool), divided=divided)
    ours = grpo(policy, old, reference, advantages, there, clip=0.2, kl_weight=0.07).loss.mean()
    (found,) = torch.autograd.grad(ours, policy)
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-5)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert found.abs().max() > 0.01


def move(model, *, by, seed):
    with torch.no_grad():
        for parameter in lora_parameters(model).values():
            parameter.add_(by * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)))


@pytest.mark.filterwarnings("ignore")  # of code that is not ours
@pytest.mark.parametrize("form", ["rloo", "grpo"])
def test_loss_and_gradient_are_those_of_trls_own_trainer(form, student, tmp_path):
    """TRL's trainer draws, rewards and computes its loss; then ours, from the same tokens and rewards."""
    trl, datasets = pytest.importorskip("trl"), pytest.importorskip("datasets")
    model, tokenizer = open_student(student, load=None, lora=Lora(rank=4), init_adapter=None, seed=0)
    rewards = torch.randn(2, 4, generator=torch.Generator().manual_seed(1))
    trainer = getattr(trl, f"{form.upper()}Trainer")(
        model=model,
        reward_funcs=lambda completions, **_: rewards.flatten().tolist(),
        args=getattr(trl, f"{form.upper()}Config")(
            output_dir=str(tmp_path),
            per_device_train_batch_size=8,
            num_generations=4,
            num_iterations=2,  # otherwise GRPO's old log-probabilities are not computed
            max_completion_length=6,
            beta=0.07,
            epsilon=0.02,
            bf16=False,
            use_cpu=True,
            report_to="none",
            **({"loss_type": "grpo"} if form == "grpo" else {}),
        ),
        train_dataset=datasets.Dataset.from_list([{"prompt": "say a"}, {"prompt": "tell z"}]),
        processing_class=tokenizer,
    )
    model.delete_adapter("ref")  # so that the reference is the model without an adapter
    trainer.current_gradient_accumulation_steps = 1
    move(model, by=0.05, seed=1)
    model.train()
    given = trainer._generate_and_score_completions([{"prompt": p} for p in ("say a", "tell z") for _ in range(4)])
    ids = {
        part: [
            tuple(i[there.bool()].tolist())
            for i, there in zip(given[f"{part}_ids"], given[f"{part}_mask"], strict=True)
        ]
        for part in ("prompt", "completion")
    }
    rows = [Row(ids["prompt"][i], tuple(ids["completion"][i : i + 4])) for i in (0, 4)]
    passes = Passes("plain", 4096, 2, "token_logps")

    def read():
        with torch.no_grad():
            found = passes.token_logps(model, rows)
        each = zip(found.tokens_BKT, found.lengths_BK, strict=True)
        return [
            tuple(tuple(tokens[:n].tolist()) for tokens, n in zip(tokens_KT, n_K.tolist(), strict=True))
            for tokens_KT, n_K in each
        ]

    old = read()
    with model.disable_adapter():
        reference = read()
    move(model, by=0.003, seed=2)  # so that the policy is no longer the one that drew them
    theirs = trainer._compute_loss(model, given)
    theirs.backward()
    expected = {name: parameter.grad.clone() for name, parameter in lora_parameters(model).items()}
    model.zero_grad()

    rl = Rl(form=form, samples=4, max_completion_tokens=6, ppo_epochs=2, kl_weight=0.07, clip=0.02)
    sampled = [
        Sampled(
            tuple(rewards[i].tolist()),
            penalties=(0.0,) * 4,
            old=old[i],
            reference=reference[i],
            ended=(True,) * 4,
            kl_weight=0.07,
        )
        for i in range(2)
    ]
    drawn = [replace(row, sampled=one) for row, one in zip(rows, sampled, strict=True)]
    config = TrainingConfig(method="rl", rl=rl, batch_size=2)
    ours = Objective(model, drawn, None, config, passes).accumulate(range(2)).numbers
    assert ours["loss"] == pytest.approx(theirs.item(), abs=1e-5)
    assert 0 < ours["clip_fraction"] < 1
    for name, parameter in lora_parameters(model).items():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=0, atol=1e-5)
    assert max(float(gradient.abs().max()) for gradient in expected.values()) > 1e-2


REWARDS, WEIGHT = torch.tensor([0.0, 0.5, 0.2, 1.0], dtype=torch.float64), 0.5
REFERENCE = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64).log()


def optimum():
    """The most of E[reward] - b KL(policy || reference) has a policy proportional to reference * exp(reward / b)."""
    return (REFERENCE + REWARDS / WEIGHT).softmax(-1)


@pytest.mark.parametrize("form", ["rloo", "grpo"])
def test_a_bandit_comes_to_its_known_optimum(form):
    logits = REFERENCE.clone().requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.02)
    generator, there = torch.Generator().manual_seed(0), torch.ones(64, 8, dtype=torch.bool)
    mean, many = torch.zeros(4, dtype=torch.float64), 400
    for step in range(1000):
        policy = logits.log_softmax(-1)
        arms = torch.multinomial(policy.exp().detach(), 64 * 8, replacement=True, generator=generator).view(64, 8)
        if form == "rloo":
            shaped = REWARDS[arms] - WEIGHT * k1(policy.detach(), REFERENCE)[arms]
            loss = rloo(policy[arms], policy[arms].detach(), leave_one_out(shaped, there), clip=0.2).loss.mean()
        else:
            # The mean of a group holds the reward itself, so its advantages are smaller by 1/8 in expectation.
            advantages = group_relative(REWARDS[arms], there, divided=False) * 8 / 7
            tokens, before = policy[arms][..., None], REFERENCE[arms][..., None]
            loss = grpo(
                tokens, tokens.detach(), before, advantages, there[..., None], clip=0.2, kl_weight=WEIGHT
            ).loss.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step >= 1000 - many:
            mean += logits.detach().softmax(-1) / many
    assert (optimum() - REFERENCE.exp()).abs().max() > 0.1
    torch.testing.assert_close(mean, optimum(), rtol=0, atol=0.02)
