"""A merged model computes and renders what the adapter on its base did, and how far it does not is measured."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from cai_lite.chat import open_model
from cai_lite.chat.modelfiles import tokenizer_of_source
from cai_lite.chat.weights import open_weights, resolve
from cai_lite.errors import ModelError
from cai_lite.records import Message, Request, Sampling
from cai_lite.serving.drift import Row, check_rendering, drift
from cai_lite.serving.merging import half_of, merge
from tests.serving.exported import ASKED

STUDENT = "embedded:student"
SAID = [((Message("user", asked),), "A cough can have several causes. See a doctor.") for asked in ASKED]


@pytest.fixture(scope="module")
def merged(untrained, tmp_path_factory):
    """The folder of the merged model, and its drift."""
    out = tmp_path_factory.mktemp("merged") / "merged"
    return out, merge(STUDENT, untrained / "adapter", out, SAID, dtype="float16", sampled=True)


def test_the_drift_is_that_of_rounding_and_no_more(merged):
    _, found = merged
    assert found.answers == len(SAID) and found.tokens > 5 * len(SAID)
    assert 0 < found.mean <= found.largest < 0.05
    assert 0 <= found.kl < 1e-3 and found.same_choice > 0.98
    assert f"{found.tokens} places in {found.answers} answers" in found.in_words()


def test_a_model_without_the_adapter_is_far_off(merged, untrained, tmp_path):
    """A fault planted: the weights of the base in place of the merged ones. The measure has to see it."""
    _, found = merged
    weights, _ = open_weights(STUDENT)
    adapted, _ = open_weights(STUDENT, adapter=untrained / "adapter")
    ids = [5, 9, 200, 31, 7]
    rows = [Row(SAID[0][0], ids, ids)]
    with torch.inference_mode():
        first, second = (
            m(torch.tensor([ids + ids])).logits[0, len(ids) - 1 : -1].log_softmax(-1) for m in (adapted, weights)
        )
    apart = drift([first], [second], rows)
    assert apart.mean > 10 * found.mean and apart.kl > 10 * found.kl


def test_the_folder_is_a_model_that_any_server_opens(merged, untrained):
    folder, _ = merged
    weights = load_file(folder / "model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.float16}
    assert not [name for name in weights if "lora" in name]
    for name in ("config.json", "generation_config.json", "tokenizer.json", "chat_template.jinja"):
        assert (folder / name).is_file(), name
    assert (folder / "chat_template.jinja").read_text() == (untrained / "adapter" / "chat_template.jinja").read_text()
    assert json.loads((folder / "generation_config.json").read_text())["do_sample"] is True  # as the run drew
    assert not list(folder.parent.glob(".*"))  # nothing half done is left
    asked = [Request(messages=SAID[0][0], sampling=Sampling(temperature=0.0, max_tokens=12))]

    def first_words(model):
        return next(iter(model.answer(asked)))[0].text

    assert first_words(open_model(str(folder))) == first_words(open_model(STUDENT, adapter=untrained / "adapter"))


def test_the_scores_of_a_sentencepiece_tokenizer_go_along(untrained, tmp_path):
    base = shutil.copytree(resolve(STUDENT), tmp_path / "base")
    (base / "tokenizer.model").write_bytes(b"scores")
    merge(str(base), untrained / "adapter", tmp_path / "merged", SAID[:1], dtype="float16")
    assert (tmp_path / "merged" / "tokenizer.model").read_bytes() == b"scores"


def test_the_type_is_that_of_the_stored_weights():
    assert half_of(STUDENT) == "float16"
    assert half_of("nobody/has-this-model") == "bfloat16"


def test_another_template_is_noticed(merged):
    folder, _ = merged
    tokenizer = tokenizer_of_source(str(folder), str(folder), local=True)
    prompt = SAID[0][0]
    rows = [Row(prompt, tokenizer.apply_chat_template([{"role": "user", "content": prompt[0].content}]), [1])]
    tokenizer.chat_template = tokenizer.chat_template.replace("<|assistant|>", "<|system|>")
    with pytest.raises(ModelError, match="renders a prompt otherwise"):
        check_rendering(tokenizer, rows)


def test_an_adapter_that_does_not_fit_writes_nothing(untrained, tmp_path):
    broken = shutil.copytree(untrained / "adapter", tmp_path / "adapter")
    (broken / "base_model.json").write_text('{"name": "another", "sizes": {"hidden_size": 8}}')
    with pytest.raises(ModelError, match="trained on another model"):
        merge(STUDENT, broken, tmp_path / "merged", SAID, dtype="float16")
    assert not (tmp_path / "merged").exists()
