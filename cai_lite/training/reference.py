"""Log-probabilities of the reference: the student before training.

Computed once, adapter off, dropout off, kept on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from cai_lite.records import digest
from cai_lite.training.batch import by_width, pair_logps
from cai_lite.training.losses import PairLogps
from cai_lite.training.tokens import TokenPair


def reference_logps(
    model: Any,
    pairs: Sequence[TokenPair],
    *,
    pad_token_id: int,
    base: str,
    tokens_per_batch: int,
    cache: Path | None,
    progress: Callable[[int, int], None] | None = None,
) -> PairLogps:
    """Of every pair, in order, float32, shape [pairs]. `base`: digest of the weights and how they are loaded.

    The cache file is named by all that decides the numbers; another student, other pairs or another precision find
    nothing in it.
    """
    from safetensors.torch import load_file, save_file

    embedding = model.get_input_embeddings().weight  # its type and place tell the precision that "auto" came to
    kernels = (str(torch.__version__), str(embedding.dtype), embedding.device.type)
    key = digest(base, kernels, [(p.prompt_ids, p.chosen_ids, p.rejected_ids) for p in pairs])
    file = cache / f"reference-{key}.safetensors" if cache is not None else None
    if file is not None and file.exists():
        held = load_file(file)
        return PairLogps(held["chosen"], held["rejected"], held["chosen_len"], held["rejected_len"])
    held = _computed(model, pairs, pad_token_id, tokens_per_batch, progress)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial")
        save_file(held, partial)
        partial.replace(file)
    return PairLogps(held["chosen"], held["rejected"], held["chosen_len"], held["rejected_len"])


def scored(
    model: Any,
    pairs: Sequence[TokenPair],
    *,
    pad_token_id: int,
    tokens_per_batch: int,
    progress: Callable[[int, int], None] | None = None,
) -> PairLogps:
    """The same for the model as it stands, adapter on if it is on; no gradient, dropout off."""
    columns = [torch.zeros(len(pairs)) for _ in range(2)] + [
        torch.zeros(len(pairs), dtype=torch.long) for _ in range(2)
    ]
    training = model.training
    model.eval()
    done = 0
    try:
        for part in by_width(range(len(pairs)), pairs, tokens=tokens_per_batch, most=len(pairs)):
            with torch.no_grad():
                logps = pair_logps(model, [pairs[i] for i in part], pad_token_id)
            for column, values in zip(columns, logps, strict=True):
                column[part] = values.to(column)
            done += len(part)
            if progress is not None:
                progress(done, len(pairs))
    finally:
        model.train(training)
    return PairLogps(*columns)


def _computed(
    model: Any,
    pairs: Sequence[TokenPair],
    pad_token_id: int,
    tokens_per_batch: int,
    progress: Callable[[int, int], None] | None,
) -> dict[str, torch.Tensor]:
    with model.disable_adapter():
        logps = scored(model, pairs, pad_token_id=pad_token_id, tokens_per_batch=tokens_per_batch, progress=progress)
    return {
        "chosen": logps.chosen_B,
        "rejected": logps.rejected_B,
        "chosen_len": logps.chosen_len_B,
        "rejected_len": logps.rejected_len_B,
    }
