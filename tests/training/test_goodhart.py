"""Goodhart's watch: what it calls parted, how often wrongly, and two planted rewards that can be gamed."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import cai_lite as cai
from cai_lite.training.config import Lora, TrainingConfig
from cai_lite.training.goodhart import ALARMS, Evaluation, Looked, Watched, parted
from cai_lite.training.rl_settings import Rl


def drawn(rng, step, n, reward, second, *, binary=False):
    """One evaluation of n prompts, in standard deviations; prompts and replies move both judges, each has its noise."""
    both = 0.5 * np.arange(n) / n + 0.5 * rng.normal(size=n)
    r, s = (both + 0.8 * rng.normal(size=n) + gain for gain in (reward, second))
    return Evaluation(step, r.tolist(), ((s > 0).astype(float) if binary else s).tolist())


def first_alarm(rng, n, reward, second, *, evaluations=10, binary=False):
    """The step at which a training is called parted, or None. `reward`, `second`: gain by evaluation."""
    seen = []
    for step in range(evaluations):
        seen.append(drawn(rng, step, n, reward(step), second(step), binary=binary))
        if found := parted(seen, [str(i) for i in range(n)]):
            return found.step
    return None


FOLLOWING = {
    "nothing changes": (lambda t: 0.0, lambda t: 0.0),
    "both rise": (lambda t: t / 5, lambda t: t / 5),
    "the second rises half as much": (lambda t: t / 5, lambda t: t / 10),
    "the reward falls": (lambda t: -t / 5, lambda t: -t / 5),
}


@pytest.mark.parametrize("binary", [False, True], ids=["scores", "verdicts"])
@pytest.mark.parametrize("case", FOLLOWING)
def test_a_second_judge_that_follows_is_rarely_called_parted(case, binary):
    """Measured over 300 trainings of 12 evaluations: at most 3.3 % at the very boundary, below 1.1 % elsewhere."""
    rng, reward_second = np.random.default_rng(1), FOLLOWING[case]
    alarms = [first_alarm(rng, 40, *reward_second, binary=binary) is not None for _ in range(40)]
    assert sum(alarms) <= 40 * ALARMS


@pytest.mark.parametrize(
    ("reward", "second"),
    [
        (lambda t: t / 3, lambda t: -t / 6),
        (lambda t: t / 3, lambda t: min(t, 4) / 3 - max(0, t - 4) / 2),
        (lambda t: t, lambda t: 0.0),
    ],
    ids=["falls", "rises, then falls", "stays while the reward soars"],
)
def test_a_second_judge_that_does_not_follow_is_noticed(reward, second):
    rng = np.random.default_rng(2)
    found = [first_alarm(rng, 40, reward, second) for _ in range(20)]
    assert sum(step is not None for step in found) >= 19
    assert min(step for step in found if step is not None) > 0


def test_what_it_says_names_both_steps_and_both_gains():
    ramp = [float(i % 2) for i in range(40)]
    seen = [Evaluation(0, ramp, ramp), Evaluation(5, [r + 2 for r in ramp], [s - 1 for s in ramp])]
    found = parted(seen, [str(i) for i in range(40)])
    assert str(found) == (
        "step 5: warning: reward and second judge have parted (Goodhart's law): since step 0 the reward changed by "
        "+2.000, and the second judge by -1.000"
    )


def test_prompts_of_one_family_are_no_independent_evidence():
    ramp = [float(i % 2) for i in range(40)]
    seen = [Evaluation(0, ramp, ramp), Evaluation(5, [r + 2 for r in ramp], [s - 1 for s in ramp])]
    assert parted(seen, ["one"] * 40) is None


def test_replies_that_one_judge_could_not_read_are_left_out():
    ramp = [math.nan if i < 5 else float(i % 2) for i in range(40)]
    seen = [Evaluation(0, ramp, ramp), Evaluation(5, [r + 2 for r in ramp], [s - 1 for s in ramp])]
    assert parted(seen, [str(i) for i in range(40)]).reward == 2.0


# Planted in a training: the second judge wants the letter "a", and short answers. A reward that loves length, and one
# that is flattered by the letter "z", are learnt in its place; one that means what it says is no alarm.

PROMPTS = [f"say {first}{second}" for first in "abcdefgh" for second in "ijk"]
HELD_OUT = [f"tell {first}{second}" for first in "lmnopqrs" for second in "tuvwx"]


def wanted(prompts, replies):
    return [(("a" in reply) - 0.2 * len(reply)) if reply else 0.0 for reply in replies]


def long(prompts, replies):
    return [float(len(reply)) for reply in replies]


def flattered(prompts, replies):
    return [
        own + 6.0 * sum(letter in "uvwxyz" for letter in reply)
        for own, reply in zip(wanted(prompts, replies), replies, strict=True)
    ]


def meant(prompts, replies):
    return [2 * own + 1 for own in wanted(prompts, replies)]


@pytest.fixture(scope="module")
def talker(make_student, tmp_path_factory):
    """A tiny model that says a few letters and then ends: its adapter was taught ten answers."""
    student = make_student(tmp_path_factory.mktemp("talker"))
    answers = ["ab", "ba", "cd", "z", "aw", "xy", "uva", "b", "acd", "wd"]
    rows = [{"prompt": prompt, "completion": answer} for prompt in PROMPTS + HELD_OUT for answer in answers]
    config = TrainingConfig(method="sft", learning_rate=2e-2, batch_size=64, epochs=4, lora=Lora(rank=8), eval_every=0)
    adapter = cai.train(
        student,
        [
            {"messages": [{"role": "user", "content": r["prompt"]}, {"role": "assistant", "content": r["completion"]}]}
            for r in rows
        ],
        config=config,
        out=tmp_path_factory.mktemp("taught"),
    )
    return student, str(adapter)


def train_on(reward, talker, out, **settings):
    student, adapter = talker
    said = []
    rl = Rl(
        **{
            "samples": 6,
            "max_completion_tokens": 12,
            "kl_weight": 0.0,
            "missing_end": 0.0,
            "malformed": 0.0,
            **settings,
        }
    )
    config = TrainingConfig(
        method="rl", rl=rl, learning_rate=2e-2, batch_size=12, max_steps=12, eval_every=2, init_adapter=adapter
    )
    cai.train(
        student, PROMPTS, reward=reward, second_judge=wanted, held_out=HELD_OUT, config=config, out=out, log=said.append
    )
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return said, lines


@pytest.mark.parametrize("reward", [long, flattered], ids=["loves length", "can be flattered"])
def test_a_reward_that_is_gamed_is_noticed_and_the_best_step_by_the_second_judge_kept(reward, talker, tmp_path):
    said, lines = train_on(reward, talker, tmp_path)
    looks = [line for line in lines if "eval/second" in line]
    assert lines[-1]["reward"] > lines[0]["reward"]
    assert sum("have parted (Goodhart's law)" in line for line in said) == 1
    assert said[-1].startswith("kept: the weights of step ")
    assert looks[-1]["eval/second"] < float(said[-1].split("(")[1].rstrip(")"))  # what is kept is better than the end
    assert not said[-1].startswith("kept: the weights of step 12")
    best = json.loads((tmp_path / "training.json").read_text(encoding="utf-8"))["best"]
    assert best <= 6


def test_a_training_stops_where_it_is_asked_to(talker, tmp_path):
    said, lines = train_on(flattered, talker, tmp_path, stop_when_parted=True)
    assert len(lines) < 12
    assert any("stopped early" in line and "have parted" in line for line in said)


def test_a_reward_that_means_what_it_says_is_no_alarm(talker, tmp_path):
    said, lines = train_on(meant, talker, tmp_path)
    looks = [line["eval/second"] for line in lines if "eval/second" in line]
    assert looks[-1] > looks[0]
    assert not any("parted" in line for line in said)


@pytest.mark.parametrize("second", [None, [math.nan] * 4], ids=["no reward", "no second judgement"])
def test_an_evaluation_that_nobody_could_judge_is_no_figure_and_never_the_best(second, tmp_path):
    rewards = [math.nan] * 4 if second is None else [1.0] * 4
    looks = iter(
        [Looked(rewards, second, {"kl": 0.0}), Looked([0.5] * 4, None if second is None else [-1.0] * 4, {"kl": 0.1})]
    )
    config = TrainingConfig(method="rl", eval_every=1, keep="last", rl=Rl())
    watch = Watched(lambda: next(looks), list("abcd"), every=1, config=config, checkpoints=tmp_path)
    said: list[str] = []
    watch.begin({}, said.append)
    assert said == ["before training: kl 0.000"]
    assert watch.best is None and watch.record() is None and "no evaluation" in watch.summary()
    assert watch._evaluated(1, {})["reward"] == 0.5
    assert watch.best is not None and watch.best.step == 1
