"""Gates: conditions on figures (`evaluate.must`) that a model has to meet before it is released.

A gate on a figure that this evaluation cannot measure is refused before any model is asked; a figure that could not be
measured after all does not meet its gate.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from cai_lite.errors import InputError, did_you_mean
from cai_lite.evaluation.adherence import SLICE
from cai_lite.evaluation.labels import Label, Planned
from cai_lite.evaluation.metrics import BASELINES, OWN, figure_labels, measured, own_label
from cai_lite.evaluation.paths import NUMBERS, SIDES, read_path, value_at

_CONDITION = re.compile(r"\s*(>=|<=|>|<)\s*([-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*$")


class Gate(NamedTuple):
    """One condition: the path of its figure, the condition, the value found (None: not measured), whether it holds.

    `note`: where the condition is on a bare value, the end of its interval that would protect; "" otherwise.
    """

    name: str
    wanted: str
    found: float | None
    holds: bool
    note: str = ""


class Expected(NamedTuple):
    """A figure that a gate may name. `missing`: the reason why this evaluation cannot measure it, or ""."""

    label: Label
    missing: str


def condition(text: str) -> tuple[str, float]:
    """Split ">= 0.8" into (">=", 0.8). Raises ValueError."""
    read = _CONDITION.match(text)
    if not read:
        raise ValueError(f"a condition is written '>= 0.8', with >=, <=, > or <, got '{text}'")
    return read[1], float(read[2])


def gates(must: Mapping[str, str], metrics: Mapping[str, Any]) -> list[Gate]:
    """Check each condition of `must` (by path, see `paths`) against evaluation.json's metrics.

    Raises:
        InputError: an unknown figure, or a condition that cannot be read.
    """
    check_names(must)
    found = []
    for name, text in must.items():
        sign, bound = condition(text)
        value = value_at(metrics, name)
        holds = (
            value is not None
            and {
                ">=": value >= bound,
                "<=": value <= bound,
                ">": value > bound,
                "<": value < bound,
            }[sign]
        )
        found.append(Gate(name, text, value, holds, _protecting(name, sign, metrics)))
    return found


def _protecting(name: str, sign: str, metrics: Mapping[str, Any]) -> str:
    """Return a sentence that names the protecting end of the interval and its value, where a bare value is compared."""
    bound = f"{name}.{'low' if sign in ('>=', '>') else 'high'}"
    if name.split(".")[-1] in NUMBERS or (value := value_at(metrics, bound)) is None:
        return ""
    return f"this compares the value alone; the bound that protects is {bound}, {value:.3f}"


def check_names(must: Mapping[str, str], metrics: Collection[str] | None = None) -> None:
    """Check what can be checked without constitution and prompts: figure names, conditions, and the chosen metrics.

    Raises:
        InputError: an unknown figure, a figure of a metric that `metrics` leaves out, or an unreadable condition.
    """
    for path, text in must.items():
        name, labels = path.split(".")[0], figure_labels()
        if name not in labels:
            raise _refused(path, f"unknown figure '{name}'{did_you_mean(name, labels)}")
        if metrics is not None and (left_out := _left_out(name, metrics)):
            raise _refused(path, left_out)
        try:
            condition(text)
        except ValueError as error:
            raise _refused(path, str(error)) from error


def check_gates(must: Mapping[str, str], plan: Planned) -> None:
    """Check before an evaluation that it can measure the figure of every gate.

    Raises:
        InputError: an unknown path, a figure that this evaluation cannot measure, or an unreadable condition.
    """
    check_names(must, plan.metrics)
    expected = expected_figures(plan)
    for path in must:
        reference = read_path(path, expected)
        if reference is None:
            raise _refused(path, _unknown(path, expected))
        label, missing = expected[reference.figure]
        if missing:
            raise _refused(path, f"this evaluation cannot measure it: {missing}")
        if reference.side in ("before", "change"):
            if label.change == "never":
                raise _refused(path, f"'{reference.figure}' is a single figure without before and change")
            if label.change == "compared" and not plan.compared:
                raise _refused(path, "the model is measured alone; name a second one with --against")


def expected_figures(plan: Planned) -> dict[str, Expected]:
    """Return every figure that a gate may name, by its path."""
    found = {}
    for name, label in figure_labels().items():
        missing = _left_out(name, plan.metrics) or _missing(label, plan)
        if name == OWN:
            for part, spec in plan.own.items():
                found[f"{name}.{part}"] = Expected(own_label(spec, part), missing)
        elif label.parts:
            for part, inner in label.parts.items():
                found[f"{name}.{part}"] = Expected(inner, missing or _missing(inner, plan))
        if label.by_principle or not label.parts:
            found[name] = Expected(label, missing)
        if label.by_principle:
            by_checks = name == "adherence_checks" or not (plan.judges or plan.oracle)
            for part, why in _by_principle(plan, checks=by_checks):
                if not label.splits and part.startswith(("p_holm.", "splits.")):
                    continue
                p_value = Label(part, change="never") if part.startswith("p_holm.") else label
                alone = "" if plan.compared else "the model is measured alone"
                found[f"{name}.{part}"] = Expected(p_value, missing or why or (alone if p_value is not label else ""))
    return found


def _by_principle(plan: Planned, *, checks: bool) -> Iterator[tuple[str, str]]:
    """Yield the name of each principle, p-value and split, and the reason why it cannot be measured, or ""."""
    for principle in plan.constitution.principles:
        why = "" if any(map(principle.applies, plan.prompts)) else f"principle '{principle.id}' applies to no prompt"
        if checks and principle.checks is None:
            why = f"principle '{principle.id}' has no machine checks"
        yield principle.id, why
        yield f"p_holm.{principle.id}", why
    for split in sorted({tag for prompt in plan.prompts for tag in prompt.tags if tag.startswith(SLICE)}):
        yield f"splits.{split.removeprefix(SLICE)}", ""


def _missing(label: Label, plan: Planned) -> str:
    return next((need.otherwise for need in label.needs if not need.holds(plan)), "")


def _left_out(figure: str, metrics: Collection[str]) -> str:
    metric = next(name for name, metric in measured().items() if figure in metric.figures)
    if metric == OWN and OWN not in metrics:
        return "evaluate.own names no metric"
    what = "baseline" if metric in BASELINES else "metric"
    return "" if metric in metrics else f"it belongs to the {what} '{metric}', which evaluate.{what}s leaves out"


def _unknown(path: str, expected: Collection[str]) -> str:
    name, _, rest = path.partition(".")
    parts = [known.removeprefix(f"{name}.") for known in expected if known.startswith(f"{name}.")]
    if not rest:
        return f"'{name}' has several figures; name one of {', '.join(f'{name}.{part}' for part in parts)}"
    unknown = next((step for step in rest.split(".") if step not in (*parts, *SIDES, *NUMBERS)), rest)
    near = did_you_mean(unknown, [*parts, *SIDES, *NUMBERS])
    if not near.startswith("; did"):  # nothing is near: list what a figure is divided into, not every word of a path
        near = did_you_mean(unknown, [part for part in parts if not part.startswith("p_holm.")])
    return f"'{name}' has no figure '{unknown}'{near}"


def _refused(path: str, why: str) -> InputError:
    return InputError(f"evaluate.must.{path}: {why}")
