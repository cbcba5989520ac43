"""Rows in a file train like rows in memory, and reading many pairs takes no memory for each."""

from __future__ import annotations

import json
import tracemalloc

import pytest

import cai_lite as cai
from cai_lite.chat.turns import Turns
from cai_lite.errors import PairError
from cai_lite.inputs.pairs import as_pairs, load_pairs, read_pairs, save_pairs
from cai_lite.records import digest, digest_of_list
from cai_lite.run import mapped
from cai_lite.run.mapped import Mapped, Subset
from cai_lite.training import held_out
from cai_lite.training.config import Lora, Loss, TrainingConfig
from cai_lite.training.held_out import split
from cai_lite.training.loop import train
from cai_lite.training.methods import METHODS
from cai_lite.training.stored import rows_of
from cai_lite.training.tokens import percentiles

CONFIG = TrainingConfig(
    learning_rate=5e-3, batch_size=4, lora=Lora(rank=2), loss=Loss("dpo", 0.5), epochs=2, checkpoint_every=2
)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(mapped, "IN_MEMORY", 5)


@pytest.fixture
def many(make_pair):
    labels = (1.0, 0.8)
    return [
        make_pair("q" * (i % 5 + 1) + str(i), "yes" * (i % 3 + 1), "no" * (i % 4 + 1), labels[i % 2]) for i in range(24)
    ]


def rows(turns, data, path, **more):
    config = TrainingConfig(**more)
    return rows_of(METHODS["dpo"], turns, data, config, max_tokens=config.max_tokens, path=path)


@pytest.mark.parametrize("more", [{}, {"max_tokens": 22}, {"max_tokens": 22, "overlong": "cut_prompt"}])
def test_rows_in_a_file_are_those_in_memory_and_so_is_the_report(tokenizer, many, tmp_path, monkeypatch, more):
    turns = Turns(tokenizer)
    whole, told = rows(turns, many, tmp_path / "none", **more)
    monkeypatch.setattr(mapped, "IN_MEMORY", 5)
    stored, report = rows(turns, many, tmp_path / "rows.arrow", **more)
    assert isinstance(whole, list) and isinstance(stored, Mapped)
    assert list(stored) == whole
    assert [row.key for row in stored] == [row.key for row in whole]
    assert report == told


def test_parts_without_a_row_are_counted_and_all_of_them_are_an_error(tokenizer, many, tmp_path, make_pair, small):
    turns, long = Turns(tokenizer), [make_pair("q" * 99, "yes", "no")] * 7
    stored, report = rows(turns, [*long, *many], tmp_path / "rows.arrow", max_tokens=60)
    assert (len(stored), report.pairs, report.dropped) == (24, 31, {"longer than max_tokens": 7})
    with pytest.raises(PairError) as caught:
        rows(turns, long, tmp_path / "rows.arrow", max_tokens=60)
    assert str(caught.value) == (
        "no pairs to train on: all 7 were dropped: 7 longer than max_tokens (max_tokens 60, overlong drop)"
    )


@pytest.mark.parametrize("more", [{}, {"eval_every": 3}])
def test_a_training_from_files_ends_in_the_bytes_of_one_from_memory(student, many, tmp_path, monkeypatch, more):
    config = TrainingConfig(**{name: getattr(CONFIG, name) for name in CONFIG.__slots__} | more)
    train(student, many, config=config, out=tmp_path / "memory")
    save_pairs(tmp_path / "pairs.jsonl", many)
    monkeypatch.setattr(mapped, "IN_MEMORY", 5)
    cai.train(student, tmp_path / "pairs.jsonl", config=config, out=tmp_path / "files")
    for name in ("adapter/adapter_model.safetensors", "training.json", "metrics.jsonl"):
        found, expected = ((tmp_path / out / name).read_bytes() for out in ("files", "memory"))
        if name == "metrics.jsonl":
            found, expected = (
                [{k: v for k, v in json.loads(line).items() if k != "tokens_per_second"} for line in text.splitlines()]
                for text in (found, expected)
            )
        if name == "training.json":
            found, expected = (
                {k: v for k, v in json.loads(text).items() if k in ("identity", "report", "steps")}
                for text in (found, expected)
            )
        assert found == expected, name
    assert not [path for path in (tmp_path / "files").iterdir() if path.name.startswith(".rows")]


def test_pairs_in_a_file_are_those_in_memory_without_their_evidence(many, tmp_path, small):
    save_pairs(tmp_path / "pairs.jsonl", many)
    found, bad = read_pairs(tmp_path / "pairs.jsonl", aside=tmp_path / "more" / "pairs.arrow")
    assert isinstance(found, Mapped) and not bad
    assert list(found) == load_pairs(tmp_path / "pairs.jsonl")
    assert list(as_pairs(cai.to_dataset(many), tmp_path / "more" / "set.arrow")) == many


def test_the_split_of_many_pairs_is_that_of_a_list(many, tmp_path, small):
    save_pairs(tmp_path / "pairs.jsonl", many)
    stored, _ = read_pairs(tmp_path / "pairs.jsonl", aside=tmp_path / "pairs.arrow")
    found, expected = (split(data, METHODS["dpo"], lambda _: None) for data in (stored, many))
    assert isinstance(found[0], Subset)
    assert [list(side) for side in found] == [list(side) for side in expected]
    assert METHODS["dpo"].data_digest(found[0]) == METHODS["dpo"].data_digest(list(expected[0]))


@pytest.mark.parametrize("items", [[], ["a"], ["a", [1, "ä\ud800"], {"b": 1}]])
@pytest.mark.parametrize(("before", "after"), [((), ()), (("x", ("y", 1)), ()), ((), ("z",)), (("x",), ("y", "z"))])
def test_the_digest_of_a_list_is_that_of_its_items_one_by_one(items, before, after):
    assert digest_of_list(iter(items), before=before, after=after) == digest(*before, items, *after)


def test_percentiles_are_those_of_the_standard_library():
    from statistics import quantiles

    for lengths in ([7, 7], [1, 2, 9], [5, 3, 8, 1, 9, 9, 4], list(range(100, 0, -3))):
        cuts = quantiles(lengths, n=20, method="inclusive")
        assert percentiles(lengths) == tuple(round(cuts[place]) for place in (0, 9, 18))
    assert percentiles([4]) == (4, 4, 4)


def test_reading_splitting_and_tokenizing_take_no_memory_for_each_pair(tokenizer, tmp_path, monkeypatch):
    from cai_lite.bench.reading import lines

    monkeypatch.setattr(mapped, "IN_MEMORY", 100)
    monkeypatch.setattr(mapped, "_WRITTEN", 50)
    monkeypatch.setattr(held_out, "LIMIT", 10)
    turns, peaks, method = Turns(tokenizer), [], METHODS["dpo"]
    for count in (150, 300, 900):  # the first one warms caches
        (tmp_path / "pairs.jsonl").write_text("".join(lines(count)), encoding="utf-8")
        tracemalloc.start()
        data, _ = read_pairs(tmp_path / "pairs.jsonl", aside=tmp_path / f"pairs-{count}")
        kept, _ = split(data, method, lambda _: None)
        method.data_digest(kept)
        stored, _ = rows(turns, kept, tmp_path / f"rows-{count}")
        assert sum(row.tokens for row in stored) > 0
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.25 * peaks[1]
