"""Metrics of one's own, named in a recipe: a Python function, or a module of the `evaluate` library.

    evaluate:
      own:
        questions: {function: "metrics.py:questions", label: questions per answer, better: higher}
        refusals:  {module: refusal_rate, better: lower}

Naming one runs its code, with the rights of whoever runs the recipe: read a recipe of somebody else's before you run
it. Only code that is on this machine already is run: a file, named relative to the recipe, or an installed package.
Nothing is fetched from a hub.

A function gets the texts of prompt and answer, `def questions(prompt, answer): return answer.count("?")`, and returns
a number, or None where it does not apply. A module gets all answers as `predictions`. If it returns a list, that is a
number an answer. If it returns one number, it is asked answer by answer, too; where the mean over the answers is that
number, both have the intervals of every other metric, which allow for families. Where it is not, such as for the share
of answers that occur twice, the number itself is reported, with a jackknife interval from up to 20 groups of families.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from cai_lite.distill.wording import conversation
from cai_lite.errors import InputError, did_you_mean, shortened
from cai_lite.evaluation.modules import NAMES, metric
from cai_lite.evaluation.subject import Subject
from cai_lite.intervals import t_quantile
from cai_lite.records import Candidate
from cai_lite.stats import Comparison, Figure, over_sides

GROUPS = 20  # of families, for the jackknife
_SAMPLE = ("What should I do?", ("Please see a doctor.", "I am not sure. Do you have a fever?"))  # for one trial


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnMetric:
    """A metric of one's own; one of `function` and `module` is given.

    `function`: `package.module:name`, or `FILE.py:name` with a path relative to the recipe.
    `module`: the file or folder of an `evaluate` module, relative to the recipe; an installed one as
    `package.module`; or one of this package, such as "refusal_rate".
    `value`: for a module, the number of its result, such as "f1" or "scores.mean"; by default the only one.
    `options`: further arguments of the function, or of the module's `compute`.
    `label`, `unit`, `better`: how tables name the figure; by default by its name, and with no direction.
    """

    function: str | None = None
    module: str | None = None
    value: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    unit: str = ""
    better: Literal["higher", "lower", "neutral"] = "neutral"

    def __post_init__(self) -> None:
        if (self.function is None) == (self.module is None):
            raise ValueError("give either 'function' or 'module'")
        if self.function is not None and not re.fullmatch(r"[^:]+(:\\[^:]+)?:[A-Za-z_]\w*", self.function):
            raise ValueError(f"'function' should be written package.module:name or FILE.py:name, got '{self.function}'")
        if self.function is not None and self.value is not None:
            raise ValueError("'value' is for a module; a function returns its number")


Values = Callable[[Sequence[Candidate], list[str]], list[float | None] | float]
"""Return a number for each answer (None: it does not apply), or one number for all of them together.

Faults are added to the list given; an answer with one has no number.
"""


class Loaded(NamedTuple):
    """A metric of the user's own, with the code that measures it."""

    spec: OwnMetric
    values: Values


def load_own(own: Mapping[str, OwnMetric]) -> dict[str, Loaded]:
    """Load each metric and try it on two sentences.

    Raises:
        InputError: a name or file that does not exist, code that cannot be imported, or one that gives no number.
    """
    found = {}
    for name, spec in own.items():
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise InputError(f"evaluate.own: '{name}' should be a name of small letters, digits and _")
        place = f"evaluate.own.{name}"
        found[name] = Loaded(spec, _of_function(place, spec) if spec.function else _of_module(place, spec))
    return found


def measure_own(subject: Subject) -> dict[str, Any]:
    """Measure the metrics of one's own on the answers of each side, with their labels beside the figures.

    A metric that gives no number for an answer after all is said, and measured on the others.
    """
    found: dict[str, Any] = {}
    for name, (spec, values) in subject.own.items():
        faults: list[str] = []
        try:
            figure = _figure(subject, values, faults)
        except InputError as error:  # of a module over all answers; the answers are paid for, and the rest is measured
            figure, faults = None, [str(error)]
        if faults:
            subject.screen.warn(f"own.{name}: {len(faults):,} answers have no number because of a fault: {faults[0]}")
        if figure is not None:
            label = {"label": spec.label or name.replace("_", " "), "unit": spec.unit, "better": spec.better}
            found[name] = {**label, **figure.as_dict()}
    return {"own": found}


def _figure(subject: Subject, values: Values, faults: list[str]) -> Figure | Comparison | None:
    sides = subject.sides
    families = [candidate.prompt.family for candidate in sides[0]]
    rows = [values(side, faults) for side in sides]
    lists = [row for row in rows if isinstance(row, list)]
    if len(lists) < len(rows):

        def over_all(answers: Sequence[Candidate]) -> float:
            found = values(answers, faults)
            return found if isinstance(found, float) else sum(one or 0.0 for one in found) / len(found)

        return jackknife(sides, over_all, families)
    known = [i for i, row in enumerate(zip(*lists, strict=True)) if None not in row]
    if not known:
        return None
    numbers = [[float(row[i] or 0.0) for i in known] for row in lists]
    return over_sides(numbers, [families[i] for i in known], seed=subject.seed)


def jackknife(
    sides: Sequence[Sequence[Candidate]], value: Callable[[Sequence[Candidate]], float], families: Sequence[str]
) -> Figure | Comparison | None:
    """Return a number over all answers of each side, with intervals by leaving out one group of families at a time.

    For what is no mean over answers; resampling would repeat answers, and change what is counted. None for one family.
    """
    places = {family: place for place, family in enumerate(dict.fromkeys(families))}
    groups = min(GROUPS, len(places))
    if groups < 2:
        return None
    group_N = [places[family] % groups for family in families]
    whole_S = np.asarray([value(side) for side in sides])
    kept = [[i for i, own in enumerate(group_N) if own != left_out] for left_out in range(groups)]
    without_GS = np.asarray([[value([side[i] for i in rows]) for side in sides] for rows in kept])

    def figure(whole: float, without_G: Any) -> Figure:
        spread = (groups - 1) / groups * float(((without_G - without_G.mean()) ** 2).sum())
        half = t_quantile(groups - 1) * math.sqrt(spread)
        return Figure(float(whole), len(families), float(whole) - half, float(whole) + half)

    figures = [figure(whole_S[side], without_GS[:, side]) for side in range(len(sides))]
    if len(sides) == 1:
        return figures[0]
    return Comparison(figures[0], figures[1], figure(whole_S[1] - whole_S[0], without_GS[:, 1] - without_GS[:, 0]))


def _of_function(place: str, spec: OwnMetric) -> Values:
    where, _, name = str(spec.function).rpartition(":")
    try:
        if where.endswith(".py"):
            loaded = importlib.util.spec_from_file_location(f"own_{Path(where).stem}", where)
            if loaded is None or loaded.loader is None or not Path(where).is_file():
                raise InputError(f"{place}: no such file: {where}")
            module = importlib.util.module_from_spec(loaded)
            loaded.loader.exec_module(module)
        else:
            module = importlib.import_module(where)
    except InputError:
        raise
    except Exception as error:  # the code of others may raise anything
        raise InputError(f"{place}: {where} cannot be imported: {_said(error)}") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise InputError(f"{place}: {where} has no function '{name}'{did_you_mean(name, vars(module))}")
    try:
        inspect.signature(function).bind("prompt", "answer", **spec.options)
    except TypeError as error:
        raise InputError(f"{place}: '{name}' should take prompt, answer and its options: {error}") from error

    def of(prompt: str, answer: str) -> float | None:
        try:
            return _number(place, function(prompt, answer, **spec.options))
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"{place}: '{name}' failed on the answer {shortened(answer)}: {_said(error)}") from error

    def values(answers: Sequence[Candidate], faults: list[str]) -> list[float | None]:
        found: list[float | None] = []
        for candidate in answers:
            try:
                found.append(of(conversation(candidate.prompt.messages), candidate.text))
            except InputError as error:
                faults.append(str(error))
                found.append(None)
        return found

    for answer in _SAMPLE[1]:
        of(_SAMPLE[0], answer)
    return values


def _of_module(place: str, spec: OwnMetric) -> Values:
    module = _module(place, str(spec.module))
    features = module.features[0] if isinstance(module.features, list) else module.features
    if list(features) != ["predictions"] or getattr(features["predictions"], "dtype", "") != "string":
        kinds = ", ".join(f"{name} ({getattr(kind, 'dtype', 'nested')})" for name, kind in features.items())
        raise InputError(
            f"{place}: the module reads {kinds}; only one that reads texts as 'predictions' can measure answers to "
            "prompts; write a function for the rest"
        )

    def compute(texts: Sequence[str]) -> list[float | None] | float:
        try:
            found = module.compute(predictions=list(texts), **spec.options)
        except Exception as error:
            raise InputError(f"{place}: the module failed on {len(texts):,} answers: {_said(error)}") from error
        value = _picked(place, found, spec.value)
        if not isinstance(value, list):
            return _number(place, value) or 0.0
        if len(value) != len(texts):
            raise InputError(f"{place}: {len(value):,} numbers for {len(texts):,} answers")
        return [_number(place, one) for one in value]

    def values(answers: Sequence[Candidate], _: list[str]) -> list[float | None] | float:
        texts = [candidate.text for candidate in answers]
        whole = compute(texts)
        if isinstance(whole, list):
            return whole
        known: dict[str, float] = {}
        for text in texts:
            if text not in known:
                alone = compute([text])
                known[text] = alone if isinstance(alone, float) else float("nan")
        rows = [known[text] for text in texts]
        means = bool(rows) and math.isclose(sum(rows) / len(rows), whole, rel_tol=1e-6, abs_tol=1e-9)
        return list(rows) if means else whole

    compute(_SAMPLE[1])
    return values


def _module(place: str, name: str) -> Any:
    """Load a module of `evaluate` that is on this machine."""
    if name in NAMES:
        return metric(name)
    path = Path(name)
    if not path.exists() and re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", name):
        try:
            found = importlib.util.find_spec(name)
        except Exception as error:
            raise InputError(f"{place}: {name} cannot be imported: {_said(error)}") from error
        path = Path(found.origin) if found is not None and found.origin else path
    if not path.exists():
        raise InputError(
            f"{place}: there is no module '{name}' on this machine{did_you_mean(name, NAMES)}; give the file or folder "
            "of one, or package.module of an installed one. None is fetched from a hub"
        )
    import evaluate  # type: ignore[import-untyped]

    try:
        return evaluate.load(str(path))
    except Exception as error:
        raise InputError(f"{place}: {path} cannot be loaded as a module of evaluate: {_said(error)}") from error


def _picked(place: str, found: Any, wanted: str | None) -> Any:
    """Return the number, or the list of numbers, that a module's result holds under the name wanted."""
    if wanted is not None:
        for step in wanted.split("."):
            if not isinstance(found, Mapping) or step not in found:
                known = ", ".join(map(str, found)) if isinstance(found, Mapping) else "a single value"
                raise InputError(f"{place}.value: the result has no '{step}'; it has {known}")
            found = found[step]
        return found
    if not isinstance(found, Mapping):
        return found
    if "value" in found:
        return found["value"]
    if len(found) == 1:
        return next(iter(found.values()))
    raise InputError(f"{place}: the result has several values; name one as 'value': {', '.join(map(str, found))}")


def _number(place: str, value: Any) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise InputError(f"{place}: should give a number or None, got {shortened(repr(value))}") from None
    if not math.isfinite(number):
        raise InputError(f"{place}: should give a finite number, or None where it does not apply, got {number}")
    return number


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {shortened(str(error))}"
