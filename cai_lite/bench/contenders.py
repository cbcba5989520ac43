"""The contenders: each takes the same model, adapter and batches, and does one optimizer step at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import torch

from cai_lite.bench.case import BETA, RATE, Case, Step
from cai_lite.bench.flash_preference import flash_preference
from cai_lite.errors import MissingPackageError
from cai_lite.logps.attention import attention_of
from cai_lite.logps.fused import fuse
from cai_lite.logps.layout import Layout
from cai_lite.training.batch import Passes
from cai_lite.training.config import Lora, Loss, TrainingConfig
from cai_lite.training.reference import scored
from cai_lite.training.student import lora_parameters, set_checkpointing
from cai_lite.training.tokens import Row
from cai_lite.training.update import Objective


def cai_lite(
    model: Any, batches: list[list[Row]], case: Case, *, layout: Layout = "shared", fused: bool = True
) -> Step:
    """Return the step of this library: cached reference, shared prompts, fused layers."""
    if fused:
        fuse(model)
    set_checkpointing(model, model.config.num_hidden_layers if case.checkpointing else 0)
    pairs = [pair for batch in batches for pair in batch]
    passes = Passes(layout, case.tokens_per_batch, 0)
    # As in TRL with an existing adapter, the reference is the model with the adapter as it begins.
    with attention_of(model, layout):
        reference = scored(model, pairs, Passes(layout, 8192, 0))
    config = TrainingConfig(loss=Loss("dpo", BETA), lora=Lora(rank=case.rank), batch_size=case.pairs)
    objective = Objective(model, pairs, reference, config, passes)
    parameters = lora_parameters(model)
    optimizer = torch.optim.AdamW(parameters.values(), lr=RATE)
    model.train()

    def step(i: int) -> dict[str, float]:
        batch = list(range(i * case.pairs, (i + 1) * case.pairs))
        with attention_of(model, layout):
            line = objective.accumulate(batch).numbers
        torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return line

    return step


def trl_shipped(model: Any, batches: list[list[Row]], case: Case) -> Step:
    """Return the step of TRL's DPOTrainer with its own defaults."""
    return _trl(model, batches, case, {})


def trl_best(model: Any, batches: list[list[Row]], case: Case) -> Step:
    """Return the step of TRL's DPOTrainer with its best settings.

    The reference is precomputed, activations are recomputed only on request, and the head is applied to completion
    tokens alone, which TRL does by default on a GPU only.
    """
    trl_module("trl.trainer.utils")._use_triton = lambda device: True
    return _trl(
        model,
        batches,
        case,
        {"precompute_ref_log_probs": True, "gradient_checkpointing": case.checkpointing},
    )


def trl_module(name: str) -> Any:
    """Return a module of TRL, or one that it brings. Raises MissingPackageError."""
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingPackageError(
            "the comparison with TRL needs the package trl: pip install 'cai-lite[bench]'"
        ) from error


CONTENDERS: dict[str, Callable[..., Step]] = {
    "cai_lite": cai_lite,
    "trl": trl_best,
    "trl as shipped": trl_shipped,
    "flash-preference": flash_preference,
    "plain rows": partial(cai_lite, layout="plain"),
    "plain rows, not fused": partial(cai_lite, layout="plain", fused=False),
}


def _trl(model: Any, batches: list[list[Row]], case: Case, settings: dict[str, Any]) -> Step:
    from cai_lite.chat.weights import open_weights

    trl, datasets = trl_module("trl"), trl_module("datasets")

    class OnTokens(trl.DPOTrainer):  # type: ignore[misc, name-defined]
        def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
            return dataset  # token ids already

    rows = [
        {
            "prompt_ids": list(pair.prompt_ids),
            "chosen_ids": list(pair.completions[0]),
            "rejected_ids": list(pair.completions[1]),
        }
        for batch in batches
        for pair in batch
    ]
    trainer: Any = OnTokens(
        model=model,
        args=trl.DPOConfig(
            output_dir=tempfile.mkdtemp(),
            per_device_train_batch_size=case.pairs,
            max_length=None,
            beta=BETA,
            learning_rate=RATE,
            bf16=case.device == "cuda",
            use_cpu=case.device == "cpu",
            report_to="none",
            disable_tqdm=True,
            logging_steps=10**6,
            **settings,
        ),
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=open_weights("embedded:student")[1],  # only its special tokens are used
    )
    trainer.create_optimizer()
    trainer.current_gradient_accumulation_steps = 1  # as `train` would set it
    optimizer = trainer.optimizer
    trained = [p for p in trainer.model.parameters() if p.requires_grad]
    dataset = trainer.train_dataset
    trainer.model.train()

    def step(i: int) -> dict[str, float]:
        inputs = trainer.data_collator([dataset[j] for j in range(i * case.pairs, (i + 1) * case.pairs)])
        loss = float(trainer.training_step(trainer.model, trainer._prepare_inputs(inputs)))
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        metrics = trainer._metrics["train"]
        return {"loss": loss, **{name: float(metrics[name][-1]) for name in ("logps/chosen", "logps/rejected")}}

    return step
