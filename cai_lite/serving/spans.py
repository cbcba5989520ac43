"""The conversations in spans and log records of OpenTelemetry, as OTLP/JSON writes them.

Source: OpenTelemetry semantic conventions for generative AI, version 1.38 (`gen_ai.input.messages` and
`gen_ai.output.messages`, also on the event `gen_ai.client.inference.operation.details`); before 1.37 the events
`gen_ai.content.prompt` and `gen_ai.content.completion`, and those of single messages, such as `gen_ai.user.message` and
`gen_ai.choice`, on the span; and the numbered attributes `gen_ai.prompt.0.content` of OpenLLMetry.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from cai_lite.inputs.textfile import RowFault
from cai_lite.serving.conversations import Logged, logged_of, tags_of, text_or_nothing, time_of

_NUMBERED = re.compile(r"gen_ai\.(prompt|completion)\.(\d{1,4})\.(role|content)")
_CHATS = {"chat", "generate_content", "text_completion", None}  # operations whose messages are a conversation


def records_of(row: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the spans and log records of an export request."""
    for outer, middle, inner in (
        ("resourceSpans", "scopeSpans", "spans"),
        ("resourceLogs", "scopeLogs", "logRecords"),
    ):
        for resource in row.get(outer) or ():
            for scope in resource.get(middle) or ():
                yield from scope.get(inner) or ()


def span_form(record: Mapping[str, Any]) -> Logged | None:
    """Return the conversation of a span or log record, or None where it has none.

    Raises:
        RowFault: it has half of one.
    """
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
    return logged_of(
        [*asked, {**said[0], "role": "assistant"}],
        tags=tags_of({"tags": tags}),
        at=time_of(next((int(time) for time in times if time), None)),
        id=text_or_nothing(found.get("gen_ai.response.id")),
        trace=text_or_nothing(record.get("traceId")),
        span=text_or_nothing(record.get("spanId")),
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
