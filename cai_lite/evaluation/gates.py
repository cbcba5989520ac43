"""`evaluate.must`: what a model has to reach before it is let out. A figure that was not measured is not reached."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from cai_lite.errors import InputError, did_you_mean

_CONDITION = re.compile(r"\s*(>=|<=|>|<)\s*([-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*$")


class Gate(NamedTuple):
    """One condition: what it is about, what was asked, what was found (None: not measured), whether it holds."""

    name: str
    wanted: str
    found: float | None
    holds: bool


def condition(text: str) -> tuple[str, float]:
    """(">=", 0.8) of ">= 0.8". Raises ValueError."""
    read = _CONDITION.match(text)
    if not read:
        raise ValueError(f"a condition is written '>= 0.8', with >=, <=, > or <, got '{text}'")
    return read[1], float(read[2])


NAMES = (
    "adherence",
    "adherence_judge",
    "adherence_checks",
    "preference_accuracy",
    "reward_margin",
    "win_rate",
    "win_rate_equal_length",
    "over_refusal",
    "unsafe_compliance",
    "words",
    "boilerplate",
    "well_formed",
    "perplexity",
    "kl",
    "robustness",
    "superficial",
    "confounds",
    "copies",
    "reliability",
)


def check_names(must: Iterable[str]) -> None:
    """Raises InputError for a name that no metric has: it would be found out only after all was paid for."""
    for name in must:
        first = name.split(".")[0]
        if first not in NAMES:
            raise InputError(f"evaluate.must.{name}: no metric '{first}'{did_you_mean(first, NAMES)}")


def gates(must: Mapping[str, str], metrics: Mapping[str, Any]) -> list[Gate]:
    """Each condition of `must` against evaluation.json's metrics.

    A name is that of a metric (`adherence` is its overall), or goes on with dots: `adherence.kind-tone` is a principle,
    `adherence.change` the change and not the value after, `over_refusal.high` the upper end of the interval.

    Raises:
        InputError: a condition that cannot be read.
    """
    found = []
    check_names(must)
    for name, text in must.items():
        try:
            sign, bound = condition(text)
        except ValueError as error:
            raise InputError(f"evaluate.must.{name}: {error}") from error
        value = _value(metrics, name.split("."))
        holds = (
            value is not None
            and {
                ">=": value >= bound,
                "<=": value <= bound,
                ">": value > bound,
                "<": value < bound,
            }[sign]
        )
        found.append(Gate(name, text, value, holds))
    return found


def _value(metrics: Mapping[str, Any], path: list[str]) -> float | None:
    """The number that a path leads to, or None where there is none."""
    here: Any = metrics
    for step in path:
        if not isinstance(here, Mapping):
            return None
        inner = here.get("principles", {})
        found = here.get(step, inner.get(step) if isinstance(inner, Mapping) else None)
        if found is None and isinstance(deeper := here.get("overall", here.get("after")), Mapping):
            found = deeper.get(step)
            if found is None and isinstance(deeper.get("after"), Mapping):
                found = deeper["after"].get(step)
        here = found
    while isinstance(here, Mapping):
        here = here.get("overall", here.get("after", here.get("value")))
    return float(here) if isinstance(here, (int, float)) and not isinstance(here, bool) else None
