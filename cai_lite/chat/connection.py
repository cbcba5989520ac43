"""An open connection to a server: an openai client and the threads that call it, kept from one stage to the next."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from weakref import WeakSet

from cai_lite.chat.bounded import Bound, Overrun, bind

CONNECT = 15.0  # seconds to open a connection; a server that is silent for longer then is not there
_PROBED = Bound(600.0, 1 << 24)  # of a call without a bound of its own: seconds, and bytes
_OPENED = ("connection.connect_tcp.complete", "connection.start_tls.complete")  # what the HTTP client says of a socket
_GRACE = 5.0  # seconds beyond its bound after which a call is ended from outside


class Connection:
    """A client, its threads, and the event that ends their waiting. Every method may be called from any thread.

    `client`: called with hooks for httpx, it returns an openai client that uses them.
    """

    def __init__(self, client: Callable[..., Any], threads: int) -> None:
        self._make = client
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._lock = threading.Lock()  # of the sockets
        self._ended = False
        self._client = self._made()
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="cai-lite-call")
        self._closed = threading.Event()
        self._bound = threading.local()  # of the call that a thread is in
        self._until: dict[int, float] = {}  # by thread

    @property
    def closed(self) -> bool:
        """Return whether `close` or `finish` was called."""
        return self._closed.is_set()

    def pause(self, seconds: float) -> None:
        """Wait; return early if the connection is closed meanwhile."""
        self._closed.wait(seconds)

    def post(self, body: dict[str, Any], bound: Bound | None = None, silence: float | None = None) -> object:
        """Send one chat completion and return the body of the answer: a mapping, or text where it is not JSON.

        The client's own models of an answer are not used: building them takes half of the CPU time of a call, and
        they check nothing. `silence`: the seconds without a byte after which the attempt ends, if they are fewer than
        the client's.

        Raises:
            openai.OpenAIError: the server refuses the call or cannot be reached.
            Overrun: the answer goes beyond its bound.
            ValueError: the body cannot be read.
        """
        import openai

        thread = threading.get_ident()
        bound = bound or Bound(time.monotonic() + _PROBED.until, _PROBED.size)
        self._bound.now, self._until[thread] = bound, bound.until
        options: Any = {} if silence is None else {"timeout": openai.Timeout(silence, connect=min(silence, CONNECT))}
        try:
            answer = self._client.post("/chat/completions", cast_to=object, body=body, options=options)
            # The client takes for text what is not called JSON, which some servers forget.
            return json.loads(answer) if isinstance(answer, str) and answer.lstrip().startswith("{") else answer
        except (openai.OpenAIError, Overrun):
            raise
        except Exception as error:  # nested too deep, an encoding that is none: the client raises what it meets
            raise ValueError(type(error).__name__) from error
        finally:
            self._until.pop(thread, None)

    def listed(self) -> object:
        """Return what the server says at /models, as JSON.

        Raises:
            openai.OpenAIError: the server refuses the call or cannot be reached.
        """
        self._bound.now = Bound(time.monotonic() + CONNECT, _PROBED.size)
        return self._client.get("/models", cast_to=object)

    def events(self, body: dict[str, Any], bound: Bound) -> Iterator[Any]:
        """Send one chat completion, and yield the events of the answer as they arrive.

        Raises:
            openai.OpenAIError: the server refuses the call or cannot be reached.
            Overrun: the answer goes beyond its bound.
            ValueError: an event cannot be read.
        """
        import openai

        self._bound.now = bound
        try:
            with self._client.post(
                "/chat/completions",
                cast_to=object,
                body={**body, "stream": True},
                stream=True,
                stream_cls=openai.Stream[object],
            ) as events:
                yield from events
        except (openai.OpenAIError, Overrun):
            raise
        except Exception as error:  # the client raises what it meets between two events
            raise ValueError(type(error).__name__) from error

    def client(self, bound: Bound) -> Any:
        """Return the client for a call of this thread that is no chat completion; `bound` limits the answer to it."""
        self._bound.now = bound
        return self._client

    def end_overdue(self) -> None:
        """End the calls that are beyond their bounds and still under way, such as one whose headers drip.

        That takes a new client, so their neighbours lose their connections and try again.
        """
        now = time.monotonic()
        if any(now > until + _GRACE for until in list(self._until.values())):
            old, self._client = self._client, self._made()
            self._until.clear()
            self._shut_down()
            old.close()

    def finish(self) -> None:
        """Start no more calls and end all waiting; what is under way goes on until `close`."""
        self._closed.set()
        self.pool.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """Drop the calls that wait and end those under way. A second time does no harm."""
        self.finish()
        self._ended = True
        self._shut_down()
        self._client.close()

    def _made(self) -> Any:
        return self._make({"request": [self._sends], "response": [self._arrives]})

    def _sends(self, request: Any) -> None:
        """Follow the sockets of a request; called by the HTTP client, in the thread of the call."""
        request.extensions["trace"] = self._follow

    def _follow(self, event: str, info: dict[str, Any]) -> None:
        if event in _OPENED:
            with self._lock:
                self._sockets.add(info["return_value"].get_extra_info("socket"))
            if self._ended:
                self._shut_down()

    def _shut_down(self) -> None:
        """End the connections of all sockets: closing one does not wake a thread that waits for a silent server."""
        with self._lock:
            for each in self._sockets:
                with suppress(OSError):  # it is closed already
                    socket.socket.shutdown(each, socket.SHUT_RDWR)  # TLS would have its own, which is not for threads
            self._sockets.clear()

    def _arrives(self, response: Any) -> None:
        """Bound a response whose headers have arrived; called by the HTTP client, in the thread of the call."""
        bind(response, self._bound.now)
