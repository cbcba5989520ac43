"""What cannot be trained is refused before anything is paid for, in words that say what to do."""

import json

import pytest

from cai_lite.bench.families import tiny_model
from cai_lite.errors import ModelError
from cai_lite.training import trainable
from cai_lite.training.config import Lora
from cai_lite.training.trainable import check_trainable
from tests.chat.families import FAMILIES, OPEN, tokenizer_of
from tests.tiny import needs_transformers


@pytest.fixture
def save(tmp_path):
    """Writes a tiny model of an architecture with the tokenizer and template of a family."""

    def save(architecture, family):
        tiny_model(architecture).config.save_pretrained(tmp_path)
        tokenizer_of(family).save_pretrained(tmp_path)
        if family.stops:
            ends = tokenizer_of(family).convert_tokens_to_ids([family.eos, *family.stops])
            (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
        return str(tmp_path)

    return save


@pytest.mark.parametrize(
    "architecture",
    [
        "Llama 3",
        "Gemma 3 (with vision)",
        "Qwen 3.5 (text)",
        pytest.param("Nemotron H", marks=needs_transformers("5.17")),
        "gpt-oss",
        "Gemma 4 (text)",
    ],
)
def test_a_student_that_can_be_trained_gets_no_notes(save, architecture):
    assert check_trainable(save(architecture, FAMILIES["ChatML"]), lora=Lora()) == []


def test_a_thought_left_open_is_refused_with_the_variable_that_closes_it(save):
    folder = save("Llama 3", OPEN["DeepSeek V3.1, thinking on"])
    with pytest.raises(ModelError, match=r"cannot be trained: .* set 'template: \{thinking: false\}'"):
        check_trainable(folder, lora=Lora(), template={"thinking": True})
    assert check_trainable(folder, lora=Lora(), template={"thinking": False}) == []


def test_a_bridge_is_told_with_the_variable_that_makes_it_needless(save):
    folder = save("Llama 3", FAMILIES["Qwen3, thinking on"])
    (note,) = check_trainable(folder, lora=Lora())
    assert "trained behind '<think>\\n\\n</think>\\n\\n'" in note and "'template: {enable_thinking: false}'" in note
    assert check_trainable(folder, lora=Lora(), template={"enable_thinking": False}) == []


def test_prompts_that_the_template_refuses_are_told_of(save):
    folder = save("Llama 3", FAMILIES["Gemma 2"])
    (note,) = check_trainable(folder, lora=Lora())
    assert "prompts with a system message will be left out" in note and "'system: merge'" in note
    assert check_trainable(folder, lora=Lora(), system="merge") == []


def test_layers_that_are_not_there_or_carry_no_gradient_are_refused(save):
    folder = save("Gemma 3 (with vision)", FAMILIES["Gemma 3"])
    with pytest.raises(ModelError, match=r"cannot be trained: lora\.targets"):
        check_trainable(folder, lora=Lora(targets=("no_such_layer",)))
    with pytest.raises(ModelError, match="cannot be trained: the output layer has an adapter"):
        check_trainable(folder, lora=Lora(targets=("lm_head", "q_proj")))


def test_a_model_that_is_not_on_this_machine_is_not_judged():
    (note,) = check_trainable("nobody/no-such-model", lora=Lora())
    assert "not on this machine yet" in note


def test_a_folder_without_a_tokenizer_is_an_error(tmp_path):
    tiny_model("Llama 3").config.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="cannot be opened"):
        check_trainable(str(tmp_path), lora=Lora())


def test_an_architecture_that_cannot_be_made_tiny_is_not_refused(save, monkeypatch):
    monkeypatch.setattr(trainable, "_tiny", lambda config: {}["heads"])
    (note,) = check_trainable(save("Llama 3", FAMILIES["ChatML"]), lora=Lora())
    assert "whether llama can be trained could not be checked on a tiny model (KeyError: 'heads')" in note


def test_the_embedded_student_is_known_to_train():
    assert check_trainable("embedded:student", lora=Lora()) == []
