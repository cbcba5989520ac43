"""What torchrun tells each of the processes that it starts: its rank, and how many there are."""

from __future__ import annotations

import os
from typing import NamedTuple

_OF_TORCHRUN = "TORCHELASTIC_RUN_ID"  # WORLD_SIZE alone is also set by schedulers, for processes of other kinds


class Launch(NamedTuple):
    """The place of this process among those that were started together.

    `rank` counts from 0 to `world_size`; `local_rank` and `local_world_size` are those of this machine alone.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_world_size: int = 1


def launch() -> Launch:
    """Return the place of this process as torchrun set it in the environment; without torchrun, rank 0 of 1."""
    if _OF_TORCHRUN not in os.environ:
        return Launch()
    return Launch(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")))
