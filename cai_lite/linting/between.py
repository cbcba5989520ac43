"""Rules about two principles: near-duplicates, contradictions, and undecided trade-offs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache

from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.linting.findings import Finding, Subject, found
from cai_lite.linting.words import NEGATIONS, STOP, THEMES

ALIKE = 0.7  # threshold for near-duplicates: share of the shorter text's content words that the longer one has too
OPPOSED = 0.6  # the same threshold for contradictions
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
    """Report each principle that says nearly the same as an earlier one; only the first such pair is reported."""
    reported: set[str] = set()
    for earlier, later, shared in _similar(subject.constitution, ALIKE):
        if later.id not in reported and not _opposite(earlier.text, later.text):
            reported.add(later.id)
            yield found(
                later,
                "near-duplicate",
                "warning",
                f"says nearly the same as '{earlier.id}' (line {earlier.line}): {', '.join(sorted(shared)[:5])}",
                "keep one of them; together they count twice in the weighted score",
            )


def contradiction(subject: Subject) -> Iterator[Finding]:
    """Report pairs of principles that share most words and demand opposite things."""
    decided = _decided(subject.constitution)
    for earlier, later, shared in _similar(subject.constitution, OPPOSED):
        if frozenset((earlier.id, later.id)) not in decided and _opposite(earlier.text, later.text):
            yield found(
                later,
                "contradiction",
                "error",
                f"demands the opposite of '{earlier.id}' (line {earlier.line}) about {', '.join(sorted(shared)[:4])}",
                "remove one, give them different applies_to, or decide it under 'conflicts'",
            )


def no_tie_break(subject: Subject) -> Iterator[Finding]:
    """Report pairs of principles with opposing themes and equal priority, once per pair of themes."""
    principles, decided = subject.constitution.principles, _decided(subject.constitution)
    for name, theme, against, opposite in _THEMES:
        with_theme = [p for p in principles if theme.search(p.text) and not opposite.search(p.text)]
        with_opposite = [p for p in principles if opposite.search(p.text) and not theme.search(p.text)]
        undecided = [
            (first, second)
            for first in with_theme
            for second in with_opposite
            if first.priority == second.priority
            and frozenset((first.id, second.id)) not in decided
            and _overlap(first.applies_to, second.applies_to)
        ]
        if undecided:
            first, second = undecided[0]
            more = f" ({len(undecided) - 1} more such pairs)" if len(undecided) > 1 else ""
            yield found(
                second,
                "no-tie-break",
                "warning",
                f"asks for {against} where '{first.id}' (line {first.line}) asks for {name}, and nothing "
                f"says which takes precedence{more}",
                "give them different priorities, or decide it under 'conflicts'",
            )


def _overlap(first: Sequence[str], second: Sequence[str]) -> bool:
    """Return True if two principles with these `applies_to` can apply to the same prompt."""
    return not first or not second or not set(first).isdisjoint(second)


def _decided(constitution: Constitution) -> set[frozenset[str]]:
    return {frozenset(conflict.between) for conflict in constitution.conflicts}


def _similar(constitution: Constitution, share: float) -> Iterator[tuple[Principle, Principle, set[str]]]:
    """Yield pairs of principles, the earlier first, that share at least `share` of the shorter one's content words.

    The pairs are found through an index of words, so that a long policy is not compared pair by pair. In a long policy,
    words that occur in more than every tenth principle are not looked up.
    """
    principles = constitution.principles
    stems = [_stems(principle.text) for principle in principles]
    holders: dict[str, list[int]] = {}
    limit = max(30, len(principles) // 10)
    for number, words in enumerate(stems):
        for word in words:
            holders.setdefault(word, []).append(number)
    for number, words in enumerate(stems):
        met = Counter(
            other for word in words if len(holders[word]) <= limit for other in holders[word] if other > number
        )
        for other, count in sorted(met.items()):
            same = words == stems[other]  # even with a single word
            if count < 2 and not same:
                continue
            shared = set(words & stems[other])
            if same or len(shared) >= share * min(len(words), len(stems[other])):
                earlier, later = principles[number], principles[other]
                if _overlap(earlier.applies_to, later.applies_to):
                    yield earlier, later, shared


def _opposite(first: str, second: str) -> bool:
    """Return True if two texts on one subject demand opposite things: by a negation in one, or by antonyms."""
    (negated, antonyms), (other_negated, other_antonyms) = _polarity(first), _polarity(second)
    if negated != other_negated:
        return True
    return any(
        (a and d and not c) or (b and c and not d) for (a, b), (c, d) in zip(antonyms, other_antonyms, strict=True)
    )


@lru_cache(maxsize=65536)
def _polarity(text: str) -> tuple[bool, tuple[tuple[bool, bool], ...]]:
    """Return whether a text contains a negation, and for each pair of antonyms which of the two it contains."""
    antonyms = tuple((bool(a.search(text)), bool(b.search(text))) for a, b in _ANTONYMS)
    return bool(NEGATIONS.search(text)), antonyms


@lru_cache(maxsize=65536)
def _stem(word: str) -> str:
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    return _ENDINGS.sub("", word) if len(word) > 4 else word


def _stems(text: str) -> frozenset[str]:
    return frozenset(_stem(word) for word in _WORD.findall(text.lower()) if word not in STOP)
