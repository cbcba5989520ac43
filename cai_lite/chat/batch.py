"""A model on a server with a batch API in OpenAI's form: many requests are submitted as a file, at half the price.

The same requests have the same keys live and in a batch, so a run may change between the two at any time. What is
submitted is noted in the run before its replies are awaited: a run that is killed, or ended by Ctrl-C, finds the batch
again and pays once.

Source: https://platform.openai.com/docs/guides/batch
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from cai_lite.chat.asking import LOOK
from cai_lite.chat.batch_calls import BatchCalls
from cai_lite.chat.batch_rows import HALF, Answered, RequestFile, replies_in, request_files
from cai_lite.chat.completions import estimated_tokens, plainly
from cai_lite.chat.endpoint import EndpointModel
from cai_lite.chat.submitted import Submitted, new_mark, under_way
from cai_lite.errors import CaiError, ChatError, Stopped
from cai_lite.records import Reply, Request
from cai_lite.run.ledger import Run
from cai_lite.run.signals import held

ENDED = ("completed", "expired", "cancelled", "failed")
FIRST_LOOK, LAST_LOOK = 5.0, 3600.0  # seconds between two looks at a batch, at first and at most
LOOKS = 0.1  # of the time waited so far, until the next look
DOWNLOADS = 4  # of a file of results that has fewer rows than the server counts, before it is taken as it is

Replies = Iterator[dict[str, Reply]]
"""Replies by the keys of their requests, some at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Settings of a batch API.

    `least`: fewer requests than this are asked live, since nobody waits a day for them.
    `requests`: limit of requests in one batch, for accounts that may have few tokens enqueued.
    `expired`: "fail" counts requests that a batch did not get to as failed, and the same command submits them again;
    "live" asks them live, at the full price.
    """

    least: int = 32
    requests: int = 50_000
    expired: Literal["fail", "live"] = "fail"

    def __post_init__(self) -> None:
        if self.least < 1:
            raise ValueError(f"'least' should be at least 1, got {self.least}")
        if not 1 <= self.requests <= 50_000:
            raise ValueError(f"'requests' should be from 1 to 50,000, as many as a batch may have, got {self.requests}")


class BatchModel(EndpointModel):
    """A chat model on a server that also takes batches: `answer` asks live, `collect` in batches.

    `batch`: see `Batch`. The other arguments are those of `EndpointModel`, with the prices of live calls.
    """

    def __init__(self, url: str, *, batch: Batch | None = None, **settings: Any) -> None:
        super().__init__(url, **settings)
        self.batch = batch or Batch()
        self._calls = BatchCalls(self)
        self._again = set[str]()  # keys of requests that failed by a passing fault, and are asked once more

    def collect(
        self,
        requests: Sequence[Request],
        *,
        run: Run,
        waiting: Callable[[int], None],
        say: Callable[[str], None],
    ) -> Iterator[dict[int, Reply]]:
        """Answer every request as `answer` does, in batches; those that `run` submitted earlier are fetched first.

        No request may be repeated. Batches that are under way stay so when an error or the caller ends this. Requests
        that failed by a passing fault of the server, such as HTTP 500, are asked once more, as live calls would be.
        `waiting`: called with the number of replies that the server has ready. `say`: called with a sentence for a
        person.

        Raises:
            ChatError: the server takes no batches, or refuses these. Stopped: it answers no more for now, or the budget
            of the run is spent. The same command goes on.
        """
        positions = {request.key(self.digest): position for position, request in enumerate(requests)}
        rest = {key: requests[position] for key, position in positions.items()}

        def numbered(some: Replies) -> Iterator[dict[int, Reply]]:
            for replies in some:
                yield {positions[key]: reply for key, reply in replies.items()}
                for key in replies:  # they are stored now
                    del rest[key]

        earlier = [one for one in under_way(run, self.digest) if not rest.keys().isdisjoint(one.keys)]
        if earlier := [one for one in (self._found(one, run) for one in earlier) if one.id]:
            for one in earlier:
                say(f"{self.name}: batch {one.id} of {len(one.keys):,} calls was submitted earlier and is awaited")
            yield from numbered(self._fetched(earlier, rest, run, waiting))
        while len(rest) >= self.batch.least:
            run.check_budget()
            batches = list(self._submitted(self._within_budget(rest, run), run, say))
            yield from numbered(self._fetched(batches, rest, run, waiting))
        yield from numbered(self._live(dict(rest), run))

    def _live(self, asked: Mapping[str, Request], run: Run) -> Replies:
        """Ask live, with a look at the budget now and then."""
        keys = list(asked)
        for start in range(0, len(keys), LOOK):
            run.check_budget()
            part = keys[start : start + LOOK]
            for replies in self.answer([asked[key] for key in part]):
                yield {part[number]: reply for number, reply in replies.items()}

    def _within_budget(self, asked: Mapping[str, Request], run: Run) -> dict[str, Request]:
        """Return the first requests: those that the budget surely pays for, or as many as live calls would risk."""
        cost, tokens = run.budget_left()
        found: dict[str, Request] = {}
        for key, request in asked.items():
            read = estimated_tokens("".join(message.content for message in request.messages))
            written = request.sampling.max_tokens
            cost -= (read * self._prices[0] + written * self._prices[1]) * HALF / 1e6
            tokens -= read + written
            if min(cost, tokens) < 0 and len(found) >= LOOK:
                break
            found[key] = request
        return found

    def _submitted(self, asked: Mapping[str, Request], run: Run, say: Callable[[str], None]) -> Iterator[Submitted]:
        """Submit the requests in as many batches as they take."""
        for part in request_files(asked, self.body, limit=self.batch.requests):
            one = self._submit(part, run)
            say(
                f"{self.name}: {len(one.keys):,} calls are submitted as batch {one.id}, which may take a day; Ctrl-C "
                "does not end it, and the same command goes on waiting"
            )
            yield one

    def _submit(self, part: RequestFile, run: Run) -> Submitted:
        """Upload a file of requests, and make a batch of it; a signal waits until the batch is noted."""
        mark = new_mark(run, part.keys)
        file = self._calls.upload(f"cai-lite-{mark}.jsonl", part.file)
        one = Submitted(mark=mark, model=self.digest, keys=part.keys, file=file).noted(run)
        for attempt in self._calls.attempts("the creation of a batch"):
            with attempt, held():
                # An attempt whose answer was lost may have made the batch all the same.
                made = self._calls.find(mark, file) if attempt.number > 1 else None
                one = one.noted(run, id=made or self._calls.create(mark, file), state="submitted")
        return one

    def _found(self, one: Submitted, run: Run) -> Submitted:
        """Return a batch of an earlier session with its id, which is "" if the server never had it."""
        if one.id:
            return one
        for attempt in self._calls.attempts("the list of batches"):
            with attempt:
                made = self._calls.find(one.mark, one.file)
                one = one.noted(run, id=made, state="submitted") if made else one.noted(run, state="void")
        return one

    def _fetched(
        self, batches: Sequence[Submitted], rest: Mapping[str, Request], run: Run, waiting: Callable[[int], None]
    ) -> Replies:
        """Yield the replies to requests in `rest`, from which the caller takes what is stored, as each batch ends.

        Raises:
            ChatError, Stopped: a batch was refused as a whole; raised once the others have ended.
        """
        problem: CaiError | None = None
        for one, ended in self._ended(batches, waiting):
            if ended["status"] == "failed":
                one.noted(run, state="void")
                problem = problem or self._refused(one, ended)
                continue
            again = yield from self._results(ended, {key: rest[key] for key in one.keys if key in rest})
            left = {key: rest[key] for key in one.keys if key in rest and key not in again}
            if self.batch.expired == "live":
                yield from self._live(left, run)
            elif left:
                fault = f"batch {ended['status']}" if ended["status"] != "completed" else "no row in the batch's files"
                yield {key: Reply(text="", outcome="failed", fault=fault) for key in left}
            one.noted(run, state="done")  # only now, when all that came of it is stored
        if problem is not None:
            raise problem

    def _ended(
        self, batches: Sequence[Submitted], waiting: Callable[[int], None]
    ) -> Iterator[tuple[Submitted, Mapping[str, Any]]]:
        """Yield each batch with what the server says of it once it has ended; it is looked at ever more rarely."""
        begun, running, ready = time.monotonic(), list(batches), dict[str, int]()
        while running:
            for one in list(running):
                now = self._calls.state(one.id)
                ready[one.id] = _counted(now, "completed", "failed")
                if now["status"] in ENDED:
                    running.remove(one)
                    del ready[one.id]  # from now on its replies are counted themselves
                    yield one, now
            if running:
                waiting(sum(ready.values()))
                self.connection().pause(min(LAST_LOOK, max(FIRST_LOOK, LOOKS * (time.monotonic() - begun))))

    def _results(
        self, ended: Mapping[str, Any], asked: Mapping[str, Request]
    ) -> Generator[dict[str, Reply], None, set[str]]:
        """Yield the replies in the output file and in the error file of a batch; return the keys to be asked again."""
        begun, done = ended.get("created_at"), ended.get("completed_at") or ended.get("expired_at")
        took = float(done - begun) if isinstance(begun, int | float) and isinstance(done, int | float) else 0.0
        seconds, left, again = max(0.0, took) / max(1, len(asked)), dict(asked), set[str]()
        answered = _counted(ended, "completed")
        for name, least in (("output_file_id", answered), ("error_file_id", 0)):
            file = ended.get(name)
            if not isinstance(file, str) or not file or not left:
                continue
            for attempt in self._calls.attempts(f"the results in {file}"):
                with attempt:
                    rows = replies_in(
                        self._calls.lines(file),
                        dict(left),
                        prices=self._prices,
                        seconds=seconds,
                        least=least if attempt.number < DOWNLOADS else 0,
                    )
                    while some := self._taken(rows, again):
                        for key in some:
                            del left[key]
                        if replies := {key: reply for key, reply in some.items() if key not in again}:
                            yield replies
        return again

    def _taken(self, rows: Iterator[Answered], again: set[str]) -> dict[str, Reply]:
        """Return the next replies; a passing fault, at its first time, is added to `again`."""
        some: dict[str, Reply] = {}
        for row in islice(rows, LOOK):
            some[row.key] = row.reply
            if row.again and row.key not in self._again:
                again.add(row.key)
                self._again.add(row.key)
        return some

    def _refused(self, one: Submitted, ended: Mapping[str, Any]) -> CaiError:
        """Return what a batch that was refused as a whole means for the user; nothing of it is paid for."""
        errors = ended.get("errors")
        listed = errors.get("data") if isinstance(errors, Mapping) else None
        first = next((error for error in listed or () if isinstance(error, Mapping)), {})
        words = plainly(str(first.get("message") or first.get("code") or "no reason given"))
        said = f'{self.url} refuses batch {one.id} ("{words}")'
        if "limit" in str(first.get("code")):
            return Stopped(f"{said}: run the same command again later, or set 'batch.requests' below {len(one.keys):,}")
        return ChatError(f"{said}: check the model name, and that the model takes batches, or set 'batch: false'")


def _counted(now: Mapping[str, Any], *names: str) -> int:
    """Return how many requests of a batch are counted as "completed" or "failed", as far as the server says."""
    counts = now.get("request_counts")
    known = [counts.get(name) for name in names] if isinstance(counts, Mapping) else []
    return sum(n for n in known if isinstance(n, int))
