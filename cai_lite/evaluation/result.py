"""Build and read evaluation.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cai_lite.errors import InputError
from cai_lite.run.files import read_record
from cai_lite.stats import Comparison, Figure


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
