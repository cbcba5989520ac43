"""Pairs of any number, in one file, in shards or as a stream: the same pairs in the same order, in flat memory."""

import json
import random
from pathlib import Path

import pytest

import cai_lite as cai
from cai_lite.errors import PairError
from cai_lite.inputs.pairs import as_pairs, read_pairs
from cai_lite.run import mapped
from cai_lite.run.mapped import Mapped
from cai_lite.training.methods import METHODS


def row(i):
    sides = {"prompt": ("user", f"q{i}"), "chosen": ("assistant", "yes"), "rejected": ("assistant", f"no {i}")}
    messages = {side: [{"role": role, "content": text}] for side, (role, text) in sides.items()}
    return {**messages, "key": f"k{i}", "principle": "kind-tone"}


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row(i)) + "\n" for i in range(22)), encoding="utf-8")
    return path


@pytest.fixture
def shards(tmp_path):
    """Parquet and JSONL, eleven of two rows each, whose names sort otherwise as text than as numbers."""
    from datasets import Dataset

    folder = tmp_path / "shards"
    folder.mkdir()
    for n in range(11):
        rows = [row(2 * n), row(2 * n + 1)]
        if n % 5:
            text = "".join(json.dumps(each) + "\n" for each in rows)
            (folder / f"train-{n}.jsonl").write_text(text, encoding="utf-8")
        else:
            Dataset.from_list(rows).to_parquet(str(folder / f"train-{n}.parquet"))
    (folder / "README.md").write_text("no pairs")
    (folder / ".hidden.jsonl").write_text("no pairs")
    return folder


def test_shards_are_read_in_the_order_of_their_numbers_and_are_the_same_training_as_one_file(lines, shards):
    one, several = cai.load_pairs(lines), cai.load_pairs(shards)
    assert several == one
    assert METHODS["dpo"].data_digest(several) == METHODS["dpo"].data_digest(one)


def test_the_order_of_shards_does_not_depend_on_the_order_in_which_a_folder_lists_them(shards, monkeypatch):
    expected, listed = cai.load_pairs(shards), Path.iterdir
    for seed in range(3):
        draw = random.Random(seed)
        monkeypatch.setattr(
            Path, "iterdir", lambda folder, draw=draw: sorted(listed(folder), key=lambda _: draw.random())
        )
        assert cai.load_pairs(shards) == expected


def test_a_stream_is_read_to_a_file_in_place_of_memory(lines, tmp_path, monkeypatch):
    from datasets import load_dataset

    monkeypatch.setattr(mapped, "IN_MEMORY", 5)
    monkeypatch.setattr(mapped, "_WRITTEN", 4)
    stream = load_dataset("json", data_files=str(lines), split="train", streaming=True, cache_dir=str(tmp_path / "c"))
    found = as_pairs(stream, tmp_path / "aside" / "pairs.arrow")
    assert isinstance(found, Mapped)
    assert [(pair.key, pair.prompt, pair.rejected) for pair in found] == [
        (pair.key, pair.prompt, pair.rejected) for pair in cai.load_pairs(lines)
    ]


def test_a_bad_row_is_named_with_its_shard_and_line(shards):
    (shards / "train-3.jsonl").write_text(json.dumps(row(6)) + "\n{}\n", encoding="utf-8")
    found, bad = read_pairs(shards, max_bad=0.2)
    assert len(found) == 21
    assert [(each.file, each.line) for each in bad] == [(str(shards / "train-3.jsonl"), 2)]
    with pytest.raises(PairError, match=r"train-3\.jsonl:2: "):
        read_pairs(shards, max_bad=0.0)


def test_a_folder_without_shards_is_a_clear_error(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(PairError, match=r"is a folder; give a file, or a folder of \.parquet"):
        read_pairs(tmp_path)
