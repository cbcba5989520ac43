"""Several processes train as one does: same losses, same adapter, same files; and end together."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from cai_lite.errors import Stopped
from cai_lite.training.config import Lora, Loss
from cai_lite.training.ranks import ALONE, dealt
from tests.training.processes import together

SETTINGS: dict[str, Any] = {
    "learning_rate": 5e-3,
    "batch_size": 5,  # of 12 pairs: the last of three updates has two
    "gradient_accumulation": 5,  # with two ranks: three rounds, the last of which has a pass for one of them
    "lora": Lora(rank=2),
    "loss": Loss("dpo", 0.5),
    "sft_weight": 0.3,
    "checkpoint_every": 100,
    "eval_every": 2,
}


@pytest.fixture(scope="module")
def many(make_pair):
    """Pairs of thirteen prompts of unlike lengths, one of which is held out."""
    return [make_pair("q" * (i % 5 + 1) + str(i), "yes" * (i % 3 + 1), "no" * (i % 4 + 1)) for i in range(13)]


@pytest.fixture(scope="module")
def alone(student, many, tmp_path_factory):
    """The training in one process."""
    out = tmp_path_factory.mktemp("alone") / "out"
    together(1, out, student, many, SETTINGS)
    return out


def lines(out):
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{name: value for name, value in row.items() if name != "tokens_per_second"} for row in rows]


def adapter(out):
    return load_file(out / "adapter" / "adapter_model.safetensors")


def assert_same(out, other):
    """Same passes: every bit is the same."""
    assert lines(out) == lines(other)
    torch.testing.assert_close(adapter(out), adapter(other), rtol=0, atol=0)


def assert_near(out, other):
    """Other passes: rounding differs."""
    for found, expected in zip(lines(out), lines(other), strict=True):
        assert found["loss"] == pytest.approx(expected["loss"], rel=0, abs=1e-6)
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)
    torch.testing.assert_close(adapter(out), adapter(other), rtol=0, atol=1e-5)


def test_two_processes_train_what_one_does(student, many, alone, tmp_path):
    first, second = together(2, tmp_path / "out", student, many, SETTINGS)
    assert_same(tmp_path / "out", alone)
    assert first["adapter"] == second["adapter"] == str(tmp_path / "out" / "adapter")
    assert first["last"] == second["last"]
    assert "2 processes" in " ".join(first["said"]) and second["said"] == []
    records = [json.loads((out / "training.json").read_text()) for out in (tmp_path / "out", alone)]
    assert [record["world_size"] for record in records] == [2, 1]
    assert records[0]["identity"] == records[1]["identity"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {path.name for path in alone.iterdir()}
    # A finished training is told to all.
    first, second = together(2, tmp_path / "out", student, many, SETTINGS)
    assert (first["said"][-1], second["said"]) == ("trained already: 3 steps", [])


def test_a_training_resumes_on_another_number_of_processes(student, many, alone, tmp_path):
    """Two processes, one, then two again; the signal reaches one of them, and all stop at the same update."""
    out = tmp_path / "out"
    stopped = together(2, out, student, many, SETTINGS, interrupt=(1, 1))
    assert all(each.startswith("KeyboardInterrupt") for each in stopped)
    assert [path.name for path in (out / "checkpoints").glob("step-*")] == ["step-1"]
    together(1, out, student, many, SETTINGS, interrupt=(0, 1))
    assert (out / "checkpoints" / "step-2").is_dir()
    found = together(2, out, student, many, SETTINGS)
    assert [each["resumed_from"] for each in found] == [2, 2]
    assert_same(out, alone)


def test_where_one_process_runs_out_of_memory_all_take_smaller_passes(student, many, alone, tmp_path):
    """With fewer passes asked for than there are processes, rows are dealt."""
    settings = {**SETTINGS, "gradient_accumulation": 1}
    first, _ = together(2, tmp_path / "out", student, many, settings, short_of_memory=1)
    assert sum("out of memory: passes of at most" in line for line in first["said"]) >= 1
    assert_near(tmp_path / "out", alone)


def test_each_process_may_hold_a_part_of_the_model(student, many, alone, tmp_path):
    """The reference, evaluations and updates of 13 pairs: one process or the other is without a pass now and then."""
    found = together(2, tmp_path / "out", student, many, {**SETTINGS, "shard": True})
    assert_same(tmp_path / "out", alone)
    tensors = load_file(f"{student}/model.safetensors")
    layers = sum(tensor.nbytes for name, tensor in tensors.items() if ".layers." in name)
    whole = sum(tensor.nbytes for tensor in tensors.values())
    for each in found:
        assert each["held"] == [whole - layers // 2, whole + layers // 2]


def test_when_a_process_dies_the_others_end_and_say_so(student, many, alone, tmp_path):
    """Once while the other waits for a part of a layer, then, resumed with whole models, for gradients."""
    out, settings = tmp_path / "out", {**SETTINGS, "checkpoint_every": 1}
    for more, dies in (({"shard": True}, (1, 3)), ({}, (1, 1))):
        first, second = together(2, out, student, many, settings | more, dies=dies)
        assert second is None
        said = r"Stopped: another process of this training has ended .* says why \([A-Z].*\)"
        assert re.fullmatch(said, first), first
        assert "stopped" not in json.loads((out / "training.json").read_text())  # it will not stop so again
    assert [each["resumed_from"] for each in together(2, out, student, many, settings)] == [2, 2]
    assert_same(out, alone)


def test_processes_with_different_data_are_an_error(student, many, tmp_path):
    found = together(2, tmp_path / "out", student, many, SETTINGS, drop_pair_on=1)
    for each in found:
        assert each.startswith("InputError: the data of rank 1 differs from that of rank 0")
    assert not (tmp_path / "out" / "training.json").exists()


def test_rows_are_dealt_so_that_ranks_read_about_as_many_tokens():
    weights = [100, 90, 10, 20, 30, 50, 60, 40]
    hands = dealt(weights, 3)
    assert sorted(place for hand in hands for place in hand) == list(range(8))
    assert [sum(weights[place] for place in hand) for hand in hands] == [140, 130, 130]
    assert dealt(weights, 3) == hands
    assert dealt([5], 3) == [[0], [], []]


def test_a_process_alone_exchanges_nothing():
    def fails():
        raise Stopped("said as it is")

    assert ALONE.gathered(3) == [3] and ALONE.told(lambda: 4) == 4 and ALONE.any(True)
    with pytest.raises(Stopped, match="said as it is"):
        ALONE.told(fails)
