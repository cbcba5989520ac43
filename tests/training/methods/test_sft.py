"""The training method "sft", held to other people's losses."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import cai_lite as cai
from cai_lite.chat.weights import quiet_peft
from cai_lite.errors import InputError
from cai_lite.training.batch import Passes
from cai_lite.training.config import Lora, Loss, TrainingConfig
from cai_lite.training.losses import Logps
from cai_lite.training.methods import METHODS
from cai_lite.training.methods.sft import chosen_of
from cai_lite.training.student import lora_parameters, open_student
from cai_lite.training.tokens import Row

SMALL = {"method": "sft", "learning_rate": 5e-3, "batch_size": 4, "lora": Lora(rank=2)}


def lines(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def demonstrations(pairs):
    return chosen_of(pairs)


def test_every_token_of_an_update_weighs_the_same():
    """Sums of -6 nats over 3 tokens and -2 over 1: 8 nats over 4 tokens are 2 nats a token."""
    rows = [Row((1,), ((5, 5, 2),)), Row((1,), ((2,),))]
    policy = Logps(torch.tensor([[-6.0], [-2.0]]), torch.tensor([[3], [1]]))
    loss_B, numbers = METHODS["sft"].loss(policy, None, rows, update=rows, config=TrainingConfig(method="sft"))
    assert loss_B.sum().item() == 2.0
    assert numbers["logps/completion"].tolist() == [-6.0, -2.0]


@pytest.mark.parametrize("layout", ["plain", "shared"])
def test_loss_and_gradient_are_those_of_transformers_with_masked_labels(student, demonstrations, layout):
    """transformers computes the mean cross-entropy itself, over the labels that are not -100."""
    from cai_lite.chat.turns import Turns
    from cai_lite.logps.attention import attention_of

    model, tokenizer = open_student(student, load=None, lora=Lora(rank=2), init_adapter=None, seed=0)
    config = TrainingConfig(**SMALL)
    rows, _ = METHODS["sft"].rows(Turns.of_model(model, tokenizer), demonstrations, config, max_tokens=99)
    width = max(row.tokens for row in rows)
    ids = torch.full((len(rows), width), 2)
    labels = torch.full((len(rows), width), -100)
    for i, row in enumerate(rows):
        ids[i, : row.tokens] = torch.tensor(row.prompt_ids + row.completions[0])
        labels[i, len(row.prompt_ids) : row.tokens] = torch.tensor(row.completions[0])
    theirs = model(input_ids=ids, attention_mask=(ids != 2).long(), labels=labels).loss
    theirs.backward()
    expected = {name: p.grad.clone() for name, p in lora_parameters(model).items()}
    model.zero_grad()
    with attention_of(model, layout):
        policy = Passes(layout, 1 << 20, 2).values(model, rows)
        loss_B, _ = METHODS["sft"].loss(policy, None, rows, update=rows, config=config)
        loss_B.sum().backward()
    assert loss_B.sum().item() == pytest.approx(theirs.item(), abs=1e-5)
    for name, gradient in expected.items():
        torch.testing.assert_close(lora_parameters(model)[name].grad, gradient, rtol=1e-3, atol=1e-6)


# TRL 1.16.0, transformers 5.23.0, torch 2.13.0: SFTTrainer on the rows below, with the LoRA adapter of rank 4 that
# `open_student` draws from seed 0, batches of 4 in order, AdamW with a constant rate of 0.01, no weight decay.
TRL = [(3.454046, 3.786018), (3.061889, 3.054551), (1.666153, 2.528315), (1.744260, 4.492225)]
ASKED = ["cats", "a dog", "the sea", "rain", "Tom", "a red ball", "the moon", "mum"]
ANSWERS = [
    "Cats are nice. They like milk.",
    "The dog ran. The dog ran. The dog ran.",
    "It is big and blue.",
    "Rain falls. Lily likes it very much.",
    "Tom is a boy.",
    "The ball is red. It can roll far away.",
    "The moon shines.",
    "Mum said yes.",
]


def test_four_updates_have_the_losses_of_trl(shared, tmp_path):
    rows = [
        {"prompt": f"Tell me about {asked}.", "completion": f" {answer}"}
        for asked, answer in zip(ASKED, ANSWERS, strict=True)
    ]
    config = TrainingConfig(
        method="sft",
        learning_rate=1e-2,
        max_steps=4,
        scheduler="constant",
        batch_size=4,
        shuffle=False,
        lora=Lora(rank=4),
    )
    student = shared / "data" / "models" / "stories260K-chat"
    cai.train(student, rows, config=config, load="float32", out=tmp_path)
    for line, (loss, norm) in zip(lines(tmp_path), TRL, strict=True):
        assert line["loss"] == pytest.approx(loss, abs=1e-4)
        assert line["grad_norm"] == pytest.approx(norm, rel=1e-4)


def test_the_student_learns_the_answers_and_ends_them(student, demonstrations, tmp_path):
    said = []
    config = TrainingConfig(**{**SMALL, "epochs": 6.0})
    adapter = cai.train(student, demonstrations, config=config, out=tmp_path, log=said.append)
    assert said[0].startswith("12 demonstrations: 12 kept")
    first, *_, last = lines(tmp_path)
    assert set(first) == {
        "step",
        "epoch",
        "loss",
        "logps/completion",
        "grad_norm",
        "learning_rate",
        "tokens_per_second",
    }
    assert last["loss"] < 0.7 * first["loss"]
    assert not (tmp_path / "reference").exists()
    assert not any("warning" in line for line in said)
    from peft import PeftModel

    with quiet_peft():
        model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(student), adapter)
    assert model.peft_config["default"].r == 2
    assert AutoTokenizer.from_pretrained(adapter).chat_template
    again = []
    cai.train(student, demonstrations, config=config, out=tmp_path, log=again.append)
    assert again == ["trained already: 18 steps"]


def test_a_cut_off_training_ends_in_the_same_bytes(student, demonstrations, tmp_path):
    config = TrainingConfig(**{**SMALL, "epochs": 3.0, "checkpoint_every": 2})
    whole = cai.train(student, demonstrations, config=config, out=tmp_path / "whole")

    def stop(done, total):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cai.train(student, demonstrations, config=config, out=tmp_path / "cut", progress=stop)
    cut = cai.train(student, demonstrations, config=config, out=tmp_path / "cut")
    name = "adapter_model.safetensors"
    assert (cut / name).read_bytes() == (whole / name).read_bytes()


def test_held_out_demonstrations_are_measured_by_the_same_loss(student, demonstrations, tmp_path):
    config = TrainingConfig(**{**SMALL, "eval_every": 2})
    cai.train(student, demonstrations[:8], held_out=demonstrations[8:], config=config, out=tmp_path)
    assert [line.get("eval/loss") is not None for line in lines(tmp_path)] == [False, True]


def test_the_chosen_sides_of_pairs_are_learnt_each_once(student, pairs, tmp_path):
    config = TrainingConfig(**SMALL, on="chosen", max_steps=1)
    said = []
    cai.train(student, [*pairs, *pairs], config=config, out=tmp_path, log=said.append)
    assert said[0].startswith("12 demonstrations: 12 kept")
    assert [row.completion for row in chosen_of(pairs)] == [pair.chosen for pair in pairs]


def test_a_student_that_learns_nothing_and_boilerplate_are_said_aloud(student, tmp_path):
    rows = [{"prompt": f"q{i}", "completion": "I cannot help."} for i in range(12)]
    said = []
    config = TrainingConfig(**{**SMALL, "learning_rate": 1e-7})
    cai.train(student, rows, config=config, out=tmp_path, log=said.append)
    assert sum("the same completion answers 12 of 12 prompts" in line for line in said) == 1
    assert sum("the student has learnt next to nothing: the loss was" in line for line in said) == 1


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"loss": Loss("dpo", 0.3)}, "'loss' means nothing to the method 'sft'; leave it out"),
        ({"sft_weight": 1.0}, "'sft_weight' means nothing to the method 'sft'"),
        ({"reference": "base"}, "'reference' means nothing to the method 'sft'"),
        ({"on": "chosen", "include_critique": True}, "'include_critique' is for 'on: revisions'"),
    ],
)
def test_settings_that_are_not_read_are_refused(settings, says):
    with pytest.raises(InputError) as caught:
        TrainingConfig(method="sft", **settings)
    assert says in str(caught.value)
    with pytest.raises(InputError, match="'on' means nothing to the method 'dpo'"):
        TrainingConfig(on="chosen")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"on": "revisions"}, "'on': 'revisions' is for recipes"),
        ({"include_critique": True}, "'include_critique' is for recipes"),
    ],
)
def test_what_only_a_run_knows_is_refused_from_python(student, settings, says, tmp_path):
    with pytest.raises(InputError, match=says):
        cai.train(student, [], config=TrainingConfig(**SMALL, **settings), out=tmp_path)
