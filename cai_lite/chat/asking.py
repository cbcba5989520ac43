"""Ask a model, but only for what the run does not know yet; and `Stage`, which a step of the walk works through."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cai_lite.chat.base import ChatModel, Collecting
from cai_lite.chat.faults import Watch
from cai_lite.errors import Stopped
from cai_lite.records import Reply, Request
from cai_lite.run.ledger import Budget, Run
from cai_lite.run.progress import Tick, tick_of

LOOK = 128  # calls between two checks of the budget, and so the largest number of calls beyond it


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step of the walk: the run it writes to, its name in the ledger, and who is told how far it is.

    `watch`: says and judges the share of unusable replies; without one, faults are only counted. `say`: called with a
    sentence about calls that take hours. `live`: nothing is left to a batch, since somebody waits for the replies.
    """

    run: Run = field(default_factory=Run)
    name: str
    tick: Tick | None = None
    watch: Watch | None = None
    say: Callable[[str], None] | None = None
    live: bool = False

    def ask(self, model: ChatModel, requests: Sequence[Request], *, section: str = "") -> list[Reply]:
        """Return one reply per request; see `ask`. `section`: the section of a recipe that sets these requests.

        Raises:
            Stopped: the budget is spent, or nearly all of the first replies are unusable.
        """
        watch = self.watch
        seen = None if watch is None else lambda arrived: watch.arrived(self.name, model, section, arrived)
        return ask(
            model,
            requests,
            run=self.run,
            stage=self.name,
            progress=self.tick,
            seen=seen,
            say=self.say,
            live=self.live,
        )

    def keep(self, kind: str, rows: Iterable[tuple[str, Iterable[str], Mapping[str, Any]]]) -> None:
        """Write (key, parents, payload) rows to the run; a row that is there already stays as it is."""
        self.run.keep_rows(kind, rows)

    def count(self, counts: Mapping[str, int], *, of: str = "") -> None:
        """Replace the counts of this stage, or those of its part `of`."""
        self.run.count(f"{self.name} {of}".strip(), counts)

    def weigh(self, rows: int, unusable: Mapping[str, int], *, section: str, of: str = "replies") -> None:
        """Say which share of the rows could not be used; to be called once all of them are counted and kept.

        `unusable`: number of rows by kind of fault. `section`: the section of a recipe that sets the requests. `of`:
        what a row is, in the plural.

        Raises:
            Stopped: too many rows are unusable to go on.
        """
        if self.watch is not None:
            self.watch.counted(self.name, rows, unusable, section=section, of=of)


def stage_of(stage: str | Stage, run: Run | None, progress: Tick | bool | None) -> Stage:
    """Return `stage` if it is a `Stage`, else a new stage of that name in `run`, or in memory if `run` is None."""
    if isinstance(stage, Stage):
        return stage
    return Stage(run=run or Run(), name=stage, tick=tick_of(progress, stage))


def ask(
    model: ChatModel,
    requests: Sequence[Request],
    *,
    run: Run,
    stage: str,
    progress: Tick | None = None,
    seen: Callable[[Sequence[tuple[Request, Reply]]], None] | None = None,
    say: Callable[[str], None] | None = None,
    live: bool = False,
) -> list[Reply]:
    """Return one reply per request, in the same order. Each reply is stored in the run as soon as it arrives.

    Requests with equal keys are sent once, and replies stored under one of the model's `former_digests` count as its
    own. Calls that failed earlier are repeated. If the run has a budget, it is checked before every `LOOK` calls.
    `seen` is called with the replies that are known already, then with each batch once it is stored; an error that it
    raises ends the asking. A model that takes batches submits the requests as such, unless `live`; it minds the budget
    itself, and `say` is called with what it says.

    Raises:
        Stopped: the run's budget is spent, or the server answers no more for now; the replies so far are stored.
    """
    tick = progress or (lambda done, total: None)
    keys = [request.key(model.digest) for request in requests]
    known = run.replies(dict.fromkeys(keys))
    for former in getattr(model, "former_digests", ()):
        formerly = {request.key(former): key for key, request in zip(keys, requests, strict=True) if key not in known}
        known.update((formerly[key], reply) for key, reply in run.replies(formerly).items())
    wanted = {key: request for key, request in zip(keys, requests, strict=True) if key not in known}
    total = len(known) + len(wanted)
    tick(len(known), total)
    if known and (answered_before := getattr(model, "answered_before", None)) is not None:
        answered_before()
    if seen is not None and known:
        asked = dict(zip(keys, requests, strict=True))
        seen([(asked[key], reply) for key, reply in known.items()])
    wanted_keys = list(wanted)
    collects = isinstance(model, Collecting) and not live
    step = LOOK if run.budget != Budget() and not collects else max(1, len(wanted_keys))
    for start in range(0, len(wanted_keys), step):
        part = wanted_keys[start : start + step]
        requested = [wanted[key] for key in part]
        if isinstance(model, Collecting) and collects:
            answers = model.collect(
                requested,
                run=run,
                waiting=lambda ready: tick(min(total, len(known) + ready), total),
                say=say or (lambda sentence: None),
            )
        else:
            run.check_budget()
            answers = model.answer(requested)
        for batch in _counting(answers, known, total, stage):
            arrived = {part[position]: reply for position, reply in batch.items()}
            run.keep_replies(stage, model.name, arrived)
            known.update(arrived)
            tick(len(known), total)
            if seen is not None:
                seen([(wanted[key], reply) for key, reply in arrived.items()])
    return [known[key] for key in keys]


def _counting(
    batches: Iterable[dict[int, Reply]], known: Mapping[str, Reply], total: int, stage: str
) -> Iterator[dict[int, Reply]]:
    """Yield the batches; where the model stops the run, say how many calls are answered.

    Raises:
        Stopped: the model answers no more for now.
    """
    try:
        yield from batches
    except Stopped as error:
        answered = sum(reply.outcome != "failed" for reply in known.values())
        raise Stopped(f"{stage}: {answered:,} of {total:,} calls are answered and kept; {error}") from error
