"""Compare texts by the words that they share: tf-idf and cosine, so that a rare word counts more than a common one.

Source: Salton and Buckley 1988, "Term-weighting approaches in automatic text retrieval".
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

_WORD = re.compile(r"\w+")


def similarities(text: str, others: Sequence[str]) -> list[float]:
    """Return the similarity, 0 to 1, of a text to each of the others; 0 where they share no word.

    Words are compared without letter case. A word weighs by its count in the text and by the logarithm of the share of
    all texts that have it.
    """
    bags = [Counter(_WORD.findall(each.lower())) for each in (text, *others)]
    having = Counter(word for bag in bags for word in bag)
    rarity = {word: math.log(1 + len(bags) / count) for word, count in having.items()}
    first, *rest = ({word: (1 + math.log(count)) * rarity[word] for word, count in bag.items()} for bag in bags)
    length = _length(first)
    return [
        sum(weight * first[word] for word, weight in bag.items() if word in first) / (length * _length(bag))
        if bag and first
        else 0.0
        for bag in rest
    ]


def _length(weights: dict[str, float]) -> float:
    return math.sqrt(sum(weight * weight for weight in weights.values()))
