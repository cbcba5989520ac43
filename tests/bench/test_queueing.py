"""The simulation agrees with what is known of queueing networks in closed form."""

from __future__ import annotations

import math

import pytest

from cai_lite.bench.queueing import makespan


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


def test_a_group_lost_at_the_end_is_begun_anew_where_a_place_is_free():
    found = makespan(200, 100, 1.0, [], lasts=20.0, repair=1000.0)
    assert 2.0 < found < 6.0


def test_a_place_that_fails_begins_its_group_anew():
    work, lasts, repair = 1.0, 2.0, 0.3
    expected = (math.exp(work / lasts) - 1) * (lasts + repair)  # of a group, with failures at any time
    assert makespan(20_000, 1, work, [], lasts=lasts, repair=repair) / 20_000 == pytest.approx(expected, rel=0.03)
