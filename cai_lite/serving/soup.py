"""Merge LoRA adapters of one base model by weights, without training: a soup of the changes that each makes.

The merged change of a layer is the weighted sum of the changes, sum_i w_i s_i B_i A_i with the scale s = alpha / rank.
It is written as one adapter: the A stacked, and the B beside each other, each with its weight and scale. That is exact,
and its rank is the sum of the ranks. Cut back to a smaller rank it is the best approximation of that rank, layer by
layer, and the error is returned.

Source: Rame et al. 2023, "Rewarded soups" (arXiv:2306.04488), for the interpolation of the weights of models that were
trained on different rewards; Eckart and Young 1936 for the cut.

Shapes: R rank, I and O the inputs and outputs of a layer.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cai_lite.errors import InputError, ModelError
from cai_lite.run.files import write_text

_WEIGHTS = "adapter_model.safetensors"
_A, _B = ".lora_A.weight", ".lora_B.weight"
# Settings under which the change of a layer is not B A times one scale, or under which more than that is stored.
_OTHER_FORMS = ("use_dora", "use_rslora", "rank_pattern", "alpha_pattern", "modules_to_save", "layer_replication")


def merge_adapters(adapters: Mapping[Path, float], out: Path, *, rank: int | None = None) -> float:
    """Write the weighted sum of some adapters to the folder `out`, with the other files of the first of them.

    `adapters`: the weight of each folder; one of weight 0 is left out. `rank`: the rank to cut the sum back to; the sum
    of the ranks where left out, which is exact. Returns the relative error of the cut, from 0 (exact) to 1: the
    Frobenius norm of what was cut off, over that of the whole change.

    Raises:
        ModelError: an adapter is of another form, or they were trained on other layers or on another model.
        InputError: all weights are 0, or one of them is negative or not finite.
    """
    import torch
    from safetensors.torch import load_file, save_file

    for folder, weight in adapters.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise InputError(f"the weight of {folder} should be 0 or more, got {weight}")
    used = {folder: weight for folder, weight in adapters.items() if weight > 0}
    if not used:
        raise InputError("all weights are 0; at least one should be above 0")
    settings = [_settings(folder) for folder in used]
    states = [load_file(str(folder / _WEIGHTS)) for folder in used]
    layers = _layers(list(used), states)
    merged: dict[str, Any] = {}
    cut = whole = 0.0
    for layer in layers:
        a_RI = torch.cat([state[layer + _A].float() for state in states])
        b_OR = torch.cat(
            [
                weight * config["lora_alpha"] / config["r"] * state[layer + _B].float()
                for weight, config, state in zip(used.values(), settings, states, strict=True)
            ],
            dim=1,
        )
        if rank is not None and rank < len(a_RI):
            a_RI, b_OR, lost, all_ = _cut(a_RI, b_OR, rank)
            cut, whole = cut + lost, whole + all_
        merged[layer + _A], merged[layer + _B] = a_RI.contiguous(), b_OR.contiguous()
    size = min(rank or math.inf, sum(config["r"] for config in settings))
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(next(iter(used)), partial, ignore=shutil.ignore_patterns(_WEIGHTS, "README.md"))
    config = {**settings[0], "r": int(size), "lora_alpha": int(size)}  # the scale is 1: it is part of B
    write_text(partial / "adapter_config.json", json.dumps(config, indent=1) + "\n")
    save_file(merged, str(partial / _WEIGHTS), metadata={"format": "pt"})
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)
    return math.sqrt(cut / whole) if whole else 0.0


def _settings(folder: Path) -> dict[str, Any]:
    try:
        found = dict(json.loads((folder / "adapter_config.json").read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder} is not a peft adapter (adapter_config.json cannot be read)") from error
    odd = [name for name in _OTHER_FORMS if found.get(name)]
    if found.get("peft_type") != "LORA" or found.get("bias", "none") != "none" or odd:
        what = ", ".join(odd) or f"{found.get('peft_type')} with bias {found.get('bias')}"
        raise ModelError(f"{folder}: only plain LoRA adapters can be merged by weights, and this one is not: {what}")
    return found


def _layers(folders: Sequence[Path], states: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the layers that all adapters change."""
    named = [{name.removesuffix(_A).removesuffix(_B) for name in state} for state in states]
    for folder, state, layers in zip(folders, states, named, strict=True):
        odd = {layer for layer in layers if {layer + _A, layer + _B} - set(state)} or layers ^ named[0]
        if odd:
            raise ModelError(f"{folder} and {folders[0]} do not change the same layers: {min(odd)} is in one alone")
        for layer in layers:
            shapes = [(one[layer + _A].shape[1], one[layer + _B].shape[0]) for one in (state, states[0])]
            if shapes[0] != shapes[1]:
                raise ModelError(f"{folder} and {folders[0]} belong to different models: {layer} has another shape")
    return sorted(named[0])


def _cut(a_RI: Any, b_OR: Any, rank: int) -> tuple[Any, Any, float, float]:
    """Return the best factors of a smaller rank, and the squared norms of what was cut off and of the whole.

    The singular values of B A are those of the small matrix between the orthogonal parts of both.
    """
    import torch

    outer_OR, right_RR = torch.linalg.qr(b_OR)
    inner_IR, left_RR = torch.linalg.qr(a_RI.T)
    u_RR, s_R, v_RR = torch.linalg.svd(right_RR @ left_RR.T)
    square_R = s_R.square()
    return (
        v_RR[:rank] @ inner_IR.T,
        outer_OR @ (u_RR[:, :rank] * s_R[:rank]),
        float(square_R[rank:].sum()),
        float(square_R.sum()),
    )
