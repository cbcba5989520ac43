"""Calibrated adherence: what the judge says, corrected by the labels of people.

The interval of a judge's adherence knows of chance alone: a judge who is too kind by 0.1 is so on a million answers.
Labels of some answers tell by how much, see `prediction_powered`.

The labelled answers are taken for a random sample of the held-out ones, as `next_to_label` draws them. Where they were
drawn otherwise, and it is known how, the `weight` of a label says how many answers it stands for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cai_lite.evaluation.prediction_powered import Corrected, Floats, change, correct, labels_to_halve, rate
from cai_lite.evaluation.result import Answered
from cai_lite.evaluation.subject import Subject
from cai_lite.inputs.labels import AnswerLabel, Settled, settle
from cai_lite.records import Messages, digest
from cai_lite.stats import Comparison, Figure, alpha_figure, kappa_figure

FEWEST_LABELS, FEWEST_FAMILIES = 10, 5  # for a figure; below, its interval says nothing, or covers too seldom
UNLABELLED = 0.1  # share of the weight that principles without any label may have in the figure over all


class _Cell(NamedTuple):
    """One principle on the answers to one prompt. `answers`, `verdicts`: key and verdict, for each side."""

    principle: str
    family: int
    answers: tuple[str, ...]
    verdicts: tuple[bool, ...]


def measure_calibrated(subject: Subject) -> dict[str, Any]:
    """Measure adherence as corrected by the labels of people, and how far people and judge agree; see `calibrate`."""
    if not subject.labels:
        return {}
    subject.keeps()
    rows = [
        Answered(
            key=one.key,
            prompt=one.prompt.messages,
            family=one.prompt.family,
            tags=one.prompt.tags,
            side=side,
            answer=one.text,
            verdicts=verdicts,
        )
        for side, answers in subject.by_side.items()
        for one, verdicts in zip(answers, subject.known_verdicts(answers), strict=True)
    ]
    weights = {principle.id: principle.weight for principle in subject.constitution.principles}
    return calibrate(rows, subject.labels, weights, seed=subject.seed)


def calibrate(
    rows: Sequence[Answered], labels: Sequence[AnswerLabel], weights: Mapping[str, float], *, seed: int = 0
) -> dict[str, Any]:
    """Return the figures that `labels` allow, by name; empty without labels.

    `weights`: of the principles, by id, as adherence weighs them.

    Returns:
        `adherence_calibrated`, a mapping of `overall` and `principles` (a comparison where both sides have enough
        labels, else the figure of the side after; absent where that has not enough), `labels_to_halve` (how many labels
        more would halve the interval of the overall figure after training; absent where none would), `labels` and
        `people` (how many there are), and `notes` (what was left out, in sentences). `people_agreement`: kappa of two
        people, or Krippendorff's alpha of more. `judge_people_kappa`: kappa of the judge and the people.
    """
    if not labels:
        return {}
    settled = settle(labels)
    cells, sides = _cells(rows, weights)
    found: dict[str, Any] = {"principles": {}}
    of_principle = {id_: [cell for cell in cells if cell.principle == id_] for id_ in weights}
    too_few = []
    for id_, mine in of_principle.items():
        corrected = _by_side(mine, sides, settled, weights)
        if figure := _figure(corrected):
            found["principles"][id_] = figure
        elif mine:
            too_few.append(id_)
    notes = list(_left_out(rows, settled, cells))
    if too_few:
        notes.append(
            f"too few labels for a figure of its own (fewer than {FEWEST_LABELS}, or of fewer than {FEWEST_FAMILIES} "
            f"prompt families): {', '.join(sorted(too_few))}"
        )
    unlabelled = [id_ for id_, mine in of_principle.items() if mine and not _known(mine, settled)]
    share = sum(weights[id_] * len(of_principle[id_]) for id_ in unlabelled)
    whole = sum(weights[cell.principle] for cell in cells)
    overall = _by_side(cells, sides, settled, weights)
    if figure := _figure(overall):
        if share > UNLABELLED * whole:
            notes.append(f"no figure over all principles: nobody has labelled {', '.join(sorted(unlabelled))}")
        else:
            found = {"overall": figure, **found}
            more = labels_to_halve(overall["after"])
            if more is not None:
                found["labels_to_halve"] = more
            else:
                notes.append("no number of labels halves the interval: more held-out prompts would")
    else:
        notes.append(
            f"no figure over all principles: it takes {FEWEST_LABELS} labels of answers after training, to prompts of "
            f"{FEWEST_FAMILIES} families"
        )
    people = {person for votes in settled.votes.values() for person in votes}
    used = sum(len(_known([cell], settled)) for cell in cells)
    return {
        "adherence_calibrated": {**found, "labels": used, "people": len(people), "notes": notes},
        **_agreement(rows, settled, cells, people, seed),
    }


def next_to_label(
    rows: Sequence[Answered],
    labels: Sequence[AnswerLabel],
    *,
    n: int,
    by: str | None = None,
    sides: Collection[str] = ("after",),
    seed: int = 0,
) -> list[Answered]:
    """Return the next `n` answers to label: those of `sides` with a verdict that nobody, or not yet `by`, has labelled.

    They come in a random order that `seed` alone decides, so that whoever stops after any of them has labelled a random
    sample, and further answers change nothing about the order of those there are.
    """
    # A uniform order, and not the answers first that the judge is least sure of: those would make a sample of hard
    # answers, which needs weights to stay honest, and the gain is small while labels number in the hundreds.
    done = {label.cell for label in labels if by is None or label.by == by}
    left = [
        row
        for row in rows
        if row.side in sides
        and any(kept is not None and (row.key, principle) not in done for principle, kept in row.verdicts.items())
    ]
    return sorted(left, key=lambda row: digest("to label", seed, row.key))[:n]


def in_words(evaluation: Mapping[str, Any]) -> list[str]:
    """Return what the labels of people say of the judge in evaluation.json, in sentences; empty without labels."""
    found = evaluation["metrics"].get("adherence_calibrated")
    if not found:
        return []
    text = []
    if "overall" in found:
        mine, judged = _after(found["overall"]), evaluation["metrics"].get("adherence", {}).get("overall")
        several = f" of {found['people']} people" if found["people"] > 1 else ""
        text.append(
            f"corrected by {found['labels']:,} labels{several}: adherence {mine['value']:.2f} "
            f"[{mine['low']:.2f}, {mine['high']:.2f}]"
        )
        if judged:
            gap = _after(judged)["value"] - mine["value"]
            said = f"the judge alone says {_after(judged)['value']:.2f}"
            certain = not mine["low"] <= _after(judged)["value"] <= mine["high"]
            kind = f"too {'kind' if gap > 0 else 'strict'} by {abs(gap):.2f}" if certain else "not found to be biased"
            text.append(f"{said}, and is {kind}")
        if "labels_to_halve" in found:
            text.append(f"{found['labels_to_halve']:,} labels more would halve the interval")
    return [*text, *found["notes"]]


def _after(figure: Mapping[str, Any]) -> dict[str, float]:
    return dict(figure.get("after", figure))


def _cells(rows: Sequence[Answered], weights: Mapping[str, float]) -> tuple[list[_Cell], tuple[str, ...]]:
    """Return the cells whose verdict is known on every side, as in adherence, and the sides in their order."""
    sides = ("before", "after") if any(row.side == "before" for row in rows) else ("after",)
    repeats = Counter[tuple[str, Messages]]()
    groups: dict[tuple[Messages, int], dict[str, Answered]] = {}
    for row in rows:
        if row.side in sides:
            groups.setdefault((row.prompt, repeats[row.side, row.prompt]), {})[row.side] = row
            repeats[row.side, row.prompt] += 1
    whole = [[group[side] for side in sides] for group in groups.values() if len(group) == len(sides)]
    # As in stats: a row without a family is one of its own, and one family alone tells nothing of others.
    alone = len({group[0].family for group in whole}) == 1
    families: dict[object, int] = {}
    found = []
    for group in whole:
        name = group[0].prompt if alone or not group[0].family else group[0].family
        family = families.setdefault(name, len(families))
        for principle in sorted(weights):
            verdicts = tuple(kept for row in group if (kept := row.verdicts.get(principle)) is not None)
            if len(verdicts) == len(sides):
                found.append(_Cell(principle, family, tuple(row.key for row in group), verdicts))
    return found, sides


def _by_side(
    cells: Sequence[_Cell], sides: Sequence[str], settled: Settled, weights: Mapping[str, float]
) -> dict[str, Corrected]:
    """Return the corrected rate of each side that has enough labels.

    Each principle has the share of the labels that it has of the cells, so that one which was labelled more often than
    others does not count for more.
    """
    found = {}
    families = np.asarray([cell.family for cell in cells], np.int64)
    weight = np.asarray([weights[cell.principle] for cell in cells], float)
    names = np.asarray([cell.principle for cell in cells])
    for place, side in enumerate(sides):
        keys = [(cell.answers[place], cell.principle) for cell in cells]
        label = np.asarray([settled.keeps.get(key, np.nan) for key in keys], float)
        labelled = np.isfinite(label)
        if labelled.sum() < FEWEST_LABELS or len(np.unique(families[labelled])) < FEWEST_FAMILIES:
            continue
        share = np.asarray([settled.weights.get(key, 1.0) for key in keys])
        found[side] = correct(
            np.asarray([cell.verdicts[place] for cell in cells], float),
            label,
            weights=weight,
            families=families,
            shares=share * _balance(names, labelled, share),
            size=int(families.max()) + 1,
        )
    return found


def _balance(names: np.ndarray[Any, Any], labelled: np.ndarray[Any, Any], share: Floats) -> Floats:
    """Return for each cell how many cells of its principle there are for each labelled one."""
    found = np.ones(len(names))
    for name in np.unique(names[labelled]):
        mine = names == name
        found[mine] = mine.sum() / share[mine & labelled].sum()
    return found


def _figure(corrected: Mapping[str, Corrected]) -> Figure | Comparison | None:
    if "after" not in corrected:
        return None
    after = corrected["after"]
    if "before" not in corrected:
        return rate(after)
    return Comparison(rate(corrected["before"]), rate(after), change(corrected["before"], after))


def _known(cells: Sequence[_Cell], settled: Settled) -> list[tuple[_Cell, int]]:
    """Return the cells with the number of each side that has a label."""
    return [
        (cell, place)
        for cell in cells
        for place, answer in enumerate(cell.answers)
        if (answer, cell.principle) in settled.keeps
    ]


def _left_out(rows: Sequence[Answered], settled: Settled, cells: Sequence[_Cell]) -> Iterator[str]:
    """Yield a sentence for each reason for which labels are not used."""
    side_of = {row.key: row.side for row in rows}
    decided = {principle for row in rows for principle in row.verdicts}
    judged = {(answer, cell.principle) for cell in cells for answer in cell.answers}
    counts = Counter[str]()
    for answer, principle in settled.votes:
        if answer not in side_of:
            counts["of answers that this evaluation does not have"] += 1
        elif principle not in decided:
            counts["of principles on which this evaluation has no verdict"] += 1
        elif side_of[answer] not in ("before", "after"):
            counts["of answers of neither side, before or after"] += 1
        elif (answer, principle) not in judged:
            counts["of answers without a verdict that could be corrected"] += 1
    counts["that their author changed later"] = settled.superseded
    counts["on which as many people say yes as no"] = settled.ties
    yield from (f"not used: {n:,} labels {why}" for why, n in counts.items() if n)


def _agreement(
    rows: Sequence[Answered], settled: Settled, cells: Sequence[_Cell], people: Collection[str], seed: int
) -> dict[str, Figure]:
    found = {}
    family_of = {row.key: row.family for row in rows}
    common = {cell: votes for cell, votes in settled.votes.items() if len(votes) > 1 and cell[0] in family_of}
    families = [family_of[answer] for answer, _ in common]
    if common and len(people) == 2:
        first, second = sorted(people)
        one, other = ([votes[person] for votes in common.values()] for person in (first, second))
        found["people_agreement"] = kappa_figure(one, other, families, seed=seed)
    elif len({said for votes in common.values() for said in votes.values()}) > 1:
        found["people_agreement"] = alpha_figure([[*votes.values()] for votes in common.values()], families, seed=seed)
    known = _known(cells, settled)
    if len(known) >= FEWEST_LABELS:
        people_say = [settled.keeps[cell.answers[place], cell.principle] for cell, place in known]
        judge_says = [cell.verdicts[place] for cell, place in known]
        found["judge_people_kappa"] = kappa_figure(
            judge_says, people_say, [cell.family for cell, _ in known], seed=seed
        )
    return found
