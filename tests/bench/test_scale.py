"""A plan takes what its nodes and stations add up to, at the costs that are measured."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace

import pytest

from cai_lite.bench import scale
from cai_lite.bench.costs import PARTS
from cai_lite.bench.scale import CALLS, STAGES, Costs, Plan, designs, limits, scaled

FREE = Costs(call=0.0, row=0.0, commit=0.0, walk=0.0, ends=0.0)
SMALL = Plan(prompts=4096, nodes=4, under_way=64)


def test_with_free_stations_the_nodes_are_busy_and_their_hours_are_the_work():
    found = scaled(replace(SMALL, prompts=2**14), FREE)
    work = 2**14 * sum(stage.calls * SMALL.seconds(stage) for stage in STAGES)
    assert found["hours"] * 3600 * SMALL.nodes == pytest.approx(work, rel=0.02)
    assert found["busy"] == pytest.approx(1.0, rel=0.02)
    assert found["dollars_high"] == pytest.approx(found["hours"] * SMALL.nodes * SMALL.gpus * SMALL.price[1])


def test_where_it_bends_is_where_more_nodes_no_longer_help():
    costs, size = replace(FREE, call=1e-9, row=1e-3), SMALL.under_way // scale.WAYS
    full = limits(SMALL, costs)["the ledger's writer"]
    assert full == pytest.approx(1 / (costs.row * SMALL.rate)) and size == 16
    few, many = (scaled(replace(SMALL, nodes=round(n), clients=999), costs)["rows_per_second"] for n in (full / 3, 9))
    assert few == pytest.approx(round(full / 3) * SMALL.rate, rel=0.1)
    assert many <= 1 / costs.row * 1.01


def test_designs_part_the_prompts_among_ledgers():
    plans = dict(designs(replace(SMALL, prompts=2**13)))
    found = {name: scaled(plan, Costs()) for name, plan in plans.items()}
    hours = [each["hours"] for each in found.values()]
    assert hours == sorted(hours, reverse=True)
    whole, parted = found["one process"], found["and a ledger a node"]
    assert parted["memory_bytes"] == pytest.approx(whole["memory_bytes"] / SMALL.nodes)
    assert parted["disk_bytes"] == whole["disk_bytes"]


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("costs")
    sizes = {"ledger": (200,), "walk": (3, 6), "prompts": (100,), "calls": (4,)}
    return {
        part: [{**row, "peak_bytes": n} for n in sizes[part] for row in work(n, folder / f"{part}-{n}")]
        for part, work in PARTS.items()
    }


def test_every_part_is_measured_and_gives_the_costs(measured):
    assert measured["walk"][1]["calls"] >= 10 and measured["calls"][0]["calls"] == 4
    assert 150 < measured["ledger"][0]["rows"] <= 200
    costs = Costs.measured(measured)
    assert all(value > 0 for name, value in asdict(costs).items() if name != "walk")


def test_the_command_prints_tables_and_writes_all_figures(measured, tmp_path, monkeypatch, capsys):
    (tmp_path / "costs.json").write_text(json.dumps(measured))
    given = ["--prompts", "4096", "--nodes", "1", "2", "--speed", "8000", "--costs", str(tmp_path / "costs.json")]
    monkeypatch.setattr(sys, "argv", ["scale", *given, "--json", str(tmp_path / "out.json")])
    scale.main()
    assert "4,096 prompts" in capsys.readouterr().out
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["runs"][0]["design"] == "one process" and len(found["runs"]) == 6
    assert found["runs"][0]["rows_per_second"] * found["runs"][0]["calling_hours"] * 3600 == pytest.approx(4096 * CALLS)
