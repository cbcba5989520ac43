"""Find what a text must contain for a pattern to match it: looking that up is much faster than matching."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import product
from os.path import commonprefix
from re import _constants as sre  # type: ignore[attr-defined]  # the parse tree of a pattern has no public interface
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

MOST = 64  # strings for one pattern; more would be slower than matching
LONG = 4  # letters of a string that few texts contain by chance
ALIKE = 8  # letters by which strings begin alike; few texts contain so many by chance
CLASS = 4  # characters of a class that are spelled out
_REPEATS = {sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT}
_SKIPPED = {sre.AT, sre.ASSERT, sre.ASSERT_NOT}
# Typographic apostrophes, and what `re.IGNORECASE` takes for i, k and s but `str.lower` does not.
_FOLD = str.maketrans({"\u2019": "'", "\u0131": "i", "\u0130": "i", "\u017f": "s", "\u212a": "k"})
_Strings = frozenset[str]


@lru_cache(maxsize=4096)
def literals(pattern: str) -> _Strings:
    """Return lower-case strings of which every match contains one, or nothing where that is not known."""
    try:
        needed = _needed(parser.parse(pattern, re.IGNORECASE))
    except (re.error, OverflowError, RecursionError):
        return frozenset()
    return needed if all(string.isascii() for string in needed) else frozenset()


def beginnings(strings: _Strings) -> _Strings:
    """Return fewer strings that are found wherever one of these is: the common beginning of those that begin alike."""
    alike: dict[str, list[str]] = {}
    for string in strings:
        alike.setdefault(string[:ALIKE], []).append(string)
    return frozenset(commonprefix(group) for group in alike.values())  # noqa: RUF071  (these are no paths)


@lru_cache(maxsize=64)
def folded(text: str) -> str:
    """Return the text in which `literals` are looked up: in lower case as `re.IGNORECASE` means it."""
    return text.lower() if text.isascii() else text.translate(_FOLD).lower()


def _needed(items: Iterable[Any]) -> _Strings:
    """Return strings of which a match of these items contains one: few, but of at least `LONG` letters where it can."""
    candidates: list[_Strings] = []
    run: _Strings = frozenset({""})  # all texts of the items since the last one with too many
    word = ""  # the letters since the last item with a choice
    for item in items:
        if item[0] is sre.LITERAL:
            word += chr(item[1]).lower()
        elif item[0] not in _SKIPPED:
            candidates.append(frozenset({word}))
            word = ""
        exact = _exact(item)
        joined = None if exact is None else frozenset(a + b for a, b in product(run, exact))
        if joined is not None and len(joined) <= MOST:
            run = joined
            continue
        candidates.append(run)
        run = exact or frozenset({""})
        if exact is None:
            candidates.append(_within(item))
    best = max((*candidates, run, frozenset({word})), key=_worth)
    return frozenset() if "" in best else best


def _worth(strings: _Strings) -> tuple[int, int, int]:
    shortest = min(map(len, strings), default=0)
    return min(shortest, LONG), -len(strings), shortest


def _within(item: Any) -> _Strings:
    """Return the needed strings of an item that has too many texts to list them."""
    op, argument = item
    if op in _REPEATS:
        return _needed(argument[2]) if argument[0] else frozenset()
    if op is sre.SUBPATTERN:
        return _needed(argument[-1])
    if op is sre.ATOMIC_GROUP:
        return _needed(argument)
    if op is sre.BRANCH:
        parts = [_needed(part) for part in argument[1]]
        return frozenset().union(*parts) if all(parts) and sum(map(len, parts)) <= MOST else frozenset()
    return frozenset()


def _exact(item: Any) -> _Strings | None:
    """Return all texts that an item can match, in lower case, or None if they are too many or not known."""
    op, argument = item
    if op in _SKIPPED:
        return frozenset({""})
    if op is sre.LITERAL:
        return frozenset({chr(argument).lower()})
    if op is sre.IN:
        if len(argument) > CLASS or any(kind is not sre.LITERAL for kind, _ in argument):
            return None
        return frozenset(chr(code).lower() for _, code in argument)
    if op is sre.SUBPATTERN:
        return _product(argument[-1]) if not argument[1] and not argument[2] else None
    if op is sre.BRANCH:
        parts = [_product(part) for part in argument[1]]
        found = frozenset[str]().union(*(part or () for part in parts))
        return found if None not in parts and len(found) <= MOST else None
    if op in _REPEATS and argument[1] == 1:
        inner = _product(argument[2])
        return inner if inner is None or argument[0] else inner | {""}
    return None


def _product(items: Iterable[Any]) -> _Strings | None:
    found: _Strings = frozenset({""})
    for item in items:
        exact = _exact(item)
        if exact is None or len(found) * len(exact) > MOST:
            return None
        found = frozenset(a + b for a, b in product(found, exact))
    return found
