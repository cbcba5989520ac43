"""The influence of training examples on an answer, by the gradients of the adapter."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cai_lite.records import Demonstration, Message
from cai_lite.training.config import Lora, Loss, TrainingConfig
from cai_lite.training.influence import BEGINNING, END, influences
from cai_lite.training.loop import train
from cai_lite.training.student import Student, lora_parameters, open_student

CONFIG = TrainingConfig(loss=Loss(beta=0.3), lora=Lora(rank=4), learning_rate=5e-3, max_steps=12, batch_size=4)


def answer(prompt, text):
    return Demonstration(prompt=(Message("user", prompt),), completion=(Message("assistant", text),))


@pytest.fixture(scope="module")
def trained(student, pairs, make_pair, tmp_path_factory):
    given = [*pairs[:4], make_pair("zzz", "wxwx", "no")]
    config = replace(CONFIG, sft_weight=1.0)
    return given, config, train(student, given, config=config, out=tmp_path_factory.mktemp("trained")).adapter


def of(student, trained, question, **more):
    given, config, adapter = trained
    return influences(Student(student, None, {}, "keep"), question, given, config=config, adapter=adapter, **more)


def test_the_pair_that_taught_an_answer_comes_first(student, trained):
    found = of(student, trained, answer("zz", "wxwx"))
    assert len(found) == 5 and found[0].example == 4
    assert all(-1 <= one.cosine <= 1 for one in found)


def test_both_states_are_the_mean_of_each(student, trained):
    """Cosines are averaged, dot products added up."""
    question = answer("zz", "wxwx")
    both, *single = (
        {one.example: one for one in of(student, trained, question, states=states)}
        for states in ((BEGINNING, END), (BEGINNING,), (END,))
    )
    for place, one in both.items():
        assert one.cosine == pytest.approx(sum(of_state[place].cosine for of_state in single) / 2, abs=1e-6)
        assert one.dot == pytest.approx(sum(of_state[place].dot for of_state in single), rel=1e-5)


def test_an_answer_of_the_training_itself_has_the_cosine_one(student, tmp_path):
    """With the method sft, question and example are the same loss, so that the dot product is the squared norm."""
    data = [answer("q", "yes"), answer("qq", "no, never")]
    config = TrainingConfig(method="sft", lora=Lora(rank=4), max_steps=2)
    adapter = train(student, data, config=config, out=tmp_path).adapter
    first, second = of(student, (data, config, adapter), data[1])
    assert (first.example, first.cosine) == (1, pytest.approx(1.0, abs=1e-5))
    assert first.dot > 0 and second.cosine < 1


def test_the_dot_product_predicts_how_far_a_step_lowers_the_loss_of_the_answer(student, tmp_path):
    """A small step against the gradient of one demonstration: the loss of another falls by rate times dot product.

    Source: Pruthi et al. 2020, eq. 1. The losses are computed here by transformers' own forward pass.
    """
    data = [answer("q", "yes"), answer("q", "yesno")]
    config = TrainingConfig(method="sft", lora=Lora(rank=4), max_steps=1, learning_rate=1e-12)
    adapter = train(student, data, config=config, out=tmp_path).adapter
    found = of(student, (data[:1], config, adapter), data[1], states=(BEGINNING,))[0]
    model, tokenizer = open_student(student, load=None, lora=config.lora, init_adapter=None, seed=config.seed)

    def loss(row):
        asked = tokenizer.apply_chat_template([row.prompt[0]._asdict()], tokenize=False, add_generation_prompt=True)
        ids, begin = (tokenizer(text)["input_ids"] for text in (asked + row.completion[0].content + "</s>", asked))
        given = torch.tensor([ids])
        labels = given.clone()
        labels[:, : len(begin)] = -100
        return model(input_ids=given, labels=labels).loss

    before, rate = loss(data[1]).item(), 1e-4
    loss(data[0]).backward()
    with torch.no_grad():
        for parameter in lora_parameters(model).values():
            parameter -= rate * parameter.grad
    assert (before - loss(data[1]).item()) / rate == pytest.approx(found.dot, rel=0.05)


def test_it_leaves_the_random_state_and_says_how_far_it_is(student, trained):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    seen = []
    of(student, trained, answer("q", "yes"), progress=lambda done, total: seen.append((done, total)))
    assert torch.equal(torch.rand(1), expected)
    assert seen == [(done, 10) for done in range(1, 11)]


def test_what_the_training_dropped_has_no_influence(student, trained, make_pair):
    given, config, adapter = trained
    longer = [given[0], make_pair("q", "y" * 100, "n")]
    found = of(student, (longer, replace(config, max_tokens=60), adapter), answer("q", "yes"))
    assert [one.example for one in found] == [0]
