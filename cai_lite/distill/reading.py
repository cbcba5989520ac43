"""Read what a teacher wrote. What cannot be read is said to be unreadable: a parser never decides a label.

Reading is keyed apart from asking: change `PARSER` whenever a rule here changes, and rows are read anew, at no cost.
"""

from __future__ import annotations

import re

from cai_lite.records import Reply

PARSER = "2"

_THOUGHT = re.compile(r"<think>.*?</think>\s*", re.DOTALL)


def spoken(text: str) -> str:
    """The text without a thinking model's thought. A thought that never ends leaves nothing."""
    text = _THOUGHT.sub("", text)
    return "" if "<think>" in text else text.strip()


def first_word(text: str, options: tuple[str, ...]) -> str | None:
    """The option that the text begins with, whatever stands around it; None if it begins with none of them."""
    words = re.match(r"[\s\"'*_`(\[]*([A-Za-z]+)\b", spoken(text))
    if not words:
        return None
    return next((option for option in options if option and words[1].lower() == option.lower()), None)


def last_verdict(text: str, options: tuple[str, ...]) -> str | None:
    """The option of the last line "Verdict: ..." of a chain of thought; None where none stands."""
    said = re.findall(r"^[\s\"'*_`(\[]*verdict[\s*_`]*:(.*)$", spoken(text), re.IGNORECASE | re.MULTILINE)
    return first_word(said[-1], options) if said else None


def fault(reply: Reply) -> str | None:
    """ "refused", "failed", "cut" or "empty" where there is nothing to read; else None."""
    if reply.outcome == "ok" and not spoken(reply.text):
        return "empty"
    return None if reply.outcome == "ok" else reply.outcome
