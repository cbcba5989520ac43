"""Conversations as text: how one is shown to a model, and how those that a model wrote are read.

A written conversation that is not plainly one is unreadable; it is counted, and never made into data.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from cai_lite.errors import PromptError
from cai_lite.inputs.prompts import as_prompts
from cai_lite.records import Message, Messages

MOST_TURNS = 6  # user turns of a written conversation, at most
_ITEM = re.compile(
    r"^[ \t]*(?:#+[ \t]*)?(?:\*\*)?\d{1,3}[.)](?:\*\*)?[ \t]*"
    r"(?:(?:\*\*)?Scenario(?:\*\*)?[ \t]*:(?:\*\*)?[ \t]*(?P<scenario>[^\n]*))?[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
_TURN = re.compile(r"^[ \t]*(?:\*\*)?(User|Assistant)(?:\*\*)?[ \t]*:(?:\*\*)?[ \t]*", re.IGNORECASE | re.MULTILINE)
_SEPARATOR = re.compile(r"\n\s*(?:-{3,}|\*{3,}|={3,})\s*$")


class Written(NamedTuple):
    """A conversation that a model wrote, which ends with the user's turn; `scenario` is "" if it names none."""

    scenario: str
    messages: Messages


def shown(messages: Messages) -> str:
    """Return a conversation as lines "User: ..." and "Assistant: ...", the form that `read_conversations` reads."""
    return "\n".join(f"{message.role.capitalize()}: {message.content}" for message in messages)


def read_conversations(text: str, *, turns: tuple[int, int], cut: bool = False) -> tuple[list[Written], int]:
    """Return the conversations that a model wrote, and how many more it began that are unreadable.

    Each begins with a line "1. Scenario: ..." or "1."; then its turns begin with "User:" or "Assistant:", and may go
    on over several lines. Text in front of the first one is skipped.

    `turns`: the least and the largest number of user turns. `cut`: the text ends in the middle, so the last
    conversation is left out without being counted.
    """
    heads = list(_ITEM.finditer(text))
    if not heads:
        return [], 0 if cut else 1
    ends = [head.start() for head in heads[1:]] + [len(text)]
    bodies = [
        ((head["scenario"] or "").strip(" *\t"), text[head.end() : end]) for head, end in zip(heads, ends, strict=True)
    ]
    found = [(scenario, _messages(body, turns)) for scenario, body in (bodies[:-1] if cut else bodies)]
    readable = [Written(scenario, messages) for scenario, messages in found if messages is not None]
    return readable, len(found) - len(readable)


def _messages(body: str, turns: tuple[int, int]) -> Messages | None:
    """Return the turns of one conversation, or None if they do not alternate from a user's turn to a user's turn."""
    marks = list(_TURN.finditer(body))
    if not marks or body[: marks[0].start()].strip():
        return None
    ends = [mark.start() for mark in marks[1:]] + [len(body)]
    messages = tuple(
        Message(mark[1].lower(), unquoted(_SEPARATOR.sub("", body[mark.end() : end].rstrip()).strip()))
        for mark, end in zip(marks, ends, strict=True)
    )
    alternate = all(
        message.role == ("user", "assistant")[place % 2] and message.content for place, message in enumerate(messages)
    )
    asked = len(messages) // 2 + 1
    if not alternate or len(messages) % 2 == 0 or not turns[0] <= asked <= turns[1]:
        return None
    return messages if writable(messages) else None


def writable(messages: Messages) -> bool:
    """Return whether a prompts file can hold this prompt, by the rules of its reader."""
    try:
        as_prompts([{"messages": [message._asdict() for message in messages]}], "train")
    except PromptError:
        return False
    return True


def unquoted(text: str) -> str:
    """Return the text without quotation marks around the whole of it."""
    if len(text) > 1 and (text[0], text[-1]) in (('"', '"'), ("\u201c", "\u201d")) and text[0] not in text[1:-1]:
        return text[1:-1].strip()
    return text


def user_text(prompts: Sequence[Messages]) -> list[str]:
    """Return the turns of each conversation without its system message, as the text that near copies are found in."""
    return ["\n".join(m.content for m in messages if m.role != "system") for messages in prompts]
