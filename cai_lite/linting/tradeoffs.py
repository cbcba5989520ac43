"""The rule about aims that pull apart, where nothing says which of them takes precedence."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache

from cai_lite.inputs.constitution import Principle
from cai_lite.linting.aims import AIMS
from cai_lite.linting.between import decided_pairs, overlap
from cai_lite.linting.concepts import meaning
from cai_lite.linting.findings import Finding, Subject, found
from cai_lite.linting.reading import GENERIC, plain, stems
from cai_lite.linting.themes import THEMES

_CONDITION = re.compile(
    r"^\W*(?:if|when(?:ever)?|where|in case|once|after|before|for|in|at|on|as)\b ([^,]{2,120}),", re.IGNORECASE
)
_FORBIDS = re.compile(
    r"^\W*(?:never|do not|don't|under no|avoid|[\w' ]{1,30} (?:must|should|may|can) (?:not|never))\b", re.I
)
_DENIED = re.compile(
    r"(?:\bdo(?:es)? not|n't|\bnever|\bnot|\bwithout|\bavoid\w*|\bno) (?:be |being |"
    r"too )?$",
    re.IGNORECASE,
)
_EXCEPTED = re.compile(r"\b(?:unless|except|only (?:if|when|where|after)|as long as)\b", re.IGNORECASE)
# What most principles of a policy are about says nothing about two of them having the same subject.
_PEOPLE = frozenset({"customer", "client", "user", "human", "people", "person", "ask", "reply"})


def no_tie_break(subject: Subject) -> Iterator[Finding]:
    """Report pairs of principles with opposing aims and equal priority, once per pair of aims.

    The few aims of `THEMES` pull apart whatever they are about; the many of `AIMS` only where two principles have a
    subject in common.
    """
    told: set[tuple[str, str]] = set()
    for name, theme, against, opposite in _THEMES:
        yield from _undecided(subject, (name, theme), (against, opposite), _same_case, told)
    for name, theme, against, opposite in _FAMILIES:
        yield from _undecided(subject, (name, theme), (against, opposite), _same_subject, told)


def _undecided(
    subject: Subject,
    one: tuple[str, re.Pattern[str]],
    other: tuple[str, re.Pattern[str]],
    comparable: Callable[[str, str], bool],
    told: set[tuple[str, str]],
) -> Iterator[Finding]:
    """Report the first pair of principles with these two aims that nothing decides; `told` keeps what was reported."""
    principles, decided = subject.constitution.principles, decided_pairs(subject.constitution)
    with_theme = [p for p in principles if _aims(p, one[1]) and not _search(other[1], p.text)]
    with_opposite = [p for p in principles if _aims(p, other[1]) and not _search(one[1], p.text)]
    undecided = [
        (first, second)
        for first in with_theme
        for second in with_opposite
        if first.priority == second.priority
        and frozenset((first.id, second.id)) not in decided
        and overlap(first, second)
        and comparable(first.text, second.text)
    ]
    if undecided and (undecided[0][0].id, undecided[0][1].id) not in told:
        first, second = undecided[0]
        told |= {(first.id, second.id), (second.id, first.id)}
        more = f" ({len(undecided) - 1} more such pairs)" if len(undecided) > 1 else ""
        yield found(
            second,
            "no-tie-break",
            "warning",
            f"asks for {other[0]} where '{first.id}' (line {first.line}) asks for {one[0]}, and nothing "
            f"says which takes precedence{more}",
            "give them different priorities, or decide it under 'conflicts'",
        )


def _search(aim: re.Pattern[str], text: str) -> re.Match[str] | None:
    """Return where a text asks for an aim, or None; most texts are dismissed by the beginnings of their words."""
    starts = _STARTS.get(aim.pattern)
    if starts is not None and starts.isdisjoint(_beginnings(text)):
        return None
    return next(
        (hit for hit in aim.finditer(text) if not _DENIED.search(text[max(0, hit.start() - 24) : hit.start()])), None
    )


@lru_cache(maxsize=65536)
def _beginnings(text: str) -> frozenset[str]:
    """Return the first four, five and six letters of each word."""
    return frozenset(word[:size] for word in re.findall(r"[a-z]+", text.lower()) for size in (4, 5, 6))


def _aims(principle: Principle, aim: re.Pattern[str]) -> bool:
    """Return True if a principle demands this aim; one that forbids or names an exception does not count."""
    hit = _search(aim, principle.text)
    if hit is None or _EXCEPTED.search(principle.text):
        return False
    return not _FORBIDS.match(principle.text) or bool(_FORBIDS.match(hit[0]))


def _same_case(first: str, second: str) -> bool:
    """Return True if two principles are not bound to different cases, as far as their first words tell."""
    one, other = _CONDITION.match(first), _CONDITION.match(second)
    if one and other:
        return bool(stems(one[1]) & stems(other[1]))
    if one or other:
        condition, text = (one, second) if one else (other, first)
        return condition is not None and bool(stems(condition[1]) & stems(text))
    return True


def _same_subject(first: str, second: str) -> bool:
    """Return True if two principles have a subject in common, and not each a condition of its own."""
    one, other = meaning(first), meaning(second)
    if one.case - other.said and other.case - one.said:
        return False
    shared = ((one.said & other.said) | (stems(first) & stems(second) - GENERIC)) - _PEOPLE
    people = [set(re.findall(r"[a-z]+", plain(text).lower())) & _GENERAL for text in (first, second)]
    return bool(shared) or bool(people[0] & people[1] and max(len(one.said), len(other.said)) <= _FEW)


_GENERAL = frozenset(
    [
        "customer",
        "customers",
        "user",
        "users",
        "client",
        "clients",
        "caller",
        "callers",
        "person",
        "people",
        "answer",
        "answers",
        "reply",
    ]
)
_FEW = 4  # concepts of a principle that is short enough to be about its person alone


@lru_cache(maxsize=256)
def _pattern(expressions: str) -> re.Pattern[str]:
    """Return the pattern of a list of expressions of `AIMS`."""
    parts = []
    for expression in _expressions(expressions):
        words = [
            r"(?:[\w'-]+ ){0,4}?" if word == "~" else rf"(?:{'|'.join(map(_word, word.split('/')))})"
            for word in expression.split()
        ]
        parts.append(" ".join(words).replace(r"(?:[\w'-]+ ){0,4}? ", r"(?:[\w'-]+ ){0,4}?"))
    return re.compile(rf"\b(?:{'|'.join(parts)})(?!\w)", re.IGNORECASE)


def _expressions(listed: str) -> list[str]:
    return [expression.strip() for expression in " ".join(listed.split()).replace("/ ", "/").split(",")]


def _word(word: str) -> str:
    return re.escape(word.removesuffix("*")) + (r"[\w'-]*" if word.endswith("*") else "")


def _starts(expression: str) -> list[str]:
    """Return the beginnings of the most telling word of an expression, one for each of its alternatives."""
    slots = [
        [max(re.findall("[a-z]+", word), key=len) for word in slot.split("/")]
        for slot in expression.split()
        if slot != "~"
    ]
    return [word[:6] for word in max(slots, key=lambda slot: min(map(len, slot)))]


_THEMES = [(a, re.compile(x, re.I), b, re.compile(y, re.I)) for a, x, b, y in THEMES]
_FAMILIES = [(a, _pattern(x), b, _pattern(y)) for a, x, b, y in AIMS]
# Of each family, the beginnings of the words without which none of its expressions is there.
_STARTS = {
    _pattern(words).pattern: frozenset(start for expression in _expressions(words) for start in _starts(expression))
    for _, x, _, y in AIMS
    for words in (x, y)
}
