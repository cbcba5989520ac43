"""Join the lead-in of a list with its items, so that each becomes a whole sentence: "You must not: - share PINs"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from cai_lite.inputs.importing.sentences import (
    NOUNS_TOO,
    VERBS,
    bare,
    conditional,
    forbids,
    is_request,
    negated,
    why_not,
)

Way = Literal["each", "whole"]

_OPEN = re.compile(
    r"\b(?:must|not|shall|should|can|cannot|may|never|always|to|only|do|don'?ts?|will|won't|for|of|with|about|"
    r"that|by|from|on|in|at|"
    r"either|between|whether|containing|including|also|first|then|least|be)$",
    re.IGNORECASE,
)
_WHOLE = re.compile(
    r"\b(?:any|all|one|either|none|each|both|at least \w+) of (?:the following|these|those|them)\b|"
    r"\bfollowing (?:is|are|conditions?|cases|situations|circumstances|criteria|order|sequence|holds?|appl(?:y|"
    r"ies))\b.*\b(?:true|met|appl\w+|hold|satisfied|order|sequence)$|"
    r"\b(?:following (?:conditions?|cases|situations|circumstances|criteria|order|sequence)|in (?:this|"
    r"the following) order)$|"
    r"\b(?:if|when|unless|where|because|such as|for example|e\.g\.|include|includes|including)$|"
    r"\binclud\w+,? but (?:are |is )?not limited to$",
    re.IGNORECASE,
)
_EXAMPLES = re.compile(
    r"^(?:some )?(?:examples?|for (?:example|instance)|such as|e\.g\.|these include|this includes|they include)\b", re.I
)
_NEGATIVE_TITLE = re.compile(
    r"^(?:(?:never|don'?ts?|do nots?|avoid)$|(?:the |strictly |absolutely )?(?:not allowed|prohibited|forbidden|"
    r"disallowed|banned|"
    r"unacceptable|out[- ]of[- ]scope|off[- ]limits)\b|(?:things|what|topics?|behaviou?rs?|content|"
    r"actions)\b.*\b(?:not|never|avoid|cannot)\b|"
    r".*(?:\b(?:must|should|may|do|does|shall|will|can|is|are)(?: not|n't| never)|\bcannot)(?: \w+)?$|"
    r".*\b(?:prohibited|forbidden|disallowed)$)",
    re.IGNORECASE,
)
_MODAL_END = re.compile(r"(?:^|\b)(?:must|not|never|always|should|shall|can|may|do|don'?t)$", re.IGNORECASE)
_DO = re.compile(r"(?:do|don'?ts?|do not|never|always)$", re.IGNORECASE)
_USERS = re.compile(
    r"\b(?:user|users'?|user's|human|customer)s? (?:messages?|inputs?|prompts?|questions?|utterances?)\b", re.I
)
_CALENDAR = re.compile(
    r"(?:mon|tues|wednes|thurs|fri|satur|sun)day|january|february|april|june|july|august|(?:sept|nov|dec)ember|october"
)
_TAIL = re.compile(r"[;,]?\s*(?:\b(?:and|or)\b)?\s*$")
_CLOSED = frozenset(
    """
    a all an another any as at by each every for from full how if in it its more no not of on only other personal
    some such that the their there these they this those to we what when where whether which who why with you your
    """.split()  # noqa: SIM905 - a list would take a line per word
)


def ends_open(lead: str) -> bool:
    """Return True if a sentence can go on after the lead-in: "The assistant must", "Never ask for"."""
    plain = stem(lead)
    words = plain.split()
    return bool(words) and (
        _OPEN.search(plain) is not None or (words[-1].lower() in VERBS - NOUNS_TOO and len(words) > 1)
    )


def is_polar(title: str) -> bool:
    """Return True if a heading decides whether its items are asked for or forbidden: "Never", "Prohibited content"."""
    plain = stem(title)
    return _NEGATIVE_TITLE.match(plain) is not None or (
        _MODAL_END.search(plain) is not None and len(plain.split()) <= 6
    )


def gives_examples(lead: str) -> bool:
    """Return True if the list below gives examples of what was said before it."""
    return _EXAMPLES.match(stem(lead)) is not None


def about_users(lead: str) -> bool:
    """Return True if the list is about what users write: "Company policy for the user messages:"."""
    return _USERS.search(stem(lead)) is not None and not is_request(lead)


def way_of(lead: str, items: Sequence[str]) -> Way:
    """Return how a list is read: each item with the lead-in, or as a whole, as after "if any of these is true:"."""
    if not _WHOLE.search(stem(lead)) and not re.search(
        r"\b(?:only (?:if|when)\b.*|one of these.*|either)$", stem(lead), re.I
    ):
        return "each"
    asked = sum(not why_not(item) and not re.match(r"(?:the|it|an?|they)\b", item, re.I) for item in items)
    return "each" if asked * 2 > len(items) and not _EXAMPLES.search(stem(lead)) else "whole"


def joined(lead: str, item: str, text: str, *, title: bool = False) -> str:
    """Return the lead-in and the item as one sentence, or the item alone where it says everything itself.

    `text`: the policy, to tell a name from a word that is only capitalised at the beginning of its line. `title`: the
    lead-in is a heading, which goes on only after a word such as "must" or "never".
    """
    item, start = trimmed(item), stem(lead)
    if negated(start) and forbids(item):
        return item
    if conditional(start) and len(start.split()) > 2:
        return ended(f"{start}, {lowered(item, text)}")
    if (_DO.match(start) or (title and start.endswith(" do"))) and not is_request(bare(item)):
        return ended(f"{start}: {item}")
    if _MODAL_END.search(start) or (ends_open(start) and not title):
        return ended(f"{start} {lowered(item, text)}")
    if (not why_not(item) and not negated(start)) or (
        is_request(item) and why_not(start) and not _NEGATIVE_TITLE.match(start)
    ):
        return item
    return ended(f"{start}: {item}")


def whole(lead: str, items: Sequence[str]) -> str:
    """Return the lead-in with all its items as one sentence."""
    return ended(f"{stem(lead)}: {'; '.join(trimmed(item).rstrip('.') for item in items)}")


def stem(lead: str) -> str:
    """Return a lead-in without the colon at its end and without marks of emphasis."""
    return re.sub(r"\s*(?:[:\u2013—…-]|\.\.\.)+$", "", re.sub(r"\*\*|__", "", lead).strip()).strip()


def trimmed(item: str) -> str:
    """Return an item without the comma, the semicolon and the "and" that lead to the next one."""
    return _TAIL.sub("", item) if re.search(r"[;,]\s*(?:and|or)?\s*$", item) else item


def ended(text: str) -> str:
    """Return the text with a full stop, unless it ends with a mark of its own."""
    return text if re.search(r"[.!?…][\"”'\u2019)\]]*$", text) else f"{text}."


def lowered(item: str, text: str) -> str:
    """Return the item with a small first letter, unless its first word is a name or an abbreviation."""
    first = re.match(r"[A-Za-z]+", item)
    if not first or (not first[0][1:].islower() and len(first[0]) > 1):
        return item
    word = first[0].lower()
    if word in VERBS or word in _CLOSED or re.search(rf"\b{word}\b", text) or is_request(bare(item)):
        return item[0].lower() + item[1:] if first[0] != "I" else item
    name = _CALENDAR.match(word) or re.search(rf"[a-z,] {first[0]}\b", text) or re.match(r"\w+ [A-Z]", item)
    return item if name or first[0] == "I" else item[0].lower() + item[1:]
