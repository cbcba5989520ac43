"""Trainings in several processes at once, as torchrun starts them; run in a forkserver that imports torch only once."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import traceback
from pathlib import Path
from typing import Any

MODULES = ["tests.training.preloaded", "tests.training.processes", "torch.distributed.fsdp"]

PATIENCE = 600.0  # seconds, on a busy machine


def together(world_size: int, out: Path, student: str, pairs: Any, settings: dict[str, Any], **more: Any) -> list[Any]:
    """Train in so many processes; return what each ended with: a dictionary, or the error as "type: message".

    `more`: what `_train` takes besides.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(MODULES)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    results = out.with_name(f"{out.name}-results")
    results.mkdir(parents=True, exist_ok=True)
    processes = []
    for rank in range(world_size):
        given = (rank, world_size, port, results / f"{rank}.json", out, student, pairs, settings, more)
        processes.append(context.Process(target=_rank, args=given, daemon=True))
        processes[-1].start()
    for process in processes:
        process.join(PATIENCE)
        assert process.exitcode is not None, "a rank waits forever"
    found = [results / f"{rank}.json" for rank in range(world_size)]
    return [json.loads(file.read_text()) if file.exists() else None for file in found]


def _rank(
    rank: int,
    world_size: int,
    port: int,
    result: Path,
    out: Path,
    student: str,
    pairs: Any,
    settings: dict[str, Any],
    more: dict[str, Any],
) -> None:
    result.unlink(missing_ok=True)
    place = {"RANK": rank, "WORLD_SIZE": world_size, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": world_size}
    if world_size > 1:
        os.environ.update({name: str(value) for name, value in place.items()})
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), TORCHELASTIC_RUN_ID="test")
    from cai_lite.run import signals

    with signals.handled():
        try:
            found: Any = _train(rank, out, student, pairs, settings, **more)
        except BaseException as error:
            traceback.print_exc()
            found = f"{type(error).__name__}: {error}"
    result.write_text(json.dumps(found))


def _train(
    rank: int,
    out: Path,
    student: str,
    pairs: Any,
    settings: dict[str, Any],
    *,
    interrupt: tuple[int, int] | None = None,
    dies: tuple[int, int] | None = None,
    short_of_memory: int | None = None,
    drop_pair_on: int | None = None,
) -> Any:
    """Train as one rank. `interrupt`: (rank, update) at which it gets SIGTERM; `dies`: where it ends without a word.

    `short_of_memory`: the rank whose passes may hold a single pair. `drop_pair_on`: the rank that has one pair less.
    """
    import torch

    from cai_lite.training import loop, update

    torch.set_num_threads(1)
    said: list[str] = []
    held: list[int] = []
    honest, updates, full = update.Objective.loss_of_pass, iter(range(1, 10_000)), update.Objective._shares

    def shares(self: Any, batch: Any) -> Any:
        at = (rank, next(updates))
        if at == interrupt:
            os.kill(os.getpid(), signal.SIGTERM)
        if at == dies:
            os._exit(9)
        return full(self, batch)

    def short(self: Any, part: Any, rows: Any) -> Any:
        if rank == short_of_memory and len(part) > 1:
            raise torch.OutOfMemoryError("as a GPU says it")
        return honest(self, part, rows)

    def noted(model: Any) -> Any:
        held[:] = held or sizes(model)
        return sizes(model)

    sizes, loop.held = loop.held, noted
    update.Objective._shares, update.Objective.loss_of_pass = shares, short  # type: ignore[method-assign]
    result = loop.train(
        student,
        pairs[: len(pairs) - (rank == drop_pair_on)],
        config=loop.TrainingConfig(**settings),
        out=out,
        log=said.append,
    )
    told = {"adapter": str(result.adapter), "resumed_from": result.resumed_from, "last": result.last}
    return {**told, "said": said, "held": held}
