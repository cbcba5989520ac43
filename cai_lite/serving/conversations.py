"""The conversation in a row of a log: OpenAI's chat completions and responses, or our own form.

The last answer of a conversation is the one that is looked at; calls and results of tools are left out of its prompt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from cai_lite.inputs.textfile import RowFault
from cai_lite.records import Message, Messages, dicts_of, digest

_UNWRITABLE = re.compile("[\0\ud800-\udfff]")
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


def own_form(row: Mapping[str, Any]) -> Logged:
    """Return the conversation of a row of prompt and answer.

    Raises:
        RowFault: there is none.
    """
    prompt = row.get("prompt")
    asked = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    family = row.get("family")
    return logged_of(
        [*asked, {"role": "assistant", "content": row["answer"]}] if isinstance(asked, list) else None,
        tags=tags_of(row),
        at=time_of(row.get("at")),
        id=text_or_nothing(row.get("id") or row.get("key")),
        family=text_or_nothing(family),
    )


def chat_form(row: Mapping[str, Any]) -> Logged:
    """Return the conversation of messages, or of a request with its response, of chat completions or of responses.

    Raises:
        RowFault: there is none.
    """
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
    return logged_of(
        messages,
        tags=tags_of(row),
        at=time_of(at if at is not None else response.get("created", response.get("created_at"))),
        id=text_or_nothing(response.get("id") or row.get("id")),
    )


def _section(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the request or the response of a row, without the `body` that batches put around it."""
    section = row.get(name)
    section = section if isinstance(section, Mapping) else {}
    body = section.get("body")
    return body if isinstance(body, Mapping) else section


def logged_of(messages: Any, **about: Any) -> Logged:
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


def tags_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the tags of a row, or of its metadata: a list, or a text with commas."""
    tags = row.get("tags")
    if tags is None and isinstance(row.get("metadata"), Mapping):
        tags = row["metadata"].get("tags")
    if isinstance(tags, str):
        tags = [tag.strip() for tag in tags.split(",")]
    return tuple(str(tag) for tag in tags if tag) if isinstance(tags, (list, tuple)) else ()


def text_or_nothing(value: Any) -> str:
    """Return a text, or "" for anything else."""
    return value if isinstance(value, str) else ""


def time_of(value: Any) -> float | None:
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
