"""Pairs that would teach something else than the principle: near copies of each other, held-out prompts, lengths.

Texts are compared by their word triples: two are near when most of what either says is said by both (Broder 1997,
resemblance). MinHash finds the candidates, so that the cost grows with the number of pairs and not with its square.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median

from cai_lite.inputs.near import Features, NearIndex, jaccard
from cai_lite.records import Messages, PreferencePair

_WORDS = re.compile(r"\w+")
NEAR = 0.8  # a resemblance above which two texts say the same


def guarded(
    pairs: Sequence[PreferencePair],
    *,
    near: float | None = None,
    held_out: Iterable[Messages] = (),
    max_length_ratio: float | None = None,
) -> tuple[list[PreferencePair], Counter[str]]:
    """The pairs that pass, in order, and how many were dropped for which reason.

    `near`: drop a pair whose prompt, chosen and rejected together resemble those of an earlier one by so much, 0 to 1.
    `held_out`: drop a pair whose prompt resembles one of these by `near`, or is it. `max_length_ratio`: drop a pair of
    which one side has so many times the words of the other.
    """
    dropped = Counter[str]()
    kept: list[PreferencePair] = []
    seen, tested = _Index(near), _held_out(held_out, near)
    for pair in pairs:
        if max_length_ratio is not None and _ratio(_text(pair.chosen), _text(pair.rejected)) > max_length_ratio:
            dropped["lengths too unequal"] += 1
        elif tested.holds(_text(pair.prompt)):
            dropped["prompt is held out"] += 1
        elif seen.holds(whole := _whole(pair)):
            dropped["near an earlier pair"] += 1
        else:
            kept.append(pair)
            seen.add(whole)
    return kept, dropped


def resembling(texts: Iterable[str], near: float = NEAR) -> list[bool]:
    """Of each text, whether it resembles an earlier one."""
    seen, found = _Index(near), []
    for text in texts:
        found.append(seen.holds(text))
        seen.add(text)
    return found


def repeats(pairs: Sequence[PreferencePair], near: float = NEAR) -> list[bool]:
    """Of each pair, whether its prompt, chosen and rejected together resemble those of an earlier one."""
    return resembling(map(_whole, pairs), near)


def leaks(pairs: Sequence[PreferencePair], held_out: Iterable[Messages], near: float = NEAR) -> list[bool]:
    """Of each pair, whether its prompt resembles one that is held out."""
    tested = _held_out(held_out, near)
    return [tested.holds(_text(pair.prompt)) for pair in pairs]


def balanced(pairs: Sequence[PreferencePair], ratio: float) -> list[PreferencePair]:
    """Of each principle at most `ratio` times the median over principles, the widest margins first; the order stays.

    Pairs without a principle (people's) are not counted.
    """
    of_principle: dict[str, list[PreferencePair]] = {}
    for pair in pairs:
        of_principle.setdefault(pair.principle, []).append(pair)
    sizes = [len(group) for name, group in of_principle.items() if name]
    if not sizes:
        return list(pairs)
    most = math.ceil(ratio * median(sizes))
    kept: set[int] = set()
    for name, group in of_principle.items():
        widest = sorted(group, key=lambda pair: (-pair.margin, pair.key))
        kept |= {id(pair) for pair in (widest[:most] if name else group)}
    return [pair for pair in pairs if id(pair) in kept]


def resemblance(one: str, other: str) -> float:
    """Share of the word triples of both texts together that stand in both, 0 to 1."""
    return jaccard(_shingles(one), _shingles(other))


class _Index:
    """Texts, found again by equal or by near ones. `near` None: by equal ones alone."""

    def __init__(self, near: float | None) -> None:
        self._near = near
        self._texts: set[str] = set()
        self._index: NearIndex[Features] = NearIndex()

    def add(self, text: str) -> None:
        self._texts.add(text)
        if self._near is not None and (shingles := _shingles(text)):
            self._index.add(shingles, shingles)

    def holds(self, text: str) -> bool:
        if text in self._texts:
            return True
        if self._near is None or not (shingles := _shingles(text)):
            return False
        return any(len(shingles & other) >= self._near * len(shingles | other) for other in self._index.near(shingles))


def _held_out(prompts: Iterable[Messages], near: float | None) -> _Index:
    index = _Index(near)
    for messages in prompts:
        index.add(_text(messages))
    return index


def _shingles(text: str) -> Features:
    words = _WORDS.findall(text.lower())
    triples = [" ".join(words[i : i + 3]) for i in range(max(1, len(words) - 2))] if words else []
    return frozenset(map(_number, triples))


def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _text(messages: Messages) -> str:
    return "\n".join(message.content for message in messages).strip()


def _whole(pair: PreferencePair) -> str:
    return "\n".join(map(_text, (pair.prompt, pair.chosen, pair.rejected)))


def _ratio(one: str, other: str) -> float:
    a, b = (max(1, len(_WORDS.findall(text))) for text in (one, other))
    return max(a, b) / min(a, b)
