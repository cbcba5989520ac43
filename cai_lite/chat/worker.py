"""What an actor of Ray runs: a model of its own, which answers in a thread while its replies are fetched.

Replies are fetched by short calls, since streams from actors do not exist where the driver is a client of a cluster.
"""

from __future__ import annotations

import os
import platform
import sys
import threading
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from queue import Empty, Queue
from typing import Any, overload

from cai_lite.chat.base import ChatModel
from cai_lite.chat.local import LocalModel
from cai_lite.chat.spread import News
from cai_lite.errors import CaiError
from cai_lite.records import Request

# Batches of replies that wait to be fetched. Nothing more is begun beyond them, so that a driver that is gone, which a
# cluster may notice late, costs the calls that were under way and hardly more.
_UNFETCHED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """What a worker says of itself once its model is opened.

    `digest`: of its model. `version`: of this library there. `host`, `pid`: where it runs. `error`: why the model
    cannot be opened.
    """

    host: str
    pid: int
    version: str
    digest: str = ""
    error: Exception | None = None


class Worker:
    """A model that is asked from another process.

    `opener`: opens the model, given the number of actors that share it. `environment`: variables to be set here, such
    as the key of a server; they are neither shown nor logged. Requests come in lanes: while the last calls of one are
    awaited, those of another keep a server busy.
    """

    def __init__(
        self, opener: Callable[[int], ChatModel], actors: int, environment: Mapping[str, str] | None = None
    ) -> None:
        os.environ.update(environment or {})
        self._news: defaultdict[int, Queue[News]] = defaultdict(lambda: Queue(_UNFETCHED))
        self._finishing = threading.Event()
        self._problem: Exception | None = None
        try:
            self._model = opener(actors)
        except Exception as error:
            self._problem = sendable(error)

    def hello(self) -> Hello:
        """Return who this is."""
        known: dict[str, Any] = {"host": platform.node(), "pid": os.getpid(), "version": version()}
        if self._problem is not None:
            return Hello(error=self._problem, **known)
        return Hello(digest=self._model.digest, **known)

    def begin(self, lane: int, requests: Sequence[Request], heard: bool = False) -> None:
        """Begin to answer. `heard`: the model answered others before, so a server that is silent now is waited for."""
        if heard and (answered_before := getattr(self._model, "answered_before", None)) is not None:
            answered_before()
        threading.Thread(target=self._answer, args=(requests, self._news[lane]), daemon=True).start()

    def take(self, lane: int, seconds: float) -> News:
        """Return all that arrived in a lane since the last call; wait so long for the first of it."""
        replies, news, arrived = {}, News(), self._news[lane]
        try:
            news = arrived.get(timeout=seconds)
            replies.update(news.replies)
            while not (news.done or news.error):
                news = arrived.get_nowait()
                replies.update(news.replies)
        except Empty:
            pass
        return News(replies=replies, done=news.done, error=news.error)

    def finish(self) -> None:
        """Begin no more calls; those under way go on."""
        self._finishing.set()

    def plan(self, requests: Sequence[Request]) -> list[list[int]] | Exception:
        """Return the batches in which a local model answers so many requests, or what keeps it from that."""
        try:
            assert isinstance(self._model, LocalModel)
            return self._model.plan(requests)
        except Exception as error:
            return sendable(error)

    def fits(self, request: Request) -> bool | Exception:
        """Return whether a request fits into the context of a local model, or what keeps it from being rendered."""
        try:
            return not isinstance(self._model, LocalModel) or self._model.fits(request)
        except Exception as error:
            return sendable(error)

    def _answer(self, requests: Sequence[Request], news: Queue[News]) -> None:
        try:
            for replies in self._model.answer(_Until(requests, self._finishing)):
                news.put(News(replies=replies))
            news.put(News(done=True))
        except Exception as error:
            news.put(News(error=sendable(error)))


@dataclass(frozen=True, slots=True)
class _Until(Sequence[Request]):
    """Requests that come to an end early once `ended` is set, for a model that takes them one by one."""

    requests: Sequence[Request]
    ended: threading.Event = field(repr=False)

    def __len__(self) -> int:
        return len(self.requests)

    @overload
    def __getitem__(self, position: int) -> Request: ...
    @overload
    def __getitem__(self, position: slice) -> Sequence[Request]: ...
    def __getitem__(self, position: int | slice) -> Request | Sequence[Request]:
        return self.requests[position]

    def __iter__(self) -> Iterator[Request]:
        for request in self.requests:
            if self.ended.is_set():
                return
            yield request


def sendable(error: Exception) -> Exception:
    """Return an error as another process can raise it: one of this library as it is, any other with its traceback."""
    if isinstance(error, CaiError):
        return error
    return RuntimeError(f"in an actor on {platform.node()}: {''.join(traceback.format_exception(error)).rstrip()}")


def version() -> str:
    """Return the version of this library that runs here."""
    return str(vars(sys.modules["cai_lite"])["__version__"])
