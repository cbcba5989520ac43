"""Measure what a run pays for each row, as it grows: `python -m cai_lite.bench.costs --json costs.json`.

Each part runs in a process of its own, for its peak memory. Seconds are of the processor, so that other work on the
machine counts little; where a commit waits for the disk they are of the clock. Models answer at once, so what is left
is the library's own time. `bench.scale` says what the figures mean for more prompts and machines than one has.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from cai_lite.chat.endpoint import EndpointModel
from cai_lite.chat.scripted import ScriptedModel
from cai_lite.distill.critiques import SAMPLING, critique
from cai_lite.distill.drafts import draft
from cai_lite.distill.filters import filter_pairs
from cai_lite.distill.leaks import HeldOut
from cai_lite.distill.pairs import pair
from cai_lite.distill.revisions import revise
from cai_lite.distill.verdicts import judge
from cai_lite.inputs.constitution import load_constitution
from cai_lite.inputs.prompts import load_prompts
from cai_lite.records import Message, Reply, Request, Sampling
from cai_lite.run.ledger import Run

DRAFTS, REPLY, PROMPT = 2, 300, 24  # drafts of a prompt, words of a reply and of a prompt
GROUP = 16  # replies that are stored together


class Words:
    """A made-up language of short sentences, in which some words are far more frequent than others."""

    def __init__(self) -> None:
        self._draw = random.Random(0)
        self._pieces = [" ".join(f"w{int(20_000 ** self._draw.random())}" for _ in range(6)) for _ in range(20_000)]

    def text(self, words: int) -> str:
        """Return so many words."""
        return ". ".join(self._draw.choices(self._pieces, k=words // 6))

    def drawn(self, options: Sequence[str]) -> str:
        """Return one of the options."""
        return self._draw.choice(options)


class Teacher(ScriptedModel):
    """A model whose replies arrive some at a time, as those of a busy server do."""

    def answer(self, requests: Sequence[Request]) -> Iterator[dict[int, Reply]]:
        """Yield replies by position."""
        for start in range(0, len(requests), GROUP):
            some = super().answer(requests[start : start + GROUP])
            yield {start + position: reply for one in some for position, reply in one.items()}


def ledger(n: int, folder: Path) -> Iterator[dict[str, Any]]:
    """Write `n` replies; say what the last ones took, and what is asked of them then."""
    words, draw, count = Words(), random.Random(0), min(2000, n // 4)

    def kept(groups: int, size: int) -> dict[str, float]:
        took, waited = 0.0, 0.0
        for _ in range(groups):
            rows = {
                f"{draw.getrandbits(96):024x}": Reply(text=words.text(REPLY), tokens_in=300, tokens_out=400)
                for _ in range(size)
            }
            cpu, wall = time.process_time(), time.perf_counter()
            run.keep_replies("draft", "teacher", rows)
            took, waited = took + time.process_time() - cpu, waited + time.perf_counter() - wall
        return {"us_row": 1e6 * took / groups / size, "wall_us_row": 1e6 * waited / groups / size}

    with Run(folder) as run:
        kept((n - count - count // 4) // 128, 128)
        found = kept(count // GROUP, GROUP) | {f"alone_{k}": v for k, v in kept(count // 4, 1).items()}
        keys = [key for (key,) in run._db.execute("select key from calls order by random() limit 1000")]
        found |= {"us_lookup": 1e3 * clocked(lambda: run.replies(keys))}
        found |= {"ms_first_budget": 1e3 * clocked(run.check_budget), "ms_budget": 1e3 * clocked(run.check_budget)}
        found |= {"us_check": 1e6 * clocked(lambda: list(run.damage())) / n}
    found |= {"ms_open": 1e3 * clocked(lambda: Run(folder).close())}
    yield {"rows": n, **found, "bytes_row": sum(file.stat().st_size for file in folder.glob("run.db*")) / n}


def walk(n: int, folder: Path) -> Iterator[dict[str, Any]]:
    """Walk the teacher's half for `n` prompts, and again with every call known."""
    words, constitution, stages = Words(), load_constitution("medical"), dict[str, float]()
    calls = dict[str, int]()

    def answer(request: Request) -> str:
        if "revise" in stages:
            return words.drawn("AB")
        return words.drawn(["no", "yes"]) if request.sampling == SAMPLING else words.text(REPLY)

    def timed(name: str, make: Callable[[], Any]) -> Any:
        began = time.process_time()
        made = make()
        stages[name] = time.process_time() - began
        calls[name] = len(model.asked)
        model.asked.clear()  # which no other model would hold
        return made

    prompts = [{"prompt": f"{i} {words.text(PROMPT)}", "family": str(i)} for i in range(n)]
    with Run(folder) as run:
        model = Teacher(answer)
        drafts = timed("draft", lambda: draft(model, prompts, n=DRAFTS, run=run))
        critiques = timed("critique", lambda: critique(model, drafts, constitution, run=run))
        revisions = timed("revise", lambda: revise(model, drafts, critiques, constitution, rounds=1, run=run))
        verdicts = timed("judge", lambda: judge(model, [*drafts, *revisions], constitution, run=run))
        pairs = timed("pair", lambda: pair(verdicts, run=run))
        timed("filter", lambda: filter_pairs(pairs, near=0.8))
        timed("draft again", lambda: draft(model, prompts, n=DRAFTS, run=run))
    yield {
        "prompts": n,
        "calls": sum(calls.values()) / n,
        **{f"calls {name}": asked / n for name, asked in calls.items() if asked},
        "pairs": len(pairs) / n,
        **{f"us {name}": 1e6 * seconds / n for name, seconds in stages.items()},
        "bytes": sum(file.stat().st_size for file in folder.glob("run.db*")) / n,
    }


def prompts(n: int, folder: Path) -> Iterator[dict[str, Any]]:
    """Read and split `n` prompts, then look `n` training prompts up among 1 % of them that are held out."""
    words, file = Words(), folder / "prompts.jsonl"
    folder.mkdir()
    with file.open("w") as out:
        out.writelines(json.dumps({"prompt": f"{i} {words.text(PROMPT)}"}) + "\n" for i in range(n))
    reading = clocked(lambda: load_prompts(file, held_out=0.01))
    held_out = HeldOut((Message("user", words.text(PROMPT)),) for _ in range(n // 100))
    asked = [(Message("user", words.text(PROMPT)),) for _ in range(200)]
    held_out.matches(asked[0])
    matching = clocked(lambda: [held_out.matches(messages) for messages in asked]) / len(asked)
    yield {"prompts": n, "us_read": 1e6 * reading / n, "held_out": n // 100, "us_leak": 1e6 * matching}


SERVER = """
import json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
    def log_message(self, *_): pass
choice = {"index": 0, "message": {"role": "assistant", "content": sys.argv[1]}, "finish_reason": "stop"}
answer = json.dumps({"choices": [choice], "usage": {"prompt_tokens": 300, "completion_tokens": 400}}).encode()
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print(server.server_port, flush=True)
server.serve_forever()
"""


def calls(n: int, folder: Path) -> Iterator[dict[str, Any]]:
    """Ask a server, in a process of its own, `n` times, 64 at once; nothing is stored."""
    words = Words()
    command = [sys.executable, "-c", SERVER, words.text(REPLY)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        port = server.stdout.readline().strip() if server.stdout else ""
        model = EndpointModel(f"http://127.0.0.1:{port}/v1", model="m", concurrency=64)
        asked = [
            Request(messages=(Message("user", words.text(REPLY)),), sampling=Sampling(), index=i) for i in range(n)
        ]
        cpu, wall = time.process_time(), time.perf_counter()
        arrived = sum(len(replies) for replies in model.answer(asked))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        model.close()
        server.kill()
    yield {"calls": arrived, "us_call": 1e6 * cpu / n, "wall_us_call": 1e6 * wall / n}


PARTS = {"ledger": ledger, "walk": walk, "prompts": prompts, "calls": calls}
SIZES = {
    "ledger": (10_000, 100_000, 1_000_000),
    "walk": (100, 400, 1600),
    "prompts": (1000, 10_000, 100_000),
    "calls": (2000,),
}


def clocked(work: Callable[[], Any]) -> float:
    """Return the processor's seconds for a piece of work."""
    began = time.process_time()
    work()
    return time.process_time() - began


def measured(part: str, n: int) -> dict[str, Any]:
    """Measure a part at this size in a process of its own, so that the peak memory, in bytes, is of it alone."""
    command = [sys.executable, "-m", "cai_lite.bench.costs", "--parts", part, "--rows", str(n), "--here"]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def main() -> None:
    """Measure, and print one line for each part and size."""
    parser = argparse.ArgumentParser(prog="python -m cai_lite.bench.costs", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rows", type=int, nargs="+", help="sizes, for all of the parts")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        import resource

        with tempfile.TemporaryDirectory() as folder:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            (found,) = PARTS[given.parts[0]](given.rows[0], Path(folder) / "run")
            peak = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        print(json.dumps({**found, "peak_bytes": peak}))
        return
    rows: dict[str, list[dict[str, Any]]] = {}
    for part in given.parts:
        for n in given.rows or SIZES[part]:
            rows.setdefault(part, []).append(found := measured(part, n))
            print(part, *(f"{name} {value:,.6g}" for name, value in found.items()), sep="  ")
            if given.json:
                given.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
