"""What spreading calls over Ray costs a row: `python -m tests.chat.ray_figures [ROWS]`, where ray is installed.

A server that answers at once, or after a while, is asked the same rows with and without Ray, turn by turn.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import resource
import statistics
import sys
import time
from typing import Any

from cai_lite.chat import open_model
from cai_lite.chat.asking import ask
from cai_lite.chat.base import ChatModel
from cai_lite.chat.crew import Actors
from cai_lite.chat.on_ray import open_on_ray
from cai_lite.records import Message, Request, Sampling
from cai_lite.run.ledger import Run
from tests.conftest import completion

TURNS = 5


def serve(port: Any, seconds: float) -> None:
    """Answer every request after so many seconds."""
    body = json.dumps(completion("Yes.")).encode()
    answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
                await asyncio.sleep(seconds)
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def main() -> None:
        server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=512)
        port.value = server.sockets[0].getsockname()[1]
        await server.serve_forever()

    asyncio.run(main())


def timed(model: ChatModel, rows: int) -> tuple[float, float]:
    """Return the milliseconds a row, and those of CPU time in this process."""
    requests = [Request(messages=(Message("user", f"Row {i}?"),), sampling=Sampling(max_tokens=8)) for i in range(rows)]
    began, cpu = time.perf_counter(), _cpu()
    replies = ask(model, requests, run=Run(), stage="s")
    assert all(reply.text == "Yes." for reply in replies)
    return 1000 * (time.perf_counter() - began) / rows, 1000 * (_cpu() - cpu) / rows


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main(rows: int) -> None:
    for seconds in (0.0, 0.2):
        port = multiprocessing.Value("i", 0)
        server = multiprocessing.Process(target=serve, args=(port, seconds), daemon=True)
        server.start()
        while not port.value:
            time.sleep(0.01)
        url = f"http://127.0.0.1:{port.value}/v1"
        models = {"without Ray": open_model(url, model="m")}
        for actors in (1, 2):
            models[f"{actors} actors"] = open_on_ray(url, model="m", actors=Actors(actors=actors))
        for name, model in models.items():
            began = time.perf_counter()
            timed(model, 50)  # connections, and the number of calls at once that the server bears
            print(f"{name}: first 50 rows {time.perf_counter() - began:.1f} s", flush=True)
        figures: dict[str, list[tuple[float, float]]] = {name: [] for name in models}
        for _ in range(TURNS):
            for name, model in models.items():
                figures[name].append(timed(model, rows))
        for name, found in figures.items():
            wall, cpu = zip(*found, strict=True)
            low, high = min(wall), max(wall)
            print(
                f"server {seconds:g} s, {name}: {statistics.median(wall):.2f} ms a row ({low:.2f} to {high:.2f}), "
                f"{statistics.median(cpu):.2f} ms of CPU here",
                flush=True,
            )
        for model in models.values():
            model.close()  # type: ignore[attr-defined]
        server.kill()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
