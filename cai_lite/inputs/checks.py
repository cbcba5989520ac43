"""Automatic checks of a reply: patterns that it may not state, or of which it must state one, and a limit of words.

A pattern that matches is no statement yet: see `inputs.assertions` for the hits that count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from cai_lite.inputs.assertions import Said, how_said, plain
from cai_lite.inputs.language import ENGLISH, language_of, language_of_patterns
from cai_lite.inputs.literals import beginnings, folded, literals
from cai_lite.inputs.patterns import readable


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """Automatic checks of a reply, run in addition to the judge. Patterns are case-insensitive regular expressions.

    `forbid`: the reply may state none of these. `require_any`: it must state at least one. `max_words`: the limit of
    whitespace-separated words.

    A match counts where the reply states it itself: not where it is denied ("do not ignore it"), quoted, in code, or
    reported ("some people say"). For `forbid`, a question about it ("Did you take 400 mg?") states nothing. A negation
    or a question that the pattern itself matches belongs to the pattern. Typographic apostrophes match plain ones.

    A pattern reads the first 20,000 characters of a reply; one with two repeats in a row that can match the same text,
    such as `a.*b.*c`, reads 2,000, one with three 500, because its time grows with a power of the length.
    """

    forbid: tuple[str, ...] = ()
    require_any: tuple[str, ...] = ()
    max_words: int | None = None

    def __post_init__(self) -> None:
        if self.max_words is not None and self.max_words < 1:
            raise ValueError(f"'max_words' should be at least 1, got {self.max_words}")

    def passed(self, text: str) -> bool | None:
        """Return True if the text passes all checks, False if it fails one, or None if they cannot decide.

        They abstain on an empty text, on one in a language that the patterns are not written for, and where the only
        matches of a pattern are quoted, reported, or (for `forbid`) left open by a question.
        """
        if not text.strip():
            return None
        if self.max_words is not None and len(text.split()) > self.max_words:
            return False
        verdicts = (self._avoids(text), self._states(text))
        return False if False in verdicts else None if None in verdicts else True

    def _avoids(self, text: str) -> bool | None:
        """Return whether the text states none of `forbid`."""
        in_doubt = False
        for pattern in self.forbid:
            for said in said_in(pattern, text):
                if said == "asserted":
                    return False
                in_doubt |= said != "denied"
        return None if in_doubt or (self.forbid and self._foreign(text)) else True

    def _states(self, text: str) -> bool | None:
        """Return whether the text states one of `require_any`, where there are any; a question states it, too."""
        in_doubt = False
        for pattern in self.require_any:
            for said in said_in(pattern, text):
                if said in ("asserted", "open"):
                    return True
                in_doubt |= said != "denied"
        return True if not self.require_any else None if in_doubt or self._foreign(text) else False

    def broken_by(self, text: str) -> str:
        """Return what in the text fails the checks, in a few words; "" where nothing does."""
        if self.max_words is not None and (words := len(text.split())) > self.max_words:
            return f"{words:,} words, more than {self.max_words:,}"
        stated = (found[0] for pattern in self.forbid for found, said in hits(pattern, text) if said == "asserted")
        if found := next(stated, ""):
            return found
        return "states none of what is required" if self._states(text) is False else ""

    @property
    def patterns(self) -> tuple[str, ...]:
        """The patterns of both kinds."""
        return (*self.forbid, *self.require_any)

    def _foreign(self, text: str) -> bool:
        """Return whether the text is in another language than the patterns, so that a missing match says nothing."""
        language = language_of(text)
        mine = language_of_patterns(self.patterns)
        return bool(language) and bool(mine) and language != mine and (mine == ENGLISH or language == ENGLISH)


def said_in(pattern: str, text: str) -> Iterator[Said]:
    """Yield how each match of the pattern is said."""
    return (said for _, said in hits(pattern, text))


def hits(pattern: str, text: str) -> Iterator[tuple[re.Match[str], Said]]:
    """Yield each match of the pattern, and how it is said."""
    known = _known(pattern)
    if known.needed and not any(map(folded(text).__contains__, known.needed)):
        return
    for match in known.compiled.finditer(plain(text[: known.readable])):
        yield match, how_said(text, *match.span())


class _Known(NamedTuple):
    """What is known of a pattern. `needed`: a match contains one; `readable`: characters of a text that it reads."""

    compiled: re.Pattern[str]
    needed: frozenset[str]
    readable: int


@lru_cache(maxsize=4096)
def _known(pattern: str) -> _Known:
    return _Known(compiled(pattern), beginnings(literals(plain(pattern))), readable(pattern))


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> re.Pattern[str]:
    """Return the pattern, compiled."""
    return re.compile(plain(pattern), re.IGNORECASE)
