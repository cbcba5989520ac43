"""Find similar texts by MinHash with banding, without comparing every pair.

Source: Broder 1997, "On the resemblance and containment of documents"; Leskovec, Rajaraman, Ullman, "Mining of Massive
Datasets", section 3.4. The hash functions are fixed, so the same texts find the same neighbours on every machine.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from cai_lite.records import digest

Features = frozenset[int]
"""The features of a text: integer hashes of its words, word pairs or word triples."""

# Two sets with a Jaccard index of 0.5 share a bucket with probability 0.64; at 0.7 it is 0.99, at 0.8 it is 0.9998.
BANDS, ROWS = 16, 4

Item = TypeVar("Item", bound=Hashable)


class NearIndex(Generic[Item]):
    """An index from feature sets to items.

    `bucket` limits the items kept per bucket, which bounds the cost of a look-up.
    """

    def __init__(self, *, bucket: int | None = None) -> None:
        import numpy

        prime = (1 << 31) - 1  # factor * hash + shift stays below 2^62
        drawn = [
            [int(digest("minhash", i, name)[:8], 16) % (prime - 1) + 1] for name in "ab" for i in range(BANDS * ROWS)
        ]
        self._prime = numpy.uint64(prime)
        self._factors = numpy.array(drawn[: BANDS * ROWS], dtype=numpy.uint64)
        self._shifts = numpy.array(drawn[BANDS * ROWS :], dtype=numpy.uint64)
        self._limit = bucket
        self._buckets: dict[tuple[int, bytes], list[Item]] = {}

    def add(self, item: Item, features: Features) -> None:
        """Add an item under its features, which must not be empty."""
        for band in self._bands(features):
            bucket = self._buckets.setdefault(band, [])
            if self._limit is None or len(bucket) < self._limit:
                bucket.append(item)

    def near(self, features: Features) -> set[Item]:
        """Return the candidates for similar items; the caller compares them exactly."""
        return {item for band in self._bands(features) for item in self._buckets.get(band, ())}

    def _bands(self, features: Features) -> list[tuple[int, bytes]]:
        import numpy

        hashes = numpy.fromiter((feature & 0x7FFFFFFF for feature in features), numpy.uint64, len(features))
        least = ((hashes * self._factors + self._shifts) % self._prime).min(axis=1).astype(numpy.uint32)
        return [(band, least[band * ROWS : (band + 1) * ROWS].tobytes()) for band in range(BANDS)]


def jaccard(first: Features, second: Features) -> float:
    """Return the Jaccard index of two feature sets, their share of common features, 0 to 1; 1.0 for two empty sets."""
    common = len(first & second)
    union = len(first) + len(second) - common
    return common / union if union else 1.0
