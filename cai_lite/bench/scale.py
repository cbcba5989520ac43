"""Say on paper what a run on many machines takes, and where it bends first: `python -m cai_lite.bench.scale`.

A closed queueing network is simulated (`bench.queueing`). A node works on a few groups of calls at a time; each is
followed by another once its replies have gone through the stations behind it: processes that hold connections, then the
ledger, which has one writer. A group of a node that fails is begun anew elsewhere. What the stations take is measured
by `bench.costs` (`--costs` reads its file); what a node does is assumed, and every assumption is a field of `Plan`.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

from rich.table import Table

from cai_lite.bench.queueing import makespan
from cai_lite.run.progress import Terminal

WAYS = 4  # groups that a node has under way


class Stage(NamedTuple):
    """A stage of the walk: calls a prompt, as `bench.costs` counts them; tokens read and written in each, assumed."""

    name: str
    calls: float
    read: int
    written: int


STAGES = (
    Stage("draft", 2.0, 150, 400),
    Stage("critique", 4.0, 800, 80),
    Stage("revise", 1.5, 1000, 400),
    Stage("critique of revisions", 3.0, 800, 80),
    Stage("judge", 4.0, 1200, 4),
)
CALLS = sum(stage.calls for stage in STAGES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What a run takes on one core, seconds and bytes; as measured for recipes/results/scale.md.

    `call`: of a process that holds connections, for a call. `row`: of the ledger's writer, for a reply, and `commit`
    for a transaction. `walk`: for a prompt, without the replies; no call is made meanwhile. `ends`: for a prompt,
    before and after all calls: read, filtered. `again`: for a known call, when a run goes on. `memory`, `disk`: for a
    prompt.
    """

    call: float = 1.57e-3
    row: float = 80e-6
    commit: float = 3.8e-3
    walk: float = 1.5e-3
    ends: float = 0.83e-3
    again: float = 141e-6
    memory: float = 27.6e3
    disk: float = 18.9e3

    @staticmethod
    def measured(found: Mapping[str, Sequence[Mapping[str, float]]]) -> Costs:
        """Return the costs in the file that `bench.costs --json` writes, each at the largest size."""
        ledger, walk, prompts, calls = (found[part][-1] for part in ("ledger", "walk", "prompts", "calls"))
        first, asked = found["walk"][0], walk["calls"]
        stages = sum(walk[f"us {name}"] for name in ("draft", "critique", "revise", "judge"))
        return Costs(
            call=calls["us_call"] / 1e6,
            row=ledger["us_row"] / 1e6,
            commit=(ledger["alone_wall_us_row"] - ledger["us_row"]) / 1e6,
            walk=(stages - asked * ledger["us_row"]) / 1e6,
            ends=(prompts["us_read"] + prompts["us_leak"] + walk["us pair"] + walk["us filter"]) / 1e6,
            again=walk["us draft again"] / STAGES[0].calls / 1e6,
            memory=(walk["peak_bytes"] - first["peak_bytes"]) / (walk["prompts"] - first["prompts"]),
            disk=walk["bytes"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is asked, of which machines; assumed.

    `speed`: tokens a second that a GPU writes with many calls under way. `reading`: tokens that it reads in the time of
    one written. `under_way`: calls of a node. `lasts`, `repair`: hours of a node until it fails, on average, and until
    it is back. `clients`: processes that hold connections; 0 for one, which is the ledger's, too. `ledgers`: runs that
    share the prompts, each with its part of nodes and clients. `price`: of a GPU hour, lowest and highest.
    """

    prompts: int = 10_000_000
    nodes: int = 64
    gpus: int = 8
    speed: float = 8000.0
    reading: float = 10.0
    under_way: int = 2048
    lasts: float = 720.0
    repair: float = 0.5
    clients: int = 0
    ledgers: int = 1
    price: tuple[float, float] = (2.0, 4.0)

    def seconds(self, stage: Stage) -> float:
        """Return the seconds of a node for one call of a stage."""
        return (stage.written + stage.read / self.reading) / (self.gpus * self.speed)

    @property
    def rate(self) -> float:
        """Return how many calls one node answers in a second, averaged over the stages."""
        return CALLS / sum(stage.calls * self.seconds(stage) for stage in STAGES)


def scaled(plan: Plan, costs: Costs) -> dict[str, float]:
    """Return what a plan takes: hours, GPU hours, dollars, bytes, and the rows a second that its ledgers are asked."""
    size = plan.under_way // WAYS
    row, alone = size * costs.row + costs.commit, size * (costs.call + costs.row) + costs.commit
    clients = max(1, plan.clients // plan.ledgers)
    stations = [(clients, size * costs.call), (1, row)] if plan.clients else [(1, alone)]
    calling = sum(
        makespan(
            math.ceil(plan.prompts / plan.ledgers * stage.calls / size),
            max(1, plan.nodes // plan.ledgers) * WAYS,
            plan.under_way * plan.seconds(stage),
            stations,
            lasts=plan.lasts * 3600,
            repair=plan.repair * 3600,
        )
        for stage in STAGES
    )
    share = plan.prompts / plan.ledgers
    hours = (calling + share * (costs.walk + costs.ends)) / 3600
    gpu_hours = hours * plan.nodes * plan.gpus
    return {
        "hours": hours,
        "calling_hours": calling / 3600,
        "gpu_hours": gpu_hours,
        "busy": plan.prompts * CALLS / plan.rate / 3600 / (hours * plan.nodes),
        "dollars_low": gpu_hours * plan.price[0],
        "dollars_high": gpu_hours * plan.price[1],
        "rows_per_second": plan.prompts * CALLS / calling,
        "resume_hours": share * (CALLS * costs.again + costs.walk) / 3600,
        "memory_bytes": share * costs.memory,
        "disk_bytes": plan.prompts * costs.disk,
    }


def limits(plan: Plan, costs: Costs) -> dict[str, float]:
    """Return the number of nodes at which each part is saturated, by the bottleneck law."""
    size = plan.under_way // WAYS
    writer = size * costs.row + costs.commit
    return {
        "one process for connections and ledger": size / (size * costs.call + writer) / plan.rate,
        "the ledger's writer": size / writer / plan.rate,
        "the ledger's writer, a commit a row": 1 / (costs.row + costs.commit) / plan.rate,
        "a process for connections": 1 / costs.call / plan.rate,
    }


def designs(plan: Plan) -> Iterator[tuple[str, Plan]]:
    """Yield the plan as the library is, with connections held beside the nodes, and as one run for each node."""
    yield "one process", plan
    yield "connections at the nodes", replace(plan, clients=2 * plan.nodes)
    yield "and a ledger a node", replace(plan, clients=2 * plan.nodes, ledgers=plan.nodes)


def main() -> None:
    """Simulate, and print two tables."""
    parser = argparse.ArgumentParser(prog="python -m cai_lite.bench.scale", description=__doc__)
    parser.add_argument("--costs", type=Path, help="what `bench.costs --json` wrote, instead of the costs noted here")
    parser.add_argument("--prompts", type=int, default=Plan().prompts)
    parser.add_argument("--nodes", type=int, nargs="+", default=[Plan().nodes], help="of 8 GPUs each")
    parser.add_argument("--speed", type=float, nargs="+", default=[2000.0, 8000.0, 20_000.0], help="tokens/s of a GPU")
    parser.add_argument("--lasts", type=float, default=Plan().lasts, help="hours of a node until it fails, on average")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    given = parser.parse_args()
    costs = Costs.measured(json.loads(given.costs.read_text(encoding="utf-8"))) if given.costs else Costs()
    plans = [
        Plan(prompts=given.prompts, nodes=nodes, speed=speed, lasts=given.lasts)
        for speed in given.speed
        for nodes in given.nodes
    ]
    heads = ("tokens/s", "nodes", "design", "hours", "busy", "GPU hours", "dollars", "rows/s", "resume h", "GB", "TB")
    table = Table(*heads, title=f"{given.prompts:,} prompts; GB of memory a ledger, TB of disk", title_justify="left")
    rows = []
    for plan in plans:
        for name, design in designs(plan):
            found = scaled(design, costs)
            rows.append({"design": name, **asdict(design), **found})
            table.add_row(
                f"{plan.speed:,.0f}",
                f"{plan.nodes}",
                name,
                f"{found['hours']:,.1f}",
                f"{found['busy']:.0%}",
                f"{found['gpu_hours']:,.0f}",
                f"{found['dollars_low']:,.0f} to {found['dollars_high']:,.0f}",
                f"{found['rows_per_second']:,.0f}",
                f"{found['resume_hours']:.1f}",
                f"{found['memory_bytes'] / 1e9:,.1f}",
                f"{found['disk_bytes'] / 1e12:.2f}",
            )
    full = {speed: limits(Plan(speed=speed), costs) for speed in given.speed}
    bends = Table("full at so many nodes", *(f"{speed:,.0f} tokens/s" for speed in full))
    for part in limits(Plan(), costs):
        bends.add_row(part, *(f"{of[part]:,.2f}" for of in full.values()))
    Terminal().print(table, bends)
    if given.json:
        found_all = {"costs": asdict(costs), "runs": rows, "full_at_nodes": full}
        given.json.write_text(json.dumps(found_all, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
