"""Bring evaluation.json up to date with people's labels, from answers.jsonl alone: no model is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cai_lite.errors import InputError, LabelError
from cai_lite.evaluation.adherence import CELLS, kept_cells
from cai_lite.evaluation.calibrated import calibrate
from cai_lite.evaluation.gates import gates
from cai_lite.evaluation.result import ANSWERS, as_json, read_answers, read_evaluation
from cai_lite.inputs.labels import LABELS, AnswerLabel, load_labels
from cai_lite.inputs.textfile import read_text
from cai_lite.run.files import write_aside
from cai_lite.run.ledger import Run

FIGURES = ("adherence_calibrated", "people_agreement", "judge_people_kappa")


def relabelled(run: Run) -> dict[str, Any] | None:
    """Return the contents of evaluation.json as the labels in the run directory make them; None if nothing changes.

    A run without labels.jsonl keeps the figures that it has. Gates on these figures are checked again.

    Raises:
        InputError: a file of the run is damaged. LabelError: labels.jsonl is invalid.
    """
    folder = run.path(".")
    if not all((folder / name).is_file() for name in (LABELS, ANSWERS, "evaluation.json")):
        return None
    evaluation, labels = read_evaluation(folder), load_labels(folder / LABELS)
    weights = {cell.principle: cell.weight for cell in kept_cells(run.recall(CELLS) or [])}
    if not weights:  # adherence was not measured
        return None
    measured = as_json(calibrate(read_answers(folder), labels, weights, seed=evaluation["seed"]))
    metrics = {name: figure for name, figure in evaluation["metrics"].items() if name not in FIGURES} | measured
    found = {**evaluation, "metrics": metrics}
    if "gates" in evaluation:
        found["gates"] = [gates({g["name"]: g["wanted"]}, metrics)[0]._asdict() for g in evaluation["gates"]]
    return None if found == evaluation else found


def relabel(run: Run) -> list[str]:
    """Write evaluation.json anew if the labels have changed since it was written; return the files written.

    Raises:
        InputError: as for `relabelled`.
    """
    found = relabelled(run)
    if found is None:
        return []
    write_aside(run.path("evaluation.json"), json.dumps(found, indent=1, ensure_ascii=False))
    return ["evaluation.json"]


def take_labels(file: Path | None, folder: Path | None) -> list[AnswerLabel]:
    """Return the labels of an evaluation in `folder`: those of `file`, which is copied there, or those that are there.

    Raises:
        LabelError: the labels are invalid. InputError: the folder has other labels of its own.
    """
    own = None if folder is None else folder / LABELS
    if file is None:
        return load_labels(own) if own is not None and own.is_file() else []
    labels = load_labels(file)
    if own is not None:
        content = read_text(file, LabelError)
        if own.exists() and read_text(own, LabelError) != content:
            raise InputError(f"{folder} has a {LABELS} of its own; add the lines of {file} to it, or move it away")
        write_aside(own, content)
    return labels
