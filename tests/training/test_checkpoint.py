"""Interrupted and continued, a training ends in the same bytes; what it finds on the disk is looked at first."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from cai_lite.errors import InputError
from cai_lite.training import loop
from cai_lite.training.config import Lora, Loss, TrainingConfig
from cai_lite.training.loop import train


class Killed(Exception):
    """Stands for a kill."""


def kill_after(step):
    def progress(done, total):
        if done == step:
            raise Killed

    return progress


def run(student, pairs, out, said=None, progress=None, load=None, **settings):
    base = {"learning_rate": 5e-3, "batch_size": 4, "lora": Lora(rank=2, dropout=0.1), "loss": Loss("dpo", 0.5)}
    config = TrainingConfig(**{**base, "epochs": 3, "checkpoint_every": 2, "seed": 1, **settings})
    log = (lambda _: None) if said is None else said.append
    return train(student, pairs, config=config, out=out, log=log, progress=progress, load=load)


def killed(student, pairs, out, step, **settings):
    with pytest.raises(Killed):
        run(student, pairs, out, progress=kill_after(step), **settings)


def weights(out):
    return (out / "adapter" / "adapter_model.safetensors").read_bytes()


def lines(out):
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{name: value for name, value in row.items() if name != "tokens_per_second"} for row in rows]


@pytest.fixture(scope="module")
def whole(student, pairs, tmp_path_factory):
    """The directory of an unbroken training."""
    out = tmp_path_factory.mktemp("unbroken") / "whole"
    run(student, pairs, out)
    return out


@pytest.fixture(scope="module")
def killed_at_7(student, pairs, tmp_path_factory):
    """The directory of one that was killed at step 7 of 9, with checkpoints of steps 4 and 6; for `stopped`."""
    out = tmp_path_factory.mktemp("killed") / "out"
    killed(student, pairs, out, 7)
    return out


@pytest.fixture
def stopped(killed_at_7, tmp_path):
    """A copy of it."""
    return Path(shutil.copytree(killed_at_7, tmp_path / "out"))


@pytest.mark.parametrize("settings", [{}, {"optimizer": "adamw_8bit"}, {"optimizer": "sgd"}, {"load": "nf4"}])
def test_killed_twice_a_training_ends_in_the_same_bytes_as_an_unbroken_one(student, pairs, tmp_path, settings):
    run(student, pairs, tmp_path / "whole", **settings)
    killed(student, pairs, tmp_path / "broken", 5, **settings)  # in the middle of the second epoch
    killed(student, pairs, tmp_path / "broken", 7, **settings)
    result = run(student, pairs, tmp_path / "broken", **settings)
    assert (result.resumed_from, result.steps) == (6, 9)
    assert weights(tmp_path / "broken") == weights(tmp_path / "whole")
    assert lines(tmp_path / "broken") == lines(tmp_path / "whole")


def test_killed_before_the_first_checkpoint_it_begins_again(student, pairs, whole, tmp_path):
    killed(student, pairs, tmp_path / "broken", 1)
    assert run(student, pairs, tmp_path / "broken").resumed_from == 0
    assert weights(tmp_path / "broken") == weights(whole)
    assert lines(tmp_path / "broken") == lines(whole)


def test_a_torn_last_line_is_cut_off(student, pairs, whole, tmp_path):
    killed(student, pairs, tmp_path / "broken", 4)
    with (tmp_path / "broken" / "metrics.jsonl").open("a", encoding="utf-8") as stream:
        stream.write('{"step": 5, "lo')
    run(student, pairs, tmp_path / "broken")
    assert lines(tmp_path / "broken") == lines(whole)


def test_a_finished_training_opens_no_model(student, pairs, tmp_path, monkeypatch):
    first = run(student, pairs, tmp_path)
    monkeypatch.setattr(loop, "open_student", None)
    again = run(student, pairs, tmp_path)
    assert (again.steps, again.resumed_from, again.report, again.adapter) == (9, 9, first.report, first.adapter)
    assert again.last == first.last


def test_a_finished_training_whose_adapter_is_gone_is_done_again(student, pairs, tmp_path):
    run(student, pairs, tmp_path)
    held = weights(tmp_path)
    (tmp_path / "adapter").rename(tmp_path / "taken")
    said = []
    run(student, pairs, tmp_path, said)
    assert weights(tmp_path) == held


def harmed(file, harm):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    if harm == "remove":
        file.unlink()
    else:
        file.write_bytes(bytes(data) if harm == "flip" else file.read_bytes()[: len(data) // 2])


FILES = ["adapter.safetensors", "state.safetensors", "state.json"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("harm", ["flip", "truncate", "remove"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before_aloud(student, pairs, whole, stopped, name, harm):
    file = stopped / "checkpoints" / "step-6" / name
    harmed(file, harm)
    said = []
    assert run(student, pairs, stopped, said).resumed_from == 4
    (word,) = [text for text in said if "step-6" in text]
    assert word.startswith(f"warning: {file} is") and word.endswith("the checkpoint before, step-4, is taken")
    assert "resumed at step 4 of 9" in said
    assert weights(stopped) == weights(whole)
    assert lines(stopped) == lines(whole)


def test_killed_again_after_a_fallback_it_goes_on_from_a_whole_checkpoint(student, pairs, whole, stopped):
    harmed(stopped / "checkpoints" / "step-6" / "state.safetensors", "flip")
    killed(student, pairs, stopped, 5)
    killed(student, pairs, stopped, 7)
    said = []
    assert run(student, pairs, stopped, said).resumed_from == 6
    assert not any("damaged" in text for text in said)
    assert weights(stopped) == weights(whole)


def test_without_a_whole_checkpoint_the_training_starts_anew_aloud(student, pairs, whole, stopped):
    for step in (4, 6):
        harmed(stopped / "checkpoints" / f"step-{step}" / "adapter.safetensors", "flip")
    said = []
    assert run(student, pairs, stopped, said).resumed_from == 0
    words = [text for text in said if "is damaged" in text]
    assert len(words) == 2 and words[1].endswith("no other checkpoint is left, so the training starts anew")
    assert weights(stopped) == weights(whole)
    assert lines(stopped) == lines(whole)


def test_the_newest_two_checkpoints_are_kept_and_a_half_written_one_is_not_looked_at(student, pairs, stopped):
    assert sorted(path.name for path in (stopped / "checkpoints").iterdir()) == ["step-4", "step-6"]
    half = stopped / "checkpoints" / ".step-8.partial"
    half.mkdir()
    (half / "adapter.safetensors").write_bytes(b"half")
    assert run(student, pairs, stopped).resumed_from == 6


@pytest.mark.parametrize("stop", [5, None])
def test_other_settings_start_anew_and_move_the_old_output_aside(student, pairs, tmp_path, stop):
    if stop:
        killed(student, pairs, tmp_path / "out", stop)
    else:
        run(student, pairs, tmp_path / "out")
        old = weights(tmp_path / "out")
    said = []
    result = run(student, pairs, tmp_path / "out", said, learning_rate=1e-3)
    assert result.resumed_from == 0
    assert any(f"settings changed: training anew; the old output is in {tmp_path / 'out'}" in text for text in said)
    aside = tmp_path / "out" / "training.1"
    assert (aside / "metrics.jsonl").exists()
    if not stop:
        assert weights(aside) == old != weights(tmp_path / "out")
    run(student, pairs, tmp_path / "fresh", learning_rate=1e-3)
    assert weights(tmp_path / "out") == weights(tmp_path / "fresh")
    assert lines(tmp_path / "out") == lines(tmp_path / "fresh")


def test_other_pairs_start_anew_and_the_evidence_of_a_pair_does_not_count(student, pairs, tmp_path, make_pair):
    import dataclasses

    run(student, pairs, tmp_path)
    told = [dataclasses.replace(pair, evidence={"seen": 1}, family="f") for pair in pairs]
    assert run(student, told, tmp_path).resumed_from == 9
    said = []
    assert run(student, [*pairs, make_pair("new", "yes", "no")], tmp_path, said).resumed_from == 0
    assert any("pairs changed: training anew" in text for text in said)


def test_another_student_in_the_middle_of_a_training_is_refused(student, make_student, pairs, tmp_path):
    other = make_student(tmp_path / "other", seed=9)
    killed(student, pairs, tmp_path / "out", 5)
    with pytest.raises(InputError, match="the student changed in the middle of a training"):
        run(other, pairs, tmp_path / "out")
    assert run(student, pairs, tmp_path / "out").resumed_from == 4
    assert run(other, pairs, tmp_path / "out").resumed_from == 0  # after the end it is a new training


def test_a_training_that_never_began_binds_nobody(student, pairs, tmp_path, make_student):
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "config.json").write_text("{}", encoding="utf-8")
    from cai_lite.errors import ModelError

    with pytest.raises(ModelError):
        run(str(bare), pairs, tmp_path / "out")
    assert run(student, pairs, tmp_path / "out").steps == 9
    assert not (tmp_path / "out" / "training.1").exists()


def test_the_reference_is_found_again_when_a_setting_changed(student, pairs, tmp_path, monkeypatch):
    from cai_lite.training import reference

    run(student, pairs, tmp_path)
    monkeypatch.setattr(reference, "scored", None)
    assert run(student, pairs, tmp_path, epochs=1).steps == 3
