"""Rules about two principles: the same said twice, the opposite said, and what pulls apart."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache

from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.linting.findings import Finding, Subject, found
from cai_lite.linting.words import NEGATIONS, STOP, THEMES

ALIKE = 0.7  # share of the content words of the shorter one that stand in the longer one, too
OPPOSED = 0.6
_WORD = re.compile(r"[a-z][a-z'-]+|\d+")
_ENDINGS = re.compile(r"(?:ations?|ments?|ings?|edly|ed|ies|ied|ly|es|s|e|y)$")
_THEMES = [(a, re.compile(x, re.I), b, re.compile(y, re.I)) for a, x, b, y in THEMES]
_ANTONYMS = tuple(
    (re.compile(rf"\b(?:{a})\b", re.I), re.compile(rf"\b(?:{b})\b", re.I))
    for a, b in (
        ("always|every|all", "never|no|none"),
        ("before", "after"),
        (
            "include|add|mention|name|state|give|show|use",
            r"omit|leave (?:[\w' ]{0,40} )?out|exclude|withhold|hide|skip",
        ),
        ("first", "last"),
        ("begin|start|open", "end|close|finish"),
        ("more than|at least|minimum", "less than|at most|maximum|fewer than"),
        ("allow|permit|accept", "forbid|prohibit|reject|refuse|decline"),
        ("keep|preserve|retain", "delete|remove|change|discard"),
        ("formal", "informal|casual"),
        ("metric", "imperial"),
        ("present", "past"),
        ("first person", "third person|second person"),
        ("public|share|disclose|reveal", "private|confidential|secret|conceal"),
        ("ask", "assume|guess"),
        ("short|brief|under", "long|over|detailed"),
    )
)


def near_duplicate(subject: Subject) -> Iterator[Finding]:
    """Of each principle the first that it repeats."""
    told: set[str] = set()
    for one, other, shared in _close(subject.constitution, ALIKE):
        if other.id not in told and not _opposite(one.text, other.text):
            told.add(other.id)
            yield found(
                other,
                "near-duplicate",
                "warning",
                f"says nearly the same as '{one.id}' (line {one.line}): {', '.join(sorted(shared)[:5])}",
                "keep one of them; two count double in the weighted score",
            )


def contradiction(subject: Subject) -> Iterator[Finding]:
    decided = _decided(subject.constitution)
    for one, other, shared in _close(subject.constitution, OPPOSED):
        if frozenset((one.id, other.id)) not in decided and _opposite(one.text, other.text):
            yield found(
                other,
                "contradiction",
                "error",
                f"orders the opposite of '{one.id}' (line {one.line}) about {', '.join(sorted(shared)[:4])}",
                "take one out, give them different applies_to, or decide it under 'conflicts'",
            )


def no_tie_break(subject: Subject) -> Iterator[Finding]:
    """One finding for each two themes, so that a long policy is not buried in them."""
    principles, decided = subject.constitution.principles, _decided(subject.constitution)
    for name, theme, against, opposite in _THEMES:
        ones = [p for p in principles if theme.search(p.text) and not opposite.search(p.text)]
        others = [p for p in principles if opposite.search(p.text) and not theme.search(p.text)]
        open_ = [
            (one, other)
            for one in ones
            for other in others
            if one.priority == other.priority
            and frozenset((one.id, other.id)) not in decided
            and _meet(one.applies_to, other.applies_to)
        ]
        if open_:
            one, other = open_[0]
            more = f" ({len(open_) - 1} more such pairs)" if len(open_) > 1 else ""
            yield found(
                other,
                "no-tie-break",
                "warning",
                f"asks for {against} where '{one.id}' (line {one.line}) asks for {name}, and nothing "
                f"says which goes first{more}",
                "give them different priorities, or decide it under 'conflicts'",
            )


def _meet(one: Sequence[str], other: Sequence[str]) -> bool:
    return not one or not other or not set(one).isdisjoint(other)


def _decided(constitution: Constitution) -> set[frozenset[str]]:
    return {frozenset(conflict.between) for conflict in constitution.conflicts}


def _close(constitution: Constitution, share: float) -> Iterator[tuple[Principle, Principle, set[str]]]:
    """Pairs of principles, the earlier first, that share so much of the content words of the shorter one.

    Found through an index of the words, so that a long policy is not compared pair by pair; words of every tenth
    principle find nobody in a long one.
    """
    principles = constitution.principles
    stems = [_stems(principle.text) for principle in principles]
    holders: dict[str, list[int]] = {}
    most = max(30, len(principles) // 10)
    for number, words in enumerate(stems):
        for word in words:
            holders.setdefault(word, []).append(number)
    for number, words in enumerate(stems):
        met = Counter(
            other for word in words if len(holders[word]) <= most for other in holders[word] if other > number
        )
        for other, count in sorted(met.items()):
            same = words == stems[other]  # however few they are
            if count < 2 and not same:
                continue
            shared = set(words & stems[other])
            if same or len(shared) >= share * min(len(words), len(stems[other])):
                one, two = principles[number], principles[other]
                if _meet(one.applies_to, two.applies_to):
                    yield one, two, shared


def _opposite(one: str, other: str) -> bool:
    """Whether two texts that speak of the same order opposite things: one denies, or their words are opposites."""
    (denied, sides), (other_denied, other_sides) = _polarity(one), _polarity(other)
    if denied != other_denied:
        return True
    return any((a and d and not c) or (b and c and not d) for (a, b), (c, d) in zip(sides, other_sides, strict=True))


@lru_cache(maxsize=65536)
def _polarity(text: str) -> tuple[bool, tuple[tuple[bool, bool], ...]]:
    """Whether a text denies something, and which sides of the known opposites it names."""
    sides = tuple((bool(a.search(text)), bool(b.search(text))) for a, b in _ANTONYMS)
    return bool(NEGATIONS.search(text)), sides


@lru_cache(maxsize=65536)
def _stem(word: str) -> str:
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    return _ENDINGS.sub("", word) if len(word) > 4 else word


def _stems(text: str) -> frozenset[str]:
    return frozenset(_stem(word) for word in _WORD.findall(text.lower()) if word not in STOP)
