"""Real preference pairs that nobody here wrote, on a real pretrained model."""

import random

import pytest
import torch

from cai_lite.chat.weights import open_weights
from cai_lite.inputs.pairs import load_pairs
from cai_lite.training.batch import Passes
from cai_lite.training.config import Lora, Loss, TrainingConfig
from cai_lite.training.loop import train
from cai_lite.training.reference import scored
from cai_lite.training.tokens import tokenize

TOKENS = {"max_tokens": 320, "overlong": "cut_prompt"}


@pytest.mark.slow
def test_harmless_pairs_run_through_and_are_learned(shared, tmp_path):
    pairs = random.Random(0).sample(load_pairs(shared / "data" / "hh_harmless_300.jsonl"), 80)
    student = str(shared / "data" / "models" / "stories260K-chat")
    config = TrainingConfig(
        **TOKENS,
        loss=Loss("dpo", 0.1),
        lora=Lora(rank=32),
        learning_rate=2e-3,
        epochs=3,
        batch_size=8,
        tokens_per_batch=1024,  # attention over padding is what costs here
    )
    said = []
    result = train(student, pairs[20:], config=config, out=tmp_path, log=said.append)
    report = result.report
    assert (report.pairs, report.kept, report.cut) == (60, 53, 27)
    assert report.dropped == {"longer than max_tokens": 7}
    assert said[0].startswith("60 pairs: 53 kept, 27 of them with a cut prompt, 7 dropped (longer than max_tokens)")
    model, tokenizer = open_weights(student, adapter=result.adapter)
    accuracy = {}
    for name, part in (("seen", pairs[20:]), ("held out", pairs[:20])):
        rows, _ = tokenize(tokenizer, part, **TOKENS)
        passes = Passes("plain", 1024, tokenizer.pad_token_id)
        policy = scored(model, rows, passes)
        with model.disable_adapter():
            reference = scored(model, rows, passes)
        moved = (policy.sums_BK - reference.sums_BK) @ torch.tensor([1.0, -1.0])
        assert torch.isfinite(moved).all()
        accuracy[name] = float((moved > 0).float().mean())
    # A model of 260,000 parameters does not carry this over to pairs it has not seen: nothing is asked of those.
    assert accuracy["seen"] >= 0.9
