"""Rankings of the completions of a prompt, for listwise training: made from pairs, or read as they are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations
from pathlib import Path
from statistics import mean
from typing import Any

from cai_lite.errors import PairError, shortened
from cai_lite.inputs.forms import answered
from cai_lite.inputs.pairs import as_pairs, only_split, rows_of, without_none
from cai_lite.inputs.quarantine import MAX_BAD, sift
from cai_lite.inputs.textfile import RowFault
from cai_lite.records import Messages, PreferencePair, Ranking

CERTAIN = 1e3  # log-odds of a label of 1, which no sum of others reaches


def rankings_of(pairs: Sequence[PreferencePair]) -> tuple[Sequence[Ranking], Counter[str]]:
    """Return a ranking for each prompt of these pairs, and the number of comparisons by what became of them.

    A pair orders two completions, and so does a chain of pairs: a over b and b over c put a over c. Where chains lead
    both ways the pairs contradict each other, and leave these two completions unordered; the rest of the ranking
    stands. A prompt whose completions are all unordered is left out.

    The label of an order that no pair states is the one under which log-odds add up along the chain, as they do in the
    Bradley-Terry model, and of several chains the one that says least.
    """
    counts = Counter[str]()
    groups: dict[Messages, list[PreferencePair]] = {}
    for pair in pairs:
        groups.setdefault(pair.prompt, []).append(pair)
    found = []
    for prompt, group in groups.items():
        places: dict[Messages, int] = {}
        said: dict[tuple[int, int], list[float]] = {}
        for pair in group:
            better, worse = (places.setdefault(side, len(places)) for side in (pair.chosen, pair.rejected))
            said.setdefault((better, worse), []).append(pair.p_chosen)
            said.setdefault((worse, better), []).append(1 - pair.p_chosen)
        stated = {both: p for both, labels in said.items() if (p := mean(labels)) > 0.5}
        preferred = _closed(stated, len(places))
        unordered = [both for both in said if both not in preferred and both[::-1] not in preferred]
        counts["contradictory"] += len(unordered) // 2
        counts["ordered"] += len(preferred)
        if not preferred:
            counts["prompts without an order"] += 1
            continue
        found.append(_ranking(prompt, list(places), preferred, group[0].family))
    return found, counts


def as_rankings(given: Any) -> tuple[Sequence[Ranking], Counter[str]]:
    """Return the rankings of whatever people have, and the counts of `rankings_of` where they are made from pairs.

    `given`: rankings; rows with `prompt` and `completions`, best first, where `ranks` (smaller is better, equal is a
    tie) may give another order; or pairs in any form that `as_pairs` takes. A list, a data set or a path.

    Raises:
        PairError: it is none of these, or a row is invalid.
    """
    if isinstance(given, (str, Path)):
        rows = [row for _, row in rows_of(Path(given))]
    elif isinstance(given, Iterable) and not isinstance(given, (bytes, set, frozenset)):
        rows = list(only_split(given, PairError))
    else:
        raise PairError(f"rankings should be rows with 'prompt' and 'completions', or pairs; got {shortened(given)}")
    if rows and all(isinstance(row, Ranking) for row in rows):
        return rows, Counter()
    if any(isinstance(row, Mapping) and row.get("completions") is not None for row in rows):
        file, most = (str(given), MAX_BAD) if isinstance(given, (str, Path)) else ("data set", 0.0)
        numbered = enumerate(map(without_none, rows), 1)
        read, _ = sift(numbered, _read, file=file, what="rankings", max_bad=most, error=PairError)
        return read, Counter()
    return rankings_of(as_pairs(given if isinstance(given, (str, Path)) else rows))


def _read(_: int, row: Any) -> Ranking:
    if isinstance(row, Ranking):
        return row
    if not isinstance(row, Mapping):
        found = type(row).__name__
        raise RowFault("wrong type", f"should be an object with 'prompt' and 'completions', got {found}")
    answers = row.get("completions")
    if not isinstance(answers, list) or len(answers) < 2:
        raise RowFault("wrong type", f"'completions' should be a list of two or more, got {shortened(answers)}")
    ranks = row.get("ranks") or list(range(len(answers)))
    if not isinstance(ranks, list) or len(ranks) != len(answers) or not all(map(_is_number, ranks)):
        raise RowFault("wrong type", f"'ranks' should be a list of {len(answers)} numbers, got {shortened(ranks)}")
    prompt, completions = answered(row, {f"completions[{i}]": answer for i, answer in enumerate(answers)})
    preferred = {(j, k): 1.0 for j, k in permutations(range(len(completions)), 2) if ranks[j] < ranks[k]}
    if len(set(completions)) < len(completions):
        raise RowFault("equal sides", "two of its completions are equal")
    if not preferred:
        raise RowFault("no order", "all completions have the same rank, so there is no preference")
    return _ranking(prompt, completions, preferred, str(row.get("family") or ""))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _closed(stated: Mapping[tuple[int, int], float], size: int) -> dict[tuple[int, int], float]:
    """Return the labels of all orders that follow, without those that chains contradict."""
    least = {both: CERTAIN if p >= 1 else math.log(p / (1 - p)) for both, p in stated.items()}
    for via in range(size):
        for j in range(size):
            for k in range(size):
                if j != k and (j, via) in least and (via, k) in least:
                    chain = least[j, via] + least[via, k]
                    least[j, k] = min(least.get((j, k), math.inf), chain)
    consistent = {(j, k): odds for (j, k), odds in least.items() if (k, j) not in least}
    return {both: stated.get(both, 1 / (1 + math.exp(-min(odds, 700)))) for both, odds in consistent.items()}


def _ranking(
    prompt: Messages, completions: Sequence[Messages], preferred: Mapping[tuple[int, int], float], family: str
) -> Ranking:
    """Return a ranking with its completions sorted: whoever is preferred to another is preferred to more of them."""
    behind = Counter(j for j, _ in preferred)
    order = sorted(range(len(completions)), key=lambda j: (-behind[j], j))
    return Ranking(
        prompt=prompt,
        completions=tuple(completions[j] for j in order),
        preferences=tuple(tuple(preferred.get((j, k), 0.0) for k in order) for j in order),
        family=family,
    )
