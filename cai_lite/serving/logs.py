"""Read the logs of a served model: chat completions, OpenTelemetry traces, or lines of our own.

Three forms, told apart row by row:

    {"messages": [..., {"role": "assistant", "content": "..."}]}, or {"request": {...}, "response": {...}}   OpenAI
    {"resourceSpans": [...]}, or {"resourceLogs": [...]}                                        OTLP/JSON with GenAI
    {"prompt": "..." or [messages], "answer": "...", "tags": [...], "at": ..., "id": ..., "family": ...}        ours

A line of a run's answers.jsonl is of the third form. The last answer of a conversation is the one that is looked at;
calls and results of tools are left out of its prompt. A line that cannot be used is counted with its number and its
reason, and nothing of its content is repeated.

Source: OpenTelemetry semantic conventions for generative AI, version 1.38 (`gen_ai.input.messages` and
`gen_ai.output.messages`, also on the event `gen_ai.client.inference.operation.details`); before 1.37 the events
`gen_ai.content.prompt` and `gen_ai.content.completion`, and those of single messages, such as `gen_ai.user.message` and
`gen_ai.choice`, on the span; and the numbered attributes `gen_ai.prompt.0.content` of OpenLLMetry.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from cai_lite.errors import InputError
from cai_lite.inputs.textfile import LONGEST_LINE, RowFault, check_regular, read_json
from cai_lite.records import Message, Messages, dicts_of, digest

LARGEST = 1 << 28  # bytes of a log that is one JSON document
HEAD = 1024  # bytes by which a log is known again
_UNWRITABLE = re.compile("[\0\ud800-\udfff]")
_NUMBERED = re.compile(r"gen_ai\.(prompt|completion)\.(\d{1,4})\.(role|content)")
_CHATS = {"chat", "generate_content", "text_completion", None}  # operations whose messages are a conversation
_ROLES = {"developer": "system", "model": "assistant", "human": "user", "ai": "assistant"}
_SECONDS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))  # above the first, a time is in this part of a second


class Logged(NamedTuple):
    """One conversation of a log: what was asked, and the answer. `at`: seconds since 1970.

    `id`: the response's own id; `trace`, `span`: those of the span, in hexadecimal. `family`: as the log names it.
    """

    prompt: Messages
    answer: str
    tags: tuple[str, ...] = ()
    at: float | None = None
    id: str = ""
    trace: str = ""
    span: str = ""
    family: str = ""

    @property
    def key(self) -> str:
        """Return a digest of what was said, and of the response's id."""
        return digest("logged", self.id, dicts_of(self.prompt), self.answer)


class Fault(NamedTuple):
    """A line, or a span of it, that cannot be used. `kind`: under which it is counted."""

    line: int
    kind: str
    reason: str


class Line(NamedTuple):
    """What a line holds. `end`: the position behind it; `other`: spans and records without a conversation."""

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
            head = file.read(HEAD)
            file.seek(self.position.offset)
            yield from self._rows(file, head)

    def _rows(self, file: BinaryIO, head: bytes) -> Iterator[Line]:
        offset, number = self.position.offset, self.position.line
        while raw := file.readline(LONGEST_LINE + 1):
            number += 1
            if len(raw) > LONGEST_LINE:
                found = Line(number, 0, (), [Fault(number, "line too long", f"more than {LONGEST_LINE:,} bytes")])
                while raw and not raw.endswith(b"\n"):
                    raw = file.readline(LONGEST_LINE)
            else:
                found = _line(number, raw)
                self.unfinished = not raw.endswith(b"\n")
                if self.unfinished and any(fault.kind == "not JSON" for fault in found.faults):
                    return
            offset = file.tell()
            self.position = Position(offset, number, _head(head[:offset]))
            yield found._replace(end=offset)

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
        if "answer" in row:
            return Line(number, 0, [_own(row)], ())
        if "messages" in row or "request" in row or "response" in row:
            return Line(number, 0, [_chat(row)], ())
        wanted = "expected messages, request and response, prompt and answer, or resourceSpans"
        fault = Fault(number, "no conversation", wanted)
    except RowFault as wrong:
        fault = Fault(number, wrong.kind, str(wrong))
    except (TypeError, ValueError, AttributeError, RecursionError):
        fault = Fault(number, "other form", "the row is not of the form that its first fields promise")
    return Line(number, 0, (), [fault])


def _own(row: Mapping[str, Any]) -> Logged:
    prompt = row.get("prompt")
    asked = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    family = row.get("family")
    return _logged(
        [*asked, {"role": "assistant", "content": row["answer"]}] if isinstance(asked, list) else None,
        tags=_tags(row),
        at=_time(row.get("at")),
        id=_text_or_nothing(row.get("id") or row.get("key")),
        family=_text_or_nothing(family),
    )


def _chat(row: Mapping[str, Any]) -> Logged:
    """Read a row of messages, or a request with its response, of chat completions or of OpenAI's responses."""
    request, response = _section(row, "request"), _section(row, "response")
    messages = row.get("messages", request.get("messages", request.get("input")))
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    if isinstance(request.get("instructions"), str) and isinstance(messages, list):
        messages = [{"role": "system", "content": request["instructions"]}, *messages]
    if response:
        choices = response.get("choices") or [
            {"message": item} for item in response.get("output") or () if item.get("type") == "message"
        ]
        said = next((choice["message"] for choice in choices if choice.get("message")), None)
        if said is None:
            raise RowFault("no answer", "the response has no message")
        messages = [*(messages or ()), {**said, "role": "assistant"}]
    at = next((row[n] for n in ("at", "timestamp", "time", "created_at", "created") if n in row), None)
    return _logged(
        messages,
        tags=_tags(row),
        at=_time(at if at is not None else response.get("created", response.get("created_at"))),
        id=_text_or_nothing(response.get("id") or row.get("id")),
    )


def _section(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the request or the response of a row, without the `body` that batches put around it."""
    section = row.get(name)
    section = section if isinstance(section, Mapping) else {}
    body = section.get("body")
    return body if isinstance(body, Mapping) else section


def _logged(messages: Any, **about: Any) -> Logged:
    """Return the conversation of messages in the form of OpenAI or of OpenTelemetry.

    Raises:
        RowFault: there is no answer, or nobody asked.
    """
    if not isinstance(messages, list) or not messages:
        raise RowFault("no conversation", "there are no messages")
    last = messages[-1]
    answer = _content(last)
    if _ROLES.get(last.get("role"), last.get("role")) != "assistant" or not answer.strip():
        raise RowFault("no answer", "the last message is no text of the assistant's")
    system, turns = [], []
    for message in messages[:-1]:
        role, text = _ROLES.get(message.get("role"), message.get("role")), _content(message)
        if text.strip() and role == "system":
            system.append(text)
        elif text.strip() and role in ("user", "assistant"):
            turns.append(Message(role, text))
    if not turns or turns[-1].role != "user":
        raise RowFault("no question", "no user's message stands before the answer")
    first = (Message("system", "\n\n".join(system)),) if system else ()
    return Logged((*first, *turns), answer, **about)


def _content(message: Mapping[str, Any]) -> str:
    """Return the text of a message: its content, or its parts that are text. Thoughts and tools are left out."""
    content = message.get("content", message.get("parts"))
    if isinstance(content, list):
        parts = [part for part in content if part.get("type", "text") in ("text", "input_text", "output_text")]
        content = "\n".join(str(part.get("text", part.get("content", ""))) for part in parts)
    if not isinstance(content, str):
        return ""
    return _UNWRITABLE.sub("\ufffd", content) if _UNWRITABLE.search(content) else content


def _telemetry(number: int, row: Mapping[str, Any]) -> Line:
    found, faults, other = [], [], 0
    for record in _records(row):
        try:
            logged = _of_record(record)
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


def _records(row: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for outer, middle, inner in (
        ("resourceSpans", "scopeSpans", "spans"),
        ("resourceLogs", "scopeLogs", "logRecords"),
    ):
        for resource in row.get(outer) or ():
            for scope in resource.get(middle) or ():
                yield from scope.get(inner) or ()


def _of_record(record: Mapping[str, Any]) -> Logged | None:
    """Return the conversation of a span or log record, or None where it has none."""
    found = _attributes(record)
    single: list[dict[str, Any]] = []
    for event in record.get("events") or ():
        own = _attributes(event)
        name = str(event.get("name", ""))
        if name.startswith("gen_ai.") and (name.endswith(".message") or name == "gen_ai.choice"):
            single.append(_of_event(name, own))
        elif name.startswith("gen_ai."):
            found |= own
    if found.get("gen_ai.operation.name") not in _CHATS:
        return None
    asked = _messages(found.get("gen_ai.input.messages", found.get("gen_ai.prompt")), "user")
    said = _messages(found.get("gen_ai.output.messages", found.get("gen_ai.completion")), "assistant")
    if system := found.get("gen_ai.system_instructions"):
        parts = _parsed(system)
        asked = [{"role": "system", "content": parts}, *asked]
    if not asked and not said:
        numbered: dict[tuple[str, int], dict[str, Any]] = {}
        for name, value in found.items():
            if part := _NUMBERED.fullmatch(name):
                numbered.setdefault((part[1], int(part[2])), {})[part[3]] = value
        asked = [message for (kind, _), message in sorted(numbered.items()) if kind == "prompt"]
        said = [message for (kind, _), message in sorted(numbered.items()) if kind == "completion"]
    if not asked and not said:
        asked, said = [m for m in single if not m["choice"]], [m for m in single if m["choice"]]
    if not asked and not said:
        return None
    if not said:
        raise RowFault("no answer", "the span has no output")
    times = (record.get(name) for name in ("endTimeUnixNano", "timeUnixNano", "startTimeUnixNano"))
    tags = found.get("cai_lite.tags", ())
    return _logged(
        [*asked, {**said[0], "role": "assistant"}],
        tags=_tags({"tags": tags}),
        at=_time(next((int(time) for time in times if time), None)),
        id=_text_or_nothing(found.get("gen_ai.response.id")),
        trace=_text_or_nothing(record.get("traceId")),
        span=_text_or_nothing(record.get("spanId")),
    )


def _attributes(record: Mapping[str, Any]) -> dict[str, Any]:
    return {item["key"]: _value(item.get("value")) for item in record.get("attributes") or ()}


def _value(value: Any) -> Any:
    """Return an attribute's value in the encoding of OTLP/JSON as plain JSON."""
    if not isinstance(value, Mapping):
        return value
    if "arrayValue" in value:
        return [_value(item) for item in value["arrayValue"].get("values") or ()]
    if "kvlistValue" in value:
        return {item["key"]: _value(item.get("value")) for item in value["kvlistValue"].get("values") or ()}
    return next(iter(value.values()), None)


def _of_event(name: str, found: Mapping[str, Any]) -> dict[str, Any]:
    body = _parsed(found["gen_ai.event.content"]) if "gen_ai.event.content" in found else found
    message = _parsed(body.get("message", body)) if isinstance(body, Mapping) else {"content": body}
    role = name.removeprefix("gen_ai.").removesuffix(".message")
    return {"choice": role == "choice", "role": role, "content": message.get("content")}


def _messages(value: Any, role: str) -> list[dict[str, Any]]:
    """Return the messages of an attribute: a list, its JSON, or a plain text of this role."""
    if value is None:
        return []
    parsed = _parsed(value)
    if isinstance(parsed, str):
        return [{"role": role, "content": parsed}]
    found = parsed if isinstance(parsed, list) else [parsed]
    return [{"role": role, **_parsed(message)} for message in found]


def _parsed(value: Any) -> Any:
    """Return a value, parsed if it is a text that begins like JSON.

    Raises:
        RowFault: it begins like JSON and is none; exporters cut long attributes.
    """
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{"):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise RowFault("messages cut", "the messages are no JSON; was the attribute cut at a length limit?") from None


def _tags(row: Mapping[str, Any]) -> tuple[str, ...]:
    tags = row.get("tags")
    if tags is None and isinstance(row.get("metadata"), Mapping):
        tags = row["metadata"].get("tags")
    if isinstance(tags, str):
        tags = [tag.strip() for tag in tags.split(",")]
    return tuple(str(tag) for tag in tags if tag) if isinstance(tags, (list, tuple)) else ()


def _text_or_nothing(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _time(value: Any) -> float | None:
    """Return a time in seconds since 1970: a number of seconds, or of parts of them, or as ISO 8601 writes it."""
    if isinstance(value, str):
        try:
            time = datetime.fromisoformat(value)
        except ValueError:
            return None
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e19:
        return None
    return float(value) / next((part for above, part in _SECONDS if value > above), 1.0)
