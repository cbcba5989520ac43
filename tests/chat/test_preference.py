"""Preference models: opened by name, scoring, and judging like any judge."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from cai_lite.chat import open_model
from cai_lite.chat.asking import Stage
from cai_lite.chat.preference import (
    ANSWER,
    CALIBRATION,
    PRINCIPLE,
    Calibration,
    PreferenceModel,
    is_preference_adapter,
    open_preference_model,
    read_calibration,
    scored_request,
)
from cai_lite.distill.judging import Judging
from cai_lite.distill.pointwise import score
from cai_lite.distill.verdicts import judge
from cai_lite.errors import InputError, ModelError
from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.preflight.examples import try_out
from cai_lite.records import Candidate, Message, Prompt, Rating, Request, Sampling
from cai_lite.training.config import Lora, TrainingConfig
from cai_lite.training.loop import train

STUDENT = "embedded:student"
GOOD, BAD = "See a doctor if it gets worse.", "Take codeine, 400 tablets at a time."
RULES = Constitution(name="test", principles=(Principle(id="safe", text="Name no doses."),))


def prompt(i):
    return (Message("user", f"I have had a headache for {i} days."),)


def candidates(*texts):
    asked = Prompt(key="p", messages=prompt(2), family="f")
    return [Candidate(key=text, prompt=asked, text=text, author="a", parents=("p",)) for text in texts]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A preference model that prefers a doctor to codeine."""
    out = tmp_path_factory.mktemp("pm")
    data = [
        Rating(
            prompt=prompt(i),
            completions=tuple((Message("assistant", text),) for text in (GOOD, BAD)),
            p=1.0,
            key=str(i),
            family=str(i),
        )
        for i in range(20)
    ]
    config = TrainingConfig(method="preference_model", learning_rate=1e-2, max_steps=6, lora=Lora(rank=2), batch_size=8)
    train(STUDENT, data, config=config, out=out)
    return out


@pytest.fixture
def model(folder):
    return open_preference_model(STUDENT, folder / "adapter")


def test_a_model_with_such_an_adapter_opens_as_a_preference_model(folder, model):
    opened = open_model(f"{STUDENT}#{folder / 'adapter'}")
    assert isinstance(opened, PreferenceModel) and opened.digest == model.digest
    assert isinstance(open_model(STUDENT, adapter=folder / "adapter"), PreferenceModel)
    assert is_preference_adapter(folder / "adapter") and not is_preference_adapter(folder)
    assert open_model(opened) is opened


def test_the_adapter_of_a_policy_is_refused_by_name(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"task_type": "CAUSAL_LM"}')
    with pytest.raises(ModelError, match=r"not the adapter of a preference model .* --method preference_model"):
        open_preference_model(STUDENT, tmp_path)


def test_scores_are_divided_by_the_temperature_and_do_not_depend_on_their_neighbours(model):
    texts = [GOOD, BAD, "", GOOD]
    found = model.scores([prompt(2)] * 4, texts)
    assert found[0] > found[1] and found[0] == found[3]
    alone = [model.scores([prompt(2)], [text])[0] for text in texts]
    assert found == pytest.approx(alone, rel=1e-5)
    small = open_preference_model(STUDENT, model.adapter)
    small.tokens_per_batch = 1
    assert small.scores([prompt(2)] * 4, texts) == pytest.approx(found, abs=1e-5)
    raw = replace(model.calibration, temperature=2 * model.calibration.temperature)
    model.calibration = raw
    assert model.scores([prompt(2)], [GOOD])[0] == pytest.approx(found[0] / 2, abs=1e-5)
    assert model.scores([], []) == []


def test_prompts_and_completions_have_to_be_as_many(model):
    with pytest.raises(InputError, match="2 prompts and 1 completions"):
        model.scores([prompt(1)] * 2, [GOOD])


def test_an_answer_beyond_the_context_is_refused(model):
    with pytest.raises(ModelError, match="it reads 512"):
        model.scores([prompt(1)], ["word " * 600])


def test_it_judges_pairs_and_both_orders_agree_by_construction(model):
    (verdict,) = judge(model, candidates(GOOD, BAD), RULES, rule="best_over_worst", principles=1)
    a, b = model.scores([prompt(2)] * 2, [GOOD, BAD])
    assert verdict.p_first == pytest.approx(1 / (1 + math.exp(b - a)), abs=1e-5)
    assert (verdict.choice, verdict.flipped, verdict.order, verdict.judge) == ("first", False, "both", model.name)


def test_it_judges_single_answers_by_its_bias(model):
    cells = [(one, RULES.principles[0]) for one in candidates(GOOD, BAD)]
    scores = score(model, cells, Judging(mode="pointwise"), Stage(name="judge"))
    p = model.p_good([prompt(2)] * 2, [GOOD, BAD])
    assert [row.log_odds for row in scores] == pytest.approx([math.log(q / (1 - q)) for q in p], abs=1e-4)
    assert scores[0].log_odds > 0 > scores[1].log_odds


def test_drawn_verdicts_are_words_with_their_probability(model):
    model.calibration = replace(model.calibration, temperature=50.0)  # so that both words are drawn
    requests = [
        Request(
            messages=scored_request(prompt(2), [GOOD], "Name no doses."), sampling=Sampling(temperature=1.0), index=i
        )
        for i in range(400)
    ]
    (replies,) = model.answer(requests)
    share = sum(reply.text == "yes" for reply in replies.values()) / 400
    assert share == pytest.approx(model.p_good([prompt(2)], [GOOD])[0], abs=0.08) and 0 < share < 1
    assert all(reply.log_probs is None for reply in replies.values())
    (again,) = model.answer(requests)
    assert [reply.text for reply in again.values()] == [reply.text for reply in replies.values()]


def test_it_can_be_asked_nothing_else(model):
    for messages in (prompt(1), scored_request(prompt(1), [], "p"), scored_request(prompt(1), ["a", "b", "c"], "p")):
        with pytest.raises(ModelError, match="it scores answers, and can be asked nothing else"):
            list(model.answer([Request(messages=messages, sampling=Sampling())]))
    with pytest.raises(InputError, match="has no reasons"):
        judge(model, candidates(GOOD, BAD), RULES, rule="best_over_worst", reason="after")


def test_the_examples_of_a_constitution_measure_it_as_any_judge(model, constitution):
    found = try_out(model, constitution, votes=2)
    assert found["judge"] == model.name and all(row["right"] is not None for row in found["examples"].values())


def test_a_request_names_its_parts_by_role():
    messages = scored_request(prompt(1), ["a", "b"], "P.")
    assert [message.role for message in messages] == ["user", ANSWER, ANSWER, PRINCIPLE]


def test_the_calibration_is_part_of_the_digest_and_is_checked_when_it_is_read(folder, model, tmp_path):
    import shutil

    copied = shutil.copytree(folder / "adapter", tmp_path / "adapter")
    assert open_preference_model(STUDENT, copied).digest == model.digest
    (copied / CALIBRATION).write_text(Calibration(temperature=3.0).as_text())
    assert open_preference_model(STUDENT, copied).digest != model.digest
    for broken in ("{", '{"temperature": 0}', '{"temperature": 1, "warmth": 2}', '{"temperature": "warm"}'):
        (copied / CALIBRATION).write_text(broken)
        with pytest.raises(ModelError, match=r"temperature\.json cannot be read"):
            read_calibration(copied)
    (copied / CALIBRATION).unlink()
    assert read_calibration(copied) == Calibration()  # as other programs save one
    assert json.loads(Calibration().as_text())["temperature"] == 1.0


def test_weights_are_released_and_loaded_again(model):
    before = model.scores([prompt(3)], [GOOD])
    model.close()
    assert model.scores([prompt(3)], [GOOD]) == before
