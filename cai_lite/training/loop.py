"""The training loop: pairs in, a LoRA adapter out. Read `train` from top to bottom.

Shapes: B pairs of an update.
"""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from cai_lite.chat.weights import Load, folder_digest, resolve, weights_digest
from cai_lite.errors import InputError, TrainingError
from cai_lite.logps.attention import attention_of
from cai_lite.logps.fused import fuse
from cai_lite.records import PreferencePair, digest
from cai_lite.run.files import move_aside, write_text
from cai_lite.run.progress import Tick
from cai_lite.training import checkpoint
from cai_lite.training.alarms import Alarms, warn_of_length
from cai_lite.training.batch import Passes, tokens_read, total_steps, updates
from cai_lite.training.checks import check_first, check_head, check_rows, choose_layout
from cai_lite.training.config import TrainingConfig
from cai_lite.training.losses import LOSSES, PairLogps
from cai_lite.training.memory import fit
from cai_lite.training.reference import reference_logps
from cai_lite.training.student import lora_parameters, open_student
from cai_lite.training.tokens import TokenPair, TokenReport, tokenize

OUTPUT = ("adapter", "checkpoints", "metrics.jsonl", "training.json")
ROUNDING = 1e-6  # of a log-probability: a smaller margin is a tie, which counts as not ordered


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """`adapter`: the peft folder. `steps`: updates done in all; `resumed_from`: the update it went on from, 0 for a
    fresh start.

    `report`: what became of the pairs; `last`: the last line of metrics.jsonl.
    """

    adapter: Path
    steps: int
    resumed_from: int
    report: TokenReport
    last: dict[str, float]


def train(
    student: str,
    pairs: Sequence[PreferencePair],
    *,
    config: TrainingConfig,
    out: Path,
    load: Load | None = None,
    progress: Tick | None = None,
    log: Callable[[str], None] = print,
) -> TrainingResult:
    """Train a LoRA adapter on preference pairs; the same call on the same `out` goes on where it stopped.

    Writes adapter/, metrics.jsonl, training.json, reference/ (log-probs, found again when only the settings change)
    and, until the end, checkpoints/. Other settings or pairs start anew, the old output moves aside.

    Raises:
        InputError: the model changed in the middle of a training; ModelError, PairError: nothing to train, or nothing
        to train on. TrainingError: a number is not finite, or a check before the first step failed.
    """
    base = digest(weights_digest(student), load or "auto")
    identity = {
        "base": base,
        "settings": digest(dataclasses.asdict(config), _initial(config)),
        "pairs": digest([digest(pair.prompt, pair.chosen, pair.rejected, pair.p_chosen) for pair in pairs]),
    }
    finished = _known(out, identity, log)
    if finished is not None:
        return finished
    model, tokenizer = open_student(
        student,
        load=load,
        lora=config.lora,
        init_adapter=config.init_adapter,
        seed=config.seed,
    )
    fuse(model)
    most = min(config.max_tokens, getattr(model.config, "max_position_embeddings", config.max_tokens))
    if most < config.max_tokens:
        log(f"the model reads {most} tokens at most, which stands above max_tokens {config.max_tokens}")
    rows, report = tokenize(tokenizer, pairs, max_tokens=most, overlong=config.overlong)
    log(str(report))
    if config.loss.name != "dpo" and any(row.p_chosen != 1 for row in rows):
        log(f"loss '{config.loss.name}' knows no soft labels: p_chosen is not used")
    warn_of_length(rows, log)
    check_rows(rows, tokenizer.eos_token_id)
    check_head(model, min(rows, key=lambda row: row.tokens))
    layout = choose_layout(model, rows, config, tokenizer.pad_token_id, log)
    passes = Passes(layout, config.tokens_per_batch, tokenizer.pad_token_id)
    fit(model, rows, passes, config, log)
    with attention_of(model, layout):
        reference = reference_logps(model, rows, passes, base=base, cache=out / "reference")
        start, line = _updates(model, rows, reference, passes, config, out, progress, log)
    model.peft_config["default"].base_model_name_or_path = resolve(student)
    _save_adapter(model, tokenizer, out / "adapter")
    total = total_steps(len(rows), config)
    result = {
        "identity": identity,
        "steps": total,
        "finished": True,
        "last": line,
        "report": dataclasses.asdict(report),
    }
    write_text(out / "training.json", json.dumps(result, indent=1))
    shutil.rmtree(out / "checkpoints", ignore_errors=True)
    return TrainingResult(adapter=out / "adapter", steps=total, resumed_from=start, report=report, last=line)


def _updates(
    model: Any,
    rows: Sequence[TokenPair],
    reference: PairLogps,
    passes: Passes,
    config: TrainingConfig,
    out: Path,
    progress: Tick | None,
    log: Callable[[str], None],
) -> tuple[int, dict[str, float]]:
    """All updates from the newest checkpoint on: (the step it went on from, the last line of metrics.jsonl)."""
    parameters = lora_parameters(model)
    total = total_steps(len(rows), config)
    optimizer, schedule = _optimizer(parameters, config), _schedule(config, total)
    start = (checkpoint.load(out / "checkpoints", parameters, optimizer) or {"step": 0})["step"]
    metrics = _Metrics(out / "metrics.jsonl", start)
    if start:
        log(f"resumed at step {start} of {total}")
    model.train()
    alarms = Alarms(config.loss.beta, log)
    line: dict[str, float] = {}
    for step, (epoch, batch) in enumerate(islice(updates(len(rows), config), start, total), start + 1):
        began = time.perf_counter()
        for group in optimizer.param_groups:
            group["lr"] = schedule(step)
        line = _update(model, rows, batch, reference, config, passes, log)
        if step == 1:
            check_first(parameters, line, config)
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
            "learning_rate": schedule(step),
            "tokens_per_second": sum(rows[i].tokens for i in batch) / seconds,
        }
        metrics.add(line)
        alarms.look(line)
        if progress is not None:
            progress(step, total)
        if step % config.checkpoint_every == 0 and step < total:
            checkpoint.save(out / "checkpoints", step, parameters, optimizer)
    return start, line


def preference_update(
    model: Any,
    rows: Sequence[TokenPair],
    batch: list[int],
    reference: PairLogps,
    config: TrainingConfig,
    passes: Passes,
) -> dict[str, float]:
    """Gradients of one update, in as many passes as it takes, and its numbers.

    Losses are means over the pairs of the update.
    """
    loss_of = LOSSES[config.loss.name]
    options: dict[str, Any] = {**config.loss.options()}
    chosen_tokens = sum(len(rows[i].chosen_ids) for i in batch)
    loss_sum, columns = 0.0, []
    for part in passes.cut(batch, rows, at_least=config.gradient_accumulation):
        policy = passes.logps(model, [rows[i] for i in part])
        before = PairLogps(*(column[part].to(policy.chosen_B.device) for column in reference))
        if config.loss.name == "dpo":
            options["p_chosen"] = policy.chosen_B.new_tensor([rows[i].p_chosen for i in part])
        loss = loss_of(policy, before, **options).sum() / len(batch)
        if config.sft_weight:
            loss = loss - config.sft_weight * policy.chosen_B.sum() / chosen_tokens
        loss.backward()  # type: ignore[no-untyped-call]
        loss_sum += loss.item()
        columns.append(
            torch.stack([policy.chosen_B, policy.rejected_B, before.chosen_B, before.rejected_B])
            .detach()
            .double()
            .cpu()
        )
    chosen_B, rejected_B, ref_chosen_B, ref_rejected_B = torch.cat(columns, dim=1)
    chosen_reward_B = config.loss.beta * (chosen_B - ref_chosen_B)
    rejected_reward_B = config.loss.beta * (rejected_B - ref_rejected_B)
    margin_B = chosen_reward_B - rejected_reward_B
    return {
        "loss": loss_sum,
        "rewards/chosen": chosen_reward_B.mean().item(),
        "rewards/rejected": rejected_reward_B.mean().item(),
        "rewards/accuracies": (margin_B > ROUNDING * config.loss.beta * chosen_B.abs()).double().mean().item(),
        "rewards/margins": margin_B.mean().item(),
        "logps/chosen": chosen_B.mean().item(),
        "logps/rejected": rejected_B.mean().item(),
        # KL(reference || policy) in nats an answer, as far as the answers were drawn from the reference: -E[log ratio].
        "kl": (ref_chosen_B - chosen_B + ref_rejected_B - rejected_B).mean().item() / 2,
    }


def _update(
    model: Any,
    rows: Sequence[TokenPair],
    batch: list[int],
    reference: PairLogps,
    config: TrainingConfig,
    passes: Passes,
    log: Callable[[str], None],
) -> dict[str, float]:
    """The method's update; where memory runs out, in smaller passes, with the same pairs in the update.

    Raises:
        TrainingError: memory runs out with a single pair.
    """
    while True:
        with suppress(torch.OutOfMemoryError):
            return METHODS[config.method](model, rows, batch, reference, config, passes)
        # Here the error and what its frames held are gone.
        model.zero_grad(set_to_none=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        cut = passes.cut(batch, rows, at_least=config.gradient_accumulation)
        if len(cut) == len(batch):
            raise TrainingError(
                "out of memory with one pair a pass: lower train.max_tokens, or take train.activation_checkpointing: "
                "true, or load: nf4"
            )
        passes.tokens = max(tokens_read(part, rows, passes.layout) for part in cut) // 2
        log(f"out of memory: passes of at most {passes.tokens} tokens from here on, with the same pairs an update")


METHODS: dict[str, Callable[..., dict[str, float]]] = {"dpo": preference_update}
"""What an update is, by `train.method`: a batch to gradients and numbers. To add one, write it and name it here."""


def _clip(parameters: dict[str, Any], most: float) -> float:
    """The gradient's norm before clipping; 0 clips nothing."""
    return float(torch.nn.utils.clip_grad_norm_(parameters.values(), most or math.inf))


def _optimizer(parameters: dict[str, Any], config: TrainingConfig) -> Any:
    settings: dict[str, Any] = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    if config.optimizer == "sgd":
        return torch.optim.SGD(parameters.values(), **settings)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(parameters.values(), **settings)
    import bitsandbytes

    optim: Any = bitsandbytes.optim
    eight_bit = {"adamw_8bit": optim.AdamW8bit, "adamw_8bit_paged": optim.PagedAdamW8bit}
    return eight_bit[config.optimizer](parameters.values(), **settings)


def _schedule(config: TrainingConfig, total: int) -> Callable[[int], float]:
    """Learning rate of each step, counted from 1: up over the warm-up, then constant, or down to nothing.

    The numbers are those of transformers' `get_scheduler`, so that other trainers can be compared step by step.
    """

    def rate(step: int) -> float:
        done = step - 1
        if done < config.warmup_steps:
            return config.learning_rate * done / config.warmup_steps
        share = (done - config.warmup_steps) / max(1, total - config.warmup_steps)
        left = {"constant": 1.0, "linear": 1 - share, "cosine": 0.5 * (1 + math.cos(math.pi * share))}[config.scheduler]
        return config.learning_rate * left

    return rate


def _initial(config: TrainingConfig) -> str | None:
    if config.init_adapter is None:
        return None
    if not (Path(config.init_adapter) / "adapter_config.json").is_file():
        raise InputError(f"train.init_adapter: {config.init_adapter} is no peft adapter: it has no adapter_config.json")
    return folder_digest(Path(config.init_adapter))


def _known(out: Path, identity: dict[str, str], log: Callable[[str], None]) -> TrainingResult | None:
    """A training that is finished with just these inputs; else None, with what other inputs left moved aside."""
    held_file = out / "training.json"
    if held_file.exists():
        held = json.loads(held_file.read_text())
        begun = held["finished"] or any((out / "checkpoints").glob("step-*"))
        if held["identity"] == identity and not (held["finished"] and not (out / "adapter").is_dir()):
            if not held["finished"]:
                return None
            log(f"trained already: {held['steps']} steps")
            report = TokenReport(**{**held["report"], "lengths": tuple(held["report"]["lengths"])})
            return TrainingResult(
                adapter=out / "adapter",
                steps=held["steps"],
                resumed_from=held["steps"],
                report=report,
                last=held["last"],
            )
        changed = [what for what in identity if held["identity"].get(what) != identity[what]]
        if begun and not held["finished"] and "base" in changed:
            raise InputError(
                f"{out}: the student changed in the middle of a training; take the old one, or another --out"
            )
        if begun:
            aside = move_aside(out, OUTPUT, "training")
            log(f"{' and '.join(changed) or 'adapter'} changed: training anew; the old output is in {aside}")
    out.mkdir(parents=True, exist_ok=True)
    write_text(held_file, json.dumps({"identity": identity, "finished": False}))
    return None


class _Metrics:
    """metrics.jsonl: a line a step, each step once, also after a kill: what the checkpoint does not know is cut off."""

    def __init__(self, path: Path, start: int) -> None:
        self._path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        write_text(path, "".join(line + "\n" for line in lines[:start] if line.endswith("}")))

    def add(self, line: dict[str, float]) -> None:
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")


def _save_adapter(model: Any, tokenizer: Any, folder: Path) -> None:
    """peft's own format, with the tokenizer and its chat template beside it; written aside, then renamed."""
    partial = folder.with_name(".adapter.partial")
    shutil.rmtree(partial, ignore_errors=True)
    # "auto" would ask the hub whether the vocabulary grew; LoRA never grows it.
    model.save_pretrained(str(partial), safe_serialization=True, save_embedding_layers=False)
    tokenizer.save_pretrained(str(partial))
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
