"""A phase "rl" of a recipe: who rewards its samples, who watches the reward, and what a resumed one asks again."""

from __future__ import annotations

import json
from dataclasses import replace
from math import exp

import pytest

from cai_lite.chat.scripted import ScriptedModel
from cai_lite.errors import InputError
from cai_lite.inputs.prompts import load_prompts
from cai_lite.pipeline.alone import train_file
from cai_lite.pipeline.make_pairs import Work
from cai_lite.pipeline.recipe import load_recipe
from cai_lite.pipeline.rewards import by_oracle, judged, sampled_material
from cai_lite.pipeline.roles import WeightedModel, open_roles
from cai_lite.pipeline.steps import learn
from cai_lite.records import Reply
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Screen

RL = (
    "train=[{method: rl, rl: {samples: 2, max_completion_tokens: 12, missing_end: 0}, lora: {rank: 2}, batch_size: 4, "
    "learning_rate: 1.0e-3, max_steps: 2, eval_every: 0}]"
)
SETTINGS = ["prompts.limit=8", "prompts.eval_limit=4", RL]
REPLIES = ["See a doctor today.", "It is nothing.", ""]


@pytest.fixture
def work(tmp_path):
    """The medical demo with an rl phase, and a judge who says yes to whoever names a doctor."""

    def verdict(request):
        kept = "doctor" in request.messages[-1].content
        words = ("yes", "no") if kept else ("no", "yes")
        return Reply(text=words[0], log_probs=dict(zip(words, (-0.1, -3.0), strict=True)))

    recipe = load_recipe("medical", SETTINGS, profile="embedded")
    judge = ScriptedModel(verdict, name="judge", wording="short")
    roles = replace(open_roles(recipe), judges=(WeightedModel(judge, 1.0, "judge"),))
    with Run(tmp_path / "run") as run, Screen(quiet=True, log=tmp_path / "log.txt") as screen:
        yield Work(recipe=recipe, roles=roles, run=run, screen=screen)


@pytest.fixture
def prompts(work):
    section = work.recipe.prompts
    return load_prompts(section.file, section.held_out, section.limit, section.eval_limit).train


def test_a_judge_rewards_by_the_mean_probability_over_the_principles_drawn(work, prompts):
    judge = work.roles.judge
    found = judged(work, judge, 2, "try")([prompts[0]] * 3, REPLIES)
    share = 1 / (1 + exp(-3.0 + 0.1))
    assert found == [pytest.approx(share), pytest.approx(1 - share), 0.0]
    assert len(judge.asked) == 4  # two replies under two principles; an empty reply is not shown to a judge


def test_replies_are_paid_for_once_and_samples_are_no_rows_of_the_run(work, prompts):
    judge = work.roles.judge
    reward = judged(work, judge, 2, "try")
    assert reward(prompts[:1], REPLIES[:1]) == reward(prompts[:1], REPLIES[:1])
    assert len(judge.asked) == 2
    assert not list(work.run.rows("score"))
    assert not list(work.run.rows("candidate"))


def test_a_reward_is_none_where_no_verdict_can_be_read(work, prompts):
    silent = ScriptedModel(lambda request: Reply(text="Hmm."), name="silent", wording="short")
    assert judged(work, silent, 2, "try")([prompts[0]], REPLIES[:1]) == [None]


def test_the_oracle_watches_by_the_share_of_principles_kept(work, prompts):
    found = by_oracle(work.roles.constitution)([prompts[0]] * 3, REPLIES)
    assert all(value is None or 0 <= value <= 1 for value in found)
    assert found[2] == 0.0


def test_another_judge_or_weight_is_another_reward(work, prompts, tmp_path):
    phase = work.recipe.phases[0]
    _, first = sampled_material(work, prompts, phase, tmp_path)
    _, again = sampled_material(work, prompts, phase, tmp_path)
    _, heavier = sampled_material(work, prompts, replace(phase, rl=replace(phase.rl, checks=2.0)), tmp_path)
    assert first.digest == again.digest != heavier.digest
    assert first.second is not None


def test_a_phase_is_trained_from_the_prompts_of_the_run(work, prompts, tmp_path):
    adapter, _ = learn(work, [], tmp_path / "run", prompts=prompts)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert adapter.is_dir()
    assert [line["step"] for line in lines] == [1, 2]
    assert {"reward", "kl", "entropy", "clip_fraction", "advantage"} < set(lines[0])
    asked = len(work.roles.judge.asked)
    learn(work, [], tmp_path / "run", prompts=prompts)
    assert len(work.roles.judge.asked) == asked


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["train=[{method: rl, rl: {judge: 0, checks: 0}}]"], "'rl.judge' and 'rl.checks' are both 0"),
        (["train=[{method: rl, on: revisions}]"], "'on' means nothing to the method 'rl'"),
        (["train=[{method: dpo, rl: {samples: 8}}]"], "'rl' means nothing to the method 'dpo'"),
        (["train=[{method: rl, rl: {sample: 8}}]"], "did you mean 'samples'"),
    ],
)
def test_what_means_nothing_is_refused_in_a_recipe(settings, says):
    with pytest.raises(InputError, match=says):
        load_recipe("medical", settings, profile="embedded")


def test_a_recipe_without_a_judge_cannot_reward(tmp_path):
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Hi"}\n')
    (tmp_path / "mine.yaml").write_text(
        "constitution: medical-embedded\nprompts: {file: prompts.jsonl}\nstudent: {model: 'embedded:student'}\n"
        "pair: {rules: []}\ntrain: {method: rl}\n"
    )
    with pytest.raises(InputError, match=r"learns from a judge's rewards, and the recipe has none; name judge\.by"):
        load_recipe(tmp_path / "mine.yaml")


def test_rl_is_no_training_alone(tmp_path):
    with pytest.raises(InputError, match="learns from the rewards of a judge: make it a phase of a recipe"):
        train_file("embedded:student", tmp_path / "any.jsonl", ["train.method=rl"], tmp_path / "out")
