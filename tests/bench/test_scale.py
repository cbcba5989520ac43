"""The simulation of many machines agrees with what is known in closed form; its costs are those that are measured."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict, replace

import pytest

from cai_lite.bench import scale
from cai_lite.bench.costs import PARTS
from cai_lite.bench.scale import CALLS, STAGES, Costs, Plan, designs, limits, makespan, scaled

FREE = Costs(call=0.0, row=0.0, commit=0.0, walk=0.0, ends=0.0)
SMALL = Plan(prompts=4096, nodes=4, under_way=64)


@pytest.mark.parametrize(("groups", "places"), [(12, 4), (13, 4), (3, 4)])
def test_without_stations_the_work_is_divided_among_the_places(groups, places):
    assert makespan(groups, places, 2.0, []) == pytest.approx(2.0 * math.ceil(groups / places))


def test_in_one_place_it_is_the_sum_of_all_steps():
    assert makespan(10, 1, 2.0, [(3, 0.5), (1, 0.25)]) == pytest.approx(10 * 2.75)


@pytest.mark.parametrize("places", [1, 3, 8, 9, 20])
def test_fixed_times_obey_the_bottleneck_law(places):
    work, service, groups = 4.0, 0.5, 4000
    expected = min(places / (work + service), 1 / service)
    assert groups / makespan(groups, places, work, [(1, service)]) == pytest.approx(expected, rel=0.01)


def test_two_servers_of_a_station_do_twice_as_much():
    assert makespan(4000, 50, 1.0, [(2, 0.5)]) == pytest.approx(1000, rel=0.01)


@pytest.mark.parametrize("places", [2, 6, 12])
def test_drawn_times_agree_with_mean_value_analysis(places):
    """Reiser and Lavenberg 1980: the throughput of N customers with a think time and one exponential server."""
    work, service, queue, rate = 3.0, 0.5, 0.0, 0.0
    for customers in range(1, places + 1):
        rate = customers / (work + service * (1 + queue))
        queue = rate * service * (1 + queue)
    found = 20_000 / makespan(20_000, places, work, [(1, service)], exponential=True)
    assert found == pytest.approx(rate, rel=0.03)


def test_a_place_that_fails_begins_its_group_anew():
    work, lasts, repair = 1.0, 2.0, 0.3
    expected = (math.exp(work / lasts) - 1) * (lasts + repair)  # of a group, with failures at any time
    assert makespan(20_000, 1, work, [], lasts=lasts, repair=repair) / 20_000 == pytest.approx(expected, rel=0.03)


def test_with_free_stations_the_nodes_are_busy_and_their_hours_are_the_work():
    found = scaled(replace(SMALL, prompts=2**16), FREE)
    work = 2**16 * sum(stage.calls * SMALL.seconds(stage) for stage in STAGES)
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
    plans = dict(designs(replace(SMALL, prompts=2**16)))
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
    given = ["--prompts", "4096", "--nodes", "2", "--speed", "8000", "--costs", str(tmp_path / "costs.json")]
    monkeypatch.setattr(sys, "argv", ["scale", *given, "--json", str(tmp_path / "out.json")])
    scale.main()
    assert "4,096 prompts on 2 nodes" in capsys.readouterr().out
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["runs"][0]["design"] == "one process" and len(found["runs"]) == 3
    assert found["runs"][0]["rows_per_second"] * found["runs"][0]["calling_hours"] * 3600 == pytest.approx(4096 * CALLS)
