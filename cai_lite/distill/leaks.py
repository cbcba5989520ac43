"""Find training prompts that repeat a held-out prompt, also with a word changed, a greeting around it, a conversation
or a system message before it.

Compared are the whole prompts and the last user turns. Words are compared without case and punctuation. Two texts are
the same question if one contains the other, if one word of at least `SHORT` is another, or if they share most of their
words. This cannot tell a held-out question with one word changed from a contrast pair, two questions of which one is
harmless and one is not ("to gut a fish", "to gut a human"): from `SHORT` words on, both count as leaks. Dropping a
training pair costs little; a leak falsifies the evaluation.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Hashable, Iterable
from collections.abc import Set as AbstractSet
from itertools import pairwise
from typing import NamedTuple

from cai_lite.records import Messages

WORDS = 0.8  # Jaccard index of the sets of words from which two texts count as the same question
TRIPLES = 0.55  # the same of word triples, which long texts must reach as well
SHORT = 6  # words from which one may be another; below, texts must be equal
LONG = 20  # words from which triples are compared too
TURN = 6  # words from which the last turn of a conversation is a question by itself, rather than "yes, go on"
CANDIDATE = 0.3  # share of a held-out text's word pairs from which it is compared with a training text

_WORD = re.compile(r"\w+")


class _Text(NamedTuple):
    """A text's words in order. `starts`: for each word, and for the end, whether no word stands directly before it."""

    words: tuple[str, ...]
    starts: tuple[bool, ...]


class HeldOut:
    """The held-out prompts, against which training prompts are compared.

    `near`: find changed copies too, beside equal ones.
    """

    def __init__(self, prompts: Iterable[Messages], *, near: bool = True) -> None:
        self._near = near
        self._equal: set[tuple[str, ...]] = set()
        self._texts: list[_Text] = []
        self._pairs = array("q")  # the number of distinct word pairs of each text; NumPy reads it where it stands
        self._containing: dict[tuple[str, ...], array[int]] = {}  # by word pair: the texts that contain it
        for messages in prompts:
            turns = sum(message.role != "system" for message in messages)
            for place, text in enumerate(_texts(messages)):
                if place == 0 or turns == 1 or len(text.words) >= TURN:
                    self._add(text)

    def matches(self, messages: Messages) -> bool:
        """Return whether the prompt, or its last user turn, repeats a held-out one."""
        return any(text.words in self._equal or (self._near and self._resembles(text)) for text in _texts(messages))

    def _add(self, text: _Text) -> None:
        if text.words and text.words not in self._equal:
            self._equal.add(text.words)
            pairs = _pairs(text.words)
            for pair in pairs:
                self._containing.setdefault(pair, array("q")).append(len(self._texts))
            self._texts.append(text)
            self._pairs.append(len(pairs))

    def _resembles(self, text: _Text) -> bool:
        import numpy

        found = [self._containing[pair] for pair in _pairs(text.words) if pair in self._containing]
        if not found:
            return False
        common = numpy.bincount(numpy.concatenate(found), minlength=len(self._texts))
        likely = numpy.flatnonzero(common >= CANDIDATE * numpy.asarray(self._pairs))
        return any(_same(text, self._texts[number]) for number in likely.tolist())


def _same(first: _Text, second: _Text) -> bool:
    """Return whether two texts are the same question."""
    short, long = sorted((first, second), key=lambda text: len(text.words))
    if _within(short, long):
        return True
    if len(short.words) < SHORT:
        return False
    one_changed = len(short.words) == len(long.words) and (
        sum(one != other for one, other in zip(short.words, long.words, strict=True)) == 1
    )
    if one_changed:
        return True
    if jaccard(set(short.words), set(long.words)) < WORDS:
        return False
    return len(long.words) < LONG or jaccard(_triples(short.words), _triples(long.words)) >= TRIPLES


def _within(short: _Text, long: _Text) -> bool:
    """Return whether the longer text contains the shorter one between punctuation."""
    n = len(short.words)
    return any(
        long.starts[at] and long.starts[at + n] and long.words[at : at + n] == short.words
        for at in range(len(long.words) - n + 1)
    )


def _texts(messages: Messages) -> list[_Text]:
    """Return the whole prompt without system messages, and its last user turn."""
    spoken = [message for message in messages if message.role != "system"]
    asked = [message.content for message in spoken if message.role == "user"]
    texts = ["\n".join(message.content for message in spoken), *asked[-1:]]
    return [_text(text) for text in dict.fromkeys(texts)]


def _text(text: str) -> _Text:
    words, starts, behind = [], [], 0
    plain = text.lower()
    for found in _WORD.finditer(plain):
        gap = plain[behind : found.start()]
        words.append(found.group())
        starts.append(len(words) == 1 or "\n" in gap or not (gap.isspace() or "'" in gap or "\u2019" in gap))
        behind = found.end()
    return _Text(tuple(words), (*starts, True))


def _pairs(words: tuple[str, ...]) -> set[tuple[str, ...]]:
    return set(pairwise(words)) if len(words) > 1 else {words}


def _triples(words: tuple[str, ...]) -> set[tuple[str, ...]]:
    return set(zip(words, words[1:], words[2:], strict=False))


def jaccard(first: AbstractSet[Hashable], second: AbstractSet[Hashable]) -> float:
    """Return the Jaccard index of two sets, 0 to 1: the share of their members that both have; 0.0 for empty sets."""
    return len(first & second) / max(1, len(first | second))
