"""`cai.train`: training from Python, with a model handle or a name, into a run or a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from cai_lite.chat.local import LocalModel
from cai_lite.chat.weights import checked_load
from cai_lite.errors import InputError
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Tick
from cai_lite.training.config import Lora, Loss, TrainingConfig


def train(
    student: str | LocalModel,
    pairs: Sequence[Any],
    *,
    config: TrainingConfig | None = None,
    loss: Loss | None = None,
    lora: Lora | None = None,
    load: str | None = None,
    template: Mapping[str, Any] | None = None,
    system: Literal["keep", "merge"] = "keep",
    run: Run | None = None,
    out: str | Path | None = None,
    progress: Tick | None = None,
) -> Path:
    """Train a LoRA adapter and return its folder. The same call on the same `run` or `out` resumes.

    `pairs`: preference pairs, or what another `config.method` takes. `loss` and `lora` replace those of `config`. A
    model handle gives its name and way of loading, and releases its weights. `template`: variables of the chat template
    with which the student is served. `system`: "merge" puts the system message in front of the first user turn.

    Raises:
        InputError: neither `run` nor `out`; a model or pairs that cannot be used.
        TrainingError: a number is not finite.
    """
    from cai_lite.training.loop import train as train_adapter

    if run is None and out is None:
        raise InputError("where to? give train(..., run=Run('runs/first')) or train(..., out='runs/first')")
    config = config or TrainingConfig()
    config = replace(config, loss=loss or config.loss, lora=lora or config.lora)
    name = student
    if isinstance(student, LocalModel):
        student.close()
        name, load = student.model, load or student.load
    folder = Path(out) if out is not None else run.path(".") if run is not None else Path()
    done = train_adapter(
        str(name),
        pairs,
        config=config,
        out=folder,
        load=checked_load(load),
        template=template,
        system=system,
        progress=progress,
    )
    return done.adapter
