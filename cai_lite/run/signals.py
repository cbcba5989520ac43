"""Signals that ask a command to stop: Ctrl-C, SIGTERM, and SIGHUP when the terminal is closed.

The first one raises `KeyboardInterrupt` at once, or, while something is written that must not be cut in two, right
after it; the second ends the process. Only the command line installs the handlers (`handled`); in a library they belong
to the caller, and everything here does nothing.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

T = TypeVar("T")

NAMES = {"SIGINT": "Ctrl-C", "SIGTERM": "SIGTERM", "SIGHUP": "SIGHUP (the terminal was closed)"}

_asked = 0  # number of the signal that arrived first
_raised = False  # whether it took effect
_told = False  # whether the user was told
_held = 0  # depth of `held`


@contextmanager
def handled() -> Iterator[None]:
    """Handle the signals while the context lasts; one that the parent process ignores stays ignored."""
    global _asked, _raised, _held, _told
    _asked, _raised, _held, _told = 0, False, 0, False
    before = {}
    for name in NAMES:
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, _arrived)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def asked() -> int:
    """Return the number of the signal that asked to stop, or 0."""
    return _asked


def is_told() -> bool:
    """Return whether the user was told why the command stops."""
    return _told


def told() -> str:
    """Return "stopped by Ctrl-C", or whichever signal it was, to be shown to the user."""
    global _told
    _told = True
    return f"stopped by {NAMES[signal.Signals(_asked).name] if _asked else 'Ctrl-C'}"


def check() -> None:
    """Stop here if a signal asked to, unless inside of `held` or `unbroken`.

    Raises:
        KeyboardInterrupt: a signal arrived.
    """
    global _raised
    if _asked and not _held:
        _raised = True
        raise KeyboardInterrupt


@contextmanager
def held() -> Iterator[None]:
    """Let a signal wait until the context ends. In other threads, where none arrives, this does nothing."""
    global _held
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _held += 1
    try:
        yield
    finally:
        _held -= 1
    if not _raised:
        check()


def unbroken(items: Iterable[T], stop: Callable[[], None] = check) -> Iterator[T]:
    """Yield the items; a signal that arrives while one is worked on takes effect before the next one.

    `stop`: called before each item, in place of `check` where several processes have to stop before the same one.

    Raises:
        KeyboardInterrupt: a signal arrived and there is another item.
    """
    global _held
    for item in items:
        stop()
        _held += 1
        try:
            yield item
        finally:
            _held -= 1


def _arrived(number: int, frame: FrameType | None) -> None:
    global _asked, _raised
    if _asked:
        if number != getattr(signal, "SIGHUP", None):  # a shell sends a second SIGHUP of its own
            if sys.stderr.isatty():
                os.write(2, b"\x1b[?25h\n")  # the cursor, which progress bars hide
            os._exit(128 + number)
        return
    _asked = number
    if not _held:
        _raised = True
        raise KeyboardInterrupt
