"""What a training leaves in its folder, and what the same call finds there."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest

from cai_lite.errors import InputError, ModelError
from cai_lite.records import digest
from cai_lite.training.config import Lora, Loss, TrainingConfig
from cai_lite.training.folder import initial_adapters, intact
from cai_lite.training.loop import train

SETTINGS = {"learning_rate": 5e-3, "batch_size": 4, "checkpoint_every": 1, "max_steps": 3}


class Killed(Exception):
    """Stands for a kill."""


def run(student, pairs, out, killed_at=None, **settings):
    said = []

    def progress(done, total):
        if done == killed_at:
            raise Killed

    config = TrainingConfig(**{"lora": Lora(rank=2), **SETTINGS, **settings})
    result = train(student, pairs, config=config, out=out, log=said.append, progress=progress)
    return result, said


def weights(folder):
    return (folder / "adapter_model.safetensors").read_bytes()


@pytest.fixture
def first(student, pairs, tmp_path):
    out = tmp_path / "out"
    run(student, pairs, out)
    return out


def test_a_second_round_begins_from_the_adapter_of_its_own_folder(student, pairs, tmp_path, first):
    (tmp_path / "kept").mkdir()
    (first / "adapter").rename(tmp_path / "kept" / "adapter")
    run(student, pairs, tmp_path / "apart", init_adapter=str(tmp_path / "kept" / "adapter"))
    (tmp_path / "kept" / "adapter").rename(first / "adapter")
    own, before = {"init_adapter": str(first / "adapter")}, weights(first / "adapter")

    result, said = run(student, pairs, first, **own)
    assert result.resumed_from == 0
    assert f"settings changed: training anew; the old output is in {first / 'training.1'}" in said
    assert weights(first / "training.1" / "adapter") == before
    assert weights(first / "adapter") == weights(tmp_path / "apart" / "adapter") != before

    again, said = run(student, pairs, first, **own)
    assert (again.resumed_from, said) == (3, ["trained already: 3 steps"])
    assert not (first / "training.2").exists()

    third, _ = run(student, pairs, first, **own, seed=5)  # other settings: a further round, from the newest adapter
    assert third.resumed_from == 0
    assert weights(first / "training.2" / "adapter") == weights(tmp_path / "apart" / "adapter")
    assert run(student, pairs, first, **own, seed=5)[0].resumed_from == 3


@pytest.mark.parametrize("killed_at", [1, 2])
def test_a_second_round_resumes_after_a_kill(student, pairs, tmp_path, first, killed_at):
    whole = tmp_path / "whole"
    shutil.copytree(first, whole)
    run(student, pairs, whole, init_adapter=str(whole / "adapter"))
    with pytest.raises(Killed):
        run(student, pairs, first, killed_at=killed_at, init_adapter=str(first / "adapter"))
    assert not (first / "adapter").exists()
    result, said = run(student, pairs, first, init_adapter=str(first / "adapter"))
    assert result.resumed_from == killed_at - 1  # a step is saved after it was told
    assert not any("changed" in text for text in said)
    assert weights(first / "adapter") == weights(whole / "adapter")
    assert sorted(path.name for path in first.glob("training*")) == ["training.1", "training.json"]


def test_an_initial_adapter_that_cannot_be_opened_leaves_the_old_output_in_place(student, pairs, first, make_student):
    other = make_student(first.parent / "other", hidden_size=16, intermediate_size=16)
    before = {path.name for path in first.iterdir()}
    with pytest.raises(ModelError, match="init_adapter"):
        run(other, pairs, first, init_adapter=str(first / "adapter"))
    assert {path.name for path in first.iterdir()} == before
    assert run(student, pairs, first)[1] == ["trained already: 3 steps"]


def test_an_adapter_that_no_training_record_names_is_moved_aside_and_not_replaced(student, pairs, tmp_path, first):
    (tmp_path / "new").mkdir()
    (first / "adapter").rename(tmp_path / "new" / "adapter")
    before = weights(tmp_path / "new" / "adapter")
    run(student, pairs, tmp_path / "new", init_adapter=str(tmp_path / "new" / "adapter"))
    assert weights(tmp_path / "new" / "training.1" / "adapter") == before


def test_the_newest_adapter_that_was_moved_aside_is_the_one_with_the_highest_number(tmp_path):
    for number in (2, 10, 11):
        (tmp_path / f"training.{number}" / "adapter").mkdir(parents=True)
    for number in (2, 10):
        (tmp_path / f"training.{number}" / "adapter" / "adapter_config.json").write_text("{}")
    (tmp_path / "training.json").write_text("{}")
    (found,) = initial_adapters(tmp_path, str(tmp_path / "adapter"))
    assert found.folder == str(tmp_path / "training.10" / "adapter")
    assert initial_adapters(tmp_path, None) == [None]
    with pytest.raises(InputError, match="is not a peft adapter"):
        initial_adapters(tmp_path, str(tmp_path / "nowhere"))


# What the settings were before losses could have options of their own, and before `reference`.
OLD = {
    "method": "dpo",
    "loss": {"name": "dpo", "beta": 0.1, "label_smoothing": None, "gamma": None, "penalty": None},
    "lora": {"rank": 16, "alpha": None, "dropout": 0.0, "targets": ["all-linear"]},
    "learning_rate": 5e-6,
    "epochs": 1.0,
    "max_steps": None,
    "batch_size": 16,
    "gradient_accumulation": 1,
    "tokens_per_batch": 8192,
    "max_tokens": 2048,
    "overlong": "drop",
    "layout": "auto",
    "optimizer": "adamw",
    "scheduler": "linear",
    "warmup_steps": 0,
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "sft_weight": 0.0,
    "memory": "auto",
    "activation_checkpointing": "auto",
    "init_adapter": None,
    "shuffle": True,
    "seed": 0,
    "checkpoint_every": 50,
}


@pytest.mark.parametrize(
    ("loss", "old"),
    [
        (Loss(), {}),
        (Loss("simpo", 2.0), {"name": "simpo", "beta": 2.0}),
        (Loss("simpo", 2.0, gamma=0.5), {"name": "simpo", "beta": 2.0, "gamma": 0.5}),
        (Loss("robust", label_smoothing=0.1), {"name": "robust", "label_smoothing": 0.1}),
        (Loss("dpop", penalty=5.0), {"name": "dpop", "penalty": 5.0}),
    ],
)
def test_settings_that_earlier_versions_had_keep_their_digest(loss, old):
    settings = {field.name: OLD[field.name] for field in dataclasses.fields(TrainingConfig) if field.name in OLD}
    config = TrainingConfig(**{**settings, "lora": Lora(), "loss": loss})
    assert digest(config.identity()) == digest({**OLD, "loss": {**OLD["loss"], **old}})


def test_the_reference_joins_the_digest_where_it_is_not_the_bare_model():
    bare = TrainingConfig().identity()
    assert TrainingConfig(reference="base").identity() == TrainingConfig(reference="init").identity() == bare
    base, init = (TrainingConfig(init_adapter="a", reference=kind).identity() for kind in ("base", "init"))
    assert TrainingConfig(init_adapter="a").identity() == init == {**base, "reference": "init"}
    assert base == {**bare, "init_adapter": "a"}


def test_a_finished_training_of_an_earlier_version_is_read(student, pairs, first):
    record = json.loads((first / "training.json").read_text())
    del record["report"]["unit"], record["sha256"], record["digest"]
    (first / "training.json").write_text(json.dumps(record))
    result, said = run(student, pairs, first)
    assert said == ["trained already: 3 steps"]
    assert str(result.report).startswith("12 pairs: 12 kept")


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json", "tokenizer.json"])
def test_a_damaged_adapter_is_not_called_trained_already(student, pairs, first, name):
    file = first / "adapter" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert intact(first) == [f"adapter/{name}"]
    with pytest.raises(InputError, match=f"{name}: damaged since the training ended; put back a copy, or delete"):
        run(student, pairs, first)


def test_deleting_a_damaged_training_trains_the_same_adapter_again(student, pairs, first):
    before = weights(first / "adapter")
    (first / "training.json").write_text((first / "training.json").read_text().replace('"steps": 3', '"steps": 4'))
    with pytest.raises(InputError, match=r"training\.json: damaged since"):
        run(student, pairs, first)
    (first / "training.json").write_text("")
    with pytest.raises(InputError, match=r"training\.json cannot be read; put back a copy, or delete it"):
        run(student, pairs, first)
    (first / "training.json").unlink()
    shutil.rmtree(first / "adapter")
    run(student, pairs, first)
    assert weights(first / "adapter") == before


def test_a_damaged_cache_of_the_reference_is_computed_again_with_a_word(student, pairs, first):
    (cache,) = (first / "reference").iterdir()
    whole = cache.read_bytes()
    flipped = bytearray(whole)
    flipped[-3] ^= 1
    for damaged in (bytes(flipped), whole[: len(whole) // 2], b""):
        cache.write_bytes(damaged)
        shutil.rmtree(first / "adapter")
        (first / "training.json").unlink()
        _, said = run(student, pairs, first)
        assert any("is damaged; the log-probabilities of the reference are computed again" in text for text in said)
        assert cache.read_bytes() == whole
