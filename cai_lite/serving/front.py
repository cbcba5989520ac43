"""Measure soups of a run's groups on the held-out prompts, and draw the front between two figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table

from cai_lite.errors import InputError, did_you_mean
from cai_lite.evaluation.evaluate import evaluate
from cai_lite.evaluation.metrics import label_of
from cai_lite.evaluation.paths import figures
from cai_lite.evaluation.shown import number
from cai_lite.pipeline.make_pairs import sampling_of
from cai_lite.pipeline.roles import Roles, open_roles
from cai_lite.pipeline.walk import prompts_of
from cai_lite.reporting.charts import front_chart
from cai_lite.reporting.page import standalone
from cai_lite.run.files import write_text
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Screen
from cai_lite.serving.steering import Steered, checked_weights, name_of, soup, trained_at
from cai_lite.stats import Comparison, Figure

LEAST = 3  # points of a sweep
_METRICS = ("adherence", "refusals")


class Point(NamedTuple):
    """One weighting: its adapter, the relative error of its cut, and the two figures."""

    weights: Mapping[str, float]
    adapter: Path
    error: float
    x: Figure
    y: Figure


class Checked(NamedTuple):
    """A soup beside the adapter that was trained at its weights: the figures of both sides and their difference."""

    weights: Mapping[str, float]
    x: Comparison
    y: Comparison


def steer(
    steered: Steered,
    weights: Mapping[str, float] | None = None,
    *,
    sweep: int = 0,
    check: bool = False,
    scale: float = 1.0,
    rank: int | None = None,
    x: str | None = None,
    y: str | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Make the soup of `weights`, or measure `sweep` of them between two groups; return what was made, as JSON.

    `scale`, `rank`: of the soups, see `steering.soup`. `check`: also train an adapter at the weights (at the middle
    ones of a sweep) and compare the soup with it, paired by prompt. `x`, `y`: the paths of two figures, in place of
    those of the recipe.

    Raises:
        InputError: the weights or groups are wrong, or a figure cannot be measured. TrainingError: a training stopped.
    """
    if bool(weights) == bool(sweep):
        raise InputError("give either --weights or --sweep")
    if not 0 < scale <= 100:
        raise InputError(f"--scale should be above 0 and at most 100, got {scale:g}")
    folder = steered.folder
    with ExitStack() as opened:
        screen = opened.enter_context(Screen(quiet=quiet, log=folder / "log.txt"))
        if weights and not check:
            chosen = checked_weights(steered, weights)
            adapter, error = soup(steered, chosen, screen, scale=scale, rank=rank)
            return {"weights": chosen, "adapter": str(adapter), "error": error}
        measuring = _Measuring(steered, opened.enter_context(Run(folder)), screen, x, y)
        steps = _between(steered, sweep) if sweep else [checked_weights(steered, weights or {})]
        points = []
        for step in steps:
            adapter, error = soup(steered, step, screen, scale=scale, rank=rank)
            points.append(Point(step, adapter, error, *measuring.alone(adapter)))
        middle = points[len(points) // 2]
        found: dict[str, Any] = {"x": measuring.x, "y": measuring.y, "points": [_json(point) for point in points]}
        if check:
            trained = trained_at(steered, middle.weights, screen)
            compared = Checked(middle.weights, *measuring.beside(middle.adapter, trained))
            found["check"] = _json(compared)
        if sweep:
            write_text(folder / "sweep.json", json.dumps(found, indent=1) + "\n")
            drawn = front_chart(
                {name_of(point.weights): (point.x, point.y) for point in points},
                (label_of(measuring.x).heading, label_of(measuring.y).heading),
            )
            write_text(folder / "front.svg", standalone(drawn))
            found["picture"] = str(folder / "front.svg")
    return found


def show_steering(found: Mapping[str, Any], console: Console) -> None:
    """Print the points of a sweep, the comparison with a training, and the adapters."""
    if "points" not in found:
        console.print(f"adapter: {found['adapter']}{_cut(found['error'])}", soft_wrap=True)
        return
    heads = [label_of(found[axis]).heading for axis in "xy"]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("weights")
    for head in heads:
        table.add_column(head, justify="right")
    for point in found["points"]:
        table.add_row(name_of(point["weights"]), *(_cell(Figure(**point[axis])) for axis in "xy"))
    console.print(table)
    if "check" in found:
        for axis, head in zip("xy", heads, strict=True):
            change = Figure(**found["check"][axis]["change"])
            console.print(
                f"{head}: the soup at {name_of(found['check']['weights'])} differs from the adapter trained there by "
                f"{number(change.value, change, '+')} [{number(change.low, change)}, {number(change.high, change)}], "
                f"n {change.n}",
                soft_wrap=True,
            )
    if "picture" in found:
        console.print(f"front: {found['picture']}", soft_wrap=True)


class _Measuring:
    """Measure adapters of a steered run on its held-out prompts; every answer and verdict is asked once."""

    def __init__(self, steered: Steered, run: Run, screen: Screen, x: str | None, y: str | None) -> None:
        self.x, self.y = x or steered.recipe.steer.x, y or steered.recipe.steer.y
        self._recipe, self._run, self._screen = steered.recipe, run, screen
        self._roles: Roles = open_roles(steered.recipe)
        self._prompts = prompts_of(steered.recipe).held_out

    def alone(self, adapter: Path) -> tuple[Figure, Figure]:
        """Return the two figures of an adapter."""
        found = self._measure(adapter)
        return found[self.x], found[self.y]

    def beside(self, adapter: Path, other: Path) -> tuple[Comparison, Comparison]:
        """Return the two figures of `other` (before) and of `adapter` (after), paired by prompt."""
        found = self._measure(adapter, other)
        return found[self.x], found[self.y]

    def _measure(self, adapter: Path, other: Path | None = None) -> dict[str, Any]:
        recipe, roles = self._recipe, self._roles
        evaluation = evaluate(
            roles.student.with_adapter(adapter),
            against=None if other is None else roles.student.with_adapter(other),
            constitution=roles.constitution,
            judge=[voice.model for voice in roles.judges] or None,
            prompts=self._prompts,
            run=self._run,
            metrics=_METRICS,
            baselines=(),
            oracle=recipe.evaluate.oracle,
            refusals=recipe.evaluate.refusals,
            sampling=sampling_of(recipe, recipe.evaluate.temperature),
            samples=recipe.evaluate.samples,
            judging=recipe.judge,
            screen=self._screen,
            manifest=False,
            out=adapter.parent,
        )
        found = figures(evaluation["metrics"])
        for path in (self.x, self.y):
            if path not in found:
                raise InputError(
                    f"'{path}' is not among the figures that were measured{did_you_mean(path, found)}; "
                    "name two of them by --x and --y, or in the recipe as steer.x and steer.y"
                )
        return found


def _between(steered: Steered, count: int) -> list[dict[str, float]]:
    """Return `count` weightings from one group alone to the other alone."""
    if len(steered.groups) != 2:
        raise InputError(f"a sweep goes between two groups, and there are {len(steered.groups)}; name two by --group")
    if count < LEAST:
        raise InputError(f"a sweep has at least {LEAST} points, got {count}")
    first, second = steered.groups
    return [{first: 1 - i / (count - 1), second: i / (count - 1)} for i in range(count)]


def _json(found: Point | Checked) -> dict[str, Any]:
    kept: dict[str, Any] = {"weights": dict(found.weights), "x": found.x.as_dict(), "y": found.y.as_dict()}
    return kept if isinstance(found, Checked) else {**kept, "adapter": str(found.adapter), "error": found.error}


def _cell(figure: Figure) -> str:
    return f"{number(figure.value, figure)} [{number(figure.low, figure)}, {number(figure.high, figure)}]"


def _cut(error: float) -> str:
    return f" (the cut to a smaller rank lost {error:.1%} of the change)" if error else ""


def groups_of(given: Sequence[str]) -> dict[str, list[str]]:
    """Return {"helpful": ["a", "b"]} for ["helpful=a,b"]. Raises InputError where one is not written like this."""
    found = {}
    for text in given:
        name, equals, listed = text.partition("=")
        principles = [part.strip() for part in listed.split(",") if part.strip()]
        if not equals or not name or not principles:
            raise InputError(f"--group {text}: a group is written NAME=ID,ID with the ids of principles")
        found[name] = principles
    return found


def weights_of(given: str) -> dict[str, float]:
    """Return {"helpful": 0.3} for "helpful=0.3". Raises InputError where it is not written like this."""
    found = {}
    for text in given.split(","):
        name, _, value = text.partition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            raise InputError(f"--weights {given}: weights are written NAME=NUMBER,NAME=NUMBER; got '{text}'") from None
    return found
