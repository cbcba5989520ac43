"""Which principles pull apart: how often two of them prefer opposite replies, where each prefers one."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Any, NamedTuple

from cai_lite.stats import wilson


class Preference(NamedTuple):
    """What one principle said of one comparison."""

    principle: str
    what: tuple[str, str]
    choice: str


def opposition(preferences: Iterable[Preference]) -> list[dict[str, Any]]:
    """Of each two principles that met on some comparison: `{"between", "n", "opposed"}`, a figure of the share of
    comparisons on which they prefer opposite sides. Ties and faults prefer nothing.
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
