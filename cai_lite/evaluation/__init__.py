"""What the student became, measured on held-out prompts: each metric a small file over plain inputs.

Adherence is never shown alone: form, length, perplexity and held-out preference accuracy stand beside it, for collapse
looks like success.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, get_args

from cai_lite.errors import InputError

Metric = Literal[
    "adherence",
    "preference_accuracy",
    "win_rate",
    "refusals",
    "drift",
    "robustness",
    "superficial",
    "confounds",
    "reliability",
]
METRICS: tuple[Metric, ...] = get_args(Metric)


def read_evaluation(run_directory: Path) -> dict[str, Any]:
    """evaluation.json of a run. Raises InputError where it holds none."""
    path = run_directory / "evaluation.json"
    if not path.is_file():
        raise InputError(f"{run_directory}: holds no evaluation.json; `cai-lite run` or `evaluate` writes one")
    held: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return held


def evaluation_json(
    *, model: str, against: str, constitution: str, judge: str, seed: int, metrics: dict[str, Any]
) -> dict[str, Any]:
    """evaluation.json. `judge` names who decided `metrics.adherence`. What was not measured is absent."""
    return {
        "format": 1,
        "model": model,
        "against": against,
        "constitution": constitution,
        "judge": judge,
        "seed": seed,
        "metrics": metrics,
    }
