"""The training loop: rows in, a LoRA adapter out. Read `train` from top to bottom.

What a row is and what its loss is belongs to the method (`cai_lite.training.methods`); the loop has the passes, memory,
clipping, steps, checkpoints and resume.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from cai_lite.chat.turns import Turns
from cai_lite.chat.weights import Load, base_record, folder_digest, random_state_kept, resolve
from cai_lite.errors import InputError, TrainingError
from cai_lite.logps.attention import attention_of
from cai_lite.logps.fused import fuse
from cai_lite.records import digest, digest_of_list
from cai_lite.run.disk import writing
from cai_lite.run.mapped import scratch
from cai_lite.run.progress import Tick
from cai_lite.run.signals import asked, check, unbroken
from cai_lite.training import checkpoint, folder
from cai_lite.training.batch import Passes
from cai_lite.training.checks import check_gradients, check_head, check_rows, choose_layout
from cai_lite.training.config import TrainingConfig
from cai_lite.training.folder import TrainingResult
from cai_lite.training.held_out import HeldOut, interval, split
from cai_lite.training.losses import Logps
from cai_lite.training.memory import fit
from cai_lite.training.methods import METHODS
from cai_lite.training.methods.base import Measured
from cai_lite.training.optim import OPTIMIZERS, learning_rates
from cai_lite.training.ranks import Ranks, joined
from cai_lite.training.reference import reference_logps, scored
from cai_lite.training.rewards import Feedback
from cai_lite.training.sharding import held, shard
from cai_lite.training.skipping import Skipped, finite
from cai_lite.training.source import Asked, Source
from cai_lite.training.stored import rows_of
from cai_lite.training.student import Student, lora_parameters, open_student, separate_padding
from cai_lite.training.tokens import Row
from cai_lite.training.trackers import Followers, OnStep, check_installed
from cai_lite.training.update import Objective

SHORT = 3  # number of updates below which nothing is said about what was learnt
Log = Callable[[str], None]
Watch = Callable[[Mapping[str, float]], None]


class _Done(NamedTuple):
    """What the updates came to: the steps of the first checkpoint and the end, the last good line, those skipped."""

    start: int
    step: int
    last: dict[str, float]
    skipped: int


def train(
    student: str,
    data: Sequence[Any],
    *,
    config: TrainingConfig,
    out: Path,
    load: Load | None = None,
    template: Mapping[str, Any] | None = None,
    system: Literal["keep", "merge"] = "keep",
    held_out: Sequence[Any] | None = None,
    before: Path | None = None,
    feedback: Feedback | None = None,
    progress: Tick | None = None,
    reference_progress: Tick | None = None,
    log: Log = lambda _: None,
    on_step: OnStep | None = None,
) -> TrainingResult:
    """Train a LoRA adapter; the same call on the same `out` continues where it stopped.

    `data`: what the method takes, preference pairs for "dpo". `template`: variables of the chat template with which the
    student is served, such as `{"enable_thinking": False}`. `system`: "merge" puts the system message in front of the
    first user turn, for chat templates that refuse one. `held_out`: examples of the same form to evaluate on during the
    training; if None, they are split off `data` where `config.eval_every` asks for evaluations. `before`: the adapter
    of the phase before, from which this one goes on, as from `config.init_adapter`. `feedback`: what rewards the
    samples of a method that draws them itself. `on_step`: is called with each line of metrics.jsonl, after the trackers
    of `config.trackers`. Under torchrun, every process makes the same call; they share the rows of each update, the
    first of them writes and tells the trackers and `on_step`, and all return the same. Writes adapter/,
    metrics.jsonl, training.json, reference/ (log-probabilities, used again when only settings change) and, until the
    end, checkpoints/. Other settings or data start anew, and the old output is moved aside; nothing is moved or written
    before the student is opened. torch's random state is left as it was.

    Raises:
        DiskError: the disk is full, read-only or gone; the same call resumes.
        InputError: the model changed in the middle of a training; ModelError, PairError: nothing to train, or nothing
        to train on. TrainingError: a number is not finite, or a check before the first step failed. Stopped: another
        process of the training has ended; the same call resumes.
    """
    check_installed(config.trackers)
    source = Student(student, load, template or {}, system)
    with joined() as ranks, ranks.folder(out) as own, random_state_kept(), writing(own):
        if ranks.world_size > 1 and METHODS[config.method].on_policy:
            raise InputError(f"'{config.method}' draws samples of its own, in one process; start it without torchrun")
        if config.shard and load == "nf4":
            raise InputError("train.shard splits 16- and 32-bit weights; with load: nf4, leave it out")
        if not ranks.first:
            progress = reference_progress = None
            log = _silent
        followers: AbstractContextManager[Watch] = nullcontext(_silent)
        if ranks.first:
            followers = Followers(config, own, on_step, log)
        with scratch(own, "train", clear=True) as aside, followers as tell:
            result = _train(
                source,
                data,
                held_out,
                config,
                own,
                aside,
                before,
                feedback,
                tell,
                progress,
                reference_progress,
                log,
                ranks,
            )
        return ranks.told(lambda: result)


def _train(
    student: Student,
    data: Sequence[Any],
    given: Sequence[Any] | None,
    config: TrainingConfig,
    out: Path,
    aside: Path,
    before: Path | None,
    feedback: Feedback | None,
    tell: Watch,
    progress: Tick | None,
    reference_progress: Tick | None,
    log: Log,
    ranks: Ranks,
) -> TrainingResult:
    method = METHODS[config.method]
    if before is not None:
        config = replace(config, init_adapter=str(before))
    every, held_out = interval(config, len(data), given=bool(given) or method.calibrates), given or ()
    if every and not held_out:
        data, held_out = split(data, method, log)
    evaluation = [every, config.keep, config.early_stop, method.data_digest(held_out)] if every and held_out else None
    told = feedback.digest if feedback is not None else ""
    data_digest = method.data_digest(data)
    initial, identity = ranks.told(lambda: _begun(out, student, data_digest, evaluation, config, before, told))
    known = ranks.told(lambda: folder.finished(out, identity, log))
    if known is not None:
        return known
    sharded = config.shard and ranks.world_size > 1
    with ranks.in_turn() if sharded else nullcontext():  # so that host memory has to hold the model once
        model, tokenizer = open_student(
            student.model,
            load=student.load,
            lora=config.lora,
            init_adapter=initial.folder if initial else None,
            seed=config.seed,
            score=method.reads == "score",
            host=sharded,
        )
        fuse(model)
        if sharded:
            shard(model, ranks)
    ranks.spread(lora_parameters(model).values())
    max_tokens = min(config.max_tokens, getattr(model.config, "max_position_embeddings", config.max_tokens))
    if max_tokens < config.max_tokens:
        log(f"max_tokens lowered from {config.max_tokens} to {max_tokens}, the context length of this model")
    today = ranks.told(lambda: folder.date_of(out, identity))
    turns = Turns.of_model(model, tokenizer, template=student.template, system=student.system, today=today)
    rows, report = rows_of(method, turns, data, config, max_tokens=max_tokens, path=aside / "rows.arrow")
    served = turns.served_template() if tokenizer.chat_template else None
    log(str(report))
    watch = method.alarms(rows, config, log)
    check_rows(rows, turns.ends)
    if method.reads != "score":
        check_head(model, min(rows, key=lambda row: row.tokens))
    layout = ranks.gathered(choose_layout(model, rows, config, tokenizer.pad_token_id, log))[0]
    passes = Passes(layout, config.tokens_per_batch, tokenizer.pad_token_id, method.reads, ranks, in_step=sharded)
    fit(model, rows, passes, config, log)
    if ranks.world_size > 1:
        passes.tokens = min(ranks.gathered(passes.tokens))  # GPUs may have unequal memory
        adapter = initial and folder_digest(Path(initial.folder))
        ranks.check_same(
            {
                "model": student.digest,
                "settings": digest(config.identity(), evaluation, *student.served_digest),
                "data": data_digest,
                "tokens": digest_of_list(digest(row.prompt_ids, *row.completions) for row in rows),
                "adapter": digest(adapter, [(name, *p.shape) for name, p in lora_parameters(model).items()]),
            }
        )
        log(f"{ranks.world_size} processes: each computes a share of every update")
        if sharded:
            between, most = (each / 1e9 for each in held(model))
            log(f"each holds {between:.3g} GB of the frozen weights, and {most:.3g} GB while it computes")
    elif config.shard:
        log("train.shard: there is one process, which holds the whole model; start several with torchrun")
    folder.begin(out, identity, log, today=today if turns.source is not None else None, method=config.method)
    with attention_of(model, layout):

        def referenced(some: Sequence[Row], tick: Tick | None = None) -> Logps | None:
            if not method.needs_reference(config):
                return None
            own = initial.digest if initial and config.reference_is_init else None
            return reference_logps(
                model, some, passes, base=student.digest, cache=out / "reference", initial=own, progress=tick, log=log
            )

        objective = Objective(model, rows, referenced(rows, reference_progress), config, passes)
        source = method.source(objective, Asked(turns, data, feedback, log))
        looking = None
        if evaluation is not None:
            held_rows, held_report = rows_of(
                method, turns, held_out, config, max_tokens=max_tokens, path=aside / "held_out.arrow"
            )
            log(f"held out: {held_report}")
            looking = source.held_out(
                held_rows, held_out, referenced(held_rows), every=every, checkpoints=out / "checkpoints"
            )
        try:
            done = _steps(objective, source, looking, out, watch, tell, progress, log)
        except TrainingError as error:
            folder.stop(out, str(error))
            raise
        ranks.spread(lora_parameters(model).values())  # rank 0 may have put the best weights back
        measured = None
        if looking is not None and method.calibrates:
            measured = Measured(held_out, held_rows, scored(model, held_rows, passes))
        files, figures = method.beside(data, measured, config, log)
    model.peft_config["default"].base_model_name_or_path = resolve(student.model)
    base = base_record(student.model, model.config, tokenizer)
    if method.reads == "score":
        separate_padding(tokenizer, turns.ends)
    folder.save_adapter(
        model, tokenizer, out / "adapter", template=student.template, served=served, base=base, files=files
    )
    result = TrainingResult(
        adapter=out / "adapter",
        steps=done.step,
        resumed_from=done.start,
        report=report,
        last=done.last,
        best=looking.best.step if looking and looking.best and config.keep == "best" else None,
        skipped=done.skipped,
        figures=figures,
        world_size=ranks.world_size,
    )
    folder.finish(out, identity, result)
    return result


def _begun(
    out: Path,
    student: Student,
    data: str,
    evaluation: list[Any] | None,
    config: TrainingConfig,
    before: Path | None,
    told: str,
) -> tuple[folder.Initial | None, dict[str, str]]:
    """Return the adapter to begin from and the identity of the training, as recorded in `out` if it has begun there.

    `evaluation`: what decides about evaluations, which is part of the identity where there are any. `before`: the
    adapter of the phase before. Its digest counts, its path does not, so that a run directory may be copied. `told`:
    the digest of what rewards samples, "" where nothing does.
    """
    more = {} if evaluation is None else {"evaluation": digest(evaluation)}
    more |= {"feedback": told} if told else {}
    settings = config.identity() | ({} if before is None else {"init_adapter": "the phase before"})
    choices = [
        (
            initial,
            {
                "base": student.digest,
                "settings": digest(settings, initial and initial.digest, *student.served_digest),
                "pairs": data,
                **more,
            },
        )
        for initial in folder.initial_adapters(out, config.init_adapter)
    ]
    known = folder.recorded(out).get("identity")
    return next((choice for choice in choices if choice[1] == known), choices[0])


def _steps(
    planned: Objective,
    source: Source,
    held_out: HeldOut | None,
    out: Path,
    watch: Watch,
    tell: Watch,
    progress: Tick | None,
    log: Log,
) -> _Done:
    """Do all updates from the newest whole checkpoint on; rank 0 has the checkpoints and makes the steps."""
    model, config, total, ranks = planned.model, planned.config, source.total, planned.passes.ranks
    parameters, checkpoints = lora_parameters(model), out / "checkpoints"
    optimizer = OPTIMIZERS[config.optimizer].make(
        parameters.values(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    rate = learning_rates(config.learning_rate, config.scheduler, warmup=config.warmup_of(total), total=total)
    state = ranks.told(lambda: checkpoint.load(checkpoints, parameters, optimizer, log)) or {"step": 0}
    ranks.spread(parameters.values())
    start = saved = step = state["step"]
    skipped = Skipped(log)
    skipped.resume(state.get("skipped"))
    source.resume(state.get("source"))
    if held_out is not None:
        held_out.resume(state.get("best"))
        if not start:
            held_out.begin(parameters, log)
    metrics = folder.Metrics(out / "metrics.jsonl", start, tell)
    if start:
        log(f"resumed at step {start} of {total}")
    model.train()
    last: dict[str, float] = {}
    began = time.perf_counter()
    stop = check if ranks.world_size == 1 else ranks.check
    for step, (epoch, objective, batch) in unbroken(enumerate(source.batches(start), start + 1), stop):
        rows = objective.rows
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        ranks.draw_apart(config.seed, step)
        found = objective.update(batch, log)
        numbers = found.numbers
        if not source.takes(numbers):
            optimizer.zero_grad(set_to_none=True)
            step -= 1
            break
        if finite(numbers) and skipped.total == step - 1:  # the weights are still those of the start
            check_gradients(parameters)
            if _begins_at_reference(model, objective.reference, config):
                METHODS[config.method].checks(numbers, config)
        numbers["grad_norm"] = _clip(parameters, config.max_grad_norm)
        if good := finite(numbers):
            if ranks.first:
                optimizer.step()
            skipped.took()
        else:
            skipped.skip(step, numbers, [rows[i].key or f"number {i + 1}" for i in found.faulty or batch])
            numbers = {"skipped": skipped.total}  # so many so far; JSON has no NaN
        optimizer.zero_grad(set_to_none=True)
        ranks.spread(parameters.values())
        seconds = time.perf_counter() - began
        line = {
            "step": step,
            "epoch": epoch,
            **numbers,
            "learning_rate": rate(step),
            "tokens_per_second": sum(rows[i].tokens for i in batch) / seconds,
        }
        if held_out is not None and held_out.due(step, total):
            line |= held_out.look(objective, step, parameters)
        metrics.add(line)
        if good:
            last = line
            watch(line)
        if progress is not None:
            progress(step, total)
        skipped.check(saved)
        if held_out is not None and held_out.due(step, total) and (said := held_out.says()):
            log(said)
        if held_out is not None and (why := held_out.stops()):
            log(f"stopped early at step {step} of {total}: {why}")
            break
        if (ranks.agree_to_stop(bool(asked())) or step % config.checkpoint_every == 0) and step < total:
            if ranks.first:
                best = held_out.record() if held_out is not None else None
                made = {"best": best, "skipped": skipped.record(), "source": source.record()}
                checkpoint.save(checkpoints, step, parameters, optimizer, **made)
            saved = step
        began = time.perf_counter()
    if source.ended:
        log(f"stopped early at step {step} of {total}: {source.ended}")
        if held_out is not None and not held_out.due(step, total):
            held_out.look(planned, step, parameters)  # so that these weights are compared with the best ones, too
    skipped.check_any(step)
    if skipped.total:
        log(f"{skipped.total} of {step} updates were skipped, because a number was not finite")
    lines = metrics.last(total) if total >= SHORT else []
    warning = METHODS[config.method].closing(lines, config) if lines else None
    if warning is not None:
        log(warning)
    if held_out is not None:
        if ranks.first:
            held_out.restore(parameters)
        log(held_out.summary())
    return ranks.told(lambda: _Done(start, step, last or metrics.last(step)[-1], skipped.total))


def _silent(message: object) -> None:
    """Say nothing: rank 0 says it."""


def _begins_at_reference(model: Any, reference: Logps | None, config: TrainingConfig) -> bool:
    """Return whether policy and reference give the same numbers before the first step.

    A fresh adapter changes nothing. An initial adapter that belongs to the reference does, unless it has dropout, which
    is on in the policy alone.
    """
    if reference is None or config.init_adapter is None:
        return reference is not None
    return config.reference_is_init and not model.peft_config["default"].lora_dropout


def _clip(parameters: dict[str, Any], limit: float) -> float:
    """Clip the gradients to a norm of `limit` (0: no limit); return the norm before."""
    return float(torch.nn.utils.clip_grad_norm_(parameters.values(), limit or math.inf))
