"""A guard: a preference model that says, with a calibrated probability, which principle an answer breaks.

It is made from held-out answers and their verdicts (answers.jsonl of a run) and written as guard.json beside the folder
of the adapter. Each principle has a probability of its own and a threshold, which follows from what an error costs or
from the share of good answers that may be stopped.

Source: Platt 1999 for the probabilities; Elkan 2001, "The foundations of cost-sensitive learning", for the threshold.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cai_lite.chat.preference import PreferenceModel, open_preference_model
from cai_lite.chat.weights import Load
from cai_lite.errors import InputError, did_you_mean
from cai_lite.evaluation.result import Answered, read_answers
from cai_lite.pipeline.recipe import recorded_training
from cai_lite.records import Messages
from cai_lite.run.files import read_record, write_text
from cai_lite.run.progress import Terminal

GUARD = "guard.json"  # its name in the folder that holds adapter/
FORMAT = 1
LEAST = 10  # answers of either kind, kept and broken, below which a principle gets no guard
WITHHELD = "I will not answer this: what I would say breaks the principle '{principle}' ({text})"
_SENTENCE = re.compile(r"(?<=[.!?…])\s+|\n+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """The guard of one principle.

    The probability that an answer with the raw score s breaks it is sigmoid((bias - s) / temperature); it is stopped
    from `threshold` on. `measured`: `auc`, `false_alarms` (share of the kept answers that are stopped), `misses` (share
    of the broken ones that are not) and `calibration_error` on held-out answers, each by a fit on other families; and
    `roc`, points (false alarms, hits) of the curve. `n`: number of answers.
    """

    text: str
    temperature: float
    bias: float
    threshold: float
    n: int
    measured: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a guard says of one answer under one principle. `p`: probability that the answer breaks it."""

    principle: str
    text: str
    p: float
    stopped: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """What may be shown of an answer: all of it, the part before what breaks a principle, or a refusal.

    `broken`: the principle that the whole answer breaks most surely; None where it may be shown as it is.
    """

    text: str
    broken: Finding | None


class Guard:
    """A preference model with a threshold for each principle."""

    def __init__(self, model: PreferenceModel, principles: Mapping[str, Guarded]) -> None:
        self.model, self.principles = model, dict(principles)

    def look(self, prompts: Sequence[Messages], answers: Sequence[str]) -> list[list[Finding]]:
        """Return the findings of each answer to its prompt, by principle, the likeliest breach first."""
        from cai_lite.training.calibration import Fit, probabilities

        found: list[list[Finding]] = [[] for _ in answers]
        for id_, own in self.principles.items():
            scores = raw_scores(self.model, prompts, answers, own.text)
            for place, kept in enumerate(probabilities(scores, Fit(own.temperature, own.bias))):
                p = 1 - float(kept)
                found[place].append(Finding(principle=id_, text=own.text, p=p, stopped=p >= own.threshold))
        return [sorted(findings, key=lambda one: (not one.stopped, -one.p)) for findings in found]

    def passed(self, prompt: Messages, answer: str) -> Passed:
        """Return what may be shown of an answer.

        Where it is stopped, the longest beginning in whole sentences is shown that is not, and else a refusal that
        names the principle.
        """
        sentences = [part for part in _SENTENCE.split(answer.strip()) if part]
        parts = [" ".join(sentences[:many]) for many in range(len(sentences), 0, -1)]
        parts[:1] = [answer]
        findings = self.look([prompt] * len(parts), parts)
        first = findings[0][0] if findings[0] else None
        if first is None or not first.stopped:
            return Passed(text=answer, broken=None)
        for part, of_part in zip(parts[1:], findings[1:], strict=True):
            if not of_part[0].stopped:
                return Passed(text=part, broken=first)
        return Passed(text=WITHHELD.format(principle=first.principle, text=first.text), broken=first)


def raw_scores(model: PreferenceModel, prompts: Sequence[Messages], answers: Sequence[str], text: str) -> list[float]:
    """Return the scores of answers under the text of a principle, not divided by the temperature."""
    return [score * model.calibration.temperature for score in model.scores(prompts, answers, text)]


def make_guard(
    model: PreferenceModel,
    answers: Sequence[Answered],
    *,
    cost: float | None = None,
    false_alarms: float | None = None,
    log: Callable[[str], None] = lambda _: None,
) -> Guard:
    """Return a guard for every principle of the model that enough of the answers keep and break.

    `answers`: held-out ones with their verdicts, which the model has not learnt. One of the two says where to stop:
    `cost`, of showing an answer that breaks a principle, in units of that of stopping one that keeps it, so that an
    answer is stopped from the probability 1 / (1 + cost) on; or `false_alarms`, the share of the kept answers that may
    be stopped, 0 to 1.

    Raises:
        InputError: neither or both are given or out of range, the model reads no principle, or no principle can be
            guarded.
    """
    if (cost is None) == (false_alarms is None):
        raise InputError("give either what a miss costs, such as cost 5, or the share of false alarms, such as 0.05")
    if cost is not None and not 0 < cost < 1e9:
        raise InputError(f"the cost of a miss, in false alarms, should be above 0, got {cost}")
    if false_alarms is not None and not 0 < false_alarms < 1:
        raise InputError(f"the share of false alarms should be above 0 and below 1, got {false_alarms}")
    if model.calibration.input != "principle":
        raise InputError(
            f"{model.name} gives one score for all principles, so it cannot say which one an answer breaks; train one "
            "with --set train.input=principle --on verdicts"
        )
    found = {}
    for id_, text in model.calibration.principles.items():
        rows = [row for row in answers if row.verdicts.get(id_) is not None and row.answer.strip()]
        kept = [bool(row.verdicts[id_]) for row in rows]
        if min(sum(kept), len(kept) - sum(kept)) < LEAST:
            many = f"{sum(kept)} of {len(kept)} answers keep it"
            log(f"no guard for '{id_}': {many}, and {LEAST} of each kind are needed")
            continue
        scores = raw_scores(model, [row.prompt for row in rows], [row.answer for row in rows], text)
        found[id_] = _guarded(text, scores, kept, [row.family for row in rows], cost, false_alarms)
    if not found:
        raise InputError(
            f"{model.name}: no principle can be guarded; take a run with more held-out answers, kept and broken"
        )
    return Guard(model, found)


def write_guard(guard: Guard) -> Path:
    """Write guard.json beside the folder of the adapter; return its path."""
    path = guard.model.adapter.parent / GUARD
    record = {
        "format": FORMAT,
        "model": guard.model.model,
        "adapter": guard.model.adapter.name,
        "digest": guard.model.digest,
        "principles": {id_: asdict(own) for id_, own in guard.principles.items()},
    }
    write_text(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return path


def guard_of_run(
    run: Path, folder: Path, *, trunk: str | None = None, cost: float | None = None, false_alarms: float | None = None
) -> dict[str, Any]:
    """Make the guard of a preference model from a run's held-out answers, write it, and return what it came to.

    `folder`: it holds the model's adapter/. `trunk`: the model that the adapter was trained on, the run's student where
    left out. `cost`, `false_alarms`: as in `make_guard`.

    Raises:
        InputError: as `make_guard`; or the run has no answers or no recipe.
    """
    answers, notes = read_answers(run), list[str]()
    section, _ = recorded_training(run / "recipe.yaml", ["train.method=preference_model"])
    model = open_preference_model(
        trunk or section.model,
        folder / "adapter",
        load=section.load if trunk is None else None,
        system=section.system if trunk is None else "keep",
    )
    path = write_guard(make_guard(model, answers, cost=cost, false_alarms=false_alarms, log=notes.append))
    return {"guard": str(path), "notes": notes, **read_record(path)}


def show_guard(found: Mapping[str, Any], console: Console | None = None) -> None:
    """Print what `guard_of_run` returned: a table of the principles, and the file."""
    console = console or Terminal()
    title = Text("on held-out answers, with 95 % intervals; stopped from the probability p on")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, title=title)
    table.add_column("principle", overflow="fold", min_width=16)
    for name in ("AUC", "false alarms", "misses", "p", "n"):
        table.add_column(name, justify="right", no_wrap=True)
    for id_, own in found["principles"].items():
        shown = [_shown(own["measured"].get(name)) for name in ("auc", "false_alarms", "misses")]
        table.add_row(id_, *shown, f"{own['threshold']:.2f}", str(own["n"]))
    console.print(table)
    for note in found["notes"]:
        console.print(Text(note))
    console.print(Text(f"{found['guard']}; use it by `cai-lite chat --guard {Path(found['guard']).parent}`"))


def _shown(figure: Mapping[str, float] | None) -> str:
    return "" if figure is None else f"{figure['value']:.2f} {figure['low']:.2f}-{figure['high']:.2f}"


def open_guard(folder: Path, *, load: Load | None = None) -> Guard:
    """Open the guard of a folder with guard.json and adapter/.

    Raises:
        InputError: there is none, it is damaged, or it was made for another adapter. ModelError: as
        `open_preference_model`.
    """
    path = folder / GUARD
    if not path.is_file():
        raise InputError(f"{folder} has no {GUARD}; make one by `cai-lite guard RUN --model {folder} --cost 5`")
    record = read_record(path, {"model": str, "adapter": str, "digest": str, "principles": dict})
    try:
        principles = {id_: Guarded(**own) for id_, own in record["principles"].items()}
    except TypeError as error:
        raise InputError(f"{path}: is not as it was written ({error}); make it anew") from error
    model = open_preference_model(record["model"], folder / record["adapter"], load=load)
    if model.digest != record["digest"] and load is None:
        raise InputError(f"{path} was made for another adapter or another model than {model.name}; make it anew")
    return Guard(model, principles)


def only(guard: Guard, principles: Sequence[str]) -> Guard:
    """Return the guard of these principles alone. Raises InputError where it has none for one of them."""
    for id_ in principles:
        if id_ not in guard.principles:
            raise InputError(f"the guard knows no principle '{id_}'{did_you_mean(id_, guard.principles)}")
    return Guard(guard.model, {id_: guard.principles[id_] for id_ in principles})


def _guarded(
    text: str,
    scores: Sequence[float],
    kept: Sequence[bool],
    families: Sequence[str],
    cost: float | None,
    false_alarms: float | None,
) -> Guarded:
    """Fit probability and threshold on all answers, and measure both by fits on halves of the families."""
    import numpy as np

    from cai_lite.stats import auc_figure, mean_figure
    from cai_lite.training.calibration import calibration_error, fit_logistic, halves, probabilities

    score_N, kept_N, half_N = np.asarray(scores, float), np.asarray(kept, bool), halves(families)

    def fitted(own_N: Any) -> tuple[Any, float]:
        fit = fit_logistic(score_N[own_N].tolist(), kept_N[own_N].astype(float).tolist())
        if cost is not None:
            return fit, 1 / (1 + cost)
        good_N = 1 - probabilities(score_N[own_N & kept_N].tolist(), fit)
        # The least threshold that stops at most the share of them; ties at the threshold would be stopped, too.
        assert false_alarms is not None
        ordered = np.sort(good_N)
        allowed = int(false_alarms * len(ordered))
        return fit, float(np.nextafter(ordered[len(ordered) - 1 - allowed], 2.0))

    fit, threshold = fitted(np.ones(len(score_N), bool))
    measured: dict[str, Any] = {"auc": auc_figure((-score_N).tolist(), (~kept_N).tolist(), families).as_dict()}
    p_N, stopped_N = np.full(len(score_N), np.nan), np.zeros(len(score_N), bool)
    for half in (0, 1):
        own_N, other_N = half_N == half, half_N != half
        if own_N.any() and 0 < kept_N[other_N].sum() < other_N.sum():
            its_fit, its_threshold = fitted(other_N)
            p_N[own_N] = 1 - probabilities(score_N[own_N].tolist(), its_fit)
            stopped_N[own_N] = p_N[own_N] >= its_threshold
    if np.isfinite(p_N).all():
        measured["calibration_error"] = calibration_error(p_N, (~kept_N).astype(float).tolist())
        for name, of_N, wrong_N in (("false_alarms", kept_N, stopped_N), ("misses", ~kept_N, ~stopped_N)):
            own = np.flatnonzero(of_N)
            figure = mean_figure(wrong_N[own].astype(float).tolist(), [families[i] for i in own.tolist()])
            measured[name] = figure.as_dict()
    measured["roc"] = _roc(score_N, kept_N)
    return Guarded(
        text=text, temperature=fit.temperature, bias=fit.bias, threshold=threshold, n=len(score_N), measured=measured
    )


def _roc(score_N: Any, kept_N: Any) -> list[tuple[float, float]]:
    """Return the points (false alarms, hits) of the curve where its slope changes, from (0, 0) to (1, 1)."""
    import numpy as np

    points = [(0.0, 0.0)]
    for score in np.unique(score_N):  # the lowest score is the likeliest breach
        stopped_N = score_N <= score
        points.append((float(stopped_N[kept_N].mean()), float(stopped_N[~kept_N].mean())))
    return [
        point
        for i, point in enumerate(points)
        if i in (0, len(points) - 1) or not _between(points[i - 1], point, points[i + 1])
    ]


def _between(before: tuple[float, float], point: tuple[float, float], after: tuple[float, float]) -> bool:
    """Return whether a point lies on the horizontal or vertical line between its neighbours."""
    return any(abs(before[axis] - point[axis]) + abs(after[axis] - point[axis]) < 1e-12 for axis in (0, 1))
