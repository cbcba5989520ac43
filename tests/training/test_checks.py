"""Which layout a run takes, and what is found before the first step."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from cai_lite.errors import ModelError, TrainingError
from cai_lite.training.alarms import warn_of_length
from cai_lite.training.checks import check_rows, choose_layout
from cai_lite.training.config import Lora, Loss, TrainingConfig
from cai_lite.training.loop import train
from cai_lite.training.tokens import Row
from tests.tiny import SIZES, hybrid


def rows_of(prompt, completion, n=8):
    return [
        Row((3 + i,) * prompt, ((*range(20, 20 + completion + i % 2), 2), (*range(40, 40 + completion), 2)))
        for i in range(n)
    ]


def llama():
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SIZES)).requires_grad_(False)


def recurrent():
    torch.manual_seed(0)
    return hybrid().requires_grad_(False)


def chosen(model, rows, layout):
    said = []
    return choose_layout(model, rows, TrainingConfig(layout=layout), 0, said.append), said


def test_auto_shares_long_prompts_and_says_what_it_saves():
    layout, (said,) = chosen(llama(), rows_of(20, 8), "auto")
    assert layout == "shared"
    # A pair: 20 + 8.5 + 8 tokens where plain rows have 2 x 29; 36.5 / 58 = 63 %, of the rows 2.6 % padding.
    assert said == "layout: shared, 63% of the tokens of plain rows, 3% of which were padding"


def test_auto_leaves_short_prompts_plain():
    layout, (said,) = chosen(llama(), rows_of(1, 40), "auto")
    assert layout == "plain"
    # Eight pairs of 1 + 40.5 + 40 tokens, in 16 plain rows of 42, of which 2 x 1 + 80.5 a pair are no padding.
    assert said == "layout: plain, 2% of it padding; sharing the prompts would leave 97% of it"


def test_auto_falls_back_aloud_on_a_model_that_cannot_share_and_shared_is_refused():
    layout, (said,) = chosen(recurrent(), rows_of(20, 8), "auto")
    assert layout == "plain"
    assert "though sharing prompts would leave 63% of the tokens: qwen3_next" in said
    with pytest.raises(ModelError, match=r"train.layout: shared is not exact on this model: qwen3_next"):
        chosen(recurrent(), rows_of(20, 8), "shared")


def test_shared_and_plain_train_the_same_adapter(student, pairs, tmp_path):
    from safetensors.torch import load_file

    found = {}
    for layout in ("plain", "shared"):
        config = TrainingConfig(
            layout=layout, learning_rate=5e-3, batch_size=4, epochs=2, lora=Lora(rank=2), loss=Loss("dpo", 0.5)
        )
        train(student, pairs, config=config, out=tmp_path / layout, log=lambda _: None)
        found[layout] = load_file(tmp_path / layout / "adapter" / "adapter_model.safetensors")
    for name, expected in found["plain"].items():
        torch.testing.assert_close(found["shared"][name], expected, rtol=0, atol=1e-4)


def test_a_completion_without_its_end_is_found():
    rows = rows_of(3, 4)
    check_rows(rows, ends={2})
    cut = Row((3,), ((4, 5), (6, 2)))
    with pytest.raises(TrainingError, match="row 9: a completion does not end with a stop token"):
        check_rows([*rows, cut], ends={2})


def test_lengths_that_tell_the_sides_apart_are_warned_of():
    said = []
    warn_of_length(rows_of(3, 8), said.append)
    assert not said
    row = Row((3,), ((4,) * 9 + (2,), (6,) * 4 + (2,)))
    warn_of_length([row], said.append)
    assert "2.0 times longer than rejected" in said[0]
