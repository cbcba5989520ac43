import json
import sys

import numpy as np
import pytest

from cai_lite.bench import coverage
from cai_lite.bench.coverage import KINDS, Cell, cells, covered, family_sizes, measure


def test_the_halves_share_no_cell_and_both_have_every_rate():
    found = list(cells("rate"))
    assert len(found) == len({each[:-1] for each in found})
    halves = [[each for each in found if each.half == half] for half in coverage.HALVES]
    assert abs(len(halves[0]) - len(halves[1])) < 20
    for half in halves:
        assert {min(each.rates[0], round(1 - each.rates[0], 9)) for each in half} == set(coverage.RATES)


@pytest.mark.parametrize("uneven", [False, True])
def test_every_family_has_an_observation(uneven):
    for n, families in ((20, 8), (500, 150), (100, 6)):
        found = family_sizes(Cell("rate", (0.1,), n, families, 0.3, uneven, "tuning"))
        assert found.sum() == n and len(found) == families and found.min() >= 1


def test_the_simulated_families_correlate_as_stated():
    cell = Cell("rate", (0.3,), 20_000, 10_000, 0.4, False, "tuning")
    family_N = np.repeat(np.arange(10_000), 2)
    pairs = coverage._values(cell, 0.3, family_N, np.random.default_rng(0)).reshape(-1, 2)
    assert pairs.mean() == pytest.approx(0.3, abs=0.01)
    assert np.corrcoef(pairs.T)[0, 1] == pytest.approx(0.4, abs=0.03)


def test_the_table_is_printed_and_written(monkeypatch, tmp_path, capsys):
    path = tmp_path / "cells.json"
    words = ["coverage", "--kind", "change", "mean", "--draws", "5", "--every", "300", "--json", str(path)]
    monkeypatch.setattr(sys, "argv", words)
    coverage.main()
    printed = capsys.readouterr().out
    assert "change: coverage of 95 % intervals" in printed and "held-out" in printed
    assert {row["kind"] for row in json.loads(path.read_text())} == {"change", "mean"}


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_a_rate_at_the_edge_is_always_covered_with_a_width(rate):
    coverage_, width, _ = covered(Cell("rate", (rate,), 50, 8, 0.0, False, "tuning"), 5)
    assert coverage_ == 1 and 0.1 < width < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_intervals_cover_on_cells_that_served_no_tuning(kind):
    """At 400 samples a cell, the standard error is 1.1 points at 95 %: single cells may lie three of them lower."""
    rows = measure([kind], ["held-out"], 400, every=31 if kind != "mean" else 3)
    found = [row["coverage"] for row in rows]
    assert 0.945 < np.mean(found) < 0.985
    assert min(found) > 0.86
    assert np.mean([each < 0.92 for each in found]) < 0.12
    ordinary = [row["coverage"] for row in rows if row["rarer"] >= 25 and row["families"] >= 20]
    assert 0.935 < np.mean(ordinary) < 0.97
