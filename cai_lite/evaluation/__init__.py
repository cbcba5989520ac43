"""What the student became, measured on held-out prompts: each metric a small file over plain inputs.

Adherence is never shown alone: form, length, perplexity and held-out preference accuracy stand beside it, for collapse
looks like success.
"""

from __future__ import annotations

from typing import Any


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
