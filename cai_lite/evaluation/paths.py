"""Paths to the numbers in evaluation.json, as gates, `--compare` and the report write them.

    adherence                  the overall figure after training
    adherence.kind-tone        one principle
    adherence.splits.NAME      one split of the prompts, `adherence.NAME` for short
    robustness.typos           a sub-figure

`.before`, `.after` or `.change` names a side of a comparison (`.plain`, `.wrapped` or `.drop` in robustness), and
`.value`, `.low`, `.high` or `.n` a number of a figure: `over_refusal.high`, `adherence.kind-tone.change.low`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from cai_lite.stats import Comparison, Figure

SIDES = {
    "before": "before",
    "after": "after",
    "change": "change",
    "plain": "before",
    "wrapped": "after",
    "drop": "change",
}
NUMBERS = ("value", "low", "high", "n")


class Reference(NamedTuple):
    """The parts of a figure's path: the path of the figure itself, the side that was named ("before", "after",
    "change", or None if none was), and the number that was named (such as value, low or high).
    """

    figure: str
    side: str | None
    number: str


def figures(metrics: Mapping[str, Any]) -> dict[str, Figure | Comparison]:
    """Return every figure of evaluation.json's `metrics` by its path, in the order of the file."""
    return {path: leaf for path, leaf in _leaves(metrics) if not isinstance(leaf, float)}


def value_at(metrics: Mapping[str, Any], path: str) -> float | None:
    """Return the number that a path names, or None where it was not measured."""
    leaves = dict(_leaves(metrics))
    reference = read_path(path, leaves)
    if reference is None:
        return None
    leaf = leaves[reference.figure]
    if isinstance(leaf, float):  # a p-value
        return leaf if reference.side is None and reference.number == "value" else None
    if isinstance(leaf, Comparison):
        leaf = getattr(leaf, reference.side or "after")
    elif reference.side not in (None, "after"):
        return None
    return float(getattr(leaf, reference.number))


def read_path(path: str, known: Collection[str]) -> Reference | None:
    """Resolve a path against the `known` paths of figures; None where it names none of them."""
    steps = path.split(".")
    for cut in range(len(steps), 0, -1):
        figure = _canonical(steps[:cut], known)
        if figure is not None:
            rest = steps[cut:]
            side = SIDES[rest.pop(0)] if rest and rest[0] in SIDES else None
            number = rest.pop(0) if rest and rest[0] in NUMBERS else "value"
            return None if rest else Reference(figure, side, number)
    return None


def _canonical(steps: list[str], known: Collection[str]) -> str | None:
    name, part = steps[0], ".".join(steps[1:])
    spelled = [".".join(steps), f"{name}.splits.{part}"]
    if part in ("overall", "all"):  # `overall` as in the file, `all` as earlier versions of --compare printed it
        spelled.append(name)
    if part.startswith("principles."):
        spelled.append(f"{name}.{part.removeprefix('principles.')}")
    return next((path for path in spelled if path in known), None)


def _leaves(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Figure | Comparison | float]]:
    for name, value in tree.items():
        # Directly below a figure, the levels `overall` and `principles` of the file have no step in the path.
        unnamed = path and "." not in path and name in ("overall", "principles") and isinstance(value, Mapping)
        here = path if unnamed else f"{path}.{name}" if path else name
        if isinstance(value, Mapping):
            leaf = _leaf(value)
            if leaf is not None:
                yield here, leaf
            elif unnamed:
                yield from ((f"{here}.{inner}", leaf) for inner, leaf in _leaves(value))
            else:
                yield from _leaves(value, here)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield here, float(value)


def _leaf(value: Mapping[str, Any]) -> Figure | Comparison | None:
    if "value" in value:
        return Figure(value["value"], value["n"], value["low"], value["high"])
    sides = {SIDES[name]: _leaf(side) for name, side in value.items() if name in SIDES and isinstance(side, Mapping)}
    after = sides.get("after")
    if not isinstance(after, Figure):
        return None
    before, change = sides.get("before"), sides.get("change")
    return Comparison(before, after, change) if isinstance(before, Figure) and isinstance(change, Figure) else after
