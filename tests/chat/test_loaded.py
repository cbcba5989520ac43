"""A model that the caller has loaded: it is used as it is, and never changed."""

import copy
import gc

import pytest

import cai_lite as cai
from cai_lite.chat.loaded import named
from cai_lite.chat.weights import open_weights, resolve
from cai_lite.errors import ModelError
from cai_lite.records import Message, Request, Sampling

ASKED = [Request(messages=(Message("user", "I have a headache."),), sampling=Sampling(temperature=0.0, max_tokens=12))]


@pytest.fixture(scope="module")
def weights():
    return open_weights("embedded:student")


def reply(model):
    return next(iter(model.answer(ASKED)))[0].text


def test_a_loaded_model_answers_as_the_one_it_was_loaded_from(weights):
    given = cai.open_model(weights)
    assert reply(given) == reply(cai.open_model("embedded:student"))
    assert given.name.startswith("loaded:student:") and given.digest == cai.open_model(weights).digest


def test_its_name_leads_back_to_its_folder_and_ends_with_its_handle(weights):
    given = cai.open_model((copy.deepcopy(weights[0]), weights[1]))
    with_other_bias = next(weights[0].parameters())
    name = given.model
    assert resolve(name) == resolve("embedded:student") and with_other_bias.requires_grad
    copied = cai.open_model((copy.deepcopy(weights[0]), weights[1]))
    del given
    gc.collect()
    assert copied.model == name  # the same weights have the same name
    del copied
    gc.collect()
    with pytest.raises(ModelError, match="no longer in memory"):
        resolve(name)


def test_training_changes_neither_weights_nor_modules_nor_flags(weights, tmp_path):
    model = weights[0].train()
    before = {name: (p.detach().clone(), p.requires_grad) for name, p in model.named_parameters()}
    modules = [type(module) for module in model.modules()]

    def side(text):
        return (Message("assistant", text),)

    prompts = [(Message("user", f"I have a headache {i}."),) for i in range(2)]
    pairs = [cai.PreferencePair(prompt=p, chosen=side("See a doctor."), rejected=side("No.")) for p in prompts]
    config = cai.TrainingConfig(max_steps=2, batch_size=2, learning_rate=1e-2)
    adapter = cai.train(model, pairs, tokenizer=weights[1], config=config, lora=2, out=tmp_path / "out")
    assert model.training and [type(module) for module in model.modules()] == modules
    for name, parameter in model.named_parameters():
        assert parameter.equal(before[name][0]) and parameter.requires_grad == before[name][1], name
    same = cai.train("embedded:student", pairs, config=config, lora=2, out=tmp_path / "by-name")
    weights_of = "adapter_model.safetensors"
    assert (adapter / weights_of).read_bytes() == (same / weights_of).read_bytes()
    adapted = cai.open_model(weights, adapter=adapter)
    assert reply(adapted) == reply(cai.open_model("embedded:student", adapter=same))
    assert reply(adapted.without_adapter()) == reply(cai.open_model(weights))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (lambda model, tokenizer: model, "needs its tokenizer"),
        (lambda model, tokenizer: (model, "embedded:student"), "second should be a tokenizer, got str"),
        (lambda model, tokenizer: (tokenizer, model), "a model should be a model folder"),
        (lambda model, tokenizer: {"model": model}, "got a dict of 1"),
        (lambda model, tokenizer: 7, "got 7"),
    ],
)
def test_what_is_no_model_is_refused_in_words(weights, given, says):
    with pytest.raises(ModelError, match=says):
        cai.open_model(given(*weights))


def test_a_loaded_model_with_an_adapter_is_refused(weights):
    from peft import LoraConfig, get_peft_model

    from cai_lite.chat.weights import quiet_peft

    with quiet_peft():
        adapted = get_peft_model(copy.deepcopy(weights[0]), LoraConfig(r=2, target_modules="all-linear"))
    with pytest.raises(ModelError, match="has an adapter already; merge it"):
        cai.open_model((adapted, weights[1]))
    with pytest.raises(ModelError, match="has an adapter already"):
        cai.open_model((adapted.get_base_model(), weights[1]))


def test_load_and_model_say_nothing_about_it(weights):
    with pytest.raises(ModelError, match="it is used as it is"):
        cai.open_model(weights, load="float32")


def test_other_weights_have_another_name(weights):
    import torch

    other = copy.deepcopy(weights[0])
    with torch.no_grad():
        next(other.parameters()).add_(1.0)
    assert named(other, weights[1]).name != named(*weights).name


def test_a_name_may_carry_a_servers_model_or_an_adapter(tmp_path):
    assert cai.open_model("http://localhost:1/v1#big").model == "big"
    with pytest.raises(ModelError, match="is given twice"):
        cai.open_model("http://localhost:1/v1#big", model="bigger")
    with pytest.raises(ModelError, match="not a peft adapter"):
        cai.open_model(f"embedded:student#{tmp_path}")
    handle = cai.open_model("embedded:student")
    assert cai.open_model(handle) is handle
