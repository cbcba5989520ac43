"""Turn the errors of a disk that is full, read-only or gone into one `DiskError`, whichever library met it."""

from __future__ import annotations

import errno
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cai_lite.errors import DiskError

_FULL = "no space is left on the disk"
_QUOTA = "the disk quota is used up"
_READ_ONLY = "it is read-only for this user"
_GONE = "the folder is gone, or its disk no longer answers"
_LIMIT = "the largest size of a file is reached (ulimit -f)"

_REASONS = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _QUOTA,
    errno.EROFS: _READ_ONLY,
    errno.EFBIG: _LIMIT,
    **dict.fromkeys((errno.EIO, errno.ENODEV, errno.ENXIO, errno.ESTALE, errno.ENOTCONN), _GONE),
}
_MENDS = {
    _FULL: "free some space",
    _QUOTA: "free some space",
    _READ_ONLY: "make it writable",
    _GONE: "bring it back",
    _LIMIT: "raise the limit",
}
_SQLITE = {  # primary result codes; several of them can mean any of the reasons
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
}
_RUST = re.compile(r"\(os error (\d+)\)")  # in messages of libraries written in Rust: safetensors, tokenizers
_NO_TEMPORARY = "No usable temporary directory"
LITTLE = 1 << 16  # bytes free below which SQLite's I/O errors are put down to a full disk


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn a failed write to `place`, a file or folder, into a `DiskError`; other errors pass unchanged.

    Raises:
        DiskError: the disk is full, read-only or gone.
    """
    was_there = _folder(place).is_dir()
    try:
        yield
    except DiskError:
        raise
    except Exception as error:
        fault = disk_error(error, place, was_there=was_there)
        if fault is None:
            raise
        raise fault from error


def disk_error(error: BaseException, place: Path | None = None, *, was_there: bool = False) -> DiskError | None:
    """Return a `DiskError` if an error, of whatever library, means that a disk is full, read-only or gone; else None.

    `place`: the file or folder that was written to; without it, a missing permission is no error of the disk.
    `was_there`: its folder was there before, so that a missing one has vanished.
    """
    if isinstance(error, DiskError):
        return error
    named = getattr(error, "filename", None)
    file = Path(os.fsdecode(named)) if isinstance(named, (str, bytes)) else place
    reason = _reason(error, place, was_there)
    if reason is None:
        return None
    what = str(file) if file is not None else "a file, or standard output,"
    free = _free(place or file or Path()) if reason == _FULL else ""
    return DiskError(
        f"{what} could not be written: {reason}{free}; {_MENDS[reason]}, or copy the files to another disk, and run "
        "the same command again"
        if place is not None
        else f"{what} could not be read or written: {reason}{free}; {_MENDS[reason]}, and run the same command again"
    )


def _reason(error: BaseException, place: Path | None, was_there: bool) -> str | None:
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        return _of_sqlite(code, place) if code & 0xFF in _SQLITE else None
    if _NO_TEMPORARY in str(error):
        return _FULL
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (found := _RUST.search(str(error))):
        number = int(found[1])
    if number in _REASONS:
        return _REASONS[number]
    if place is None:
        return None
    if number in (errno.ENOENT, errno.ENOTDIR) and was_there and not _folder(place).is_dir():
        return _GONE
    return _READ_ONLY if number in (errno.EACCES, errno.EPERM) else None


def _of_sqlite(code: int, place: Path | None) -> str:
    """Return the reason behind a result code of SQLite, which often says no more than "disk I/O error"."""
    folder = _folder(place) if place is not None else None
    if folder is not None and not folder.is_dir():
        return _GONE
    if code & 0xFF == sqlite3.SQLITE_FULL or (folder is not None and _available(folder)[0] < LITTLE):
        return _FULL
    if code == sqlite3.SQLITE_READONLY or (folder is not None and not os.access(folder, os.W_OK)):
        return _READ_ONLY
    return _GONE


def _folder(place: Path) -> Path:
    return place if place.is_dir() else place.parent


def _available(folder: Path) -> tuple[int, int]:
    """Return the free and the total bytes of the disk of a folder; a great number where they are not known."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return 1 << 62, 1 << 62
    return usage.free, usage.total


def _free(place: Path) -> str:
    """Return " (N free of M)" for the disk of a file or of its nearest folder that is there."""
    folder = next((parent for parent in (place, *place.absolute().parents) if parent.is_dir()), None)
    if folder is None:
        return ""
    free, total = _available(folder)
    if total == 1 << 62:
        return ""
    return f" ({_size(free)} free of {_size(total)})"


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            break
        count, unit = count / 1000, {"bytes": "kB", "kB": "MB", "MB": "GB", "GB": "TB"}[unit]
    return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
