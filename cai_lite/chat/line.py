"""What the threads that call one server know together: whether it ever answered, and whether it can be reached now.

When the connection is lost, the calls wait: one of them tries the server again now and then, and the time does not
count for their deadlines. So a network that is gone for ten minutes fails no call.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Protocol

from cai_lite.errors import Stopped

PATIENCE = 3600.0  # seconds without a connection, or with nothing but faults, after which the run stops
STRIKES = 4  # answers in a row about a wrong key or address after which a server that once answered is given up


class Pausing(Protocol):
    """What a waiting call needs to know of its connection."""

    @property
    def closed(self) -> bool: ...

    def pause(self, seconds: float) -> None: ...


class Line:
    """The state of the line to one server. Every method may be called from any thread.

    `heard`: whether the server ever returned a completion. `patience`: see `PATIENCE`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.heard, self.patience = False, PATIENCE
        self._clock, self._lock = clock, threading.Lock()
        self._strikes = 0
        self._failing_since: float | None = None
        self._down_since: float | None = None
        self._trying, self._tries, self._next_try = False, 0, 0.0

    def answered(self) -> None:
        """Record a completion."""
        with self._lock:
            self.heard, self._strikes, self._failing_since, self._down_since = True, 0, None, None

    def reached(self) -> None:
        """Record that the server sent something, or at least took the connection."""
        with self._lock:
            self._down_since, self._trying = None, False
            if self._failing_since is None:
                self._failing_since = self._clock()

    def struck(self) -> bool:
        """Record an answer that says that key or address are wrong; return True if the server is to be given up."""
        with self._lock:
            self._strikes += 1
            return not self.heard or self._strikes >= STRIKES

    def lost(self) -> None:
        """Record that no connection could be opened. A server that was never heard is not waited for."""
        with self._lock:
            if not self.heard:
                return
            now = self._clock()
            if self._down_since is None:
                self._down_since, self._tries = now, 0
            self._trying, self._tries = False, self._tries + 1
            self._next_try = now + backoff(self._tries)

    def wait(self, connection: Pausing) -> float:
        """Wait while the line is down, unless it is this call's turn to try it; return the seconds waited.

        Raises:
            Stopped: the line was down for longer than `patience`.
        """
        begun = self._clock()
        while not connection.closed:
            with self._lock:
                now = self._clock()
                if self._down_since is None:
                    break
                if now - self._down_since > self.patience:
                    raise Stopped(f"cannot be reached for {_minutes(self.patience)}")
                if not self._trying and now >= self._next_try:
                    self._trying = True
                    break
                left = max(0.01, min(0.25, self._next_try - now))
            connection.pause(left)
        return self._clock() - begun

    def check(self) -> None:
        """Check, when a call failed for good, that the server still answers at all.

        Raises:
            Stopped: it returned nothing but faults for longer than `patience`.
        """
        with self._lock:
            if self._failing_since is not None and self._clock() - self._failing_since > self.patience:
                raise Stopped(f"returned nothing but faults for {_minutes(self.patience)}")


def backoff(attempts: int) -> float:
    """Return the seconds to wait after so many attempts in a row have failed, with jitter: at most 30."""
    return min(30.0, 0.5 * 2.0 ** min(attempts - 1, 8)) * random.uniform(0.5, 1.0)


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 60 else f"{seconds:g} seconds"
