"""`cai-lite plan`: predict whether a training fits a GPU, with which settings, and how long it takes.

Only the student's configuration is needed. Memory is predicted on fake tensors (see `logps.footprint`); time is the
number of operations divided by an assumed speed.
"""

from __future__ import annotations

import math
from typing import Any

from rich.console import Console
from rich.table import Table

from cai_lite.chat.weights import resolve
from cai_lite.errors import InputError, ModelError
from cai_lite.pipeline.recipe import Recipe
from cai_lite.training.trainable import check_trainable

CONTEXT = 0.6e9  # bytes of the CUDA context
SHARE = 0.4  # assumed utilisation: share of the GPU's peak matrix speed that training reaches


def plan(
    recipe: Recipe,
    *,
    gpu_memory: float,
    pairs: int = 1000,
    prompt_tokens: int = 256,
    completion_tokens: int = 256,
    tflops: float = 70.0,
) -> dict[str, Any]:
    """Return the predicted peak memory, tokens per second and hours of a recipe's training on a GPU.

    `gpu_memory`: of the GPU, in GB. `pairs`: the number of training pairs. `prompt_tokens`, `completion_tokens`: the
    mean lengths of prompts and completions, used for the time; the memory is that of the longest pairs that
    `train.max_tokens` allows. `tflops`: the GPU's dense 16-bit matrix speed in TFLOP/s.

    Raises:
        InputError: a number is not above 0.
        ModelError: the student's configuration cannot be read, or it cannot be trained.
    """
    for name, value in (("gpu_memory", gpu_memory), ("pairs", pairs), ("tflops", tflops)):
        if value <= 0:
            raise InputError(f"{name} should be above 0, got {value}")
    config = _config(recipe.student.model)
    notes = check_trainable(recipe.student.model, lora=recipe.train.lora, needs_tokenizer=False)
    settings, load = recipe.train, recipe.student.load or "auto"
    budget = gpu_memory * 1e9 - CONTEXT
    completion = min(recipe.draft.max_tokens, settings.max_tokens - 1)
    longest = (settings.max_tokens - completion, completion)
    most_pairs = max(1, settings.tokens_per_batch // (longest[0] + 2 * completion))
    options = []
    for count in sorted({most_pairs, max(1, most_pairs // 2), 1}, reverse=True):
        found = _footprint(recipe, config, load, *longest, count)
        needed = found.layers_to_recompute(budget - found.weights - found.adapter)
        for recomputed in sorted({0, found.layers if needed is None else needed, found.layers}):
            options.append(
                {
                    "pairs_a_pass": count,
                    "tokens_a_pass": count * (longest[0] + 2 * completion),
                    "layers_recomputed": recomputed,
                    "layers": found.layers,
                    "peak_gb": (found.peak(recomputed) + CONTEXT) / 1e9,
                    "fits": found.peak(recomputed) <= budget,
                    **_time(recipe, config, found, recomputed, pairs, prompt_tokens, completion_tokens, tflops),
                }
            )
    fitting = [option for option in options if option["fits"]]
    best = min(fitting, key=lambda option: (option["hours"], -option["pairs_a_pass"])) if fitting else None
    return {
        "format": 1,
        "model": recipe.student.model,
        "load": load,
        "gpu_memory_gb": gpu_memory,
        "weights_gb": found.weights / 1e9,
        "adapter_gb": found.adapter / 1e9,
        "longest_pair": {"prompt_tokens": longest[0], "completion_tokens": completion},
        "assumed": {
            "pairs": pairs,
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "tflops": tflops,
            "share_of_tflops": SHARE,
        },
        "options": options,
        "best": best,
        "fits": best is not None,
        "advice": _advice(recipe, config, load, budget, best),
        "notes": notes,
    }


def show_plan(found: dict[str, Any], console: Console | None = None) -> None:
    """Print the options as a table, then the advice."""
    console = console or Console()
    longest, assumed = found["longest_pair"], found["assumed"]
    table = Table(
        title=f"{found['model']}, load {found['load']}, on {found['gpu_memory_gb']:g} GB (predicted)",
        caption="Peak memory: for the longest pairs, "
        f"{longest['prompt_tokens']} + 2 x {longest['completion_tokens']} tokens. "
        f"Time: {assumed['pairs']} pairs of {assumed['prompt_tokens']} + 2 x {assumed['completion_tokens']} tokens at "
        f"{assumed['share_of_tflops']:.0%} of {assumed['tflops']:g} TFLOP/s",
    )
    for column in ("pairs per pass", "tokens per pass", "layers recomputed", "peak, GB", "tokens/s", "hours", "fits"):
        table.add_column(column, justify="right")
    for option in found["options"]:
        best = option == found["best"]
        table.add_row(
            str(option["pairs_a_pass"]),
            str(option["tokens_a_pass"]),
            f"{option['layers_recomputed']} of {option['layers']}",
            f"{option['peak_gb']:.2f}",
            f"{option['tokens_per_second']:,.0f}",
            f"{option['hours']:.1f}",
            "best" if best else "yes" if option["fits"] else "no",
            style="bold" if best else "" if option["fits"] else "dim",
        )
    console.print(table)
    console.print(found["advice"], highlight=False)
    for note in found["notes"]:
        console.print(note, highlight=False, markup=False)


def _advice(recipe: Recipe, config: Any, load: str, budget: float, best: dict[str, Any] | None) -> str:
    settings = recipe.train
    if best is not None:
        return (
            f"fits: train.memory: auto recomputes {best['layers_recomputed']} of {best['layers']} layers, with "
            f"{best['tokens_a_pass']} tokens per pass"
        )
    if load != "nf4":
        completion = min(recipe.draft.max_tokens, settings.max_tokens - 1)
        nf4 = _footprint(recipe, config, "nf4", settings.max_tokens - completion, completion, 1)
        if nf4.peak(nf4.layers) <= budget:
            return "does not fit; it fits with student.load: nf4"
    tokens = settings.max_tokens // 2
    while tokens >= 128:
        completion = min(recipe.draft.max_tokens, tokens // 2)
        shorter = _footprint(recipe, config, load, tokens - completion, completion, 1)
        if shorter.peak(shorter.layers) <= budget:
            return f"does not fit; it fits with train.max_tokens: {tokens} and draft.max_tokens: {completion}"
        tokens //= 2
    return "does not fit at any length of pairs; use a smaller student, student.load: nf4, or a larger GPU"


def _time(
    recipe: Recipe,
    config: Any,
    found: Any,
    recomputed: int,
    pairs: int,
    prompt: int,
    completion: int,
    tflops: float,
) -> dict[str, float]:
    """Return the predicted speed and duration of the training.

    A token takes 2N operations forward (N: weights of the layers), 2N for the gradients of the inputs, 2N more in
    recomputed layers, and 2N once for the reference. The output head runs on completion tokens only.
    """
    text = config.get_text_config()
    body, head = found.matrices, text.vocab_size * text.hidden_size
    tokens = prompt + 2 * completion
    epochs = recipe.train.epochs
    flops = tokens * body * (4 + 2 * recomputed / found.layers + 2 / epochs) + 2 * completion * head * (4 + 2 / epochs)
    per_second = tflops * 1e12 * SHARE / flops
    return {"tokens_per_second": per_second * tokens, "hours": math.ceil(pairs * epochs) / per_second / 3600}


def _footprint(recipe: Recipe, config: Any, load: str, prompt: int, completion: int, count: int) -> Any:
    import torch

    from cai_lite.training.memory import footprint_of
    from cai_lite.training.tokens import Row

    pair = [Row((i,) * prompt, ((1,) * completion, (2,) * completion)) for i in range(count)]
    return footprint_of(
        config,
        pair,
        recipe.train,
        layout="plain" if recipe.train.layout == "plain" else "shared",
        quantised=load == "nf4",
        dtype=torch.float32 if load == "float32" else torch.bfloat16,
    )


def _config(model: str) -> Any:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(resolve(model))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"the configuration of {model} is not on this machine and cannot be downloaded; give a folder with its "
            "config.json by --set student.model=FOLDER"
        ) from error
