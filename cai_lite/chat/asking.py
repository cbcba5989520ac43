"""Ask a model, but only for what the run does not know yet."""

from __future__ import annotations

from collections.abc import Sequence

from cai_lite.chat.base import ChatModel
from cai_lite.records import Reply, Request
from cai_lite.run.ledger import Budget, Run
from cai_lite.run.progress import Tick

LOOK = 128  # calls between two looks at the budget, which may be overspent by so many


def ask(
    model: ChatModel, requests: Sequence[Request], *, run: Run, stage: str, progress: Tick | None = None
) -> list[Reply]:
    """One reply per request, in the order asked. Each is in the run's ledger the moment it arrives.

    The same request (equal key) is asked once. Calls that failed before are asked again. Where the run has a budget,
    it is looked at before every `LOOK` calls.

    Raises:
        Stopped: the run's budget is spent; what was answered is kept.
    """
    tick = progress or (lambda done, total: None)
    keys = [request.key(model.digest) for request in requests]
    known = run.replies(dict.fromkeys(keys))
    wanted = {key: request for key, request in zip(keys, requests, strict=True) if key not in known}
    total = len(known) + len(wanted)
    tick(len(known), total)
    wanted_keys = list(wanted)
    bounded = run.budget != Budget()
    step = LOOK if bounded else max(1, len(wanted_keys))
    for start in range(0, len(wanted_keys), step):
        some = wanted_keys[start : start + step]
        run.check_budget()
        for batch in model.answer([wanted[key] for key in some]):
            arrived = {some[position]: reply for position, reply in batch.items()}
            run.keep_replies(stage, model.name, arrived)
            known.update(arrived)
            tick(len(known), total)
    return [known[key] for key in keys]
