"""Train an open language model to follow a written constitution, on one GPU, and measure whether it does.

    import cai_lite as cai

The public names are listed in `__all__` and loaded on first use, so importing the package does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from cai_lite.chat import ChatModel, open_model
    from cai_lite.distill.critiques import critique
    from cai_lite.distill.drafts import draft
    from cai_lite.distill.pairs import pair
    from cai_lite.distill.revisions import revise
    from cai_lite.distill.verdicts import judge
    from cai_lite.evaluation.evaluate import evaluate
    from cai_lite.evaluation.modules import metric
    from cai_lite.inputs.constitution import Constitution, Principle, load_constitution
    from cai_lite.inputs.pairs import from_dataset, load_pairs, save_pairs, to_dataset
    from cai_lite.inputs.prompts import Prompts, load_prompts
    from cai_lite.linting import lint
    from cai_lite.pipeline.recipe import Recipe, load_recipe
    from cai_lite.pipeline.walk import run_recipe
    from cai_lite.preflight.plan import plan
    from cai_lite.records import PreferencePair, Prompt, Sampling, Verdict
    from cai_lite.reporting import report
    from cai_lite.run.ledger import Run
    from cai_lite.serving.export import export
    from cai_lite.serving.monitor import monitor
    from cai_lite.serving.respond import Response, respond
    from cai_lite.training import losses
    from cai_lite.training.api import train
    from cai_lite.training.config import Lora, Loss, TrainingConfig

_WHERE = {
    "cai_lite.chat": ["ChatModel", "open_model"],
    "cai_lite.inputs.constitution": ["Constitution", "Principle", "load_constitution"],
    "cai_lite.distill.critiques": ["critique"],
    "cai_lite.distill.drafts": ["draft"],
    "cai_lite.distill.pairs": ["pair"],
    "cai_lite.distill.revisions": ["revise"],
    "cai_lite.distill.verdicts": ["judge"],
    "cai_lite.evaluation.modules": ["metric"],
    "cai_lite.run.ledger": ["Run"],
    "cai_lite.serving.respond": ["Response", "respond"],
    "cai_lite.linting": ["lint"],
    "cai_lite.inputs.pairs": ["from_dataset", "load_pairs", "save_pairs", "to_dataset"],
    "cai_lite.training.api": ["train"],
    "cai_lite.evaluation.evaluate": ["evaluate"],
    "cai_lite.pipeline.walk": ["run_recipe"],
    "cai_lite.preflight.plan": ["plan"],
    "cai_lite.inputs.prompts": ["Prompts", "load_prompts"],
    "cai_lite.pipeline.recipe": ["Recipe", "load_recipe"],
    "cai_lite.records": ["PreferencePair", "Prompt", "Sampling", "Verdict"],
    "cai_lite.reporting": ["report"],
    "cai_lite.serving.export": ["export"],
    "cai_lite.serving.monitor": ["monitor"],
    "cai_lite.training": ["losses"],
    "cai_lite.training.config": ["Lora", "Loss", "TrainingConfig"],
}
_MODULE_OF = {name: module for module, names in _WHERE.items() for name in names}

__all__ = [  # noqa: RUF022  (in the order of the walk)
    "load_constitution",
    "lint",
    "load_prompts",
    "open_model",
    "Run",
    "draft",
    "critique",
    "revise",
    "judge",
    "pair",
    "load_pairs",
    "save_pairs",
    "to_dataset",
    "from_dataset",
    "train",
    "evaluate",
    "metric",
    "report",
    "load_recipe",
    "run_recipe",
    "plan",
    "export",
    "monitor",
    "respond",
    "losses",
    "ChatModel",
    "Constitution",
    "Principle",
    "Prompt",
    "Prompts",
    "PreferencePair",
    "Recipe",
    "Response",
    "Sampling",
    "Verdict",
    "Loss",
    "Lora",
    "TrainingConfig",
]


def __getattr__(name: str) -> Any:
    if name == "losses":
        return importlib.import_module("cai_lite.training.losses")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'cai_lite' has no attribute '{name}'")
    value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
