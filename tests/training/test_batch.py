"""Order, passes and steps of a training; the reference and its cache."""

from __future__ import annotations

from itertools import chain, islice

import pytest
import torch
from safetensors.torch import save_file

from cai_lite.logps.attention import segments
from cai_lite.records import digest
from cai_lite.training import reference as reference_module
from cai_lite.training.batch import Passes, tokens_read, total_steps, updates
from cai_lite.training.config import Lora, TrainingConfig
from cai_lite.training.reference import reference_logps, scored
from cai_lite.training.student import open_student
from cai_lite.training.tokens import Row, tokenize


def pair(prompt, chosen, rejected):
    return Row((9,) * prompt, ((7,) * chosen, (8,) * rejected))


def positions(n, config, count):
    return [batch for _, batch in islice(updates(n, config), count)]


def test_an_epoch_holds_every_pair_once_in_an_order_of_its_own():
    config = TrainingConfig(batch_size=4, seed=3)
    first, second = positions(10, config, 3), positions(10, config, 6)[3:]
    assert sorted(chain(*first)) == sorted(chain(*second)) == list(range(10))
    assert [len(batch) for batch in first] == [4, 4, 2]
    assert first != second
    assert first == positions(10, config, 3)
    assert first != positions(10, TrainingConfig(batch_size=4, seed=4), 3)


def test_unshuffled_the_order_is_the_files_over_and_over():
    config = TrainingConfig(batch_size=2, shuffle=False)
    assert positions(3, config, 4) == [[0, 1], [2], [0, 1], [2]]
    assert [epoch for epoch, _ in islice(updates(3, config), 4)] == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"epochs": 1}, 7),
        ({"epochs": 3}, 21),
        ({"epochs": 0.5}, 4),  # a begun update counts, as in transformers
        ({"epochs": 0.01}, 1),
        ({"epochs": 1 / 7}, 1),
        ({"epochs": 0.3, "batch_size": 1}, 30),
        ({"epochs": 1, "max_steps": 40}, 40),
        ({"epochs": 9, "max_steps": 2}, 2),
    ],
)
def test_the_number_of_steps(settings, steps):
    assert total_steps(100, TrainingConfig(**{"batch_size": 16, **settings})) == steps


@pytest.mark.parametrize("layout", ["plain", "shared"])
def test_a_pass_keeps_within_its_tokens_padding_included(layout):
    pairs = [pair(5 + i % 2, 1 + i % 7, 1 + i % 3) for i in range(40)]
    groups = Passes(layout, 60, 0).cut(range(40), pairs)
    assert sorted(chain(*groups)) == list(range(40))
    read = [tokens_read(group, pairs, layout) for group in groups]
    assert max(read) <= 60
    assert len(groups) <= 2 * sum(read) / 60 + 1


def test_a_pair_that_is_wider_than_the_budget_goes_alone():
    for layout in ("plain", "shared"):
        assert Passes(layout, 60, 0).cut([0, 1], [pair(70, 9, 1), pair(70, 9, 1)]) == [[0], [1]]


def test_accumulation_cuts_an_update_into_so_many_passes():
    pairs = [pair(1, 1, 2)] * 8
    assert [len(part) for part in Passes("plain", 8192, 0).cut(range(8), pairs, at_least=4)] == [2, 2, 2, 2]


@pytest.fixture(scope="module")
def opened(student, pairs):
    model, tokenizer = open_student(student, load=None, lora=Lora(rank=2), init_adapter=None, seed=0)
    rows, _ = tokenize(tokenizer, pairs, max_tokens=99, overlong="drop")
    return model, rows


def test_scores_come_back_in_the_order_of_the_pairs(opened):
    model, rows = opened
    together = scored(model, rows, Passes("plain", 100, 2))
    alone = [scored(model, [row], Passes("plain", 100, 2)) for row in rows]
    for i, one in enumerate(alone):
        for column, expected in zip(together, one, strict=True):
            assert column[i].tolist() == pytest.approx(expected[0].tolist(), abs=1e-4)


def test_scoring_leaves_the_model_as_it_was_also_when_it_fails(opened):
    model, rows = opened
    model.train()
    scored(model, rows[:1], Passes("plain", 100, 2))
    assert model.training

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scored(model, rows[:1], Passes("plain", 100, 2), progress=stop)
    assert model.training


def test_the_reference_is_the_model_without_its_adapter(opened):
    model, rows = opened
    before = scored(model, rows, Passes("plain", 500, 2))
    with torch.no_grad():
        changed = [p for name, p in model.named_parameters() if "lora_B" in name]
        for parameter in changed:
            parameter.fill_(0.1)
        found = reference_logps(model, rows, Passes("plain", 500, 2), base="b", cache=None)
        moved = scored(model, rows, Passes("plain", 500, 2))
        for parameter in changed:
            parameter.zero_()
    assert torch.equal(found.sums_BK, before.sums_BK)
    assert not torch.allclose(moved.sums_BK[:, 0], before.sums_BK[:, 0])


def test_a_kept_reference_is_found_again_and_only_for_the_same_base_and_pairs(opened, tmp_path, monkeypatch):
    model, rows = opened
    settings = {"passes": Passes("plain", 500, 2), "cache": tmp_path}
    fresh = reference_logps(model, rows, base="one", **settings)
    asked = []
    compute = reference_module.scored
    monkeypatch.setattr(reference_module, "scored", lambda *a, **k: asked.append(1) or compute(*a, **k))
    cached = reference_logps(model, rows, base="one", **settings)
    assert not asked
    assert all(torch.equal(a, b) for a, b in zip(cached, fresh, strict=True))
    reference_logps(model, rows, base="two", **settings)
    reference_logps(model, rows[1:], base="one", **settings)
    assert len(asked) == 2
    with segments(model):
        reference_logps(model, rows, base="one", **{**settings, "passes": Passes("shared", 500, 2)})
    assert len(asked) == 3
    model.to(torch.float64)
    reference_logps(model, rows, base="one", **settings)
    model.to(torch.float32)
    assert len(asked) == 4


def test_a_reference_of_pairs_that_an_earlier_version_kept_is_found_again(opened, tmp_path, monkeypatch):
    model, rows = opened
    settings = {"passes": Passes("plain", 500, 2), "base": "one", "cache": tmp_path}
    fresh = reference_logps(model, rows, **settings)
    (file,) = tmp_path.iterdir()
    columns = [*fresh.sums_BK.unbind(1), *fresh.lengths_BK.unbind(1)]
    names = ("chosen", "rejected", "chosen_len", "rejected_len")
    save_file({name: column.contiguous() for name, column in zip(names, columns, strict=True)}, file)
    monkeypatch.setattr(reference_module, "scored", None)
    assert all(torch.equal(a, b) for a, b in zip(reference_logps(model, rows, **settings), fresh, strict=True))
    ids = [digest(row.prompt_ids, *row.completions) for row in rows]  # as ever: prompt, chosen, rejected
    kernels = (str(torch.__version__), "torch.float32", "cpu", "plain")
    assert file.name == f"reference-{digest('one', kernels, ids)}.safetensors"
