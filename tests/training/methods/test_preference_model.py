"""The training method "preference_model": its loss, its numbers in transformers, and what it leaves."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import cai_lite as cai
from cai_lite.chat.preference import open_preference_model, read_calibration, with_principle
from cai_lite.chat.weights import quiet_peft
from cai_lite.errors import InputError, ModelError
from cai_lite.logps.attention import attention_of
from cai_lite.records import Message, Rating
from cai_lite.training import loop
from cai_lite.training.batch import Passes
from cai_lite.training.config import Lora, TrainingConfig
from cai_lite.training.losses import bradley_terry
from cai_lite.training.methods import METHODS
from cai_lite.training.methods.preference_model import ratings_of
from cai_lite.training.student import lora_parameters, open_student, separate_padding, with_adapter

METHOD = METHODS["preference_model"]
SMALL = {"method": "preference_model", "learning_rate": 2e-2, "batch_size": 8, "lora": Lora(rank=4), "shuffle": True}


def rating(i, good="yes", bad="no", **more):
    answers = tuple((Message("assistant", f"{text} {i % 7}"),) for text in (good, bad) if text)
    more = {"p": 1.0, "key": f"k{i}", "family": f"f{i}"} | more
    return Rating(prompt=(Message("user", f"Question {i}?"),), completions=answers, **more)


RATINGS = [rating(i) for i in range(40)]


def trained(student, data, out, **settings):
    said = []
    config = TrainingConfig(**(SMALL | settings))
    return loop.train(student, data, config=config, out=out, log=said.append), said


@pytest.fixture(scope="module")
def model(student, tmp_path_factory):
    """A preference model that tells "yes" from "no"."""
    out = tmp_path_factory.mktemp("preference")
    result, said = trained(student, RATINGS, out, max_steps=24)
    return out, result, said


def test_the_loss_is_that_of_bradley_and_terry_with_soft_labels():
    """By hand: sigmoid(ln 3) = 3/4. With p = 1: -ln 3/4 = 0.28768; with p = 3/4 the entropy of (3/4, 1/4), 0.56234;
    with p = 1/2: -(ln 3/4 + ln 1/4) / 2 = 0.83698; and ln 2 at a difference of 0."""
    logits = torch.tensor([math.log(3)] * 3 + [0.0], dtype=torch.float64)
    found = bradley_terry(logits, torch.tensor([1.0, 0.75, 0.5, 0.3], dtype=torch.float64))
    assert found.tolist() == pytest.approx([0.2876821, 0.5623351, 0.8369882, math.log(2)], abs=1e-6)


def test_with_labels_of_one_it_is_the_loss_of_trls_reward_trainer():
    """TRL 1.16, trl/trainer/reward_trainer.py: -logsigmoid(rewards_chosen - rewards_rejected).mean()."""
    chosen, rejected = torch.randn(2, 50, generator=torch.Generator().manual_seed(0))
    theirs = -torch.nn.functional.logsigmoid(chosen - rejected).mean()
    assert bradley_terry(chosen - rejected, torch.ones(50)).mean() == pytest.approx(float(theirs), abs=1e-7)


def test_its_gradient_is_the_difference_of_probability_and_label():
    """d loss / d logit = sigmoid(logit) - p."""
    logits = torch.tensor([0.3, -1.2], dtype=torch.float64, requires_grad=True)
    p = torch.tensor([0.8, 0.1], dtype=torch.float64)
    bradley_terry(logits, p).sum().backward()
    assert logits.grad.tolist() == pytest.approx((torch.sigmoid(logits.detach()) - p).tolist())


def scores_of(student, rows, layout, score_weights=None):
    model, tokenizer = open_student(student, load=None, lora=Lora(rank=2), init_adapter=None, seed=0, score=True)
    for name, parameter in lora_parameters(model).items():  # an adapter that does something
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(len(name)))
    passes = Passes(layout, 1 << 20, tokenizer.pad_token_id, "score")
    with attention_of(model, layout), torch.no_grad():
        return model, tokenizer, passes.values(model.eval(), rows)


def rows_of(student, data):
    _, tokenizer = open_student(student, load=None, lora=Lora(rank=2), init_adapter=None, seed=0)
    from cai_lite.chat.turns import Turns

    return METHOD.rows(Turns.of(tokenizer), data, TrainingConfig(**SMALL), max_tokens=200)[0]


def test_a_score_is_read_at_the_last_token_the_end_included_in_both_layouts(student):
    data = [*RATINGS[:3], rating(3, bad=""), rating(0, good="a much longer answer")]
    rows = rows_of(student, data)
    model, _, plain = scores_of(student, rows, "plain")
    _, _, shared = scores_of(student, rows, "shared")
    assert torch.allclose(plain.sums_BK, shared.sums_BK, atol=1e-5)
    assert plain.sums_BK[3, 1] == 0 and plain.lengths_BK[3].tolist()[1] == 0  # a row of one answer
    row = rows[0]
    assert row.completions[0][-1] == 1, "the end token"
    with torch.no_grad():
        ids = torch.tensor([row.prompt_ids + row.completions[0]])
        hidden = model.get_base_model().model(input_ids=ids).last_hidden_state[0, -1]
        by_hand = float(model.get_base_model().score(hidden[None])[0, 0])
    assert float(plain.sums_BK[0, 0]) == pytest.approx(by_hand, abs=1e-5)


def test_a_pass_counts_the_last_token_it_reads(student):
    rows = rows_of(student, RATINGS[:6])
    plain, scored = (Passes("plain", 10_000, 0, reads) for reads in ("logps", "score"))
    assert scored.read([0], rows) == plain.read([0], rows) + 2  # two rows, one token more each
    for layout in ("plain", "shared"):
        passes = Passes(layout, 70, 0, "score")
        assert all(len(part) == 1 or passes.read(part, rows) <= 70 for part in passes.cut(range(6), rows))


def test_the_saved_adapter_gives_the_same_scores_in_transformers_and_peft(model, student):
    out, _, _ = model
    ours = open_preference_model(student, out / "adapter")
    prompts, texts = [r.prompt for r in RATINGS[:6]], ["yes 1", "no 1", "yes, and more of it", "", "no", "yes"]
    known = [score * ours.calibration.temperature for score in ours.scores(prompts, texts)]
    tokenizer = AutoTokenizer.from_pretrained(out / "adapter")
    base = AutoModelForSequenceClassification.from_pretrained(student, num_labels=1)
    base.config.pad_token_id = tokenizer.pad_token_id
    with quiet_peft():
        theirs = PeftModel.from_pretrained(base, out / "adapter").eval()
    chats = [
        tokenizer.apply_chat_template(
            [{"role": m.role, "content": m.content} for m in (*prompt, Message("assistant", text))], tokenize=False
        )
        for prompt, text in zip(prompts, texts, strict=True)
    ]
    batch = tokenizer(chats, return_tensors="pt", padding=True, add_special_tokens=False)
    with torch.no_grad():
        found = theirs(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, 0]
    assert found.tolist() == pytest.approx(known, abs=1e-5)
    settings = json.loads((out / "adapter" / "adapter_config.json").read_text())
    assert settings["task_type"] == "SEQ_CLS" and "score" in settings["modules_to_save"]


def test_it_learns_what_tells_good_from_bad_and_is_calibrated(model, student):
    out, result, said = model
    known = result.figures["calibration"]
    assert known["accuracy"]["value"] == 1.0 and known["accuracy"]["n"] == 4
    assert json.loads((out / "training.json").read_text())["figures"]["calibration"]["accuracy"]["n"] == 4
    assert any(line.startswith("calibrated on 4 held-out ratings: temperature") for line in said)
    calibration = read_calibration(out / "adapter")
    assert calibration.temperature == known["temperature"] > 0 and (calibration.n, calibration.input) == (4, "joint")
    opened = open_preference_model(student, out / "adapter")
    fresh = (Message("user", "Question 77?"),)
    good, bad = opened.scores([fresh] * 2, ["yes 3", "no 3"])
    assert good > bad
    # Pairs say nothing about single answers: the bias is halfway between better and worse ones.
    good, bad = opened.p_good([fresh] * 2, ["yes 3", "no 3"])
    assert good > 0.5 > bad


def test_a_finished_training_is_not_trained_again_and_keeps_its_figures(model, student):
    out, result, _ = model
    again, said = trained(student, RATINGS, out, max_steps=24)
    assert again.figures == json.loads(json.dumps(result.figures))
    assert any("trained already" in line for line in said)


def test_a_run_that_was_stopped_ends_in_the_same_bytes(student, tmp_path):
    def watch(step, total):
        if step == 5:
            raise KeyboardInterrupt

    config = TrainingConfig(**(SMALL | {"max_steps": 8, "checkpoint_every": 2}))
    with pytest.raises(KeyboardInterrupt):
        loop.train(student, RATINGS, config=config, out=tmp_path / "cut", progress=watch)
    loop.train(student, RATINGS, config=config, out=tmp_path / "cut")
    loop.train(student, RATINGS, config=config, out=tmp_path / "whole")
    for name in ("adapter_model.safetensors", "temperature.json"):
        assert (tmp_path / "cut/adapter" / name).read_bytes() == (tmp_path / "whole/adapter" / name).read_bytes()


def test_only_the_adapter_and_the_score_head_are_trained(student):
    model, _ = open_student(student, load=None, lora=Lora(rank=2), init_adapter=None, seed=0, score=True)
    names = list(lora_parameters(model))
    assert [name for name in names if "lora_" not in name] == ["base_model.model.score.modules_to_save.default.weight"]
    assert not any("score" in name for name in names if "lora_" in name), "the head is trained whole"


def test_without_held_out_ratings_the_temperature_is_one_and_that_is_said(student, tmp_path):
    result, said = trained(student, RATINGS, tmp_path, max_steps=3, eval_every=0)
    assert result.figures["calibration"] == {"temperature": 1.0}
    assert any("the temperature is 1 and the scores are not calibrated" in line for line in said)


def test_it_goes_on_from_a_policys_adapter_and_from_its_own(student, model, pairs, tmp_path):
    policy = loop.train(
        student, pairs, config=TrainingConfig(max_steps=2, learning_rate=1e-2, lora=Lora(rank=4)), out=tmp_path / "dpo"
    ).adapter
    opened, _ = open_student(student, load=None, lora=Lora(), init_adapter=str(policy), seed=0, score=True)
    stored = load_file(policy / "adapter_model.safetensors")
    have = {name.replace(".default", ""): value for name, value in opened.state_dict().items()}
    assert all(torch.equal(have[name], value) for name, value in stored.items())
    assert opened.peft_config["default"].task_type == "SEQ_CLS"
    own, _ = open_student(student, load=None, lora=Lora(), init_adapter=str(model[0] / "adapter"), seed=0, score=True)
    weight = own.state_dict()["base_model.model.score.modules_to_save.default.weight"]
    assert torch.equal(
        weight, load_file(model[0] / "adapter/adapter_model.safetensors")["base_model.model.score.weight"]
    )
    result, _ = trained(student, RATINGS, tmp_path / "more", max_steps=2, init_adapter=str(policy))
    assert (result.adapter / "temperature.json").is_file()


def test_a_policys_adapter_of_another_model_is_refused(make_student, student, pairs, tmp_path):
    policy = loop.train(
        student, pairs, config=TrainingConfig(max_steps=1, lora=Lora(rank=2)), out=tmp_path / "dpo"
    ).adapter
    other = make_student(tmp_path / "other", seed=5)
    with pytest.raises(ModelError, match=r"train\.init_adapter"):
        open_student(other, load=None, lora=Lora(), init_adapter=str(policy), seed=0, score=True)


def test_single_answers_are_compared_with_a_score_of_zero(student, tmp_path):
    good = [rating(i, bad="", p=1.0, key=f"g{i}") for i in range(20)]
    bad = [rating(i, good="no", bad="", p=0.0, key=f"b{i}") for i in range(20)]
    result, _ = trained(student, [*good, *bad], tmp_path, max_steps=30)
    opened = open_preference_model(student, result.adapter)
    p = opened.p_good([RATINGS[0].prompt] * 2, ["yes 3", "no 3"])
    assert p[0] > 0.5 > p[1]


def test_the_text_of_a_principle_is_read_where_a_rating_has_one(student, tmp_path):
    """The same two answers, better and worse by turns: only the principle tells which is which."""
    kind = [rating(i, principle="kind", text="Say yes.", key=f"a{i}") for i in range(24)]
    firm = [rating(i, "no", "yes", principle="firm", text="Say no.", key=f"b{i}") for i in range(24)]
    result, _ = trained(student, [*kind, *firm], tmp_path, max_steps=60, input="principle", batch_size=16)
    opened = open_preference_model(student, result.adapter)
    assert opened.calibration.principles == {"firm": "Say no.", "kind": "Say yes."}
    prompt = RATINGS[0].prompt
    for principle in ("kind", "Say yes."):
        yes, no = opened.scores([prompt] * 2, ["yes 3", "no 3"], principle)
        assert yes > no
    yes, no = opened.scores([prompt] * 2, ["yes 3", "no 3"], "firm")
    assert no > yes
    by = [opened.scores([prompt], ["yes 3"], one)[0] for one in ("kind", "firm")]
    assert opened.scores([prompt], ["yes 3"])[0] == pytest.approx(sum(by) / 2, abs=1e-5)


def test_a_principle_stands_before_what_the_system_message_says():
    prompt = (Message("system", "Be brief."), Message("user", "Hi"))
    assert with_principle(prompt, "P.") == (Message("system", "Rules:\n- P.\n\nBe brief."), Message("user", "Hi"))
    assert with_principle(prompt[1:], "P.")[0] == Message("system", "Rules:\n- P.")


def test_principle_weights_drop_and_weigh_ratings(student):
    from cai_lite.chat.turns import Turns

    data = [replace(rating(i), principle="a" if i % 2 else "b") for i in range(6)]
    config = TrainingConfig(**SMALL, principle_weights={"a": 0.0, "b": 2.0})
    _, tokenizer = open_student(student, load=None, lora=Lora(rank=2), init_adapter=None, seed=0)
    rows, report = METHOD.rows(Turns.of(tokenizer), data, config, max_tokens=200)
    assert [row.weight for row in rows] == [2.0] * 3 and report.dropped == {"of principles with weight 0": 3}


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"loss": cai.Loss("ipo")}, "'loss' means nothing to the method 'preference_model'"),
        ({"sft_weight": 1.0}, "'sft_weight' means nothing"),
        ({"reference": "base"}, "'reference' means nothing"),
        ({"input": "principles"}, "'input' should be one of joint, principle"),
        ({"method": "dpo", "input": "principle"}, "'input' means nothing to the method 'dpo'"),
    ],
)
def test_settings_that_it_does_not_read_are_refused(settings, problem):
    with pytest.raises(InputError, match=problem):
        TrainingConfig(**({"method": "preference_model"} | settings))


def test_pairs_alone_do_not_say_what_each_principle_holds(pairs):
    config = TrainingConfig(**SMALL, input="principle")
    with pytest.raises(InputError, match="'input': 'principle' is for runs"):
        METHOD.given(pairs, config, print)
    assert METHOD.given(RATINGS, TrainingConfig(**SMALL), print) == RATINGS


def test_pairs_become_ratings_with_their_labels(make_pair):
    (found,) = ratings_of([replace(make_pair("Q", "good", "bad", 0.8), principle="p", weight=2.0, family="f")])
    assert (found.p, found.principle, found.weight, found.family, found.text) == (0.8, "p", 2.0, "f", "")
    assert [c[0].content for c in found.completions] == ["good", "bad"] and found.key


def test_padding_that_is_an_end_token_is_replaced(fresh_tokenizer):
    tokenizer = fresh_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    separate_padding(tokenizer, {1})
    assert tokenizer.pad_token_id != 1
    before = fresh_tokenizer()
    separate_padding(before, {1})
    assert before.pad_token == "<pad>"


def test_the_public_train_takes_pairs(student, pairs, tmp_path):
    adapter = cai.train(student, pairs, config=TrainingConfig(**(SMALL | {"max_steps": 2})), out=tmp_path)
    assert (adapter / "temperature.json").is_file()
    assert cai.open_model(f"{student}#{adapter}").wording == "scored"


def test_dropout_of_the_adapter_and_a_score_head_go_together(student):
    from cai_lite.chat.weights import open_weights

    weights, _ = open_weights(student)
    model = with_adapter(weights, lora=Lora(rank=2, dropout=0.1), init_adapter=None, seed=0, score=True)
    assert model.get_base_model().score is not None


def test_its_memory_is_planned_like_that_of_other_methods(student, tmp_path):
    _, said = trained(student, RATINGS, tmp_path, max_steps=2, memory=0.5)
    assert any(line.startswith("memory: 0 of 2 layers recomputed") for line in said)


def test_the_layout_changes_nothing_in_what_is_learnt(student, tmp_path):
    """Four updates, whose losses agree to rounding."""
    losses = []
    for layout in ("plain", "shared"):
        out = tmp_path / layout
        trained(student, RATINGS, out, max_steps=4, layout=layout, eval_every=0, learning_rate=1e-3)
        losses.append([json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()])
    assert losses[0] == pytest.approx(losses[1], abs=1e-5) and len(losses[0]) == 4
