"""An adapter is put on the model that it was trained on, and refused on any other."""

from __future__ import annotations

import json
import logging

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

import cai_lite as cai
from cai_lite.chat import bases, weights
from cai_lite.chat.weights import base_record, open_weights
from cai_lite.errors import ModelError
from tests.tiny import SIZES


def save_model(folder, seed=0, dtype=torch.float32, **sizes):
    torch.manual_seed(seed)
    model = LlamaForCausalLM(LlamaConfig(**SIZES | {"vocab_size": 600} | sizes)).to(dtype)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(weights.resolve("embedded:student")).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("models") / "base", vocab_size=vocabulary())


def vocabulary():
    return len(AutoTokenizer.from_pretrained(weights.resolve("embedded:student")))


def save_adapter(model, folder, *, record=True, named=None):
    base_weights, tokenizer = open_weights(model)
    found = base_record(model, base_weights.config, tokenizer)
    with weights.quiet_peft():
        adapted = get_peft_model(base_weights, LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM"))
    adapted.save_pretrained(str(folder), save_embedding_layers=False)
    if record:
        bases.write_record(folder, found)
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"base_model_name_or_path": named or model}))
    return folder


def test_an_adapter_fits_its_base_also_in_other_files_or_another_dtype(base, tmp_path):
    adapter = save_adapter(base, tmp_path / "adapter")
    open_weights(base, adapter=adapter)
    again = LlamaForCausalLM.from_pretrained(base).to(torch.bfloat16)
    again.save_pretrained(tmp_path / "copy", max_shard_size="40KB")
    AutoTokenizer.from_pretrained(base).save_pretrained(tmp_path / "copy")
    assert len(list((tmp_path / "copy").glob("*.safetensors"))) > 1
    open_weights(str(tmp_path / "copy"), adapter=adapter)
    loaded = cai.open_model((LlamaForCausalLM.from_pretrained(base), AutoTokenizer.from_pretrained(base)))
    open_weights(loaded.model, adapter=adapter)


@pytest.mark.parametrize("record", [True, False])
def test_an_adapter_of_other_weights_of_the_same_shapes_is_refused(base, tmp_path, record):
    adapter = save_adapter(base, tmp_path / "adapter", record=record)
    other = save_model(tmp_path / "other", seed=1, vocab_size=vocabulary())
    says = (
        r"adapter does not fit .*other: it was trained on another model, .*base, with the same sizes and other weights"
    )
    with pytest.raises(ModelError, match=says) as caught:
        open_weights(other, adapter=adapter)
    mend = f"or delete {adapter / 'base_model.json'} to use" if record else "or mend 'base_model_name_or_path' in"
    assert mend in str(caught.value)


def test_another_vocabulary_and_other_sizes_are_named(base, tmp_path):
    adapter = save_adapter(base, tmp_path / "adapter")
    deeper = save_model(tmp_path / "deeper", num_hidden_layers=3, vocab_size=vocabulary())
    with pytest.raises(ModelError, match=r"of other sizes \(num_hidden_layers 2, not 3\); give that model"):
        open_weights(deeper, adapter=adapter)
    renamed = save_model(tmp_path / "renamed", vocab_size=vocabulary())
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens(["<new>"])
    tokenizer.save_pretrained(renamed)
    with pytest.raises(ModelError, match="trained on another model, base, with another vocabulary"):
        open_weights(renamed, adapter=adapter)


def test_deleting_the_record_skips_its_check_and_a_damaged_one_is_named(base, tmp_path):
    adapter = save_adapter(base, tmp_path / "adapter", named="somebody/else")
    other = save_model(tmp_path / "other", seed=1, vocab_size=vocabulary())
    (adapter / "base_model.json").write_text("[")
    with pytest.raises(ModelError, match=r"base_model\.json cannot be read"):
        open_weights(other, adapter=adapter)
    (adapter / "base_model.json").unlink()
    open_weights(other, adapter=adapter)


def test_an_adapter_without_a_record_whose_base_is_not_here_is_warned_of_by_name(base, tmp_path, caplog):
    adapter = save_adapter(base, tmp_path / "adapter", record=False, named="somebody/Other-7B")
    with caplog.at_level(logging.WARNING):
        open_weights(base, adapter=adapter)
    (line,) = [record.getMessage() for record in caplog.records if record.name == bases.__name__]
    assert "names the base model 'somebody/Other-7B' and is put on" in line
    caplog.clear()
    save_adapter(base, tmp_path / "same", record=False, named="somebody/Base")
    with caplog.at_level(logging.WARNING):
        open_weights(base, adapter=tmp_path / "same")
    assert not [record for record in caplog.records if record.name == bases.__name__]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_adapter_with_numbers_that_are_not_finite_is_refused_by_name(base, tmp_path, value):
    adapter = save_adapter(base, tmp_path / "adapter")
    file = adapter / "adapter_model.safetensors"
    stored = load_file(file)
    name = min(stored)
    stored[name].view(-1)[0] = value
    save_file(stored, file)
    with pytest.raises(ModelError) as caught:
        open_weights(base, adapter=adapter)
    assert str(caught.value).startswith(f"{file}: 1 of 4 weights hold NaN or infinity, such as {name}; put back")


def test_the_record_names_no_path(base, tmp_path):
    opened, tokenizer = open_weights(base)
    record = base_record(base, opened.config, tokenizer)
    assert record["name"] == "base" and record["sizes"]["hidden_size"] == 32
    assert set(record) == {"name", "sizes", "vocabulary", "weights"}
    assert bases.folder_of("no/such-model") is None
    assert bases.folder_of("not a name at all") is None
