"""Modules for the `evaluate` library, loaded from the installed package without network or hub.

refusals = cai.metric("refusal_rate")
refusals.compute(predictions=["I'm sorry, but I can't help with that."])
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cai_lite.errors import InputError, did_you_mean

FOLDER = Path(__file__).parent
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_")))


def metric(name: str) -> Any:
    """Return an `evaluate.EvaluationModule` by its name, one of `NAMES`.

    Raises:
        InputError: an unknown name.
    """
    import evaluate  # type: ignore[import-untyped]

    if name not in NAMES:
        raise InputError(f"no metric '{name}'{did_you_mean(name, NAMES)}; there are {', '.join(NAMES)}")
    return evaluate.load(str(FOLDER / f"{name}.py"))
