"""Checks before the first step: the numbers are those of the model itself, in the layout that is used.

They are compared with what is slow and plain: the model's own logits, and one padded row for each completion.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from cai_lite.errors import ModelError, TrainingError
from cai_lite.logps.attention import segments
from cai_lite.logps.head import base_of, token_logps
from cai_lite.logps.layout import Layout, pack
from cai_lite.training.batch import Passes, sequences_of, tokens_read
from cai_lite.training.config import TrainingConfig
from cai_lite.training.tokens import Row

GAIN = 0.95  # the shared layout is taken where it reads at most this share of the plain layout's tokens


def check_head(model: Any, row: Row) -> None:
    """Compare `token_logps` on one completion with the logits of the model itself: a head may scale or shift them.

    Raises:
        ModelError: they differ by more than the rounding of the model's type allows.
    """
    device = model.get_input_embeddings().weight.device
    prompt, completion = row.prompt_ids, row.completions[0]
    ids_1T = torch.tensor([prompt + completion], device=device)
    packed = pack([(prompt, completion)], "plain", pad_token_id=0, device=device)
    with torch.no_grad():
        ours = float(token_logps(model, packed).sum())
        logits_1TV = base_of(model)(input_ids=ids_1T, use_cache=False).logits
        log_probs_CV = logits_1TV[0, len(prompt) - 1 : -1].float().log_softmax(-1)
        theirs = float(log_probs_CV.gather(1, ids_1T[0, len(prompt) :, None]).sum())
    slack = 1e-4 if logits_1TV.dtype == torch.float32 else 2e-2
    if abs(ours - theirs) > slack * max(1.0, abs(theirs)):
        raise ModelError(
            f"the output layer of {base_of(model).config.model_type} is not supported: the model itself gives "
            f"{theirs:.3f} nats where we compute {ours:.3f}"
        )


def check_rows(rows: Sequence[Row], ends: Collection[int]) -> None:
    """Check that every completion ends with one of the stop tokens: else the student would unlearn to stop.

    Raises:
        TrainingError: a completion does not.
    """
    for number, row in enumerate(rows, start=1):
        if any(not ids or ids[-1] not in ends for ids in row.completions):
            raise TrainingError(f"row {number}: a completion does not end with a stop token, which is to be scored")


def choose_layout(
    model: Any,
    rows: Sequence[Row],
    config: TrainingConfig,
    pad_token_id: int,
    log: Callable[[str], None],
) -> Layout:
    """Return the layout of the whole run: `config.layout`, or for `auto`, `shared` where it saves tokens and is exact.

    Raises:
        ModelError: `shared` is asked for, and this model's numbers are not those of the plain layout.
    """
    some = range(0, len(rows), max(1, len(rows) // 256))
    groups = [some[start : start + config.batch_size] for start in range(0, len(some), config.batch_size)]
    cut = [part for group in groups for part in Passes("plain", config.tokens_per_batch, 0).cut(group, rows)]
    plain, shared = (sum(tokens_read(part, rows, layout) for part in cut) for layout in ("plain", "shared"))
    padding = 1 - sum(rows[i].tokens - len(rows[i].completions) for i in some) / plain
    if config.layout == "plain":
        log(f"layout: plain, {padding:.0%} of it padding")
        return "plain"
    if config.layout == "auto" and shared > GAIN * plain:
        log(f"layout: plain, {padding:.0%} of it padding; sharing the prompts would leave {shared / plain:.0%} of it")
        return "plain"
    # The longest row is the one that a sliding window cuts; the shortest makes padding.
    ends = {min(enumerate(rows), key=_tokens)[0], max(enumerate(rows), key=_tokens)[0]}
    wrong = shared_fault(model, [rows[i] for i in ends], pad_token_id)
    if wrong is None:
        log(f"layout: shared, {shared / plain:.0%} of the tokens of plain rows, {padding:.0%} of which were padding")
        return "shared"
    if config.layout == "shared":
        raise ModelError(f"train.layout: shared is not exact on this model: {wrong}; take auto or plain")
    log(f"layout: plain, though sharing prompts would leave {shared / plain:.0%} of the tokens: {wrong}")
    return "plain"


def _tokens(numbered: tuple[int, Row]) -> tuple[int, int]:
    """Return the tokens of a numbered row, and its number, which decides between equal ones."""
    return numbered[1].tokens, numbered[0]


def shared_fault(model: Any, rows: Sequence[Row], pad_token_id: int) -> str | None:
    """Return why the shared layout cannot be used on this model, or None if it gives the numbers of plain rows.

    Compared token by token; rounding may differ by a few times what padding alone changes, measured on the same rows.
    """
    device = model.get_input_embeddings().weight.device
    sequences = sequences_of(rows)

    def logps(given: list[Any], layout: Layout) -> Tensor:
        packed = pack(given, layout, pad_token_id=pad_token_id, device=device)
        # A shared row lists tokens in the order of its prompts and completions.
        order = torch.argsort(packed.sequence_N, stable=True)
        return token_logps(model, packed)[order].cpu()

    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            padded_N = logps(sequences, "plain")
            alone_N = torch.cat([logps([one], "plain") for one in sequences])
            with segments(model):
                shared_N = logps(sequences, "shared")
    except (NotImplementedError, TypeError) as error:
        return f"{base_of(model).config.model_type} does not take segments ({str(error).splitlines()[0]})"
    finally:
        model.train(training)
    noise = float((padded_N - alone_N).abs().max())
    floor = 2e-4 if next(model.parameters()).dtype == torch.float32 else 2e-2
    apart = float((shared_N - padded_N).abs().max())
    if apart <= max(floor, 4 * noise):
        return None
    return f"{base_of(model).config.model_type} differs by up to {apart:.4f} nats a token (rounding alone: {noise:.1e})"


def check_gradients(parameters: Mapping[str, Any]) -> None:
    """Check after the first backward pass that a gradient reaches every adapter matrix. Raises TrainingError."""
    if without := unreached(parameters):
        what = f"{len(without)} of {len(parameters)} adapter matrices, such as {without[0]}"
        raise TrainingError(f"no gradient reaches {what}")


def unreached(parameters: Mapping[str, Any]) -> list[str]:
    """Return the names of the adapter matrices that no gradient has reached."""
    return [name for name, p in parameters.items() if p.grad is None]
