"""The training method "rl": what it samples, what it learns, how it resumes, where it stops."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch

import cai_lite as cai
from cai_lite.chat.decoding import decode
from cai_lite.chat.turns import Turns
from cai_lite.errors import InputError, TrainingError
from cai_lite.inputs.prompts import as_prompts
from cai_lite.logps.attention import attention_of
from cai_lite.records import Request, Sampling
from cai_lite.training import samples
from cai_lite.training.batch import Passes
from cai_lite.training.config import Lora, Loss, TrainingConfig
from cai_lite.training.methods import METHODS
from cai_lite.training.on_policy import OnPolicy
from cai_lite.training.rewards import Feedback, over_messages
from cai_lite.training.rl_settings import Rl
from cai_lite.training.samples import Sampler
from cai_lite.training.source import Asked
from cai_lite.training.student import lora_parameters, open_student
from cai_lite.training.update import Objective

PROMPTS = [f"say {letter}" for letter in "abcdefgh"]
FREE = {"missing_end": 0.0, "malformed": 0.0}


def high(prompts, replies):
    """The share of a reply's letters that are small ones from the second half of the alphabet."""
    return [sum(letter > "m" for letter in reply) / 8 for reply in replies]


def settings(**changes):
    rl = {"samples": 4, "max_completion_tokens": 8, **FREE, **changes.pop("rl", {})}
    base = {"learning_rate": 1e-2, "batch_size": 4, "lora": Lora(rank=4), "epochs": 3.0, "eval_every": 0}
    return TrainingConfig(method="rl", rl=Rl(**rl), **{**base, **changes})


def run(student, out, *, reward=high, prompts=PROMPTS, second=None, progress=None, held_out=None, **changes):
    said = []
    cai.train(
        student,
        prompts,
        reward=reward,
        second_judge=second,
        held_out=held_out,
        config=settings(**changes),
        out=out,
        progress=progress,
        log=said.append,
    )
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return said, lines


def weights(out):
    return (out / "adapter" / "adapter_model.safetensors").read_bytes()


@pytest.fixture
def opened(student):
    model, tokenizer = open_student(student, load=None, lora=Lora(rank=4), init_adapter=None, seed=0)
    with torch.no_grad():  # a fresh adapter changes nothing
        for parameter in lora_parameters(model).values():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return model, Turns.of_model(model, tokenizer)


def source_of(opened, config, *, layout="plain", reward=high):
    model, turns = opened
    # The adapter of `opened` is no fresh one, so that policy and reference differ.
    config = replace(config, init_adapter="as if it had been read", reference="base")
    prompts = as_prompts(PROMPTS, "train")
    rows, _ = METHODS["rl"].rows(turns, prompts, config, max_tokens=64)
    objective = Objective(model, rows, None, config, Passes(layout, 4096, 2, "token_logps"))
    return OnPolicy(objective, Asked(turns, prompts, None, print), Feedback(reward=over_messages(reward)))


def test_the_numbers_have_the_names_of_the_field(student, tmp_path):
    _, lines = run(student, tmp_path, max_steps=1)
    assert {"reward", "kl", "entropy", "clip_fraction", "advantage"} < set(lines[0])
    assert lines[0]["kl"] == pytest.approx(0, abs=1e-5)  # the policy is the reference
    assert lines[0]["clip_fraction"] == 0
    assert 0 < lines[0]["entropy"] < math.log(259)


def test_a_completion_is_as_likely_to_be_drawn_as_the_model_says(opened):
    """2,000 first tokens of one prompt, against the probabilities of the model by Pearson's chi-square."""
    model, turns = opened
    prompts = as_prompts(PROMPTS[:1], "train")
    rows, _ = METHODS["rl"].rows(turns, prompts, settings(), max_tokens=64)
    drawn = Sampler(model, turns, tokens=1 << 20, pad=2).draw(prompts, rows, each=2000, max_tokens=1, seed=3)[0]
    with torch.no_grad():
        probabilities = model(input_ids=torch.tensor([rows[0].prompt_ids])).logits[0, -1].softmax(-1)
    counts = torch.bincount(torch.tensor([sample.ids[0] for sample in drawn]), minlength=259).double()
    expected, found = (x[torch.argsort(probabilities)].double().cumsum(0) for x in (2000 * probabilities, counts))
    ends = torch.searchsorted(expected, torch.arange(200.0, 2000.0, 200.0).double())
    apart, wanted = (torch.diff(x[ends], prepend=torch.zeros(1)) for x in (found, expected))
    assert float(((apart - wanted) ** 2 / wanted).sum()) < 23.6  # 99.5 % point of chi-square with 9 degrees of freedom


def test_copies_of_a_prompt_are_drawn_as_if_each_were_read_alone(opened):
    model, _ = opened
    model.eval()
    prompts = [[5, 6, 7, 8], [9, 10]]
    sampling = Sampling(temperature=1.0, max_tokens=6)
    asked = [Request(messages=(), sampling=sampling, index=i) for i in range(6)]
    with torch.no_grad():
        shared, _ = decode(model, prompts, asked, ends={1}, pad=2, copies=3)
        alone, _ = decode(model, [p for p in prompts for _ in range(3)], asked, ends={1}, pad=2)
    assert shared == alone
    assert len({tuple(ids) for ids, _ in shared}) > 2


@pytest.mark.parametrize("layout", ["plain", "shared"])
def test_what_is_recorded_of_samples_is_what_transformers_computes(opened, layout):
    model, _ = opened
    with attention_of(model, layout):
        source = source_of(opened, settings(rl={"ppo_epochs": 2}), layout=layout)
        batch = next(source.batches(0))
        entropies_BKT = batch.objective.passes.token_logps(model, batch.objective.rows).entropies_BKT
    row = batch.objective.rows[1]
    assert len(row.completions) == 4
    model.eval()
    for number, ids in enumerate(row.completions):
        with torch.no_grad():
            whole = torch.tensor([row.prompt_ids + ids])
            start = len(row.prompt_ids) - 1
            logps = model(input_ids=whole).logits[0, start:-1].log_softmax(-1)
            with model.disable_adapter():
                before = model(input_ids=whole).logits[0, start:-1].log_softmax(-1)
        taken = torch.tensor(ids)[:, None]
        assert list(row.sampled.old[number]) == pytest.approx(logps.gather(1, taken)[:, 0].tolist(), abs=1e-4)
        assert list(row.sampled.reference[number]) == pytest.approx(before.gather(1, taken)[:, 0].tolist(), abs=1e-4)
        entropies = -(logps.exp() * logps).sum(-1)
        torch.testing.assert_close(entropies_BKT[1, number, : len(ids)], entropies, rtol=0, atol=1e-4)


@pytest.mark.parametrize("layout", ["plain", "shared"])
@pytest.mark.parametrize("form", ["rloo", "grpo"])
def test_the_first_gradient_is_that_of_the_mean_advantage_times_log_probability(opened, form, layout):
    """At a ratio of 1 nothing is clipped, and without a penalty both forms are REINFORCE with their own baseline."""
    model, _ = opened
    config = settings(rl={"form": form, "kl_weight": 0.0})
    with attention_of(model, layout):
        batch = next(source_of(opened, config, layout=layout).batches(0))
        rows = batch.objective.rows
        numbers = batch.objective.accumulate(range(len(rows))).numbers
    ours = {name: p.grad.clone() for name, p in lora_parameters(model).items()}
    model.zero_grad()
    total, completions = 0.0, 0
    for row in rows:
        rewards = torch.tensor(row.sampled.rewards)
        apart = rewards - rewards.mean()
        advantages = apart * 4 / 3 if form == "rloo" else apart / (rewards.std() + 1e-4)
        for ids, advantage in zip(row.completions, advantages.tolist(), strict=True):
            whole = torch.tensor([row.prompt_ids + ids])
            logits = model(input_ids=whole).logits[0, len(row.prompt_ids) - 1 : -1]
            logps = logits.log_softmax(-1).gather(1, torch.tensor(ids)[:, None])[:, 0]
            total = total - advantage * (logps.sum() if form == "rloo" else logps.mean())
            completions += 1
    (total / completions).backward()
    assert numbers["clip_fraction"] == 0
    for name, parameter in lora_parameters(model).items():
        torch.testing.assert_close(ours[name], parameter.grad, rtol=1e-3, atol=2e-6)
    assert max(float(g.abs().max()) for g in ours.values()) > 1e-3


@pytest.mark.parametrize("form", ["rloo", "grpo"])
def test_a_single_update_learns_the_same_without_a_pass_over_the_policy_before_it(opened, form):
    """With two epochs the log-probabilities of the policy that drew the samples are stored, with one they are not."""
    model, _ = opened
    found = []
    for epochs in (1, 2):
        batch = next(source_of(opened, settings(rl={"form": form, "ppo_epochs": epochs, "kl_weight": 0.5})).batches(0))
        assert [row.sampled.old is None for row in batch.objective.rows] == [epochs == 1] * 4
        numbers = batch.objective.accumulate(range(4)).numbers
        found.append((numbers, {name: p.grad.clone() for name, p in lora_parameters(model).items()}))
        model.zero_grad()
    (once, its_grads), (again, others) = found
    assert once == pytest.approx(again, abs=1e-5)
    assert abs(once["kl"]) > 1e-3
    for name, gradient in its_grads.items():
        torch.testing.assert_close(gradient, others[name], rtol=1e-4, atol=1e-7)


def out_of_memory(where, monkeypatch, limit):
    """Let calls of a function with more than `limit` completions run out of memory; return how many each had."""
    module, name = where
    whole, seen = getattr(module, name), []

    def limited(model, given, *rest, **more):
        seen.append(len(rest[0]) if name == "decode" else sum(len(row.completions) for row in rest[0]))
        if seen[-1] > limit():
            raise torch.OutOfMemoryError("CUDA out of memory") if len(seen) % 2 else RuntimeError("not enough memory")
        return whole(model, given, *rest, **more)

    monkeypatch.setattr(module, name, limited)
    return seen


def test_samples_that_do_not_fit_into_memory_are_drawn_in_halves(opened, monkeypatch):
    model, turns = opened
    prompts = as_prompts(PROMPTS, "train")
    rows, _ = METHODS["rl"].rows(turns, prompts, settings(), max_tokens=64)

    def drawn():
        sampler = Sampler(model, turns, tokens=1 << 14, pad=2)
        return [[sampler.draw(prompts, rows, each=4, max_tokens=8, seed=i)] for i in range(2)]

    whole = drawn()
    seen = out_of_memory((samples, "decode"), monkeypatch, lambda: 2)
    assert drawn() == whole  # every sample has random numbers of its own
    assert seen[:5] == [32, 16, 8, 4, 2]  # less than one prompt's samples at a time
    assert max(seen[5 : len(seen) // 2]) == 2  # it is not tried again


def test_a_training_that_runs_out_of_memory_keeps_its_checkpoint(student, tmp_path, monkeypatch):
    changes = {"rl": {"max_completion_tokens": 4}, "checkpoint_every": 1, "max_steps": 3}
    run(student, tmp_path / "whole", **changes)
    left = 3

    def limit():
        nonlocal left
        left -= 1
        return 16 if left > 0 else 0

    with monkeypatch.context() as patched:
        out_of_memory((samples, "decode"), patched, limit)
        with pytest.raises(TrainingError, match=r"out of memory while drawing a completion of up to 4 tokens: lower"):
            run(student, tmp_path / "cut", **changes)
    said, _ = run(student, tmp_path / "cut", **changes)
    assert "resumed at step 2 of 3" in said
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")


def test_log_probabilities_that_do_not_fit_into_memory_are_read_in_halves(opened, monkeypatch):
    config = settings(rl={"ppo_epochs": 2})
    whole = next(source_of(opened, config).batches(0)).objective.rows
    read = Passes.token_logps

    def limited(passes, model, rows):
        if len(rows) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return read(passes, model, rows)

    monkeypatch.setattr(Passes, "token_logps", limited)
    most = 1
    for row, other in zip(next(source_of(opened, config).batches(0)).objective.rows, whole, strict=True):
        assert [sum(logps) for logps in row.sampled.old] == pytest.approx([sum(logps) for logps in other.sampled.old])
    most = 0
    with pytest.raises(TrainingError, match="out of memory while reading 4 completions of one prompt"):
        next(source_of(opened, config).batches(0))


@pytest.mark.parametrize("form", ["rloo", "grpo"])
def test_the_student_learns_what_is_rewarded(student, tmp_path, form):
    free = {"form": form, "samples": 16, "max_completion_tokens": 4, "kl_weight": 0.0}
    changes = {"epochs": 14.0, "batch_size": 8, "learning_rate": 4e-2, "scheduler": "constant"}
    said, lines = run(student, tmp_path, rl=free, **changes)
    assert sum(line["reward"] for line in lines[-3:]) > 1.5 * sum(line["reward"] for line in lines[:3])
    assert not any("learnt next to nothing" in line for line in said)


def test_a_bandit_of_tokens_comes_near_its_known_optimum(student, tmp_path):
    """One prompt, one token, a reward of 1 for one letter of reference probability p: no policy has more reward less
    b times the divergence than b log(1 - p + p exp(1 / b)). A small adapter moves other tokens along, and so stays
    below; without a penalty it would give the letter alone."""
    b, prompt = 0.4, ["say it"]
    model, tokenizer = open_student(student, load=None, lora=Lora(rank=4), init_adapter=None, seed=0)
    turns = Turns.of_model(model, tokenizer)
    (row,), _ = METHODS["rl"].rows(turns, as_prompts(prompt, "train"), settings(), max_tokens=64)
    with torch.no_grad():
        p = float(
            model(input_ids=torch.tensor([row.prompt_ids])).logits[0, -1].softmax(-1)[tokenizer("b").input_ids[0]]
        )
    most = b * math.log(1 - p + p * math.exp(1 / b))

    def letter(prompts, replies):
        return [float(reply == "b") for reply in replies]

    one = {"samples": 256, "max_completion_tokens": 1, "kl_weight": b}
    more = {"batch_size": 1, "lora": Lora(rank=8), "scheduler": "constant", "learning_rate": 4e-2}
    _, lines = run(student, tmp_path, reward=letter, prompts=prompt, rl=one, max_steps=30, **more)
    reward, kl = (sum(line[name] for line in lines[-12:]) / 12 for name in ("reward", "kl"))
    assert p < 0.05 < 5 * p < reward < 0.4
    assert 0.7 * most < reward - b * kl < 1.1 * most


@pytest.mark.parametrize("step", [3, 4, 7], ids=["in an iteration", "between two", "in a later one"])
def test_a_cut_off_training_ends_in_the_same_bytes(student, tmp_path, step):
    changes = {
        "rl": {"ppo_epochs": 2, "minibatches": 2, "kl_target": 0.5},
        "lora": Lora(rank=2, dropout=0.1),
        "checkpoint_every": 1,
        "eval_every": 4,
        "held_out": ["say y", "say z"],
        "second": high,
        "max_steps": 8,
    }
    whole, lines = run(student, tmp_path / "whole", **changes)

    def stop(done, total):
        if done == step + 1:  # after the update, before its checkpoint
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(student, tmp_path / "cut", progress=stop, **changes)
    said, again = run(student, tmp_path / "cut", **changes)
    assert f"resumed at step {step} of 8" in said
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    timed = {"tokens_per_second"}
    assert [{k: v for k, v in line.items() if k not in timed} for line in again] == [
        {k: v for k, v in line.items() if k not in timed} for line in lines
    ]
    assert said[-1] == whole[-1]


def test_minibatches_and_epochs_leave_the_policy_that_drew_the_samples(student, tmp_path):
    _, lines = run(
        student, tmp_path, rl={"ppo_epochs": 3, "minibatches": 2, "clip": 0.01}, learning_rate=5e-2, max_steps=6
    )
    assert lines[0]["clip_fraction"] == 0
    assert max(line["clip_fraction"] for line in lines[1:]) > 0.2
    assert {line["epoch"] for line in lines} == {0}


def test_the_reference_may_be_the_adapter_that_it_begins_with(student, tmp_path):
    run(student, tmp_path / "first", max_steps=4, learning_rate=5e-2)
    begin = str(tmp_path / "first" / "adapter")
    _, lines = run(student, tmp_path / "init", init_adapter=begin, max_steps=3)
    assert lines[0]["kl"] == pytest.approx(0, abs=1e-5)
    assert abs(lines[-1]["kl"]) > 1e-4  # it stays that adapter while the policy moves
    _, lines = run(student, tmp_path / "base", init_adapter=begin, reference="base", max_steps=1)
    assert lines[0]["kl"] > 0.01


def test_a_training_ends_where_the_policy_is_too_far_from_the_reference(student, tmp_path):
    said, lines = run(student, tmp_path, rl={"kl_weight": 0.0, "kl_limit": 0.3}, learning_rate=5e-2, epochs=20.0)
    assert len(lines) < 40
    assert any("nats per completion away from the reference, beyond train.rl.kl_limit 0.3" in line for line in said)
    assert (tmp_path / "adapter").is_dir()
    run(student, tmp_path / "far", learning_rate=5e-2, max_steps=6)
    with pytest.raises(TrainingError, match=r"before the first step the policy is .* set train\.reference"):
        run(
            student,
            tmp_path / "beyond",
            init_adapter=str(tmp_path / "far" / "adapter"),
            reference="base",
            rl={"kl_limit": 1e-4},
        )


def test_the_weight_of_the_penalty_rises_where_the_divergence_is_above_its_target(student, tmp_path):
    _, lines = run(student, tmp_path, rl={"kl_weight": 0.1, "kl_target": 1e-3}, learning_rate=5e-2, epochs=5.0)
    found = [line["kl_weight"] for line in lines]
    assert found[0] == 0.1
    assert found[1] == pytest.approx(0.098)  # no divergence before the first update
    assert found[-1] > found[1]


def test_samples_without_an_end_and_loops_cost_reward(opened):
    config = settings(rl={"missing_end": 2.0, "malformed": 0.5, "kl_weight": 0.0, "samples": 32})
    source = source_of(opened, config, reward=lambda prompts, replies: [0.0] * len(replies))
    batch = next(source.batches(0))
    paid = []
    for row in batch.objective.rows:
        both = zip(row.completions, row.sampled.ended, strict=True)
        paid.append([2.0 * (not ended) + 0.5 * (ended and len(ids) == 1) for ids, ended in both])
        assert list(row.sampled.penalties) == paid[-1]
        assert row.sampled.rewards == (0.0,) * 32
    expected = [abs((sum(cost) - own) / 31 - own) for cost in paid for own in cost]
    found = batch.objective.accumulate(range(4)).numbers["advantage"]
    assert found == pytest.approx(sum(expected) / 128) != 0


def test_samples_that_nobody_could_reward_take_no_part(student, tmp_path):
    def partly(prompts, replies):
        return [None if number % 4 == 0 else own for number, own in enumerate(high(prompts, replies))]

    said, lines = run(student, tmp_path / "some", reward=partly, max_steps=2)
    assert "iteration 1: 4 of 16 samples have no reward" in said
    assert all(math.isfinite(line["reward"]) for line in lines)
    with pytest.raises(TrainingError, match="16 of 16 replies have no reward"):
        run(student, tmp_path / "none", reward=lambda prompts, replies: [None] * len(replies))
    with pytest.raises(TrainingError, match="the reward gave 1 values for 16 replies"):
        run(student, tmp_path / "few", reward=lambda prompts, replies: [1.0])


def test_another_reward_begins_a_new_training(student, tmp_path):
    run(student, tmp_path, max_steps=1)
    said, _ = run(student, tmp_path, max_steps=1)
    assert said == ["trained already: 1 steps"]

    def other(prompts, replies):
        return [float(len(reply)) for reply in replies]

    said, _ = run(student, tmp_path, max_steps=1, reward=other)
    assert any("feedback changed: training anew" in line for line in said)


def test_all_samples_alike_and_no_end_are_said_once(student, tmp_path):
    said, _ = run(student, tmp_path, reward=lambda prompts, replies: [1.0] * len(replies), epochs=4.0)
    assert sum("all samples of a prompt earned the same" in line for line in said) == 1
    assert sum("reach train.rl.max_completion_tokens without an end" in line for line in said) == 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rl": Rl(), "loss": Loss("ipo")}, "'loss' means nothing to the method 'rl'"),
        ({"rl": Rl(), "sft_weight": 1.0}, "'sft_weight' means nothing to the method 'rl'"),
        ({"rl": Rl(), "overlong": "cut_prompt"}, "'overlong' means nothing to the method 'rl'"),
        ({"rl": Rl(minibatches=8), "batch_size": 4}, "'rl.minibatches' should be at most batch_size 4"),
    ],
)
def test_settings_that_mean_nothing_are_refused(changes, says):
    with pytest.raises(InputError, match=says):
        TrainingConfig(method="rl", **changes)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"samples": 1}, "'rl.samples' should be from 2"),
        ({"clip": 1.0}, "'rl.clip' should be above 0 and below 1"),
        ({"form": "ppo"}, "'rl.form' should be one of rloo, grpo"),
        ({"divide_by_std": False}, "belongs to 'form: grpo'"),
        ({"kl_target": 1.0, "kl_weight": 0.0}, "adapts 'rl.kl_weight'"),
        ({"kl_limit": 0.0}, "'rl.kl_limit' should be above 0"),
    ],
)
def test_values_out_of_range_are_refused(changes, says):
    with pytest.raises(InputError, match=says):
        Rl(**changes)


def test_a_reward_is_asked_for_where_it_is_read_and_nowhere_else(student, pairs, tmp_path):
    with pytest.raises(InputError, match="learns from a reward"):
        cai.train(student, PROMPTS, config=settings(), out=tmp_path)
    with pytest.raises(InputError, match="mean nothing to the method 'dpo'"):
        cai.train(student, pairs, reward=high, out=tmp_path)
    with pytest.raises(InputError, match="'rl' means nothing to the method 'dpo'"):
        TrainingConfig(rl=Rl(samples=8))
    with pytest.raises(InputError, match=r"'rl\.checks' is for recipes"):
        cai.train(student, PROMPTS, reward=high, config=settings(rl={"checks": 2.0}), out=tmp_path)
