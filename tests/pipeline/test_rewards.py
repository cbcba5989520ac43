"""A phase "rl" of a recipe: who rewards its samples, who watches the reward, and what a resumed one asks again."""

from __future__ import annotations

import json
from dataclasses import replace
from math import exp

import pytest

from cai_lite.chat.preference import Calibration
from cai_lite.chat.scripted import ScriptedModel
from cai_lite.errors import InputError
from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.inputs.prompts import load_prompts
from cai_lite.pipeline import phases, rewards
from cai_lite.pipeline.alone import train_file
from cai_lite.pipeline.make_pairs import Work
from cai_lite.pipeline.recipe import load_recipe
from cai_lite.pipeline.rewards import by_oracle, judged, preferred, sampled_material
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


class Scorer:
    """A preference model that likes replies with a doctor, and under a principle those that share its first word."""

    digest = "scorer"

    def __init__(self, reads):
        self.calibration, self.asked = Calibration(input=reads), []

    def p_good(self, prompts, completions, principle=None):
        assert all(isinstance(prompt, tuple) for prompt in prompts)
        self.asked += completions
        word = "doctor" if principle is None else principle.split()[0].lower()
        return [0.9 if word in text.lower() else 0.2 for text in completions]


def test_a_preference_model_rewards_by_its_probability_that_a_reply_is_good(work, prompts):
    model = Scorer("joint")
    assert preferred(model, work.roles.constitution, 2)([prompts[0]] * 3, REPLIES) == [0.9, 0.2, 0.0]
    assert model.asked == REPLIES[:2]  # an empty reply is not shown to it


def test_a_preference_model_that_reads_principles_gives_their_weighted_mean(work, prompts):
    principles = (
        Principle(id="see", text="See them sent to a doctor.", weight=3.0),
        Principle(id="be", text="Be kind.", weight=1.0),
        Principle(id="never", text="Never asked here.", applies_to=("another tag",)),
    )
    model = Scorer("principle")
    found = preferred(model, Constitution(name="c", principles=principles), 2)([prompts[0]] * 3, REPLIES)
    assert found == [pytest.approx((3 * 0.9 + 0.2) / 4), pytest.approx(0.2), 0.0]
    assert len(model.asked) == 4


def test_judge_preference_model_and_checks_are_mixed_by_weight(work, prompts, tmp_path, monkeypatch):
    model, opened = Scorer("joint"), []
    monkeypatch.setattr(rewards, "open_preference_model", lambda name, adapter, **_: opened.append(adapter) or model)
    phase = work.recipe.phases[0]
    mix = replace(phase, rl=replace(phase.rl, judge=2.0, preference_model=10.0, checks=0.0))
    _, feedback = sampled_material(work, prompts, mix, tmp_path, tmp_path / "scorer")
    share = judged(work, work.roles.judge, work.recipe.judge.principles, "try")([prompts[0]], REPLIES[:1])[0]
    assert feedback.reward([prompts[0]], REPLIES[:1]) == [pytest.approx(2 * share + 9.0)]
    assert opened == [tmp_path / "scorer"]
    _, other = sampled_material(work, prompts, replace(mix, rl=replace(mix.rl, judge=0.0)), tmp_path, tmp_path / "s")
    assert other.digest != feedback.digest
    with pytest.raises(InputError, match=r"no phase before .* trains a preference model; add"):
        sampled_material(work, prompts, mix, tmp_path)


def test_a_phase_is_given_the_last_preference_model_before_it(work, tmp_path, monkeypatch):
    train = "train=[{method: dpo}, {method: preference_model}, {method: preference_model}, {method: rl}, {method: dpo}]"
    recipe, seen = load_recipe("medical", [train], profile="embedded"), []

    def trained(recipe, phase, pairs, out, folder, screen, *, before, scorer, **_):
        seen.append((before and before.parent.name, scorer and scorer.parent.name))
        return folder / "adapter", []

    monkeypatch.setattr(phases, "train_phase", trained)
    monkeypatch.setattr(phases, "publish", lambda *_: [])
    phases.train_phases(recipe, [], tmp_path, work.screen)
    assert seen == [
        (None, None),
        ("0-dpo", None),
        ("1-preference_model", "1-preference_model"),
        ("0-dpo", "2-preference_model"),
        ("3-rl", "2-preference_model"),
    ]


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
        (["train=[{method: rl, rl: {judge: 0, checks: 0}}]"], "'rl.checks' are 0, so nothing is rewarded"),
        (
            ["train=[{method: dpo}, {method: rl, rl: {preference_model: 0.5}}]"],
            "'rl.preference_model' is 0.5, and no phase before it trains a preference model; add",
        ),
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
