"""Ask a model, but only for what the run does not know yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cai_lite.chat.base import ChatModel
from cai_lite.ledger import Run
from cai_lite.records import Reply, Request

Tick = Callable[[int, int], None]
"""Told (done, total) while a stage works."""


def ask(
    model: ChatModel, requests: Sequence[Request], *, run: Run, stage: str, progress: Tick | None = None
) -> list[Reply]:
    """One reply per request, in the order asked. Each is in the run's ledger the moment it arrives.

    The same request (equal key) is asked once. Calls that failed before are asked again.
    """
    tick = progress or (lambda done, total: None)
    keys = [request.key(model.digest) for request in requests]
    known = run.replies(dict.fromkeys(keys))
    wanted = {key: request for key, request in zip(keys, requests, strict=True) if key not in known}
    total = len(known) + len(wanted)
    tick(len(known), total)
    if wanted:
        wanted_keys = list(wanted)
        for batch in model.answer(list(wanted.values())):
            arrived = {wanted_keys[position]: reply for position, reply in batch.items()}
            run.keep_replies(stage, model.name, arrived)
            known.update(arrived)
            tick(len(known), total)
    return [known[key] for key in keys]
