"""The rule about aims that pull apart, where nothing says which of them takes precedence."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cai_lite.inputs.constitution import Principle
from cai_lite.linting.between import decided_pairs, overlap
from cai_lite.linting.findings import Finding, Subject, found
from cai_lite.linting.reading import stems
from cai_lite.linting.themes import THEMES

_THEMES = [(a, re.compile(x, re.I), b, re.compile(y, re.I)) for a, x, b, y in THEMES]
_CONDITION = re.compile(
    r"^\W*(?:if|when(?:ever)?|where|in case|once|after|before|for|in|at|on|as)\b ([^,]{2,120}),", re.IGNORECASE
)
_FORBIDS = re.compile(
    r"^\W*(?:never|do not|don't|under no|avoid|[\w' ]{1,30} (?:must|should|may|can) (?:not|never))\b", re.I
)
_EXCEPTED = re.compile(r"\b(?:unless|except|only (?:if|when|where|after)|as long as)\b", re.IGNORECASE)


def no_tie_break(subject: Subject) -> Iterator[Finding]:
    """Report pairs of principles with opposing aims and equal priority, once per pair of aims."""
    principles, decided = subject.constitution.principles, decided_pairs(subject.constitution)
    for name, theme, against, opposite in _THEMES:
        with_theme = [p for p in principles if _aims(p, theme) and not opposite.search(p.text)]
        with_opposite = [p for p in principles if _aims(p, opposite) and not theme.search(p.text)]
        undecided = [
            (first, second)
            for first in with_theme
            for second in with_opposite
            if first.priority == second.priority
            and frozenset((first.id, second.id)) not in decided
            and overlap(first, second)
            and _same_case(first.text, second.text)
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


def _aims(principle: Principle, aim: re.Pattern[str]) -> bool:
    """Return True if a principle demands this aim; one that forbids or names an exception does not count."""
    hit = aim.search(principle.text)
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
