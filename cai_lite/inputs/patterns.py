"""Analyse regular expressions before they are run: one with catastrophic backtracking would never return."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import combinations
from re import _constants as sre  # type: ignore[attr-defined]  # the parse tree of a pattern has no public interface
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

# The characters of a text that a pattern may read, by the number of wide repeats in a row that can match the same text:
# the time grows with a power of the length, and each entry stands for about two seconds in the worst case.
READABLE = (20_000, 20_000, 2_000, 500)
LONGEST = 5_000  # characters of a pattern
MEND = "let only one repeat match each part of a text, or limit it, as in {0,80}"
NESTED = 4  # a repeat above this count can split the same text in several ways
MANY = 16  # a repeat above this count can span a whole reply; four of them in a row already take too long
_PROBES = [chr(code) for code in range(32, 127)] + ["\n", "\t", "é", "ß", "Ω"]
_CATEGORIES: dict[Any, Callable[[str], bool]] = {
    sre.CATEGORY_DIGIT: lambda c: c.isdigit(),
    sre.CATEGORY_NOT_DIGIT: lambda c: not c.isdigit(),
    sre.CATEGORY_SPACE: lambda c: c.isspace(),
    sre.CATEGORY_NOT_SPACE: lambda c: not c.isspace(),
    sre.CATEGORY_WORD: lambda c: c.isalnum() or c == "_",
    sre.CATEGORY_NOT_WORD: lambda c: not (c.isalnum() or c == "_"),
}
_PREFERRED = [*"x2 -", *_PROBES]  # characters of a sample, the plainest first
COUNTED = 100_000  # tries of a repeat inside of repeats, counted before it has read a character
_REPEATS = {sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT}


@lru_cache(maxsize=4096)
def catastrophic(pattern: str) -> str:
    """Return why a pattern can need exponential time, or "" if it cannot; its parse tree is analysed, nothing is run.

    An unbounded repeat is dangerous if its body can match one text in several ways: it contains another repeat that no
    fixed character delimits, or alternatives that begin with the same character.
    """
    if len(pattern) > LONGEST:
        return f"it has {len(pattern):,} characters"
    try:
        return _Tree(pattern).danger()
    except (re.error, OverflowError, RecursionError):
        return ""  # not a regular expression, which `load_constitution` reports


@lru_cache(maxsize=4096)
def readable(pattern: str) -> int:
    """Return how many characters of a text the pattern may read, so that it returns within seconds."""
    try:
        return READABLE[min(_Tree(pattern).chain(), len(READABLE) - 1)]
    except (re.error, OverflowError, RecursionError):
        return READABLE[-1]


def sample(pattern: str) -> str:
    """Return a short text that the pattern matches, or "" if none was found; repeats occur as seldom as they may."""
    try:
        tree = parser.parse(pattern, re.IGNORECASE)
        texts = [_sampled(tree, between) for between in ("", " ")]
        return next((text for text in texts if re.search(pattern, text, re.IGNORECASE)), "")
    except (re.error, OverflowError, RecursionError, MemoryError):
        return ""


def _sampled(items: Any, between: str) -> str:
    """Return a text made of the first choices; `between` stands for a repeat such as `.*`."""
    text = ""
    for op, argument in items:
        if op in _REPEATS:
            wide = not argument[0] and argument[1] > MANY
            text += between if wide else _sampled(argument[2], between) * min(argument[0], MANY)
        elif op is sre.SUBPATTERN:
            text += _sampled(argument[-1], between)
        elif op is sre.ATOMIC_GROUP:
            text += _sampled(argument, between)
        elif op is sre.BRANCH:
            text += _sampled(argument[1][0], between)
        elif op is sre.LITERAL:
            text += chr(argument)
        elif op in (sre.ANY, sre.NOT_LITERAL):
            text += "x" if op is sre.ANY or argument != ord("x") else "y"
        elif op is sre.IN:
            text += next((char for char in _PREFERRED if _among(char, argument)), "")
    return text


def _among(char: str, members: Sequence[Any]) -> bool:
    """Return whether a class of characters contains the character."""
    inside = any(
        (op is sre.LITERAL and chr(argument) == char)
        or (op is sre.RANGE and argument[0] <= ord(char) <= argument[1])
        or (op is sre.CATEGORY and _CATEGORIES[argument](char))
        for op, argument in members
    )
    return inside != any(op is sre.NEGATE for op, _ in members)


class _Tree:
    """The parse tree of a pattern, with the characters used to compare its parts: a sample, and all in the pattern."""

    def __init__(self, pattern: str) -> None:
        self.items = list(parser.parse(pattern, re.IGNORECASE))
        self.probes = frozenset(_PROBES) | {c for char in pattern for c in (char, char.lower(), char.upper())}

    def danger(self) -> str:
        """Return why the pattern can need exponential time, or "" if it cannot."""
        counted = _counted(self.items)
        return self._danger(self.items) or (f"its counts multiply to {counted:,}" if counted > COUNTED else "")

    def chain(self) -> int:
        """Return the largest number of wide repeats in a row that can match the same text.

        A part between two repeats that must match, and matches none of their characters, ends a row.
        """
        longest, length, shared = 0, 0, frozenset[str]()
        for op, argument in _flat(self.items):
            letters = self._letters([(op, argument)])
            if op in _REPEATS and argument[1] > MANY:
                length, shared = (length + 1, shared & letters) if shared & letters else (1, letters)
                longest = max(longest, length)
            elif _least((op, argument)) and letters.isdisjoint(shared):
                length, shared = 0, frozenset()
        return longest

    def _danger(self, items: Sequence[Any]) -> str:
        wide = [self._letters(list(a[2])) for op, a in _flat(items) if op in _REPEATS and a[1] > MANY]
        if len(wide) >= NESTED and frozenset.intersection(*wide):
            return f"{len(wide)} repeats in a row can match the same text"
        for op, argument in items:
            if op in _REPEATS:
                body = list(argument[2])
                if argument[1] > NESTED and (why := self._ambiguous(body)):
                    return why
                if inner := self._danger(body):
                    return inner
            else:
                for part in _parts(op, argument):
                    if inner := self._danger(part):
                        return inner
        return ""

    def _ambiguous(self, body: list[Any]) -> str:
        """Return why a text can be split into matches of this body in several ways, or "" if it cannot."""
        flat = _flat(body)
        for place, (op, argument) in enumerate(flat):
            if op in _REPEATS and argument[1] > argument[0]:  # a repeat of variable length
                inside = self._letters(list(argument[2]))
                around = [item for i, item in enumerate(flat) if i != place]
                required = [item for item in around if _least(item) > 0]
                if not any(self._letters([item]).isdisjoint(inside) for item in required):
                    return "a repeat contains another repeat, and no fixed character delimits it"
            if op is sre.BRANCH:
                starts = [self._first(list(branch)) for branch in argument[1]]
                if any(not first.isdisjoint(second) for first, second in combinations(starts, 2)):
                    return "alternatives inside a repeat begin with the same character"
                empty = sum(not any(_least(item) for item in branch) for branch in argument[1])
                if empty > 1 or (empty and any(not start.isdisjoint(self._first(body)) for start in starts)):
                    return "alternatives inside a repeat can match the empty text, or begin like the repeat itself"
        return ""

    def _letters(self, items: Sequence[Any]) -> frozenset[str]:
        """Return the sample characters that can occur anywhere in a match of the items."""
        found_: frozenset[str] = frozenset()
        for op, argument in items:
            if op in _REPEATS:
                found_ |= self._letters(list(argument[2]))
            elif op is sre.SUBPATTERN:
                found_ |= self._letters(list(argument[-1]))
            elif op is sre.BRANCH:
                found_ |= frozenset().union(*(self._letters(list(branch)) for branch in argument[1]))
            else:
                found_ |= self._one(op, argument)
        return found_

    def _first(self, items: Sequence[Any]) -> frozenset[str]:
        """Return the sample characters that a match of the items can begin with."""
        found_: frozenset[str] = frozenset()
        for item in items:
            op, argument = item
            inner = list(argument[2]) if op in _REPEATS else list(argument[-1]) if op is sre.SUBPATTERN else None
            if inner is not None:
                found_ |= self._first(inner)
            elif op is sre.BRANCH:
                found_ |= frozenset().union(*(self._first(list(branch)) for branch in argument[1]))
            else:
                found_ |= self._one(op, argument)
            if _least(item):
                break
        return found_

    def _one(self, op: Any, argument: Any) -> frozenset[str]:
        """Return the sample characters that a single item matches."""
        if op is sre.LITERAL:
            return frozenset({chr(argument).lower(), chr(argument).upper()})
        if op is sre.NOT_LITERAL:
            return self.probes - {chr(argument).lower(), chr(argument).upper()}
        if op is sre.ANY:
            return self.probes - {"\n"}
        if op is sre.IN:
            return self._of_set(argument)
        return frozenset()

    def _of_set(self, members: Sequence[Any]) -> frozenset[str]:
        found_: set[str] = set()
        negated = False
        for op, argument in members:
            if op is sre.NEGATE:
                negated = True
            elif op is sre.LITERAL:
                found_ |= {chr(argument).lower(), chr(argument).upper()}
            elif op is sre.RANGE:
                found_ |= {
                    c
                    for c in self.probes
                    if any(argument[0] <= ord(v) <= argument[1] for v in (c, c.lower(), c.upper()) if len(v) == 1)
                }
            elif op is sre.CATEGORY:
                found_ |= {c for c in self.probes if _CATEGORIES[argument](c)}
        return self.probes - found_ if negated else frozenset(found_)


def _flat(items: Sequence[Any]) -> list[Any]:
    """Return the items with groups replaced by their contents."""
    flat: list[Any] = []
    for op, argument in items:
        if op is sre.SUBPATTERN:
            flat += _flat(list(argument[-1]))
        elif op is sre.ATOMIC_GROUP:
            continue  # an atomic group is never re-tried from outside
        else:
            flat.append((op, argument))
    return flat


def _parts(op: Any, argument: Any) -> list[list[Any]]:
    if op is sre.SUBPATTERN:
        return [list(argument[-1])]
    if op is sre.BRANCH:
        return [list(branch) for branch in argument[1]]
    if op in (sre.ASSERT, sre.ASSERT_NOT):
        return [list(argument[1])]
    if op is sre.ATOMIC_GROUP:
        return [list(argument)]
    if op is sre.GROUPREF_EXISTS:
        return [list(part) for part in argument[1:] if part is not None]
    return []


def _least(item: Any) -> int:
    """Return the length of the shortest match of an item, limited to 1."""
    op, argument = item
    if op in _REPEATS:
        return 1 if argument[0] > 0 and any(_least(inner) for inner in argument[2]) else 0
    if op is sre.SUBPATTERN:
        return max((_least(inner) for inner in argument[-1]), default=0)
    if op is sre.BRANCH:
        return min(max((_least(inner) for inner in branch), default=0) for branch in argument[1])
    return int(op in (sre.LITERAL, sre.NOT_LITERAL, sre.ANY, sre.IN))


def _counted(items: Sequence[Any]) -> int:
    """Return how often the innermost part is tried at least: the product of the least counts of nested repeats."""
    most = 1
    for op, argument in items:
        if op in _REPEATS:
            most = max(most, max(1, argument[0]) * _counted(list(argument[2])))
        else:
            most = max([most, *(_counted(part) for part in _parts(op, argument))])
    return most
