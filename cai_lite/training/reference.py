"""Log-probabilities of the reference model, computed once before the first step and kept on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from cai_lite.records import digest, digest_of_list
from cai_lite.run.files import share
from cai_lite.run.progress import Tick
from cai_lite.training.batch import Passes
from cai_lite.training.losses import Logps
from cai_lite.training.tokens import Row

WINDOW = 8192  # rows that are in memory, and from which passes are cut, at a time


def reference_logps(
    model: Any,
    rows: Sequence[Row],
    passes: Passes,
    *,
    base: str,
    cache: Path | None,
    initial: str | None = None,
    progress: Tick | None = None,
    log: Callable[[str], None] = print,
) -> Logps:
    """Return the reference's log-probabilities of every row, in order, float32, shape [rows, K].

    `base`: digest of the weights and how they are loaded. `initial`: digest of the adapter on the model, which then
    belongs to the reference; None takes the adapter off. The file in `cache` is named by all that decides the numbers:
    another model, other rows, another precision or layout have another file. A damaged file is said to `log`, and
    written anew.
    """
    from safetensors.torch import save_file

    embedding = model.get_input_embeddings().weight  # its dtype and device tell what "auto" came to
    kernels = (str(torch.__version__), str(embedding.dtype), embedding.device.type, passes.layout)
    key = key_of(rows, base=base, kernels=kernels, initial=initial)
    file = cache / f"reference-{key}.safetensors" if cache is not None else None
    known = passes.ranks.told(lambda: _known(file, log))
    if known is not None:
        if progress is not None:
            progress(len(rows), len(rows))
        return known
    with model.disable_adapter() if initial is None else nullcontext():
        logps = scored(model, rows, passes, progress=progress)
    if file is not None and passes.ranks.first:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial")
        tensors = {"sums": logps.sums_BK, "lengths": logps.lengths_BK}
        save_file(tensors, partial, metadata={"digest": _digest(tensors)})
        share(partial)
        partial.replace(file)
    return logps


def key_of(rows: Sequence[Row], *, base: str, kernels: Sequence[str], initial: str | None) -> str:
    """Return the digest of all that decides the log-probabilities."""
    with_adapter = [] if initial is None else ["init", initial]
    each = (digest(row.prompt_ids, *row.completions) for row in rows)
    return digest_of_list(each, before=(base, kernels), after=with_adapter)


def _digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return `digest("reference", [(name, values), ...])` with few of the values as Python's numbers at a time."""
    found = hashlib.sha256(b'["reference",[')
    for number, name in enumerate(sorted(tensors)):
        found.update(f'{"," if number else ""}["{name}",['.encode())
        for start in range(0, len(tensors[name]), WINDOW):
            some = json.dumps(tensors[name][start : start + WINDOW].tolist(), separators=(",", ":"))
            found.update(("," if start else "").encode() + some[1:-1].encode())
        found.update(b"]]")
    found.update(b"]]")
    return found.hexdigest()[:24]


def _known(file: Path | None, log: Callable[[str], None]) -> Logps | None:
    """Return what the cache knows, or None; a damaged file is said to `log`."""
    if file is None or not file.exists():
        return None
    known = _stored(file)
    if known is None:
        log(f"{file} is damaged; the log-probabilities of the reference are computed again")
    return known


def _stored(file: Path) -> Logps | None:
    """Return what a file of the cache holds, or None if it does not fit the digest in it."""
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    try:
        tensors = load_file(file)
        with safe_open(file, framework="pt") as opened:
            written = (opened.metadata() or {}).get("digest")
    except (OSError, SafetensorError):
        return None
    if written not in (None, _digest(tensors)):  # earlier versions wrote none
        return None
    if "sums" in tensors:
        return Logps(tensors["sums"], tensors["lengths"])
    # Earlier versions wrote a column for each side of a pair.
    sums = [tensors["chosen"], tensors["rejected"]]
    return Logps(torch.stack(sums, 1), torch.stack([tensors["chosen_len"], tensors["rejected_len"]], 1))


def scored(model: Any, rows: Sequence[Row], passes: Passes, *, progress: Tick | None = None) -> Logps:
    """Return the values of every row (log-probabilities or scores) under the model, without gradient or dropout.

    In order, float32, shape [rows, K]. Several ranks share the passes, and all of them return all values.
    """
    ranks = passes.ranks
    most = max(len(row.completions) for row in rows)
    sums_BK = torch.zeros(len(rows), most)
    lengths_BK = torch.zeros(len(rows), most, dtype=torch.long)
    training = model.training
    model.eval()
    done = 0
    try:
        for start in range(0, len(rows), WINDOW):
            some = rows[start : start + WINDOW]
            for part in passes.share(passes.cut(range(len(some)), some), model, some):
                with torch.no_grad():
                    logps = passes.values(model, [some[i] for i in part])
                here, places = logps.sums_BK.shape[1], [start + i for i in part]
                sums_BK[places, :here] = logps.sums_BK.to(sums_BK)
                lengths_BK[places, :here] = logps.lengths_BK.to(lengths_BK)
                done += len(part)
                if progress is not None:
                    progress(min(done * ranks.world_size, len(rows)), len(rows))
    finally:
        model.train(training)
    ranks.add(sums_BK)  # of each row, all ranks but one have zeros
    ranks.add(lengths_BK)
    return Logps(sums_BK, lengths_BK)


def part_of(logps: Logps, indices: Sequence[int], like: Logps) -> Logps:
    """Return the log-probabilities of some rows, on the device of `like` and as wide as it is."""
    device, width = like.sums_BK.device, like.sums_BK.shape[1]
    return Logps(*(column[list(indices), :width].to(device) for column in logps))
