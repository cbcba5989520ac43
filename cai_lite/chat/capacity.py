"""Choose how many rows are decoded together on a GPU, by the memory that one row takes.

The memory is measured, not computed from the configuration: the bytes of all live storages are counted during a pass
with one row and a pass with two. So every architecture is covered, and quantised weights that are dequantised for a
pass count once, not for each row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

SMALL = 16384  # tokens of a batch on a CPU, where larger ones are no faster, and where measuring is not worth it
SHARE = 0.8  # share of a GPU's free memory that a batch may use; the rest is fragmentation and workspaces
STEP = 256  # widths are measured in multiples of this number of tokens
PER_LOGIT = 24  # bytes per row and token of the vocabulary: logits in the model's dtype and float32, probabilities


@dataclass(frozen=True, slots=True)
class RowCost:
    """The memory of a batch, in bytes.

    `fixed`: what a pass takes whatever its rows. `prefill`: what each row adds in the pass over the prompts, its cache
    included. `cached`: a row's cache per token of prompt and reply. `drawn`: what a row takes when its token is drawn.
    `layers`: the number of layers with a cache.
    """

    fixed: int
    prefill: int
    cached: float
    drawn: int
    layers: int

    def rows(self, budget: float, width: int) -> int:
        """Return how many rows of `width` tokens fit `budget` bytes, at least 1."""
        # While a layer is extended, its cache is there twice, and its keys and values are repeated for all heads.
        decoding = self.cached * width * (1 + 4 / self.layers) + self.drawn
        return max(1, int((budget - self.fixed) // max(self.prefill + self.drawn, decoding)))


ONE_ROW = RowCost(fixed=0, prefill=1 << 62, cached=0.0, drawn=0, layers=1)  # where a second row does not fit


def batches(
    order: Sequence[int], prompts: Sequence[int], replies: Sequence[int], rows: Callable[[int, int], int]
) -> Iterator[list[int]]:
    """Yield batches of consecutive requests of `order`.

    `prompts` and `replies` hold each request's number of tokens; `rows(prompt, width)` returns how many rows may be
    decoded together whose longest prompt has `prompt` tokens and whose prompt and reply together have `width`.
    """
    batch: list[int] = []
    prompt = width = 0
    for i in order:
        widest = max(width, prompts[i] + replies[i])
        if batch and len(batch) + 1 > rows(max(prompt, prompts[i]), widest):
            yield batch
            batch, prompt, widest = [], 0, prompts[i] + replies[i]
        batch.append(i)
        prompt, width = max(prompt, prompts[i]), widest
    if batch:
        yield batch


def row_cost(model: Any, prompt: int) -> RowCost:
    """Measure the memory of a batch of prompts with `prompt` tokens each."""
    import torch

    from cai_lite.chat.decoding import forward, new_cache
    from cai_lite.logps.footprint import Live

    device = model.get_input_embeddings().weight.device
    peaks, kept = [], []
    for rows in (1, 2):
        ids_BT = torch.zeros(rows, prompt, dtype=torch.long, device=device)
        positions_BT = torch.arange(prompt, device=device).expand(rows, -1)
        cache, live = new_cache(model), Live()
        with torch.inference_mode(), live:
            vocabulary = forward(model, ids_BT, torch.ones_like(ids_BT), positions_BT, cache).shape[-1]
        peaks.append(live.peak)
        kept.append(sum(_bytes(vars(layer)) for layer in cache.layers))
    return RowCost(
        fixed=max(0, 2 * peaks[0] - peaks[1]),
        prefill=max(1, peaks[1] - peaks[0]),
        cached=(kept[1] - kept[0]) / prompt,
        drawn=PER_LOGIT * vocabulary,
        layers=sum(_bytes(vars(layer)) > 0 for layer in cache.layers) or 1,
    )


def free_bytes(device: Any) -> float | None:
    """Return the memory that a batch may use on a GPU, in bytes; None on a CPU."""
    import torch

    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return SHARE * (torch.cuda.mem_get_info(device)[0] + unused)
    if device.type == "mps":
        return SHARE * float(torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    return None


def release(device: Any) -> None:
    """Return cached blocks to the device after it has run out of memory."""
    import torch

    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


@contextmanager
def within_memory() -> Iterator[None]:
    """Within this context, running out of memory ends the block and is no error; what its frames held is let go."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return True if the error says that memory ran out; CPUs and MPS have no class of their own for it."""
    import torch

    said = str(error)
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in said or "not enough memory" in said


def _bytes(thing: Any) -> int:
    """Return the bytes of all tensors in the attributes of a cache layer."""
    import torch

    if isinstance(thing, torch.Tensor):
        return thing.nbytes if thing.dim() else 0
    if isinstance(thing, dict):
        return sum(map(_bytes, thing.values()))
    return sum(map(_bytes, thing)) if isinstance(thing, list | tuple) else 0
