"""Log-probabilities of the reference: the student before training.

Computed once, adapter off, dropout off, kept on disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from cai_lite.records import digest
from cai_lite.run.progress import Tick
from cai_lite.training.batch import Passes
from cai_lite.training.losses import PairLogps
from cai_lite.training.tokens import TokenPair

COLUMNS = ("chosen", "rejected", "chosen_len", "rejected_len")


def reference_logps(
    model: Any,
    pairs: Sequence[TokenPair],
    passes: Passes,
    *,
    base: str,
    cache: Path | None,
    progress: Tick | None = None,
) -> PairLogps:
    """Of every pair, in order, float32, shape [pairs]. `base`: digest of the weights and how they are loaded.

    The cache file is named by all that decides the numbers; another student, other pairs, another precision or layout
    find nothing in it.
    """
    from safetensors.torch import load_file, save_file

    embedding = model.get_input_embeddings().weight  # its type and place tell the precision that "auto" came to
    kernels = (str(torch.__version__), str(embedding.dtype), embedding.device.type, passes.layout)
    key = digest(base, kernels, [digest(p.prompt_ids, p.chosen_ids, p.rejected_ids) for p in pairs])
    file = cache / f"reference-{key}.safetensors" if cache is not None else None
    if file is not None and file.exists():
        held = load_file(file)
        return PairLogps(*(held[name] for name in COLUMNS))
    with model.disable_adapter():
        logps = scored(model, pairs, passes, progress=progress)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial")
        save_file(dict(zip(COLUMNS, logps, strict=True)), partial)
        partial.replace(file)
    return logps


def scored(model: Any, pairs: Sequence[TokenPair], passes: Passes, *, progress: Tick | None = None) -> PairLogps:
    """The same for the model as it stands, adapter on if it is on; no gradient, dropout off."""
    columns = [torch.zeros(len(pairs)) for _ in range(2)] + [
        torch.zeros(len(pairs), dtype=torch.long) for _ in range(2)
    ]
    training = model.training
    model.eval()
    done = 0
    try:
        for part in passes.cut(range(len(pairs)), pairs):
            with torch.no_grad():
                logps = passes.logps(model, [pairs[i] for i in part])
            for column, values in zip(columns, logps, strict=True):
                column[part] = values.to(column)
            done += len(part)
            if progress is not None:
                progress(done, len(pairs))
    finally:
        model.train(training)
    return PairLogps(*columns)
