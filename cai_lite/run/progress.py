"""Progress on the terminal: a bar per stage with the time left, and messages that stay; and the log of a run."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.text import Text

from cai_lite.errors import plain, without_secrets
from cai_lite.run.files import append_line
from cai_lite.run.signals import check

Tick = Callable[[int, int], None]
"""Called with (done, total) while a stage works."""


EVERY = 60.0  # seconds after which a stage says how far it is, in the log and where no bar can be drawn
TENTHS = 10.0  # seconds between two such lines where it has come a tenth further
BEGINS = "begins"  # what the log says of a stage that was entered

_COLUMNS = (
    TextColumn("{task.description:<24}", markup=False),
    BarColumn(),
    MofNCompleteColumn(),
    TimeElapsedColumn(),
    TextColumn("left"),
    TimeRemainingColumn(),
)


class Terminal(Console):
    """The console that everything is printed on: what models and files wrote is shown, never obeyed.

    Control and bidi characters are printed as escapes, and square brackets are no markup.
    """

    def __init__(self, *, stderr: bool = False, quiet: bool = False) -> None:
        super().__init__(stderr=stderr, quiet=quiet, markup=False, emoji=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(plain(segment.text), segment.style)


class Pace:
    """The lines that a stage says while it works: every `EVERY` seconds, or a tenth further after `TENTHS` seconds."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._began = self._said = time.monotonic()
        self._first: int | None = None
        self._tenth = 0

    def line(self, done: int, total: int) -> str:
        """Return what to say now, with the share done and the time left; "" if it is too early."""
        now = time.monotonic()
        if self._first is None:  # what is known from an earlier session costs no time, and says nothing about the rest
            self._first, self._began, self._tenth = done, now, 10 * done // max(total, 1)
        tenth, since = 10 * done // max(total, 1), now - self._said
        if done >= total or not (since >= EVERY or (tenth > self._tenth and since >= TENTHS)):
            return ""
        self._said, self._tenth = now, tenth
        left = (now - self._began) / (done - self._first) * (total - done) if done > self._first else None
        text = f"{self.name}: {done:,} of {total:,} ({done / total:.0%})"
        return text if left is None else f"{text}, about {_in_words(left)} left"


def _in_words(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class Screen:
    """A context manager that shows progress bars on the terminal and appends lines with their time to `log`.

    If standard error is not a terminal, each stage prints a line when it ends, and others while it works, see `Pace`.
    """

    def __init__(self, *, quiet: bool = False, log: Path | None = None) -> None:
        self.console = Terminal(stderr=True, quiet=quiet)
        self._log = log
        self._bars = Progress(
            *_COLUMNS,
            console=self.console,
            disable=quiet or not self.console.is_terminal,
        )

    def __enter__(self) -> Screen:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    @contextmanager
    def stage(self, name: str) -> Iterator[Tick]:
        """Show a bar for one stage; the value of the context is a `Tick`, to be called with (done, total).

        A tick comes after what is done was stored, so a signal that asked to stop takes effect there at the latest.
        """
        task = self._bars.add_task(name, total=None)
        reached, pace = (0, 0), Pace(name)
        self._write(f"{name}: {BEGINS}")

        def tick(done: int, total: int) -> None:
            nonlocal reached
            reached = (done, total)
            self._bars.update(task, completed=done, total=total)
            if line := pace.line(done, total):
                self._stay(line)
            check()

        yield tick
        done, total = reached
        self._bars.update(task, completed=total or 1, total=total or 1)
        self._stay(f"{name}: {done:,} of {total:,}")

    def say(self, message: str) -> None:
        """Print a message that stays on the screen, and write it to the log."""
        message = without_secrets(message)
        self._bars.console.print(message, highlight=False, soft_wrap=True)
        self._write(message)

    def note(self, *lines: str) -> None:
        """Write lines to the log without showing them in the terminal."""
        for line in lines:
            self._write(without_secrets(line))

    def warn(self, message: str) -> None:
        """Print a warning, marked with a yellow "!", and write it to the log."""
        message = without_secrets(message)
        self._bars.console.print(Text.assemble(("! ", "yellow"), message), soft_wrap=True)
        self._write(f"! {message}")

    def taken_over(self, recovered: str | None) -> None:
        """Say that the process before ended without closing the run (`Run.recovered`), if it did."""
        if recovered is not None:
            self.say(recovered)

    def _stay(self, line: str) -> None:
        """Write a line about a stage to the log, and print it where no bar can be drawn."""
        self._write(line)
        if self._bars.disable:
            self.console.print(line, highlight=False)

    def _write(self, text: str) -> None:
        """Append the lines of a text to the log, each with the local time."""
        if self._log is not None:
            now = time.strftime("%Y-%m-%d %H:%M:%S")
            for line in plain(text).splitlines():
                append_line(self._log, f"{now} {line}")


def tick_of(progress: Tick | bool | None, name: str) -> Tick | None:
    """Return what a stage calls with (done, total): `progress` itself, or for True a `Bar`."""
    return Bar(name) if progress is True else progress or None


class Bar:
    """A `Tick` that shows itself: a bar in a terminal, one line that is rewritten in a notebook, else ten lines."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.console = Terminal(stderr=True)
        self._bars: Progress | None = None
        self._shown: Any = None
        self._tenth = -1

    def __call__(self, done: int, total: int) -> None:
        text = f"{self.name}: {done:,} of {total:,}"
        if self.console.is_jupyter:  # rich's own bars need ipywidgets there
            line = {"text/plain": text}
            if self._shown is None:
                self._shown = sys.modules["IPython.display"].display(line, raw=True, display_id=True)
            else:
                self._shown.update(line, raw=True)
        elif self.console.is_terminal:
            self._advance(done, total)
        elif self._tenth < (tenth := 10 * done // max(total, 1)):
            self._tenth = tenth
            self.console.print(text, highlight=False)

    def _advance(self, done: int, total: int) -> None:
        if self._bars is None:
            self._bars = Progress(*_COLUMNS, console=self.console)
            self._bars.add_task(self.name, total=total)
            self._bars.start()
        self._bars.update(self._bars.task_ids[0], completed=done, total=total)
        if done >= total:
            self._bars.stop()

    def __del__(self) -> None:
        if getattr(self, "_bars", None) is not None:  # a stage that ended early leaves the terminal as it was
            self._bars.stop()  # type: ignore[union-attr]
