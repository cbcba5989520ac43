"""Check that the weights of a model that was opened are whole, and numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cai_lite.chat.completions import plainly
from cai_lite.errors import ModelError

# Buffers of older versions; towers and heads beside the text model that is opened.
_KNOWN_EXTRA = re.compile(
    r"rotary_emb\.inv_freq$|\.attn\.(masked_)?bias$|(^|\.)(mtp\w*|vision\w*|visual|audio\w*|multi_modal_projector)\."
)


def check_whole(model: str, info: Mapping[str, Any]) -> None:
    """Check that the weight files held every weight of the model, and no other; transformers only warns.

    Raises:
        ModelError: a weight is missing, so it would be random, or is not the model's.
    """
    extra = [name for name in info.get("unexpected_keys") or () if not _KNOWN_EXTRA.search(name)]
    for names, what in (
        (info.get("missing_keys") or (), "its weight files lack"),
        (extra, "its weight files hold a weight that the model lacks:"),
        ([str(each[0]) for each in info.get("mismatched_keys") or ()], "its weight files hold another shape of"),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ModelError(f"{model}: {what} {plainly(min(names), 120)}{more}; copy the model anew")


def check_finite(model: Any, what: str) -> None:
    """Check that the weights of a model are numbers, by one sum each.

    Raises:
        ModelError: a weight holds NaN or an infinite number.
    """
    import torch

    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and parameter.device.type != "meta":
            total = parameter.detach().sum(dtype=torch.float32)
            # A sum of large numbers may overflow, so what it says is looked at again.
            if not torch.isfinite(total) and not torch.isfinite(parameter.detach()).all():
                raise ModelError(f"{what}: the weight {name} holds NaN or infinite numbers; copy the model anew")
