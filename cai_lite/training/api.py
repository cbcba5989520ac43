"""`cai.train`: training from Python, with whatever model and pairs the caller has, into a run or a folder."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from cai_lite.chat import open_model
from cai_lite.chat.loaded import is_transformers_model
from cai_lite.chat.local import LocalModel
from cai_lite.chat.weights import checked_load
from cai_lite.errors import InputError, ModelError, shortened
from cai_lite.records import digest
from cai_lite.run.files import trained, write_manifest
from cai_lite.run.ledger import Run
from cai_lite.run.mapped import scratch
from cai_lite.run.progress import Screen, Tick, tick_of
from cai_lite.training.config import Lora, Loss, TrainingConfig
from cai_lite.training.methods import METHODS
from cai_lite.training.rewards import Feedback, Scores, digest_of, over_messages
from cai_lite.training.rl_settings import Rl
from cai_lite.training.trackers import OnStep, check_installed

T = TypeVar("T")


def train(
    student: Any,
    pairs: Any,
    *,
    tokenizer: Any = None,
    config: TrainingConfig | None = None,
    loss: Loss | str | None = None,
    lora: Lora | int | None = None,
    load: str | None = None,
    run: Run | str | Path | None = None,
    out: str | Path | None = None,
    held_out: Any = None,
    reward: Scores | None = None,
    second_judge: Scores | None = None,
    progress: Tick | bool | None = None,
    log: Callable[[str], None] | None = None,
    on_step: OnStep | None = None,
) -> Path:
    """Train a LoRA adapter and return its folder. The same call on the same `run` or `out` resumes.

    `student`: a model folder, a hub id, what `open_model` returned, or a transformers model with its `tokenizer`, also
    as `(model, tokenizer)`; it is not changed. `pairs`: preference pairs, as a list, a path, a `datasets.Dataset` or a
    list of dictionaries; for the method "sft" rows with `prompt` and `completion`, or with `messages`; for "listwise"
    pairs, or rows with `prompt` and `completions`, best first; for "rl" prompts. `loss` (also by name) and `lora` (also
    by rank) replace those of `config`. `run`: a run, or its directory. `held_out`: pairs to evaluate on while it
    trains, in place of some split off `pairs` (see `TrainingConfig.eval_every`). `reward`: of the method "rl", a
    function from prompts (as messages) and replies to numbers, None where a reply has none; by its attribute `digest`,
    or else its name, a resumed training tells it from another. `second_judge`: the same, to watch the reward by;
    nothing is learnt from it. `progress`: True shows a bar; a function is called with (done, total). Nothing is
    printed: messages go to log.txt in the folder, and to `log`. `on_step`: is called with each line of metrics.jsonl
    as it is written, such as {"step": 1, "loss": 0.69, ...}; what it raises ends the training, which the same call
    resumes.

    Under torchrun, every process makes the same call, with `out` or the directory of a run; they share the rows of each
    update.

    Raises:
        InputError: neither `run` nor `out`; a model or pairs that cannot be used.
        TrainingError: a number is not finite.
    """
    from cai_lite.training.loop import train as train_adapter
    from cai_lite.training.ranks import joined

    if (run is None) == (out is None):
        raise InputError("where to? give either train(..., run=Run('runs/first')) or train(..., out='runs/first')")
    settings = config if config is not None else TrainingConfig()
    _check("config", settings, TrainingConfig, "a TrainingConfig")
    settings = replace(settings, loss=_loss(loss) or settings.loss, lora=_lora(lora) or settings.lora)
    check_installed(settings.trackers)
    feedback = _feedback(settings, reward, second_judge)
    model = _student(student, tokenizer, load)
    method, notes = METHODS[settings.method], list[str]()
    target = run.directory if isinstance(run, Run) else Path(str(out if run is None else run))
    with ExitStack() as opened:
        ranks = opened.enter_context(joined())
        own = opened.enter_context(ranks.folder(target or Path()))
        aside = opened.enter_context(scratch(own, "pairs"))
        data = method.given(pairs, settings, notes.append, aside=aside / "pairs.arrow")
        looked_at = None if held_out is None else method.given(held_out, settings, lambda _: None)
        model.close()
        if isinstance(run, (str, Path)):
            run = opened.enter_context(Run(own))
        elif run is not None:
            _check("run", run, Run, "a Run or a directory")
        folder = run.path(".") if run is not None else own
        written = Screen(quiet=True, log=folder / "log.txt").say

        def say(message: str) -> None:
            folder.mkdir(parents=True, exist_ok=True)
            written(message)
            if log is not None:
                log(message)

        for note in notes:
            say(note)
        done = train_adapter(
            model.model,
            data,
            config=settings,
            out=folder,
            load=model.load,
            template=model.template,
            system=model.system,
            held_out=looked_at,
            feedback=feedback,
            progress=tick_of(progress if ranks.first else None, "train"),
            log=say,
            on_step=on_step,
        )
        if run is not None and ranks.first:
            for line in write_manifest(folder, *trained(folder, anew=done.resumed_from < done.steps)):
                warnings.warn(line, stacklevel=2)
    return done.adapter


def _student(student: Any, tokenizer: Any, load: str | None) -> LocalModel:
    """Return a handle of the student.

    Raises:
        ModelError: it is nothing that can be trained.
    """
    if tokenizer is not None:
        if not is_transformers_model(student):
            raise ModelError("'tokenizer' belongs to a loaded transformers model; other models bring their own")
        student = (student, tokenizer)
    if isinstance(student, LocalModel):
        if load is not None and load != student.load:
            raise ModelError(f"'load' is {load}, but the model was opened with load={student.load}; give it there")
        model: Any = student
    else:
        model = open_model(student, load=checked_load(load))
    if not isinstance(model, LocalModel):
        raise ModelError(f"{model.name} is a model on a server; the student is trained here, so give its folder or id")
    if model.adapter is not None:
        raise ModelError(
            f"{model.name}: the student has an adapter already; give the model without it, and "
            "config=TrainingConfig(init_adapter=FOLDER) to begin from the adapter"
        )
    return model


def _feedback(config: TrainingConfig, reward: Scores | None, second: Scores | None) -> Feedback | None:
    """Return what rewards the samples of the method.

    Raises:
        InputError: a reward is given to a method that draws no samples, or none to one that does.
    """
    if not METHODS[config.method].on_policy:
        if reward is not None or second is not None:
            raise InputError(f"'reward' and 'second_judge' mean nothing to the method '{config.method}'; take 'rl'")
        return None
    of_recipes = ("judge", "preference_model", "checks")
    if given := [name for name in of_recipes if getattr(config.rl, name) != getattr(Rl(), name)]:
        raise InputError(f"'rl.{given[0]}' is for recipes; here 'reward' says all, so leave it out")
    if reward is None:
        raise InputError(f"the method '{config.method}' learns from a reward: give train(..., reward=FUNCTION)")
    return Feedback(
        reward=over_messages(reward),
        second=None if second is None else over_messages(second),
        digest=digest(digest_of(reward), None if second is None else digest_of(second)),
    )


def _loss(loss: Loss | str | None) -> Loss | None:
    if isinstance(loss, str):
        return Loss(loss)
    return loss if loss is None else _check("loss", loss, Loss, "a Loss or the name of one, such as 'dpo'")


def _lora(lora: Lora | int | None) -> Lora | None:
    if isinstance(lora, int) and not isinstance(lora, bool):
        return Lora(rank=lora)
    return lora if lora is None else _check("lora", lora, Lora, "a Lora or a rank, such as 16")


def _check(name: str, value: Any, kind: type[T], expected: str) -> T:
    if not isinstance(value, kind):
        raise InputError(f"'{name}' should be {expected}, got {shortened(value)}")
    return value
