"""Rows that may be too many to be held as objects: from a number on, they go to an Arrow file that is memory-mapped.

Reading them then takes as much memory for a million rows as for ten thousand.
"""

from __future__ import annotations

import mmap
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar, overload

PREFIX = ".rows-"  # of the folders that hold such files
IN_MEMORY = 8192  # number of rows up to which they are held as objects
_BATCH = 256  # rows that are read together
_WRITTEN = 8 * _BATCH  # rows that are written together; mapping a file reads the first page of each such part
_HELD = 4  # reads whose pages are kept: they count as memory of the process, and even one row may bring 2 MB of them
_RECENT = 512  # rows that are read one by one and held

T = TypeVar("T")


class Form(NamedTuple, Generic[T]):
    """How rows are stored. `features`: of `datasets`, by column; `pack` and `unpack` convert from and to columns."""

    features: Callable[[], Any]
    pack: Callable[[Sequence[T]], Mapping[str, list[Any]]]
    unpack: Callable[[Any], list[T]]


@contextmanager
def scratch(folder: Path, name: str, *, clear: bool = False) -> Iterator[Path]:
    """Yield a folder inside of `folder` for files that nobody needs afterwards; whoever writes first makes it.

    `clear`: remove what other processes left there, which were killed; only for the one that works in `folder`.
    """
    existed, own = folder.exists(), f"-{os.getpid()}"
    inside = folder / f"{PREFIX}{name}{own}"
    for left in folder.glob(f"{PREFIX}*-*"):
        if left == inside or (clear and not left.name.endswith(own)):
            shutil.rmtree(left, ignore_errors=True)
    try:
        yield inside
    finally:
        shutil.rmtree(inside, ignore_errors=True)
        if not existed:
            with suppress(OSError):  # it is not there, or something else was written into it
                folder.rmdir()


class Spill(Generic[T]):
    """Collect rows in memory, and in the file `path` once there are more than `IN_MEMORY`."""

    def __init__(self, path: Path, form: Form[T]) -> None:
        self._path, self._form = path, form
        self._rows: list[T] = []
        self._count = 0
        self._writer: Any = None

    def __len__(self) -> int:
        return self._count

    def append(self, row: T) -> None:
        """Add a row."""
        self._rows.append(row)
        self._count += 1
        if len(self._rows) > (IN_MEMORY if self._writer is None else _WRITTEN):
            self._write()

    def extend(self, rows: Iterable[T]) -> None:
        """Add rows."""
        for row in rows:
            self.append(row)

    def done(self) -> Sequence[T]:
        """Return all rows that were added, in order; nothing can be added afterwards."""
        if self._writer is None:
            return self._rows
        self._write()
        self._writer.finalize()
        return Mapped(self._path, self._form)

    def _write(self) -> None:
        from datasets import Features  # type: ignore[import-untyped]
        from datasets.arrow_writer import ArrowWriter  # type: ignore[import-untyped]

        if self._writer is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            features = Features(self._form.features())
            self._writer = ArrowWriter(path=str(self._path), features=features, writer_batch_size=_WRITTEN)
        for start in range(0, len(self._rows), _WRITTEN):
            self._writer.write_batch(self._form.pack(self._rows[start : start + _WRITTEN]))
        self._rows.clear()


class Mapped(Sequence[T]):
    """The rows of such a file. Each is made anew when it is read."""

    def __init__(self, path: Path, form: Form[T]) -> None:
        import pyarrow as pa  # type: ignore[import-untyped]

        self._form, self._reads = form, 0
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._table: Any = pa.ipc.open_stream(pa.py_buffer(self._map)).read_all()
        self._length = len(self._table)
        self._one = lru_cache(maxsize=_RECENT)(lambda i: self._read(i, i + 1)[0])

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[T]: ...
    def __getitem__(self, place: int | slice) -> T | Sequence[T]:
        if isinstance(place, slice):
            start, stop, step = place.indices(self._length)
            return self._read(start, stop) if step == 1 else [self[i] for i in range(start, stop, step)]
        if not -self._length <= place < self._length:
            raise IndexError(place)
        return self._one(place % self._length)

    def __iter__(self) -> Iterator[T]:
        for start in range(0, self._length, _BATCH):
            yield from self._read(start, min(start + _BATCH, self._length))

    def _read(self, start: int, stop: int) -> list[T]:
        found: list[T] = []
        for first in range(start, stop, _BATCH):
            self._reads += 1
            if self._reads % _HELD == 0 and hasattr(mmap, "MADV_DONTNEED"):  # Windows takes pages back itself
                self._map.madvise(mmap.MADV_DONTNEED)
            found += self._form.unpack(self._table.slice(first, min(stop - first, _BATCH)))
        return found


class Subset(Sequence[T]):
    """Some rows of a sequence, in the order of `places`."""

    def __init__(self, rows: Sequence[T], places: Sequence[int]) -> None:
        self._rows, self._places = rows, places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[T]: ...
    def __getitem__(self, place: int | slice) -> T | Sequence[T]:
        if isinstance(place, slice):
            return [self._rows[i] for i in self._places[place]]
        return self._rows[self._places[place]]

    def __iter__(self) -> Iterator[T]:
        for start in range(0, len(self._places), _BATCH):
            some = self._places[start : start + _BATCH]
            first, last = some[0], some[-1]
            if last - first < 4 * _BATCH and all(a < b for a, b in pairwise(some)):
                near = self._rows[first : last + 1]
                yield from (near[i - first] for i in some)
            else:
                yield from (self._rows[i] for i in some)
