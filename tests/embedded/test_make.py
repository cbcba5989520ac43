"""The script that makes the embedded models, in a tiny setting."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from cai_lite.embedded import encoding, make, trainer  # noqa: E402  (they import torch)
from cai_lite.embedded.examples import Example  # noqa: E402
from cai_lite.embedded.muon import orthogonal  # noqa: E402

TINY = {"width": 16, "layers": 3, "heads": 2, "steps": 2, "tokens": 256, "compiled": False}


@pytest.fixture(scope="module")
def tokenizer():
    return encoding.make_tokenizer(0, vocabulary=400, examples=200)


@pytest.mark.parametrize("name", make.PLANS)
def test_a_made_model_opens_and_the_same_seed_makes_the_same_bytes(name, tokenizer, tmp_path):
    for folder in ("first", "second"):
        make.make(name, tmp_path / folder, plan=replace(make.PLANS[name], **TINY), tokenizer=tokenizer)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "first" / name)
    assert model.dtype == torch.float32
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "first" / name).chat_template
    for file in ("model.safetensors", "tokenizer.json"):
        first, second = ((tmp_path / folder / name / file).read_bytes() for folder in ("first", "second"))
        assert first == second


def test_a_training_that_continues_from_a_checkpoint_ends_with_the_same_weights(tokenizer, tmp_path, monkeypatch):
    plan = replace(make.PLANS["teacher"], **TINY | {"steps": 40})
    whole = trainer.train(plan, tokenizer, seed=0)
    save = trainer.State.save

    def save_and_stop(state, file):
        save(state, file)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trainer.State, "save", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            trainer.train(plan, tokenizer, seed=0, checkpoint=tmp_path / "cut.pt")
    assert 0 < torch.load(tmp_path / "cut.pt", weights_only=True)["counts"][0] < plan.steps
    continued = trainer.train(plan, tokenizer, seed=0, checkpoint=tmp_path / "cut.pt")
    for name, weights in whole.state_dict().items():
        assert torch.equal(weights, continued.state_dict()[name]), name


def test_an_example_is_encoded_as_the_chat_template_renders_it(tokenizer):
    chat = encoding.chat_tokenizer(tokenizer)
    turns = [
        {"role": "system", "content": "Rules:\nBe kind."},
        {"role": "user", "content": "My lamp leaks."},
        {"role": "assistant", "content": "yes, it is."},
    ]
    system, user, reply = (turn["content"] for turn in turns)
    row = encoding.encode(tokenizer, Example(system=system, user=user, reply=reply, decides=True))
    ids, weights = [token.id for token in row], [token.weight for token in row]
    whole = chat.apply_chat_template(turns, tokenize=False)
    given = chat.apply_chat_template(turns[:2], tokenize=False, add_generation_prompt=True)
    assert ids == chat(whole, add_special_tokens=False)["input_ids"]
    begin = len(chat(given, add_special_tokens=False)["input_ids"])
    assert weights[begin] == encoding.DECISION_WEIGHT
    assert set(weights[:begin]) == {encoding.GIVEN_WEIGHT}


def test_muon_makes_an_update_nearly_orthogonal():
    """Singular values between 0.5 and 1.5 after five steps, as its authors state."""
    torch.manual_seed(0)
    for shape in ((24, 16), (16, 24)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
        assert values.min() > 0.5 and values.max() < 1.5
