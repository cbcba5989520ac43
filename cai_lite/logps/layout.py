"""How completions lie in one pass of the model.

`plain`: one padded row for each completion, its prompt before it; every model can do it. `shared`: one row for all,
without padding; each distinct prompt stands once, its completions behind it, and each completion sees its prompt and
itself alone (see `attention`). Positions go on from the prompt in every completion, so both layouts mean the same.

Shapes: R rows, T tokens of a row, N completion tokens of all sequences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

Layout = Literal["plain", "shared"]
Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One prompt of a shared row with its completions: numbers of tokens, in the order in which they lie."""

    prompt: int
    completions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Segments:
    """What attention must know of a shared row. `masks`: made by its first layer, used by the others of this pass."""

    groups: tuple[Group, ...]
    masks: dict[tuple[int | None, ...], Tensor] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """Input of one pass. The state at `predicts_N`, counted over the flattened rows, predicts `targets_N`, a token of
    sequence `sequence_N`.

    `mask_RT` belongs to the plain layout, where positions count from 0; `positions_RT` and `segments` to the shared
    one. What a layout does not read is None.
    """

    ids_RT: Tensor
    positions_RT: Tensor | None
    mask_RT: Tensor | None
    segments: Segments | None
    predicts_N: Tensor
    targets_N: Tensor
    sequence_N: Tensor
    sequences: int

    def inputs(self) -> dict[str, Any]:
        """Keyword arguments of the model's forward."""
        if self.segments is not None:
            extra: dict[str, Any] = {"position_ids": self.positions_RT, "segments": self.segments}
        else:
            extra = {"attention_mask": self.mask_RT}
        return {"input_ids": self.ids_RT, "use_cache": False, **extra}


def pack(sequences: Sequence[tuple[Ids, Ids]], layout: Layout, *, pad_token_id: int, device: Any = "cpu") -> Packed:
    """Sequences of (prompt ids, completion ids) in one pass.

    A completion's last token is no input: nothing is predicted from it.
    """
    rows = _Rows()
    if layout == "plain":
        width = _width(sequences)
        for place, (prompt, completion) in enumerate(sequences):
            rows.begin(prompt)
            rows.add(completion, [place])
            rows.pad(width * (place + 1), pad_token_id)
    else:
        by_prompt: dict[Ids, dict[Ids, list[int]]] = {}
        for place, (prompt, completion) in enumerate(sequences):
            by_prompt.setdefault(prompt, {}).setdefault(completion, []).append(place)
        for prompt, completions in by_prompt.items():
            rows.begin(prompt)
            for completion, places in completions.items():
                rows.add(completion, places)
        width = len(rows.ids)
    shared = layout == "shared"
    groups = tuple(Group(prompt=prompt, completions=tuple(sizes)) for prompt, sizes in rows.groups)
    return Packed(
        ids_RT=torch.tensor(rows.ids, device=device).view(-1, width),
        positions_RT=torch.tensor(rows.positions, device=device).view(-1, width) if shared else None,
        mask_RT=None if shared else torch.tensor(rows.read, device=device).view(-1, width),
        segments=Segments(groups) if shared else None,
        predicts_N=torch.tensor(rows.predicts, device=device),
        targets_N=torch.tensor(rows.targets, device=device),
        sequence_N=torch.tensor(rows.sequence, device=device),
        sequences=len(sequences),
    )


def tokens_of(sequences: Sequence[tuple[Ids, Ids]], layout: Layout) -> int:
    """Tokens that the model reads for them in one pass, padding included."""
    if layout == "plain":
        return len(sequences) * _width(sequences)
    prompts = {prompt for prompt, _ in sequences}
    return sum(map(len, prompts)) + sum(len(completion) - 1 for _, completion in set(sequences))


def _width(sequences: Sequence[tuple[Ids, Ids]]) -> int:
    return max(len(prompt) + len(completion) - 1 for prompt, completion in sequences)


class _Rows:
    """Columns of a pass while it is put together, all rows behind each other."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.positions: list[int] = []
        self.read: list[int] = []
        self.predicts: list[int] = []
        self.targets: list[int] = []
        self.sequence: list[int] = []
        self.groups: list[tuple[int, list[int]]] = []

    def begin(self, prompt: Ids) -> None:
        self._extend(prompt, 0)
        self.groups.append((len(prompt), []))

    def add(self, completion: Ids, places: list[int]) -> None:
        """A completion behind the prompt that was begun; `places`: the sequences whose it is."""
        prompt, sizes = self.groups[-1]
        last = len(self.ids) - sum(sizes) - 1  # the prompt's last token predicts each completion's first
        start = len(self.ids)
        self._extend(completion[:-1], prompt)
        sizes.append(len(completion) - 1)
        for place in places:
            self.predicts += [last, *range(start, len(self.ids))]
            self.targets += completion
            self.sequence += [place] * len(completion)

    def pad(self, length: int, token: int) -> None:
        missing = length - len(self.ids)
        self.ids += [token] * missing
        self.positions += [0] * missing
        self.read += [0] * missing

    def _extend(self, ids: Ids, position: int) -> None:
        self.positions += range(position, position + len(ids))
        self.read += [1] * len(ids)
        self.ids += ids
