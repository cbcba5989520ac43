"""The training loop: rows in, a LoRA adapter out. Read `train` from top to bottom.

What a row is and what its loss is belongs to the method (`cai_lite.training.methods`); the loop has the passes, memory,
clipping, steps, checkpoints and resume.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from cai_lite.chat.weights import Load, resolve, weights_digest
from cai_lite.errors import TrainingError
from cai_lite.logps.attention import attention_of
from cai_lite.logps.fused import fuse
from cai_lite.records import digest
from cai_lite.run.progress import Tick
from cai_lite.training import checkpoint, folder
from cai_lite.training.batch import Passes, total_steps, updates
from cai_lite.training.checks import check_gradients, check_head, check_rows, choose_layout
from cai_lite.training.config import TrainingConfig
from cai_lite.training.folder import TrainingResult
from cai_lite.training.losses import Logps
from cai_lite.training.memory import fit
from cai_lite.training.methods import METHODS
from cai_lite.training.optim import OPTIMIZERS, learning_rates
from cai_lite.training.reference import reference_logps
from cai_lite.training.student import lora_parameters, open_student
from cai_lite.training.tokens import Row
from cai_lite.training.update import update

Log = Callable[[str], None]
Watch = Callable[[Mapping[str, float]], None]


def train(
    student: str,
    data: Sequence[Any],
    *,
    config: TrainingConfig,
    out: Path,
    load: Load | None = None,
    progress: Tick | None = None,
    log: Log = print,
) -> TrainingResult:
    """Train a LoRA adapter; the same call on the same `out` continues where it stopped.

    `data`: what the method takes, preference pairs for "dpo". Writes adapter/, metrics.jsonl, training.json, reference/
    (log-probabilities, used again when only settings change) and, until the end, checkpoints/. Other settings or data
    start anew, and the old output is moved aside; nothing is moved or written before the student is opened.

    Raises:
        InputError: the model changed in the middle of a training; ModelError, PairError: nothing to train, or nothing
        to train on. TrainingError: a number is not finite, or a check before the first step failed.
    """
    method = METHODS[config.method]
    base = digest(weights_digest(student), load or "auto")
    initial, identity = _begun(out, base, method.data_digest(data), config)
    done = folder.finished(out, identity, log)
    if done is not None:
        return done
    model, tokenizer = open_student(
        student,
        load=load,
        lora=config.lora,
        init_adapter=initial.folder if initial else None,
        seed=config.seed,
    )
    fuse(model)
    max_tokens = min(config.max_tokens, getattr(model.config, "max_position_embeddings", config.max_tokens))
    if max_tokens < config.max_tokens:
        log(f"max_tokens lowered from {config.max_tokens} to {max_tokens}, the context length of this model")
    rows, report = method.rows(tokenizer, data, config, max_tokens=max_tokens)
    log(str(report))
    watch = method.alarms(rows, config, log)
    check_rows(rows, tokenizer.eos_token_id)
    check_head(model, min(rows, key=lambda row: row.tokens))
    layout = choose_layout(model, rows, config, tokenizer.pad_token_id, log)
    passes = Passes(layout, config.tokens_per_batch, tokenizer.pad_token_id)
    fit(model, rows, passes, config, log)
    folder.begin(out, identity, log)
    with attention_of(model, layout):
        reference = None
        if method.needs_reference(config):
            own = initial.digest if initial and config.reference_is_init else None
            reference = reference_logps(model, rows, passes, base=base, cache=out / "reference", initial=own, log=log)
        start, line = _steps(model, rows, reference, passes, config, out, watch, progress, log)
    model.peft_config["default"].base_model_name_or_path = resolve(student)
    folder.save_adapter(model, tokenizer, out / "adapter")
    result = TrainingResult(
        adapter=out / "adapter",
        steps=total_steps(len(rows), config),
        resumed_from=start,
        report=report,
        last=line,
    )
    folder.finish(out, identity, result)
    return result


def _begun(out: Path, base: str, data: str, config: TrainingConfig) -> tuple[folder.Initial | None, dict[str, str]]:
    """Return the adapter to begin from and the identity of the training, as recorded in `out` if it has begun there."""
    choices = [
        (initial, {"base": base, "settings": digest(config.identity(), initial and initial.digest), "pairs": data})
        for initial in folder.initial_adapters(out, config.init_adapter)
    ]
    known = folder.recorded(out).get("identity")
    return next((choice for choice in choices if choice[1] == known), choices[0])


def _steps(
    model: Any,
    rows: Sequence[Row],
    reference: Logps | None,
    passes: Passes,
    config: TrainingConfig,
    out: Path,
    watch: Watch,
    progress: Tick | None,
    log: Log,
) -> tuple[int, dict[str, float]]:
    """Do all updates from the newest checkpoint on; return the step it was of and the last line of metrics.jsonl."""
    parameters = lora_parameters(model)
    total = total_steps(len(rows), config)
    optimizer = OPTIMIZERS[config.optimizer].make(
        parameters.values(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    rate = learning_rates(config.learning_rate, config.scheduler, warmup=config.warmup_steps, total=total)
    start = (checkpoint.load(out / "checkpoints", parameters, optimizer) or {"step": 0})["step"]
    metrics = folder.Metrics(out / "metrics.jsonl", start)
    if start:
        log(f"resumed at step {start} of {total}")
    model.train()
    line: dict[str, float] = {}
    for step, (epoch, batch) in enumerate(islice(updates(len(rows), config), start, total), start + 1):
        began = time.perf_counter()
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        line = update(model, rows, batch, reference, config, passes, log)
        if step == 1:
            check_gradients(parameters)
            if _begins_at_reference(model, reference, config):
                METHODS[config.method].checks(line, config)
        line["grad_norm"] = _clip(parameters, config.max_grad_norm)
        if not all(math.isfinite(value) for value in line.values()):
            raise TrainingError(f"step {step}: a number is not finite ({line}); lower train.learning_rate")
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seconds = time.perf_counter() - began
        line = {
            "step": step,
            "epoch": epoch,
            **line,
            "learning_rate": rate(step),
            "tokens_per_second": sum(rows[i].tokens for i in batch) / seconds,
        }
        metrics.add(line)
        watch(line)
        if progress is not None:
            progress(step, total)
        if step % config.checkpoint_every == 0 and step < total:
            checkpoint.save(out / "checkpoints", step, parameters, optimizer)
    return start, line


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
