"""The processes (ranks) of one training under torchrun: each computes a share of every update; rank 0 alone writes.

Every rank holds the whole model, or with `train.shard` a part of each frozen layer (`sharding`). The passes or rows of
an update are dealt to the ranks, the gradients of the adapter are added up, rank 0 makes the step and sends the new
weights to the others. So the state of the optimizer and the files are those of a training in one process, and a
checkpoint of any number of ranks resumes on any other.

How near the result is to that of one process depends on the passes. If they are the same ones (`gradient_accumulation`
of at least the number of ranks), every bit is the same, since gradients are added in the same order. If they are not,
losses agree to about 1e-6 and gradients to 1e-6 of their norm, and AdamW makes more of it: an element whose first
gradients are below that rounding gets steps of up to the learning rate in either direction. On the embedded student at
2.5e-3, 15 of 57,984 weights were more than 1e-5 apart after 30 updates, 1.9e-4 at most; with SGD, 1e-9 after 8. One
process that cuts its updates into other passes differs as much from itself.

DistributedDataParallel is not used: it averages gradients over ranks after backward passes, in an order of its own,
while here ranks have different numbers of passes and rows, and the losses of an update are already divided by its size,
so gradients only have to be added. An adapter is small: for a 7B model and rank 16, a sum takes 160 MB.
"""

from __future__ import annotations

import heapq
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import distributed

from cai_lite.errors import InputError, Stopped
from cai_lite.records import digest
from cai_lite.run.launch import launch

T = TypeVar("T")
dist: Any = distributed  # many of its functions have no types

PATIENCE = timedelta(hours=1)  # for ranks that load or download more slowly; one that ended is noticed at once


class Ranks:
    """All processes of a training, seen from one of them.

    Every method must be called by all ranks in the same order. With one process, none of them does anything.
    """

    def __init__(self, rank: int = 0, world_size: int = 1, group: Any = None) -> None:
        self.rank, self.world_size, self.group = rank, world_size, group
        self._stops = False

    @property
    def first(self) -> bool:
        """Whether this process writes the files, shows the progress and makes the steps."""
        return self.rank == 0

    @contextmanager
    def folder(self, out: Path) -> Iterator[Path]:
        """Yield where this process writes: `out` for rank 0, for others a temporary folder that nobody reads."""
        if self.first:
            yield out
            return
        with tempfile.TemporaryDirectory(prefix=f"cai-lite-rank-{self.rank}-") as folder:
            yield Path(folder)

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """Run the block on one rank after the other, so that what it takes for a while is taken once."""
        for rank in range(self.world_size):
            if rank == self.rank:
                yield
            self.gathered(None)

    def gathered(self, value: T) -> list[T]:
        """Return the values of all ranks, by rank."""
        if self.world_size == 1:
            return [value]
        found: list[Any] = [None] * self.world_size
        with _together():
            dist.all_gather_object(found, value, group=self.group)
        return found

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set on any rank."""
        return any(self.gathered(flag))

    def told(self, make: Callable[[], T]) -> T:
        """Return what `make` returns on rank 0; it is called there alone.

        Raises:
            Stopped: it failed there; rank 0 raises its own error.
        """
        if self.world_size == 1:
            return make()
        told: list[Any] = [None, None]
        error: Exception | None = None
        if self.first:
            try:
                told[0] = make()
            except Exception as raised:
                error, told[1] = raised, str(raised) or type(raised).__name__
        with _together():
            dist.broadcast_object_list(told, src=self._source, group=self.group)
        if error is not None:
            raise error
        if told[1] is not None:
            raise Stopped(f"rank 0 stopped: {told[1]}")
        return told[0]  # type: ignore[no-any-return]

    def add(self, tensor: torch.Tensor) -> None:
        """Replace a tensor by its sum over all ranks."""
        if self.world_size > 1:
            with _together():
                dist.all_reduce(tensor, group=self.group)

    def spread(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Give every rank the values that rank 0 has."""
        if self.world_size == 1:
            return
        some = list(parameters)
        flat = torch.cat([p.detach().flatten().float() for p in some])
        with _together():
            dist.broadcast(flat, src=self._source, group=self.group)
        if not self.first:
            with torch.no_grad():
                for parameter, values in zip(some, torch.split(flat, [p.numel() for p in some]), strict=True):
                    parameter.copy_(values.view_as(parameter))

    def check_same(self, found: Mapping[str, str]) -> None:
        """Check that all ranks have the same digests, by what they are of.

        Raises:
            InputError: they differ; the message names what differs, and on which ranks.
        """
        first, *others = self.gathered(dict(found))
        for what in first:
            if unlike := [str(rank) for rank, other in enumerate(others, 1) if other.get(what) != first[what]]:
                raise InputError(
                    f"the {what} of rank {', '.join(unlike)} differs from that of rank 0: start all processes with the "
                    "same command, the same files and the same versions of the packages"
                )

    def draw_apart(self, *seed: int) -> None:
        """Seed the dropout of an update on this rank apart from other ranks; rank 0 draws as a process alone does."""
        if not self.first:
            torch.manual_seed(int(digest("rank", self.rank, *seed)[:12], 16))

    def agree_to_stop(self, asked: bool) -> bool:
        """Return whether a signal asked any rank to stop; then `check` stops all of them before the next update."""
        if self.world_size > 1:
            asked = self._stops = self.any(asked)
        return asked

    def check(self) -> None:
        """Stop here if the ranks have agreed to.

        Raises:
            KeyboardInterrupt: they have.
        """
        if self._stops:
            raise KeyboardInterrupt

    @property
    def _source(self) -> int:
        return 0 if self.group is None else dist.get_global_rank(self.group, 0)


class GradientSums:
    """The gradients of parameters, summed over ranks and rounds: one after the other, from rank 0 on.

    `all_reduce` adds in an order of its own. Here each rank adds up a part of all numbers in order, and `put` gives all
    parts to all: of one round, they send as many bytes.
    """

    def __init__(self, ranks: Ranks, parameters: Sequence[torch.nn.Parameter]) -> None:
        self._ranks, self._parameters = ranks, parameters
        self._part: torch.Tensor | None = None

    def add(self) -> None:
        """Add the gradients that the ranks have now, and take them off the parameters."""
        if (world_size := self._ranks.world_size) == 1:
            return
        some = self._parameters
        reached = some[0].new_tensor([float(p.grad is not None) for p in some], dtype=torch.float32)
        grads = [p.new_zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in some]
        size = sum(p.numel() for p in some) + len(some)
        filling = reached.new_zeros(-size % world_size)
        sent = torch.cat([reached, *(grad.float() for grad in grads), filling])
        for parameter in some:
            parameter.grad = None
        received = torch.empty_like(sent)
        with _together():
            dist.all_to_all_single(received, sent, group=self._ranks.group)
        for part in received.view(world_size, -1):
            self._part = part.clone() if self._part is None else self._part.add_(part)

    def put(self) -> None:
        """Make the sums the gradients of the parameters; one that has none on any rank keeps none."""
        if self._part is None:
            return
        some, numbers = self._parameters, self._part.new_empty(self._ranks.world_size * len(self._part))
        with _together():
            dist.all_gather(list(torch.split(numbers, len(self._part))), self._part, group=self._ranks.group)
        reached, sums = numbers[: len(some)].tolist(), numbers[len(some) :]
        for parameter, any_ in zip(some, reached, strict=True):
            total, sums = sums[: parameter.numel()], sums[parameter.numel() :]
            parameter.grad = total.view_as(parameter).to(parameter.dtype) if any_ else None
        self._part = None


ALONE = Ranks()
_joined: Ranks | None = None  # inside of `joined`


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the other processes that torchrun started, or those of the caller's own process group.

    Raises:
        InputError: there are more processes on this machine than GPUs.
        Stopped: the others cannot be reached, or one of them has ended.
    """
    global _joined
    if _joined is not None:
        yield _joined
        return
    place, callers = launch(), dist.is_available() and dist.is_initialized()
    if not callers and place.world_size == 1:
        yield ALONE
        return
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    backend = "cpu:gloo,cuda:nccl" if gpus else "gloo"
    if callers:
        ranks = Ranks(dist.get_rank(), dist.get_world_size(), dist.new_group(backend=backend, timeout=PATIENCE))
    else:
        if gpus and place.local_world_size > gpus:
            raise InputError(
                f"torchrun started {place.local_world_size} processes on this machine, which has {gpus} GPUs; lower "
                "--nproc_per_node"
            )
        if gpus:
            torch.cuda.set_device(place.local_rank)
        with _together():
            dist.init_process_group(backend, timeout=PATIENCE)
        ranks = Ranks(dist.get_rank(), dist.get_world_size())
        assert (ranks.rank, ranks.world_size) == place[:2], f"{ranks.rank} of {ranks.world_size}, but {place}"
    _joined = ranks
    try:
        try:
            yield ranks
        except RuntimeError as error:
            if "gloo" in str(error) or isinstance(error, dist.DistError):  # while the layers of a pass were gathered
                raise _ended(error) from error
            raise
        # After an error the group is left alone: others may be gone, and closing could wait for them.
        ranks.gathered(None)
        if not callers:
            dist.destroy_process_group()
    finally:
        _joined = None


def dealt(weights: Sequence[int], ranks: int) -> list[list[int]]:
    """Return the places in `weights` that each rank gets, in order, so that the sums of their weights are near.

    The heaviest is dealt first, always to the rank with the least so far.

    Source: Graham 1969, "Bounds on multiprocessing timing anomalies".
    """
    hands: list[list[int]] = [[] for _ in range(ranks)]
    loads = [(0, rank) for rank in range(ranks)]
    for place in sorted(range(len(weights)), key=lambda place: (-weights[place], place)):
        load, rank = loads[0]
        hands[rank].append(place)
        heapq.heapreplace(loads, (load + weights[place], rank))
    return [sorted(hand) for hand in hands]


@contextmanager
def _together() -> Iterator[None]:
    """Turn a failed exchange between ranks into words.

    Raises:
        Stopped: another rank has ended, or does not answer.
    """
    try:
        yield
    except RuntimeError as error:  # of torch.distributed and its backends
        raise _ended(error) from error


def _ended(error: RuntimeError) -> Stopped:
    """Return the error of a rank that can no longer reach another one; gloo begins with a place in its own code."""
    why = re.sub(r"^\[\S+\] ", "", str(error).strip()).splitlines()[:1]
    what = "".join(why).split(". ")[0][:200]
    return Stopped(
        "another process of this training has ended or cannot be reached; its own message, or torchrun's, says why "
        f"({what})"
    )
