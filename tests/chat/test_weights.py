"""Opening weights and adapters: what does not fit is an error, and equal adapters have equal digests."""

import json
import shutil
from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from cai_lite.chat import weights
from cai_lite.chat.asking import ask
from cai_lite.chat.local import LocalModel
from cai_lite.chat.weights import adapter_digest, auto_dtype, device_of, load_peft, open_weights
from cai_lite.errors import MissingPackageError, ModelError
from cai_lite.records import Message, Request, Sampling
from cai_lite.run.ledger import Run
from tests.tiny import SIZES

STUDENT = "embedded:student"


def tiny(**sizes):
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SIZES | sizes))


def save_adapter(model, folder, targets=("q_proj", "v_proj", "down_proj")):
    with weights.quiet_peft():
        adapted = get_peft_model(model, LoraConfig(r=2, target_modules=list(targets), task_type="CAUSAL_LM"))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.5)
    adapted.save_pretrained(str(folder), save_embedding_layers=False)
    return adapted


@pytest.fixture
def adapter(tmp_path):
    save_adapter(tiny(), tmp_path / "adapter")
    return tmp_path / "adapter"


def test_an_adapter_that_fits_is_loaded_whole(adapter):
    loaded = load_peft(tiny(), adapter)
    stored = load_file(adapter / "adapter_model.safetensors")
    for name, tensor in stored.items():
        part = loaded.get_parameter(name.replace(".weight", ".default.weight"))
        assert torch.equal(part, tensor)
        assert not part.requires_grad
    assert any(p.requires_grad for p in load_peft(tiny(), adapter, trainable=True).parameters())


@pytest.mark.parametrize("change", ["lose", "add"])
def test_a_missing_or_unexpected_adapter_weight_is_a_clear_error(adapter, change):
    file = adapter / "adapter_model.safetensors"
    stored = load_file(file)
    first = min(stored)
    if change == "lose":
        stored = {name: tensor for name, tensor in stored.items() if "down_proj" not in name}
    else:
        stored[first.replace("layers.0", "layers.7")] = stored[first].clone()
    save_file(stored, file)
    says = "has no weight .*down_proj.* and 3 more" if change == "lose" else "that the model lacks: .*layers.7"
    with pytest.raises(ModelError, match=says):
        load_peft(tiny(), adapter)


def test_an_adapter_of_another_model_is_a_clear_error(adapter):
    with pytest.raises(ModelError, match="does not fit this model, it was trained on another one: size mismatch"):
        load_peft(tiny(hidden_size=16), adapter)
    with pytest.raises(ModelError, match="has a weight that the model lacks"):
        load_peft(tiny(num_hidden_layers=1), adapter)


def test_a_folder_without_a_whole_adapter_is_a_clear_error(adapter, tmp_path):
    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"adapter_model\.safetensors not found"):
        load_peft(tiny(), adapter)
    with pytest.raises(ModelError, match=r"adapter_config\.json not found"):
        load_peft(tiny(), tmp_path)


def test_equal_adapters_have_equal_digests_and_others_have_others(adapter, tmp_path):
    def copy(name, **changes):
        folder = tmp_path / name
        shutil.copytree(adapter, folder)
        file = folder / "adapter_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))
        return folder

    targets = json.loads((adapter / "adapter_config.json").read_text())["target_modules"]
    same = copy("same", target_modules=targets[::-1], base_model_name_or_path="/elsewhere", peft_version="0")
    assert adapter_digest(same) == adapter_digest(adapter)
    assert adapter_digest(copy("scaled", lora_alpha=3)) != adapter_digest(adapter)
    changed = copy("changed")
    stored = load_file(changed / "adapter_model.safetensors")
    save_file({name: tensor + 1 for name, tensor in stored.items()}, changed / "adapter_model.safetensors")
    assert adapter_digest(changed) != adapter_digest(adapter)


def test_an_adapter_changes_the_answers_and_can_be_left_out_again(tmp_path):
    base, _ = open_weights(STUDENT)
    save_adapter(base, tmp_path / "adapter", targets=("q_proj", "down_proj", "up_proj", "gate_proj"))
    asked = [
        Request(messages=(Message("user", text),), sampling=Sampling(temperature=0, max_tokens=8))
        for text in ("I have a headache.", "Hello")
    ]

    def texts(model):
        return [reply.text for reply in ask(model, asked, run=Run(), stage="s")]

    adapted = LocalModel(STUDENT, adapter=tmp_path / "adapter")
    before = texts(LocalModel(STUDENT))
    assert texts(adapted.without_adapter()) == before
    after = texts(adapted)
    assert after != before
    assert texts(adapted.without_adapter()) == before
    # peft's own passes, without the fused ones
    plain, tokenizer = open_weights(STUDENT, adapter=tmp_path / "adapter")
    for request, text in zip(asked, after, strict=True):
        turns = [{"role": "user", "content": request.messages[0].content}]
        ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        out = plain.generate(**ids, max_new_tokens=8, do_sample=False)[0, ids["input_ids"].shape[1] :]
        assert tokenizer.decode(out, skip_special_tokens=True).strip() == text


def test_no_code_of_a_model_folder_is_run(tmp_path, monkeypatch):
    """Not even when the user's terminal says yes to the question of transformers."""
    tiny().save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(weights.resolve(STUDENT)).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(ModelError, match="cannot be opened"):
        open_weights(str(tmp_path))
    assert not (tmp_path / "ran").exists()


def test_a_package_that_a_tokenizer_needs_is_named(monkeypatch):
    def needs(*args, **options):
        raise ImportError("\nLlamaConverter requires the protobuf library but it was not found.\nMore lines.")

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", needs)
    with pytest.raises(MissingPackageError, match=r"student: a package .* requires the protobuf library .*pip install"):
        open_weights(STUDENT)


def test_a_text_model_inside_of_a_vision_model_is_opened():
    from transformers import AutoModelForImageTextToText, Gemma3Config, Mistral3Config

    for config, expected in (
        (Mistral3Config(), AutoModelForImageTextToText),
        (Gemma3Config(), AutoModelForCausalLM),
        (LlamaConfig(), AutoModelForCausalLM),
    ):
        assert weights._auto_class(config) is expected


@pytest.mark.parametrize(
    ("cuda", "bf16", "mps", "load", "device", "dtype"),
    [
        (True, True, False, None, "cuda", torch.bfloat16),
        (True, False, False, None, "cuda", torch.float16),  # a T4 emulates bfloat16 in software
        (False, False, True, None, "mps", torch.float32),
        (False, False, True, "nf4", "cpu", torch.float32),
        (False, False, False, None, "cpu", torch.float32),
    ],
)
def test_the_device_decides_the_dtype(monkeypatch, cuda, bf16, mps, load, device, dtype):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: bf16 or including_emulation)
    monkeypatch.setattr(torch.backends, "mps", SimpleNamespace(is_available=lambda: mps))
    assert device_of(load) == device
    assert auto_dtype(device) == dtype
