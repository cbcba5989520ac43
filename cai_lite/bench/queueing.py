"""Simulate a closed queueing network: places that work on groups of calls, and stations that every group passes then.

Source: Denning and Buzen 1978, "The operational analysis of queueing network models".
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from heapq import heappop, heappush, heapreplace


def makespan(
    groups: int,
    places: int,
    work: float,
    stations: Sequence[tuple[int, float]],
    *,
    lasts: float = math.inf,
    repair: float = 0.0,
    exponential: bool = False,
) -> float:
    """Return the seconds until all groups of calls are done in `places` places, which begin together.

    `work`: seconds of a group in its place. `stations`: (servers, seconds) of each station that it passes then, first
    come, first served; its place is free after the last one. `lasts`, `repair`: seconds of a place until it fails, on
    average, and until it is back; whichever place is free begins the lost group anew. `exponential`: draw every time,
    with these means.
    """
    draw = random.Random(0)

    def drawn(mean: float) -> float:
        return draw.expovariate(1 / mean) if exponential and mean else mean

    leaves, failed, repaired = len(stations), len(stations) + 1, len(stations) + 2
    free = [[0.0] * servers for servers, _ in stations]
    fails = [draw.expovariate(1 / lasts) if lasts < math.inf else math.inf for _ in range(places)]
    events, idle, end = [(0.0, place, repaired) for place in range(places)], list[int](), 0.0
    while events:
        now, place, what = heappop(events)
        if what < leaves:
            done = max(now, free[what][0]) + drawn(stations[what][1])
            heapreplace(free[what], done)
            heappush(events, (done, place, what + 1))
            continue
        if what == failed:
            groups += 1
            heappush(events, (now + repair, place, repaired))
            if not idle:
                continue
            place = idle.pop()
        elif what == leaves:
            end = now
        if not groups:
            idle.append(place)
            continue
        groups, took = groups - 1, drawn(work)
        if fails[place] <= now:  # while it had nothing to do, or before it was repaired
            fails[place] = now + draw.expovariate(1 / lasts)
        lost = fails[place] < now + took
        heappush(events, (fails[place], place, failed) if lost else (now + took, place, 0))
    return end
