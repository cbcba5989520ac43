"""`cai.train`: training from Python, with a model handle or a name, into a run or a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

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
    run: Run | None = None,
    out: str | Path | None = None,
    held_out: Sequence[Any] | None = None,
    progress: Tick | None = None,
    log: Callable[[str], None] | None = None,
) -> Path:
    """Train a LoRA adapter and return its folder. The same call on the same `run` or `out` resumes.

    `pairs`: preference pairs, or what another `config.method` takes. `loss` and `lora` replace those of `config`. A
    model handle gives its name and way of loading, and releases its weights. `held_out`: pairs to evaluate on while it
    trains, in place of some split off `pairs` (see `TrainingConfig.eval_every`). Nothing is printed: messages go to
    log.txt in the folder, and to `log`.

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

    def say(message: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "log.txt").open("a", encoding="utf-8") as stream:
            stream.write(message + "\n")
        if log is not None:
            log(message)

    done = train_adapter(
        str(name),
        pairs,
        config=config,
        out=folder,
        load=checked_load(load),
        held_out=held_out,
        progress=progress,
        log=say,
    )
    return done.adapter
