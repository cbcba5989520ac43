"""How many calls may be under way at once: as many as the server takes.

Slow start and congestion avoidance, as TCP does it (Jacobson 1988): the window doubles in each round trip until the
server first refuses, then halves, and from there on grows by one in each round trip.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

CALM = 1.0  # seconds in which several refusals are one: they were on their way together
SLOWER = 3.0  # times the best latency from which on the window does not grow: the server only queues


class Window:
    """`most`: calls that may ever be under way at once. Safe to use from several threads."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._size, self._threshold = float(min(8, most)), float(most)
        self._refused_at = -CALM
        self._best = float("inf")
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Calls that may be under way now, at least 1."""
        return max(1, int(self._size))

    def answered(self, seconds: float, tokens: int) -> None:
        """A call came back. `tokens`: that it wrote; long answers take long on any server."""
        pace = seconds / max(1, tokens)
        with self._lock:
            self._best = min(self._best, pace)
            if pace <= SLOWER * self._best:
                grow = 1.0 if self._size < self._threshold else 1 / self._size
                self._size = min(float(self._most), self._size + grow)

    def refused(self) -> None:
        """The server said that it is too much (429, 503)."""
        with self._lock:
            now = self._clock()
            if now - self._refused_at >= CALM:
                self._refused_at = now
                self._size = self._threshold = max(1.0, self._size / 2)
