"""`cai.train`: the trainer for people who call it from Python, with a handle or a name, into a run or a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cai_lite.chat.local import LocalModel
from cai_lite.chat.weights import checked_load
from cai_lite.errors import InputError
from cai_lite.records import PreferencePair
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Tick
from cai_lite.training.config import Lora, Loss, TrainingConfig


def train(
    student: str | LocalModel,
    pairs: Sequence[PreferencePair],
    *,
    config: TrainingConfig | None = None,
    loss: Loss | None = None,
    lora: Lora | None = None,
    load: str | None = None,
    run: Run | None = None,
    out: str | Path | None = None,
    progress: Tick | None = None,
) -> Path:
    """Train a LoRA adapter on preference pairs; returns its folder. The same call on the same `run` or `out` resumes.

    `loss` and `lora` override those of `config`. A handle brings its model and way of loading, and lets its weights go.

    Raises:
        InputError: neither `run` nor `out`; a model or pairs that cannot be used.
        TrainingError: a number is not finite.
    """
    from cai_lite.training import train as train_adapter

    if run is None and out is None:
        raise InputError("where to? train(..., run=Run('runs/first')) or train(..., out='runs/first')")
    config = config or TrainingConfig()
    config = replace(config, loss=loss or config.loss, lora=lora or config.lora)
    name = student
    if isinstance(student, LocalModel):
        student.close()
        name, load = student.model, load or student.load
    folder = Path(out) if out is not None else run.path(".") if run is not None else Path()
    done = train_adapter(str(name), pairs, config=config, out=folder, load=checked_load(load), progress=progress)
    return done.adapter
