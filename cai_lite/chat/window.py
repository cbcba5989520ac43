"""Adapt the number of simultaneous calls to what a server accepts.

The window works like TCP's slow start and congestion avoidance: it doubles in each round trip until the server first
refuses a call, then halves, and from then on grows by one in each round trip.

Source: Jacobson 1988, "Congestion avoidance and control".
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

CALM = 1.0  # seconds within which several refusals count as one, since the calls were sent together
SLOWER = 3.0  # multiple of the best latency beyond which the window stops growing, since calls only queue


class Window:
    """The number of simultaneous calls, from 1 to `limit`. Safe to use from several threads."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._clock = limit, clock
        self._size, self._threshold = float(min(8, limit)), float(limit)
        self._refused_at = -CALM
        self._best = float("inf")
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Return the number of calls that may run now, at least 1."""
        return max(1, int(self._size))

    def answered(self, seconds: float, tokens: int) -> None:
        """Record an answer that took `seconds` for `tokens` reply tokens; the latency is judged per token."""
        pace = seconds / max(1, tokens)
        with self._lock:
            self._best = min(self._best, pace)
            if pace <= SLOWER * self._best:
                grow = 1.0 if self._size < self._threshold else 1 / self._size
                self._size = min(float(self._limit), self._size + grow)

    def refused(self) -> None:
        """Record that the server refused a call because of its load (HTTP 429, 503 or 529)."""
        with self._lock:
            now = self._clock()
            if now - self._refused_at >= CALM:
                self._refused_at = now
                self._size = self._threshold = max(1.0, self._size / 2)
