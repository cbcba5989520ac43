"""Read files that users give: UTF-8 text in regular files, JSON row by row, with a limit on each size.

Every fault is an error of this library. A file may contain anything, so nothing here trusts its depth, its numbers or
its line lengths.
"""

from __future__ import annotations

import json
import re
import stat
import sys
from collections.abc import Callable, Generator, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any, TypeVar

from cai_lite.errors import InputError

LONGEST_LINE = 64 << 20  # bytes; one row of a data set stays far below
LARGEST_DOCUMENT = 1 << 20  # bytes; constitutions, recipes and policies are written by hand
DIGITS = 300  # of an integer in JSON; every such number fits into a float
_UNWRITABLE = re.compile("[\0\ud800-\udfff]")
_BLANKS = " \t\r\n"
_FAULTS = 3  # that the error of a file lists

T = TypeVar("T")


class RowFault(ValueError):
    """A row that cannot be used. `kind`: a short name of the fault, under which such rows are counted."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def path_of(name: str | Path, error: type[InputError]) -> Path:
    """Return the path of a file that a user names; `~` stands for a home folder.

    Raises:
        InputError: (as `error`) the text cannot be a path.
    """
    if not str(name) or _UNWRITABLE.search(str(name)):
        raise error(f"{str(name)!r} is not a path")
    try:
        return Path(name).expanduser()
    except RuntimeError as fault:
        raise error(f"{name}: {fault}") from None


def check_regular(path: Path, error: type[InputError]) -> int:
    """Return the size of a regular file in bytes.

    Raises:
        InputError: (as `error`) there is no such file, or it is a folder, a pipe or a device, which may never end.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        raise error(f"{path}: no such file") from None
    except OSError as fault:
        name = str(path) if len(str(path)) <= 200 else f"{str(path)[:200]}..."
        raise error(f"{name}: cannot be read: {fault.strerror}") from None
    if stat.S_ISDIR(found.st_mode):
        raise error(f"{path} is a folder; give a file")
    if not stat.S_ISREG(found.st_mode):
        raise error(f"{path}: is not a regular file; save its content to a file and give that")
    return found.st_size


def read_text(path: Path, error: type[InputError], limit: int | None = None) -> str:
    """Return the text of a UTF-8 file, without a byte order mark. `limit`: the largest size, in bytes.

    Raises:
        InputError: (as `error`) the file cannot be read, is not UTF-8, or is larger than `limit`.
    """
    size = check_regular(path, error)
    if limit is not None and size > limit:
        raise error(
            f"{path}: has {size:,} bytes, more than the {limit:,} that such a file may have; is it the right one?"
        )
    try:
        raw = path.read_bytes()
    except OSError as fault:
        raise error(f"{path}: cannot be read: {fault.strerror}") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = len(re.findall(rb"\r\n|\r|\n", raw[: fault.start])) + 1
        raise _not_utf8(path, line, raw[fault.start], error) from None


def read_json(path: Path, error: type[InputError]) -> Any:
    """Return the value of a file that is one JSON document.

    Raises:
        InputError: (as `error`) the file cannot be read, is not UTF-8, or is not valid JSON.
    """
    try:
        return _DECODER.decode(read_text(path, error))
    except json.JSONDecodeError as fault:
        raise error.at(path, fault.lineno, f"not valid JSON: {fault.msg} at column {fault.colno}") from None
    except RecursionError:
        raise error(f"{path}: nested too deeply") from None
    except RowFault as fault:
        raise error(f"{path}: {fault}") from None


def read_rows(path: Path, error: type[InputError]) -> Iterator[tuple[int, Any]]:
    """Yield each row of a JSON file with its line number: the lines of JSONL, or the items of one JSON list.

    A line that is not JSON is yielded as a `RowFault`, for the caller to raise or to count.

    Raises:
        InputError: (as `error`) the file cannot be read, is not UTF-8, has an endless line, or is a JSON list with a
            fault, behind which no item can be found.
    """
    lines = read_lines(path, error)
    for number, line in lines:
        if line.lstrip(_BLANKS).startswith("["):
            lines.close()
            yield from _items(path, error)
            return
        if line.strip():
            yield number, _parsed(line)
            break
    for number, line in lines:
        if line.strip():
            yield number, _parsed(line)


def read_valid(path: Path, parse: Callable[[Any], T], error: type[InputError]) -> list[T]:
    """Return what `parse` makes of each row of a JSON file; it raises a `RowFault` for a row that it cannot use.

    Raises:
        InputError: (as `error`) as for `read_rows`; or rows cannot be used, of which the first are named with their
            lines.
    """
    found, wrong = list[T](), list[str]()
    for line, row in read_rows(path, error):
        try:
            if isinstance(row, RowFault):
                raise row
            found.append(parse(row))
        except RowFault as fault:
            wrong.append(f"{path}:{line}: {fault}")
    if wrong:
        more = [f"{path}: {len(wrong) - _FAULTS:,} more lines cannot be used"] if len(wrong) > _FAULTS else []
        raise error("\n".join([*wrong[:_FAULTS], *more]))
    return found


def read_lines(path: Path, error: type[InputError]) -> Generator[tuple[int, str], None, None]:
    """Yield the lines of a UTF-8 file with their numbers, from 1. Lines end as on Unix, Windows or the old Macintosh.

    Raises:
        InputError: (as `error`) as for `read_rows`.
    """
    check_regular(path, error)
    try:
        with path.open("rb") as file:
            yield from _lines(path, file, error)
    except OSError as fault:
        raise error(f"{path}: cannot be read: {fault.strerror}") from None


def parse_json(text: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        RowFault: it is not valid JSON, repeats a key, is nested too deeply, or has a number of too many digits.
    """
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as fault:
        raise RowFault("not valid JSON", f"not valid JSON: {fault.msg} at column {fault.colno}") from None
    except RecursionError:
        raise RowFault("not valid JSON", "nested too deeply") from None


def check_writable(text: str, name: str) -> None:
    """Check that a text can be written, tokenized and stored.

    Raises:
        RowFault: it contains the character NUL or half of a surrogate pair.
    """
    if found := _UNWRITABLE.search(text):
        what = "the character NUL" if found[0] == "\0" else f"half of a surrogate pair (U+{ord(found[0]):04X})"
        raise RowFault("unwritable text", f"'{name}' contains {what} at character {found.start() + 1}")


def _lines(path: Path, file: BufferedReader, error: type[InputError]) -> Iterator[tuple[int, str]]:
    number = 0
    while raw := file.readline(LONGEST_LINE + 1):
        if len(raw) > LONGEST_LINE:
            raise error.at(path, number + 1, f"the line has more than {LONGEST_LINE:,} bytes; write one row per line")
        raw = raw.removesuffix(b"\n").removesuffix(b"\r")
        for part in raw.split(b"\r"):
            number += 1
            try:
                yield number, part.decode("utf-8").lstrip("\ufeff")
            except UnicodeDecodeError as fault:
                raise _not_utf8(path, number, part[fault.start], error) from None


def _items(path: Path, error: type[InputError]) -> Iterator[tuple[int, Any]]:
    """Yield the items of a file that is one JSON list; only one of them is in memory as objects."""
    text = read_text(path, error)
    place, line, counted = text.index("[") + 1, 1, 0
    while True:
        place = _skipped(text, place)
        line, counted = line + text.count("\n", counted, place), place
        if text[place : place + 1] == "]":
            break
        try:
            value, place = _DECODER.raw_decode(text, place)
        except json.JSONDecodeError as fault:
            here = line + text.count("\n", counted, fault.pos)
            column = fault.pos - text.rfind("\n", 0, fault.pos)
            raise error.at(path, here, f"not valid JSON: {fault.msg} at column {column}") from None
        except RecursionError:
            raise error.at(path, line, "nested too deeply") from None
        except RowFault as fault:
            raise error.at(path, line, str(fault)) from None
        yield line, value
        place = _skipped(text, place)
        if text[place : place + 1] == ",":
            place += 1
        elif text[place : place + 1] != "]":
            here = line + text.count("\n", counted, place)
            raise error.at(path, here, "not valid JSON: expected ',' or ']' behind an item of the list")
    if rest := text[place + 1 :].strip():
        raise error.at(path, line, f"there is more behind the JSON list: {rest[:40]!r}")


def _skipped(text: str, place: int) -> int:
    while text[place : place + 1] in _BLANKS and place < len(text):
        place += 1
    return place


def _parsed(line: str) -> Any:
    try:
        return parse_json(line)
    except RowFault as fault:
        return fault


def _object(items: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; its keys are shared with all other objects, of which a file has millions."""
    found = {sys.intern(key): value for key, value in items}
    if len(found) < len(items):
        keys = [key for key, _ in items]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise RowFault("repeated key", f"the key {twice[:60]!r} appears twice in one object; keep one")
    return found


def _integer(digits: str) -> int:
    if len(digits) > DIGITS:
        raise RowFault("number too long", f"a number has {len(digits):,} digits")
    return int(digits)


def _not_utf8(path: Path, line: int, byte: int, error: type[InputError]) -> InputError:
    return error.at(path, line, f"byte 0x{byte:02x} is not UTF-8; save the file as UTF-8")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer)
