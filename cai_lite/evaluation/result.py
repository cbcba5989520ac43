"""Build and read evaluation.json, and answers.jsonl with the answers and verdicts behind its figures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cai_lite.errors import InputError
from cai_lite.evaluation.subject import Subject
from cai_lite.records import Candidate, Message, Messages
from cai_lite.run.files import read_record, read_records
from cai_lite.stats import Comparison, Figure

ANSWERS = "answers.jsonl"
SIDES = ("before", "after", "prompted", "teacher")
"""Who gave an answer, in the order of the file: the student before and after training, and the baselines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One answer to a held-out prompt, a line of answers.jsonl.

    `key`: of the answer, by which labels.jsonl refers to it. `verdicts`: by principle, whether the answer keeps it
    according to the decider of `metrics.adherence`; None where its verdict could not be read. Principles that do not
    apply, that the decider cannot decide, or that nobody was asked about are left out.
    """

    key: str
    prompt: Messages
    family: str
    tags: tuple[str, ...]
    side: str
    answer: str
    verdicts: Mapping[str, bool | None]


def as_json(measured: Any) -> Any:
    """Return what a metric measured as plain JSON: each `Figure` and `Comparison` as a dictionary."""
    if isinstance(measured, (Figure, Comparison)):
        return measured.as_dict()
    if isinstance(measured, Mapping):
        return {name: as_json(inner) for name, inner in measured.items()}
    return measured


def evaluation_json(
    *, model: str, against: str, constitution: str, judge: str, seed: int, metrics: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the contents of evaluation.json. What was not measured is absent.

    `metrics`: figures by name. `judge`: the name of the model (or oracle) that decided `metrics.adherence`.
    """
    return {
        "format": 1,
        "model": model,
        "against": against,
        "constitution": constitution,
        "judge": judge,
        "seed": seed,
        "metrics": as_json(metrics),
    }


def read_evaluation(run_directory: Path) -> dict[str, Any]:
    """Read evaluation.json of a run.

    Raises:
        InputError: the directory has no evaluation.json, or it is damaged.
    """
    path = run_directory / "evaluation.json"
    if not path.is_file():
        raise InputError(f"{run_directory}: no evaluation.json; `cai-lite run` or `cai-lite evaluate` writes one")
    texts = dict.fromkeys(("model", "against", "constitution", "judge"), str)
    return read_record(path, {**texts, "seed": int, "metrics": dict})


def answer_lines(subject: Subject) -> Iterator[str]:
    """Yield the lines of answers.jsonl: prompt by prompt, and for each prompt the answers of each side.

    No model is asked: what was not judged by a metric has no verdict.
    """
    lines: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for side, given in subject.by_side.items():
        for one, verdicts in zip(given, subject.known_verdicts(given), strict=True):
            lines.setdefault((one.prompt.key, side), []).append(_line(one, side, verdicts))
    for key in dict.fromkeys(prompt.key for prompt in subject.prompts):
        for side in SIDES:
            for line in lines.get((key, side), ()):
                yield json.dumps(line, ensure_ascii=False) + "\n"


def read_answers(run_directory: Path) -> list[Answered]:
    """Read answers.jsonl of a run.

    Raises:
        InputError: the directory has no answers.jsonl, or a line of it is damaged.
    """
    path = run_directory / ANSWERS
    if not path.is_file():
        raise InputError(f"{run_directory}: no {ANSWERS}; `cai-lite run` or `cai-lite evaluate` writes one")
    found = []
    for number, row in enumerate(read_records(path), 1):
        try:
            prompt = tuple(Message(turn["role"], turn["content"]) for turn in row["prompt"])
            verdicts = dict(row["verdicts"])
            texts = {name: str(row[name]) for name in ("key", "family", "side", "answer")}
            found.append(Answered(prompt=prompt, tags=tuple(row["tags"]), verdicts=verdicts, **texts))
        except (KeyError, TypeError, ValueError) as error:
            remedy = "damaged since it was written; put back a copy, or run the evaluation again"
            raise InputError.at(path, number, remedy) from error
    return found


def _line(answer: Candidate, side: str, verdicts: Mapping[str, bool | None]) -> dict[str, Any]:
    prompt = answer.prompt
    return {
        "key": answer.key,
        "prompt": [{"role": turn.role, "content": turn.content} for turn in prompt.messages],
        "family": prompt.family,
        "tags": list(prompt.tags),
        "side": side,
        "answer": answer.text,
        "verdicts": dict(verdicts),
    }
