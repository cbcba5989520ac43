"""Rows in a file are those that were put in, and reading them takes no memory for each."""

from __future__ import annotations

import os
import random
import re
import tracemalloc
from pathlib import Path

import pytest

from cai_lite.run import mapped
from cai_lite.run.mapped import Form, Mapped, Spill, Subset, scratch


def features():
    from datasets import Value

    return {"text": Value("string"), "number": Value("int64")}


def pack(rows):
    return {"text": [text for text, _ in rows], "number": [number for _, number in rows]}


def unpack(table):
    return list(zip(table.column("text").to_pylist(), table.column("number").to_pylist(), strict=True))


FORM = Form(features, pack, unpack)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(mapped, "IN_MEMORY", 10)
    monkeypatch.setattr(mapped, "_BATCH", 4)
    monkeypatch.setattr(mapped, "_WRITTEN", 6)
    monkeypatch.setattr(mapped, "_HELD", 2)


def spilled(path, count):
    spill = Spill(path, FORM)
    spill.extend((f"ä{i}", i) for i in range(count))
    assert len(spill) == count
    return spill.done()


@pytest.mark.parametrize("count", [0, 1, 10])
def test_few_rows_stay_a_list_and_write_no_file(small, tmp_path, count):
    rows = spilled(tmp_path / "rows.arrow", count)
    assert rows == [(f"ä{i}", i) for i in range(count)]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("count", [11, 12, 15, 40])
def test_many_rows_read_as_the_list_would(small, tmp_path, count):
    rows, expected = spilled(tmp_path / "more" / "rows.arrow", count), [(f"ä{i}", i) for i in range(count)]
    assert isinstance(rows, Mapped) and len(rows) == count
    assert list(rows) == expected
    assert [rows[i] for i in range(count)] == expected
    assert [rows[-1], rows[-count]] == [expected[-1], expected[0]]
    for part in (slice(None), slice(3, 9), slice(5, 99), slice(9, 3), slice(None, None, 3), slice(None, None, -1)):
        assert rows[part] == expected[part]
    for wrong in (count, -count - 1):
        with pytest.raises(IndexError):
            rows[wrong]


@pytest.mark.parametrize("places", [[], [0], [3, 4, 9, 10], [1, 39], [7, 2, 2], list(range(0, 40, 2))])
def test_a_subset_reads_its_places(small, tmp_path, places):
    rows = spilled(tmp_path / "rows.arrow", 40)
    expected = [(f"ä{i}", i) for i in places]
    some = Subset(rows, places)
    assert list(some) == [some[i] for i in range(len(some))] == some[:] == expected
    assert some[1:3] == expected[1:3]


def test_scratch_is_removed_with_what_was_left_by_a_killed_process(tmp_path):
    for name in (".rows-train-1", f".rows-pairs-{os.getpid()}", ".rows"):
        (tmp_path / "out" / name).mkdir(parents=True)
    with scratch(tmp_path / "out", "pairs"), scratch(tmp_path / "out", "train", clear=True) as inside:
        inside.mkdir()
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".rows", inside.name]
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".rows"]


def test_a_folder_that_scratch_alone_made_is_removed_again(tmp_path):
    with scratch(tmp_path / "out", "pairs") as inside:
        inside.mkdir(parents=True)
    assert not (tmp_path / "out").exists()
    with scratch(tmp_path / "out", "pairs") as inside:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "kept").touch()
    assert (tmp_path / "out" / "kept").exists()


def test_writing_and_reading_take_no_memory_for_each_row(tmp_path):
    peaks = []
    spilled(tmp_path / "warm.arrow", mapped.IN_MEMORY + 1)[0]  # imports
    for count in (10_000, 30_000):
        tracemalloc.start()
        assert sum(number for _, number in spilled(tmp_path / f"{count}.arrow", count)) == count * (count - 1) // 2
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="nothing says what is resident of a file")
def test_pages_of_rows_that_were_read_are_given_back(tmp_path):
    def resident():
        found = re.search(rf"{path}\n.*?\nRss: +(\d+) kB", Path("/proc/self/smaps").read_text(), re.S)
        return int(found[1]) * 1024

    path, count, most = tmp_path / "rows.arrow", 10_000, 0
    spill = Spill(path, FORM)
    spill.extend(("long " * 500, i) for i in range(count))
    rows, draw = spill.done(), random.Random(0)
    for i in range(800):
        place = draw.randrange(count)
        assert rows[place][1] == place
        most = max(most, resident()) if i % 20 == 3 else most
    assert sum(1 for _ in rows) == count
    most = max(most, resident())
    assert most < 0.4 * path.stat().st_size
