"""Updates whose numbers are not finite are skipped and counted; three in a row stop the training."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
import torch

from cai_lite.errors import TrainingError
from cai_lite.training import loop
from cai_lite.training.config import Lora, Loss, TrainingConfig
from cai_lite.training.loop import train
from cai_lite.training.losses import LOSSES
from cai_lite.training.skipping import Skipped

BASE = {"learning_rate": 5e-3, "batch_size": 4, "lora": Lora(rank=2), "shuffle": False, "scheduler": "constant"}


class Killed(Exception):
    """Stands for a kill."""


def run(student, pairs, out, said=None, killed_at=None, load=None, **settings):
    def progress(done, total):
        if done == killed_at:
            raise Killed

    config = TrainingConfig(**{**BASE, "loss": Loss("dpo", 0.5), "checkpoint_every": 1, **settings})
    log = (lambda _: None) if said is None else said.append
    return train(student, pairs, config=config, out=out, log=log, progress=progress, load=load)


def weights(out):
    return (out / "adapter" / "adapter_model.safetensors").read_bytes()


def lines(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def keyed(pairs):
    return [dataclasses.replace(pair, key=f"k{i}") for i, pair in enumerate(pairs)]


@pytest.fixture
def poison(pairs, monkeypatch):
    """Make the loss of every pair with one of these soft labels NaN, or infinite."""
    honest = LOSSES["dpo"]

    def poison(label, value=math.nan):
        def loss(policy, reference, *, beta, p_chosen):
            loss_B = honest(policy, reference, beta=beta, p_chosen=torch.ones_like(p_chosen))
            return loss_B * torch.where(p_chosen < label, value, 1.0)

        monkeypatch.setitem(LOSSES, "dpo", loss)

    return poison


def bad(pairs, *places):
    return [dataclasses.replace(pair, p_chosen=0.5 if i in places else 1.0) for i, pair in enumerate(pairs)]


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("accumulation", [1, 4])
def test_a_skipped_update_leaves_weights_and_optimizer_as_they_were(
    student, keyed, tmp_path, poison, value, accumulation
):
    poison(0.7, value)
    settings = {"gradient_accumulation": accumulation}
    said = []
    result = run(student, bad(keyed, 5, 6), tmp_path / "all", said, **settings)  # of the second update of three
    run(student, keyed[:4] + keyed[8:], tmp_path / "without", **settings)
    assert weights(tmp_path / "all") == weights(tmp_path / "without")
    assert [line.get("skipped") for line in lines(tmp_path / "all")] == [None, 1, None]
    assert (result.steps, result.skipped) == (3, 1)
    loss = "nan" if math.isnan(value) else "inf"
    assert (
        f"step 2: warning: the loss is {loss}, so the update is skipped: the weights stay as they were; rows of the "
        "update: k5, k6"
    ) in said
    assert "1 of 3 updates were skipped, because a number was not finite" in said
    assert json.loads((tmp_path / "all" / "training.json").read_text())["skipped"] == 1
    assert run(student, bad(keyed, 5, 6), tmp_path / "all", **settings).skipped == 1  # trained already


def test_an_infinite_gradient_is_skipped_and_all_rows_of_the_update_are_named(student, keyed, tmp_path, monkeypatch):
    honest, calls = loop._clip, []

    def clip(parameters, limit):
        calls.append(limit)
        if len(calls) == 1:
            next(iter(parameters.values())).grad[0, 0] = math.inf
        return honest(parameters, limit)

    monkeypatch.setattr(loop, "_clip", clip)
    said = []
    run(student, keyed, tmp_path / "all", said)
    monkeypatch.undo()
    run(student, keyed[4:], tmp_path / "without")
    assert weights(tmp_path / "all") == weights(tmp_path / "without")
    (word,) = [text for text in said if "is skipped" in text]
    assert word.startswith("step 1: warning: the gradient norm is") and word.endswith("k0, k1, k2, k3")


def test_three_in_a_row_stop_the_training_and_keep_the_last_good_checkpoint(student, keyed, tmp_path, poison):
    poison(0.7)
    data = bad(keyed * 2, 9, 13, 18)  # updates 3, 4 and 5 of 6
    with pytest.raises(TrainingError) as caught:
        run(student, data, tmp_path / "out", checkpoint_every=2)
    told = str(caught.value)
    assert (
        "step 3: the loss is nan (rows k9)\nstep 4: the loss is nan (rows k1)\nstep 5: the loss is nan (rows k6)"
        in told
    )
    assert "the checkpoint of step 4 is kept" in told and "meets the same numbers again" in told
    for mend in ("train.learning_rate", "train.max_grad_norm", "bfloat16", "rows of the data"):
        assert mend in told
    assert not (tmp_path / "out" / "adapter").exists()
    assert (tmp_path / "out" / "checkpoints" / "step-4").is_dir()


def test_a_resume_says_that_it_may_stop_again_and_does_so_at_the_same_update(student, keyed, tmp_path, poison):
    poison(0.7)
    data = bad(keyed * 2, 9, 13, 18)
    errors = []
    for said in ([], []):
        with pytest.raises(TrainingError) as caught:
            run(student, data, tmp_path / "out", said, checkpoint_every=2)
        errors.append(str(caught.value))
    assert errors[0] == errors[1]
    (word,) = [text for text in said if "this training stopped before, and may stop in the same way again" in text]
    assert errors[0] in word
    assert "resumed at step 4 of 6" in said


@pytest.mark.parametrize("change", ["settings", "dtype", "data"])
def test_after_a_stop_the_mends_begin_a_new_training(student, keyed, tmp_path, poison, monkeypatch, change):
    poison(0.7)
    data = bad(keyed * 2, 9, 13, 18)
    with pytest.raises(TrainingError):
        run(student, data, tmp_path / "out")
    monkeypatch.undo()
    more = {"settings": {"learning_rate": 1e-3}, "dtype": {"load": "bfloat16"}, "data": {}}[change]
    said = []
    result = run(student, data[:8] if change == "data" else data, tmp_path / "out", said, **more)
    assert result.resumed_from == 0
    assert not any("stopped before" in text for text in said)
    assert (tmp_path / "out" / "training.1" / "checkpoints").is_dir()


def test_two_in_a_row_go_on_and_a_kill_between_them_changes_nothing(student, keyed, tmp_path, poison):
    poison(0.7)
    data = bad(keyed * 2, 9, 13, 22)  # updates 3, 4 and 6 of 6
    whole = run(student, data, tmp_path / "whole")
    assert whole.skipped == 3
    for step in (3, 4, 5):
        with pytest.raises(Killed):
            run(student, data, tmp_path / "broken", killed_at=step)
    assert run(student, data, tmp_path / "broken").skipped == 3
    assert weights(tmp_path / "broken") == weights(tmp_path / "whole")
    numbers = [
        [{k: v for k, v in line.items() if k != "tokens_per_second"} for line in lines(tmp_path / out)]
        for out in ("whole", "broken")
    ]
    assert numbers[0] == numbers[1]


@pytest.mark.parametrize("killed_at", [4, 5])
def test_a_kill_within_the_three_does_not_start_the_count_again(student, keyed, tmp_path, poison, killed_at):
    poison(0.7)
    data = bad(keyed * 2, 9, 13, 18)
    with pytest.raises(Killed):
        run(student, data, tmp_path, killed_at=killed_at)
    with pytest.raises(TrainingError, match=r"step 3: .*\nstep 4: .*\nstep 5: "):
        run(student, data, tmp_path)


def test_a_training_of_skipped_updates_alone_leaves_no_adapter(student, keyed, tmp_path, poison):
    poison(2.0)
    with pytest.raises(TrainingError, match="all 2 updates were skipped, so nothing was trained: lower"):
        run(student, keyed, tmp_path, max_steps=2)
    assert not (tmp_path / "adapter").exists()


def test_rows_without_a_key_are_named_by_their_number_and_long_lists_are_cut():
    said = []
    skipped = Skipped(said.append)
    skipped.skip(1, {"loss": 0.5, "kl": math.inf}, [f"number {i}" for i in range(20)])
    assert said[0].startswith("step 1: warning: kl is inf, so") and said[0].endswith("number 15 and 4 more")


def test_the_report_draws_a_training_with_skipped_updates(student, keyed, tmp_path, poison):
    from cai_lite.reporting.running import training

    poison(0.7)
    said = []
    run(student, bad(keyed, 1), tmp_path, said)  # the very first update
    (tmp_path / "log.txt").write_text("\n".join(said), encoding="utf-8")
    page = str(training(tmp_path / "metrics.jsonl", tmp_path / "log.txt"))
    assert "gradient norm" in page and "the loss is nan, so the update is skipped" in page
