"""Share requests among workers that hold the same model, and lose none where a worker dies; nothing here knows Ray."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from cai_lite.errors import Stopped
from cai_lite.records import Reply, Request

LEAST, MOST = 16, 1024  # requests that a worker is given at once
DEATHS = 3  # workers that may die of a request before it counts as failed
FINISHING = 60.0  # seconds that calls under way are given when the run stops: they are paid for


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What a worker has to say of the requests that it was given last.

    `replies`: those that arrived since, by position. `done`: it has answered them all. `error`: it cannot go on with
    the model. `died`: how it died, "" as long as it lives.
    """

    replies: dict[int, Reply] = field(default_factory=dict)
    done: bool = False
    error: Exception | None = None
    died: str = ""


class Crew(Protocol):
    """The workers: actors of Ray, or anything with these methods. A worker is any object that can be a key."""

    @property
    def size(self) -> int:
        """The number of workers that were asked for."""
        ...

    def free(self, busy: Collection[Any]) -> Any | None:
        """Return a worker that is not busy, or None while there is none; without any busy one, wait until there is.

        Raises:
            CaiError: there is none in time, or it cannot be used.
        """
        ...

    def begin(self, worker: Any, requests: Sequence[Request]) -> None:
        """Give a worker requests; what becomes of them is heard by `news`."""
        ...

    def news(self, busy: Collection[Any]) -> Iterable[tuple[Any, News]]:
        """Return what busy workers have to say, after a short wait at most. A worker that died is never named again."""
        ...

    def finish(self, worker: Any) -> None:
        """Tell a worker to begin no further calls; those under way go on."""
        ...

    def close(self) -> None:
        """End all workers, with the calls that are under way."""
        ...


@dataclass(slots=True)
class _Chunk:
    """The positions of requests that a worker is given together, and how many workers died of them."""

    positions: Sequence[int]
    deaths: int = 0
    answered: set[int] = field(default_factory=set)

    def left(self) -> Iterator[_Chunk]:
        """Yield what is left after one more death: together after the first, then each alone, to part the guilty."""
        rest, deaths = [position for position in self.positions if position not in self.answered], self.deaths + 1
        for part in [rest] if deaths == 1 else [[position] for position in rest]:
            if part:
                yield _Chunk(part, deaths)


def guided(requests: int, workers: int) -> Iterator[range]:
    """Yield positions in chunks that become smaller, so that all workers end at about the same time.

    Source: Polychronopoulos and Kuck 1987, "Guided self-scheduling".
    """
    start = 0
    while start < requests:
        size = min(MOST, max(LEAST, (requests - start) // (2 * workers)), requests - start)
        yield range(start, start + size)
        start += size


def spread(requests: Sequence[Request], chunks: Iterable[Sequence[int]], crew: Crew) -> Iterator[dict[int, Reply]]:
    """Yield {position: reply} as replies arrive, in any order; each worker has one chunk of requests at a time.

    The requests of a worker that died are given to others. One of which `DEATHS` workers died, at last alone, has
    failed, and its neighbours go on. If an error ends it, calls under way are waited for and yielded first, since they
    are paid for. If the caller ends it early, all workers are ended, so that no call goes on unseen.

    Raises:
        CaiError: the first error of a worker. Stopped: workers die as soon as they are asked.
    """
    waiting = deque(_Chunk(positions) for positions in chunks)
    busy: dict[Any, _Chunk] = {}
    problem: Exception | None = None
    until, in_a_row = float("inf"), 0  # `in_a_row`: deaths since the last reply

    def stop(error: Exception) -> None:
        nonlocal problem, until
        if problem is None:
            problem, until = error, time.monotonic() + FINISHING
            for worker in busy:
                crew.finish(worker)

    try:
        while True:
            while problem is None and waiting and (worker := crew.free(busy)) is not None:
                busy[worker] = waiting.popleft()
                crew.begin(worker, [requests[position] for position in busy[worker].positions])
            if not busy or time.monotonic() > until:
                break
            for worker, news in crew.news(busy):
                chunk = busy[worker]
                arrived = {chunk.positions[place]: reply for place, reply in news.replies.items()}
                chunk.answered.update(arrived)
                if news.done or news.error or news.died:
                    del busy[worker]
                in_a_row = 0 if arrived else in_a_row + bool(news.died)
                if problem is not None:  # what was given up is asked again the next time
                    arrived = {place: reply for place, reply in arrived.items() if reply.outcome != "failed"}
                if news.died:
                    for rest in reversed(list(chunk.left())):
                        if rest.deaths < DEATHS:
                            waiting.appendleft(rest)
                        else:
                            arrived[rest.positions[0]] = _failed(news.died)
                    if in_a_row > DEATHS + crew.size:
                        stop(Stopped(f"the actors on Ray die as soon as they are asked: {news.died}"))
                if arrived:
                    yield arrived
                if news.error is not None:
                    stop(news.error)
        if problem is not None:
            raise problem
    finally:
        if busy:
            crew.close()


def _failed(died: str) -> Reply:
    return Reply(text="", outcome="failed", fault=f"{DEATHS} actors died of it: {died}", attempts=DEATHS)
