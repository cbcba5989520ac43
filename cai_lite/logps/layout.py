"""The layouts of prompts and completions in one pass of a model.

`plain`: one padded row per completion, with its prompt before it; every model supports this. `shared`: one row without
padding, in which each distinct prompt occurs once, followed by its completions; each completion attends only to its
prompt and itself (see `attention`). The positions of a completion continue those of its prompt, so both layouts give
the same log-probabilities.

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
    """A prompt of a shared row and its completions: their numbers of tokens, in the order of the row."""

    prompt: int
    completions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Segments:
    """The groups of a shared row, as attention needs them; `masks` is a cache that the layers of one pass share."""

    groups: tuple[Group, ...]
    masks: dict[tuple[int | None, ...], Tensor] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """The input of one pass, and where to find its predictions.

    The hidden state at index `predicts_N` of the flattened rows predicts the token `targets_N`, which belongs to the
    sequence with index `sequence_N`. That of the last token of each sequence that is read is at index `last_S`. The
    plain layout uses `mask_RT`; the shared layout uses `positions_RT` and `segments`. Fields that a layout does not use
    are None.
    """

    ids_RT: Tensor
    positions_RT: Tensor | None
    mask_RT: Tensor | None
    segments: Segments | None
    predicts_N: Tensor
    targets_N: Tensor
    sequence_N: Tensor
    last_S: Tensor
    sequences: int

    def inputs(self) -> dict[str, Any]:
        """Return the keyword arguments of the model's forward pass."""
        if self.segments is not None:
            extra: dict[str, Any] = {"position_ids": self.positions_RT, "segments": self.segments}
        else:
            extra = {"attention_mask": self.mask_RT}
        return {"input_ids": self.ids_RT, "use_cache": False, **extra}


def pack(
    sequences: Sequence[tuple[Ids, Ids]],
    layout: Layout,
    *,
    pad_token_id: int,
    device: Any = "cpu",
    whole: bool = False,
) -> Packed:
    """Pack sequences of (prompt ids, completion ids) into one pass.

    The last token of a completion is not part of the input, since nothing is predicted from it, unless `whole` asks
    for it: a score is read there.
    """
    rows = _Rows(unread=0 if whole else 1)
    if layout == "plain":
        width = _width(sequences, whole)
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
        last_S=torch.tensor([rows.last[place] for place in range(len(sequences))], device=device),
        sequences=len(sequences),
    )


def tokens_of(sequences: Sequence[tuple[Ids, Ids]], layout: Layout, *, whole: bool = False) -> int:
    """Return the number of input tokens of a pass with these sequences, padding included; `whole` as in `pack`."""
    if layout == "plain":
        return len(sequences) * _width(sequences, whole)
    prompts = {prompt for prompt, _ in sequences}
    return sum(map(len, prompts)) + sum(len(completion) - (not whole) for _, completion in set(sequences))


def _width(sequences: Sequence[tuple[Ids, Ids]], whole: bool) -> int:
    return max(len(prompt) + len(completion) - (not whole) for prompt, completion in sequences)


class _Rows:
    """The columns of a pass under construction, with all rows concatenated.

    `unread`: number of tokens at the end of a completion that are not read. `last`: by sequence, the index of the last
    one that is.
    """

    def __init__(self, unread: int) -> None:
        self.unread = unread
        self.last: dict[int, int] = {}
        self.ids: list[int] = []
        self.positions: list[int] = []
        self.read: list[int] = []
        self.predicts: list[int] = []
        self.targets: list[int] = []
        self.sequence: list[int] = []
        self.groups: list[tuple[int, list[int]]] = []

    def begin(self, prompt: Ids) -> None:
        """Add a prompt, to which the next completions belong."""
        self._extend(prompt, 0)
        self.groups.append((len(prompt), []))

    def add(self, completion: Ids, places: list[int]) -> None:
        """Add a completion to the current prompt; `places` are the indices of the sequences that have it."""
        prompt, sizes = self.groups[-1]
        last = len(self.ids) - sum(sizes) - 1  # the prompt's last token predicts each completion's first
        start = len(self.ids)
        self._extend(completion[: len(completion) - self.unread], prompt)
        sizes.append(len(completion) - self.unread)
        for place in places:
            self.predicts += [last, *range(start, start + len(completion) - 1)]
            self.last[place] = len(self.ids) - 1 if sizes[-1] else last
            self.targets += completion
            self.sequence += [place] * len(completion)

    def pad(self, length: int, token: int) -> None:
        """Add padding up to a total of `length` tokens."""
        missing = length - len(self.ids)
        self.ids += [token] * missing
        self.positions += [0] * missing
        self.read += [0] * missing

    def _extend(self, ids: Ids, position: int) -> None:
        self.positions += range(position, position + len(ids))
        self.read += [1] * len(ids)
        self.ids += ids
