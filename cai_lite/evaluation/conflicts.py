"""Conflicts between principles: how often two of them prefer opposite replies."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Any, NamedTuple

from cai_lite.stats import wilson


class Preference(NamedTuple):
    """The verdict under one principle on one comparison, which `what` identifies."""

    principle: str
    what: tuple[str, str]
    choice: str


def opposition(preferences: Iterable[Preference]) -> list[dict[str, Any]]:
    """Return `{"between", "n", "opposed"}` for each two principles with a common comparison.

    `opposed`: the share of comparisons on which they prefer opposite sides, as a figure. Ties and faults are left out.
    """
    sides: dict[str, dict[tuple[str, str], str]] = {}
    for preference in preferences:
        if preference.choice in ("first", "second"):
            sides.setdefault(preference.principle, {})[preference.what] = preference.choice
    rows = []
    for one, other in combinations(sides, 2):
        shared = sides[one].keys() & sides[other].keys()
        if shared:
            apart = sum(sides[one][what] != sides[other][what] for what in shared)
            figure = wilson(apart, len(shared))
            rows.append({"between": [one, other], "n": len(shared), "opposed": figure.as_dict()})
    return rows
