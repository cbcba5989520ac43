"""Read the logs of a served model: chat completions, OpenTelemetry traces, or lines of our own.

Three forms, told apart row by row:

    {"messages": [..., {"role": "assistant", "content": "..."}]}, or {"request": {...}, "response": {...}}   OpenAI
    {"resourceSpans": [...]}, or {"resourceLogs": [...]}                                        OTLP/JSON with GenAI
    {"prompt": "..." or [messages], "answer": "...", "tags": [...], "at": ..., "id": ..., "family": ...}        ours

A line of a run's answers.jsonl is of the third form; of its sides, only the answers after training are taken. A line
that cannot be used is counted with its number and its reason, and nothing of its content is repeated.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from cai_lite.errors import InputError
from cai_lite.inputs.textfile import LONGEST_LINE, RowFault, check_regular, read_json
from cai_lite.records import digest
from cai_lite.serving.conversations import Logged, chat_form, own_form
from cai_lite.serving.spans import records_of, span_form

LARGEST = 1 << 28  # bytes of a log that is one JSON document
HEAD = 1024  # bytes by which a log is known again


class Fault(NamedTuple):
    """A line, or a span of it, that cannot be used. `kind`: under which it is counted."""

    line: int
    kind: str
    reason: str


class Line(NamedTuple):
    """What a line holds. `end`: the position behind it; `other`: what holds no conversation, such as spans of tools."""

    number: int
    end: int
    found: Sequence[Logged]
    faults: Sequence[Fault]
    other: int = 0


@dataclass(frozen=True, slots=True)
class Position:
    """How far a log was read: bytes and lines, and the digest of its first bytes, by which it is known again.

    `whole`: the log is one JSON document, of which `offset` rows were read.
    """

    offset: int = 0
    line: int = 0
    head: str = ""
    whole: bool = False


class Log:
    """A log file that may grow, be truncated or be replaced while it is read.

    `position`: how far an earlier reading came. A file that is another one now is read from its beginning.

    Raises:
        InputError: there is no such file, or it is not a regular one.
    """

    def __init__(self, path: Path, position: Position | None = None) -> None:
        self.path, self.position = path, position or Position()
        self.unfinished = False  # whether the last line has no end yet
        check_regular(path, InputError)

    def replaced(self) -> bool:
        """Return whether the file is another one than the one that was read, and if so begin anew."""
        with self.path.open("rb") as file:
            head = file.read(min(HEAD, self.position.offset) if not self.position.whole else HEAD)
        if not self.position.offset or (_head(head) == self.position.head and self._long_enough()):
            return False
        self.position = Position()
        return True

    def _long_enough(self) -> bool:
        return self.position.whole or self.path.stat().st_size >= self.position.offset

    def lines(self) -> Iterator[Line]:
        """Yield the lines that are complete, from where the last reading stopped; `position` follows.

        The last line may be in the writing: without a line end, it is read only if it is a whole JSON object.
        """
        with self.path.open("rb") as file:
            if self.position.whole or (not self.position.offset and self._is_document(file)):
                yield from self._document()
                return
            file.seek(0)
            head = file.read(min(HEAD, self.position.offset))
            file.seek(self.position.offset)
            yield from self._rows(file, head)

    def _rows(self, file: BinaryIO, head: bytes) -> Iterator[Line]:
        """Yield the lines from here on. `head`: the first bytes of the file, as far as they were read already."""
        number, known = self.position.line, _head(head)
        while raw := file.readline(LONGEST_LINE + 1):
            number, first = number + 1, raw[:HEAD]
            if len(raw) > LONGEST_LINE:
                found = Line(number, 0, (), [Fault(number, "line too long", f"more than {LONGEST_LINE:,} bytes")])
                while raw and not raw.endswith(b"\n"):
                    raw = file.readline(LONGEST_LINE)
            else:
                found = _line(number, raw)
                self.unfinished = not raw.endswith(b"\n")
                if self.unfinished and any(fault.kind == "not JSON" for fault in found.faults):
                    return
            if len(head) < HEAD:
                head = (head + first)[:HEAD]
                known = _head(head)
            self.position = Position(file.tell(), number, known)
            yield found._replace(end=self.position.offset)

    def _is_document(self, file: BinaryIO) -> bool:
        """Return whether the file is one JSON document over several lines, rather than one a line."""
        first = file.readline(LONGEST_LINE)
        while first and not first.strip():
            first = file.readline(LONGEST_LINE)
        start = first.lstrip(b"\xef\xbb\xbf \t")
        if start.startswith(b"["):
            return True
        return start.startswith(b"{") and bool(file.read(1)) and not start.rstrip().endswith(b"}")

    def _document(self) -> Iterator[Line]:
        if self.path.stat().st_size > LARGEST:
            raise InputError(f"{self.path}: is one JSON document of more than {LARGEST:,} bytes; write one row a line")
        value = read_json(self.path, InputError)
        rows = value if isinstance(value, list) else [value]
        with self.path.open("rb") as file:
            head = _head(file.read(HEAD))
        for number, row in enumerate(rows[self.position.offset :], self.position.offset + 1):
            self.position = Position(number, number, head, whole=True)
            yield _of(number, row)._replace(end=number)


def lines_of(rows: Iterable[Any]) -> Iterator[Line]:
    """Yield rows that a caller has, as `Log.lines` yields those of a file."""
    for number, row in enumerate(rows, 1):
        yield _of(number, row)._replace(end=number)


def _head(first: bytes) -> str:
    return digest("head", first.hex())


def _line(number: int, raw: bytes) -> Line:
    if not raw.strip():
        return Line(number, 0, (), ())
    try:
        return _of(number, json.loads(raw.removeprefix(b"\xef\xbb\xbf")))
    except UnicodeDecodeError:
        return Line(number, 0, (), [Fault(number, "not UTF-8", "bytes that are not UTF-8")])
    except json.JSONDecodeError as fault:
        return Line(number, 0, (), [Fault(number, "not JSON", f"{fault.msg} at column {fault.colno}")])
    except (ValueError, RecursionError):
        return Line(number, 0, (), [Fault(number, "not JSON", "numbers or nesting beyond all measure")])


def _of(number: int, row: Any) -> Line:
    """Return what a row holds."""
    if not isinstance(row, Mapping):
        return Line(number, 0, (), [Fault(number, "no conversation", "the row is no object")])
    try:
        if "resourceSpans" in row or "resourceLogs" in row:
            return _telemetry(number, row)
        if "answer" in row and row.get("side", "after") != "after":
            return Line(number, 0, (), (), 1)
        if "answer" in row:
            return Line(number, 0, [own_form(row)], ())
        if "messages" in row or "request" in row or "response" in row:
            return Line(number, 0, [chat_form(row)], ())
        wanted = "expected messages, request and response, prompt and answer, or resourceSpans"
        fault = Fault(number, "no conversation", wanted)
    except RowFault as wrong:
        fault = Fault(number, wrong.kind, str(wrong))
    except (TypeError, ValueError, AttributeError, RecursionError):
        fault = Fault(number, "other form", "the row is not of the form that its first fields promise")
    return Line(number, 0, (), [fault])


def _telemetry(number: int, row: Mapping[str, Any]) -> Line:
    found, faults, other = [], [], 0
    for record in records_of(row):
        try:
            logged = span_form(record)
        except RowFault as wrong:
            faults.append(Fault(number, wrong.kind, str(wrong)))
        except (TypeError, ValueError, AttributeError, KeyError):
            faults.append(Fault(number, "other form", "a span whose attributes have another form"))
        else:
            if logged is None:
                other += 1
            else:
                found.append(logged)
    return Line(number, 0, found, faults, other)
