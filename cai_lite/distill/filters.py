"""Filters that drop pairs which would teach something other than the principle.

These are near duplicates of other pairs, pairs whose prompt is held out (see `leaks`), pairs with very unequal lengths,
and pairs of a principle that has far more than the others. The similarity of two texts is the Jaccard index of their
sets of word triples. MinHash finds the candidates, so that the cost grows with the number of pairs and not with its
square.

Source: Broder 1997, "On the resemblance and containment of documents".
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median

from cai_lite.distill.leaks import HeldOut
from cai_lite.inputs.near import Features, NearIndex, features_of, jaccard
from cai_lite.records import Messages, PreferencePair

_WORDS = re.compile(r"\w+")
NEAR = 0.8  # similarity from which two texts count as near duplicates


def filter_pairs(
    pairs: Sequence[PreferencePair],
    *,
    near: float | None = None,
    held_out: Iterable[Messages] = (),
    max_length_ratio: float | None = None,
) -> tuple[list[PreferencePair], Counter[str]]:
    """Return the pairs that pass all filters, in order, and the number of dropped pairs by reason.

    `near`: similarity threshold, above 0 to 1. Drop a pair whose text (prompt, chosen and rejected together) is at
    least this similar to that of an earlier pair; None drops only exact duplicates.
    `held_out`: drop a pair whose prompt, or its last user turn, equals one of these prompts; with `near`, at whatever
    threshold, also one that repeats such a prompt with small changes, as `HeldOut` finds them.
    `max_length_ratio`: drop a pair whose longer completion has more than this many times the words of the shorter one.
    """
    dropped = Counter[str]()
    kept: list[PreferencePair] = []
    seen, reserved = _Index(near), HeldOut(held_out, near=near is not None)
    for pair in pairs:
        if max_length_ratio is not None and _ratio(_text(pair.chosen), _text(pair.rejected)) > max_length_ratio:
            dropped["lengths too unequal"] += 1
        elif reserved.matches(pair.prompt):
            dropped["prompt is held out"] += 1
        elif seen.matches(whole := _whole(pair)):
            dropped["near an earlier pair"] += 1
        else:
            kept.append(pair)
            seen.add(whole)
    return kept, dropped


def resembling(texts: Iterable[str], near: float = NEAR) -> list[bool]:
    """Return, for each text, whether it equals an earlier text or is at least `near` similar to one (0 to 1)."""
    seen, flags = _Index(near), []
    for text in texts:
        flags.append(seen.matches(text))
        seen.add(text)
    return flags


def repeats(pairs: Sequence[PreferencePair], near: float = NEAR) -> list[bool]:
    """Return, for each pair, whether its text (prompt, chosen and rejected) is a near duplicate of an earlier pair's.

    `near`: similarity threshold, 0 to 1.
    """
    return resembling(map(_whole, pairs), near)


def leaks(pairs: Sequence[PreferencePair], held_out: Iterable[Messages]) -> list[bool]:
    """Return, for each pair, whether its prompt repeats a held-out prompt, also with small changes."""
    reserved = HeldOut(held_out)
    return [reserved.matches(pair.prompt) for pair in pairs]


def balance(pairs: Sequence[PreferencePair], ratio: float) -> list[PreferencePair]:
    """Return the pairs with at most `ratio` times the median number of pairs per principle.

    Pairs with the widest margins are kept; their order does not change. Pairs without a principle (written by people)
    are all kept and do not enter the median.
    """
    by_principle: dict[str, list[PreferencePair]] = {}
    for pair in pairs:
        by_principle.setdefault(pair.principle, []).append(pair)
    sizes = [len(group) for name, group in by_principle.items() if name]
    if not sizes:
        return list(pairs)
    limit = math.ceil(ratio * median(sizes))
    kept: set[int] = set()
    for name, group in by_principle.items():
        widest = sorted(group, key=lambda pair: (-pair.margin, pair.key))
        kept |= {id(pair) for pair in (widest[:limit] if name else group)}
    return [pair for pair in pairs if id(pair) in kept]


def resemblance(first: str, second: str) -> float:
    """Return the Jaccard index of the two texts' sets of word triples, 0 to 1."""
    return jaccard(_shingles(first), _shingles(second))


class _Index:
    """A set of texts that finds exact and near duplicates.

    `near`: similarity threshold, 0 to 1; None finds only exact duplicates.
    """

    def __init__(self, near: float | None) -> None:
        self._near = near
        self._texts: set[bytes] = set()  # digests
        self._index: NearIndex[Features] = NearIndex()
        self._latest: tuple[str, Features] = ("", b"")

    def add(self, text: str) -> None:
        self._texts.add(_digest(text))
        if self._near is not None and (shingles := self._shingles(text)):
            self._index.add(shingles, shingles)

    def matches(self, text: str) -> bool:
        if _digest(text) in self._texts:
            return True
        if self._near is None or not (shingles := self._shingles(text)):
            return False
        return any(jaccard(shingles, other) >= self._near for other in self._index.near(shingles))

    def _shingles(self, text: str) -> Features:
        if self._latest[0] is not text:  # a text is looked up just before it is added
            self._latest = (text, _shingles(text))
        return self._latest[1]


def _shingles(text: str) -> Features:
    words = _WORDS.findall(text.lower())
    triples = [" ".join(words[i : i + 3]) for i in range(max(1, len(words) - 2))] if words else []
    return features_of(map(_number, triples))


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def _text(messages: Messages) -> str:
    return "\n".join(message.content for message in messages).strip()


def _whole(pair: PreferencePair) -> str:
    return "\n".join(map(_text, (pair.prompt, pair.chosen, pair.rejected)))


def _ratio(first: str, second: str) -> float:
    a, b = (max(1, len(_WORDS.findall(text))) for text in (first, second))
    return max(a, b) / min(a, b)
