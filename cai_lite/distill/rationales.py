"""What a judge says beside its verdict. A reason should quote the words that decide; a quote that stands in no reply is
made up, and so is the reason that rests on it.
"""

from __future__ import annotations

import re

_QUOTED = re.compile(r"\"([^\"]+)\"|“([^”]+)”|«([^»]+)»")
_LETTERS = re.compile(r"\w+")
LEAST = 2  # words, below which a quote could stand anywhere


def quotes(text: str) -> list[str]:
    """What stands between double quotation marks in a reason, of at least two words."""
    found = ["".join(groups) for groups in _QUOTED.findall(text)]
    return [quote for quote in found if len(_LETTERS.findall(quote)) >= LEAST]


def grounded(text: str, *replies: str) -> tuple[str, ...]:
    """The quotes of a reason that occur in one of the replies; case, line breaks and punctuation do not count."""
    said = [_bare(reply) for reply in replies]
    return tuple(quote for quote in quotes(text) if any(f" {_bare(quote)} " in f" {reply} " for reply in said))


def _bare(text: str) -> str:
    return " ".join(_LETTERS.findall(text.lower()))
