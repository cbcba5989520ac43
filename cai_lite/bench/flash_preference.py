"""The contender flash-preference: plain transformers, with prompts shared by the package flash-pref.

Source: https://github.com/li-plus/flash-preference. It needs a GPU with FlashAttention 2, and a version of transformers
that it knows; the comparison of log-probabilities says whether it does.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from cai_lite.bench.case import BETA, RATE, Case, Step
from cai_lite.errors import MissingPackageError, ModelError
from cai_lite.logps.head import base_of
from cai_lite.training.student import lora_parameters, set_checkpointing
from cai_lite.training.tokens import Row


def flash_preference(model: Any, batches: list[list[Row]], case: Case) -> Step:
    """Return the step of a plain DPO loop within `flash_pref.shared_prefix`, the reference computed beforehand.

    Raises:
        MissingPackageError: flash-pref or flash-attn is not installed. ModelError: there is no GPU.
    """
    try:
        shared_prefix = import_module("flash_pref").shared_prefix
        import_module("flash_attn")
    except ImportError as error:
        raise MissingPackageError(
            "the comparison with flash-preference needs the packages flash-pref and flash-attn: "
            "pip install flash-pref flash-attn"
        ) from error
    if case.device != "cuda":
        raise ModelError("flash-preference runs on a GPU alone: give --device cuda, or another --against")
    base = base_of(model)
    base.config._attn_implementation = "flash_attention_2"
    set_checkpointing(model, base.config.num_hidden_layers if case.checkpointing else 0)
    with torch.no_grad():
        reference = [_logps(base, shared_prefix, batch, case.device).detach() for batch in batches]
    parameters = lora_parameters(model)
    optimizer = torch.optim.AdamW(parameters.values(), lr=RATE)
    model.train()

    def step(i: int) -> dict[str, float]:
        ids_RT, mask_RT = _padded(batches[i], case.device)
        with shared_prefix(base, input_ids=ids_RT, attention_mask=mask_RT):
            logps_B2 = _summed(base, batches[i], ids_RT, mask_RT)
            margin_B = BETA * (logps_B2 - reference[i]) @ logps_B2.new_tensor([1.0, -1.0])
            loss = -functional.logsigmoid(margin_B).mean()
            loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        chosen, rejected = logps_B2.detach().mean(0).tolist()
        return {"loss": loss.item(), "logps/chosen": chosen, "logps/rejected": rejected}

    return step


def _logps(base: Any, shared_prefix: Any, pairs: Sequence[Row], device: str) -> Tensor:
    ids_RT, mask_RT = _padded(pairs, device)
    with shared_prefix(base, input_ids=ids_RT, attention_mask=mask_RT):
        return _summed(base, pairs, ids_RT, mask_RT)


def _padded(pairs: Sequence[Row], device: str) -> tuple[Tensor, Tensor]:
    """Return token ids and mask of chosen and rejected in turn, padded on the right."""
    rows = [torch.tensor(pair.prompt_ids + ids) for pair in pairs for ids in pair.completions]
    ids_RT = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    mask_RT = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
    return ids_RT.to(device), mask_RT.to(device)


def _summed(base: Any, pairs: Sequence[Row], ids_RT: Tensor, mask_RT: Tensor) -> Tensor:
    """Return the summed log-probabilities of both completions of each pair, shape [B, 2]."""
    logits_RTV = base(input_ids=ids_RT, attention_mask=mask_RT, use_cache=False).logits
    sums = []
    sequences = [(len(pair.prompt_ids), ids) for pair in pairs for ids in pair.completions]
    for row, (start, ids) in enumerate(sequences):
        logits_NV = logits_RTV[row, start - 1 : start - 1 + len(ids)].float()
        sums.append(-functional.cross_entropy(logits_NV, ids_RT[row, start : start + len(ids)], reduction="sum"))
    return torch.stack(sums).view(-1, 2)
