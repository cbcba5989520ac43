"""Find similar texts by MinHash with banding, without comparing every pair.

Source: Broder 1997, "On the resemblance and containment of documents"; Leskovec, Rajaraman, Ullman, "Mining of Massive
Datasets", section 3.4. The hash functions are fixed, so the same texts find the same neighbours on every machine.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterable
from typing import Any, Generic, TypeVar

from cai_lite.records import digest

Features = bytes
"""The features of a text: hashes of its words, word pairs or word triples, distinct and sorted, 8 bytes each."""

# Two sets with a Jaccard index of 0.5 share a bucket with probability 0.64; at 0.7 it is 0.99, at 0.8 it is 0.9998.
BANDS, ROWS = 16, 4

Item = TypeVar("Item", bound=Hashable)


def features_of(hashes: Iterable[int]) -> Features:
    """Return the features with these hashes, each from 0 to below 2^64."""
    return array("Q", sorted(set(hashes))).tobytes()


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
        mixed = [int(digest("band", i)[:16], 16) for i in range(BANDS * ROWS)]
        self._prime = numpy.uint64(prime)
        self._factors = numpy.array(drawn[: BANDS * ROWS], dtype=numpy.uint64)
        self._shifts = numpy.array(drawn[BANDS * ROWS :], dtype=numpy.uint64)
        self._mixed = numpy.array(mixed, dtype=numpy.uint64).reshape(BANDS, ROWS)
        self._limit = bucket
        # Nearly every bucket holds one item, which stands there without a list around it.
        self._buckets: dict[int, Item | list[Item]] = {}
        self._latest: tuple[Features, list[int]] = (b"", [])

    def add(self, item: Item, features: Features) -> None:
        """Add an item under its features, which must not be empty."""
        for band in self._bands(features):
            held = self._buckets.setdefault(band, item)
            if isinstance(held, list):
                if self._limit is None or len(held) < self._limit:
                    held.append(item)
            elif held is not item and (self._limit is None or self._limit > 1):
                self._buckets[band] = [held, item]

    def near(self, features: Features) -> set[Item]:
        """Return the candidates for similar items; the caller compares them exactly."""
        found: set[Item] = set()
        for band in self._bands(features):
            held: Any = self._buckets.get(band)
            if isinstance(held, list):
                found.update(held)
            elif held is not None:
                found.add(held)
        return found

    def _bands(self, features: Features) -> list[int]:
        """Return a number for each band of the signature; equal numbers of two texts put them into one bucket."""
        if self._latest[0] is features:  # looked up just before it is added
            return self._latest[1]
        import numpy

        hashes = numpy.frombuffer(features, numpy.uint64) & numpy.uint64(0x7FFFFFFF)
        least = ((hashes * self._factors + self._shifts) % self._prime).min(axis=1).reshape(BANDS, ROWS)
        bands: list[int] = ((least + numpy.uint64(1)) * self._mixed).sum(axis=1, dtype=numpy.uint64).tolist()
        self._latest = (features, bands)
        return bands


def jaccard(first: Features, second: Features) -> float:
    """Return the Jaccard index of two feature sets, their share of common features, 0 to 1; 1.0 for two empty sets."""
    one, two = set(memoryview(first).cast("Q")), memoryview(second).cast("Q")
    common = len(one.intersection(two))
    union = len(one) + len(two) - common
    return common / union if union else 1.0
