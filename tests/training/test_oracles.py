"""Two real runs of TRL's DPOTrainer, met step by step through `train`."""

import json

import pytest
from safetensors.torch import load_file
from transformers import AutoTokenizer

from cai_lite.inputs.pairs import load_pairs
from cai_lite.training.config import Loss, TrainingConfig
from cai_lite.training.loop import train
from cai_lite.training.tokens import tokenize

RUNS = {"A_adamw_sigmoid": ("adamw", 0.1, 1.0), "B_sgd_sigmoid_noclip": ("sgd", 0.5, 0.0)}


@pytest.mark.parametrize("name", RUNS)
def test_a_run_of_trl_is_met_in_every_number_and_in_the_adapter(shared, tmp_path, name):
    folder = shared / "oracles" / "trl_e2e"
    optimizer, beta, clip = RUNS[name]
    config = TrainingConfig(
        loss=Loss("dpo", beta),
        learning_rate=1e-3,
        max_steps=5,
        batch_size=4,
        optimizer=optimizer,
        scheduler="constant",
        max_grad_norm=clip,
        shuffle=False,
        max_tokens=512,
        init_adapter=str(folder / name / "adapter_init"),
    )
    student = str(shared / "data" / "models" / "stories260K-chat")
    result = train(student, load_pairs(folder / "pairs_text.jsonl"), config=config, out=tmp_path, log=lambda _: None)
    theirs = json.loads((folder / name / "result.json").read_text(encoding="utf-8"))["steps"]
    ours = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(ours) == len(theirs) == result.steps == 5
    for step, expected in zip(ours, theirs, strict=True):
        for number in ("loss", "rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins"):
            assert step[number] == pytest.approx(expected[number], abs=1e-4), number
        for number in ("logps/chosen", "logps/rejected", "grad_norm", "learning_rate"):
            assert step[number] == pytest.approx(expected[number], rel=1e-4), number
    expected = load_file(folder / name / "adapter_final" / "adapter_model.safetensors")
    found = load_file(result.adapter / "adapter_model.safetensors")
    assert set(found) == set(expected)
    assert max(float((found[k] - expected[k]).abs().max()) for k in expected) < 1e-4


def test_token_ids_are_those_of_trl(shared):
    folder = shared / "oracles" / "trl_e2e"
    expected = json.loads((folder / "A_adamw_sigmoid" / "result.json").read_text(encoding="utf-8"))["tokenized"]
    tokenizer = AutoTokenizer.from_pretrained(shared / "data" / "models" / "stories260K-chat")
    found, report = tokenize(tokenizer, load_pairs(folder / "pairs_text.jsonl"), max_tokens=512, overlong="drop")
    assert report.kept == len(expected) == len(found)
    for ours, theirs in zip(found, expected, strict=True):
        assert list(ours.prompt_ids) == theirs["prompt_ids"]
        assert [list(ids) for ids in ours.completions] == [theirs["chosen_ids"], theirs["rejected_ids"]]
