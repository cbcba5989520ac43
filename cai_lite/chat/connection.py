"""An open connection to a server: an openai client and the threads that call it, kept from one stage to the next."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any


class Connection:
    """A client, its threads, and the event that ends their waiting. Every method may be called from any thread."""

    def __init__(self, client: Any, threads: int) -> None:
        self.client = client
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="cai-lite-call")
        self._closed = threading.Event()

    @property
    def closed(self) -> bool:
        """Return whether `close` was called."""
        return self._closed.is_set()

    def pause(self, seconds: float) -> None:
        """Wait; return early if the connection is closed meanwhile."""
        self._closed.wait(seconds)

    def post(self, body: dict[str, Any]) -> object:
        """Send one chat completion and return the body of the answer: a mapping, or text where it is not JSON.

        The client's own models of an answer are not used: building them takes half of the CPU time of a call, and
        they check nothing.

        Raises:
            openai.OpenAIError: the server refuses the call or cannot be reached.
            ValueError: the body claims to be JSON and is not.
        """
        return self.client.post("/chat/completions", cast_to=object, body=body)

    def close(self) -> None:
        """Drop the calls that wait and end those under way. Does nothing the second time."""
        if not self._closed.is_set():
            self._closed.set()
            self.pool.shutdown(wait=False, cancel_futures=True)
            self.client.close()
