"""The actors of one model on a Ray cluster: started, greeted, asked for what is new, and replaced when they die."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from cai_lite.chat.base import ChatModel
from cai_lite.chat.cluster import connect, first_line, last_line
from cai_lite.chat.endpoint import EndpointModel
from cai_lite.chat.spread import DEATHS, News
from cai_lite.chat.worker import Hello, Worker, version
from cai_lite.errors import ChatError, InputError, Stopped
from cai_lite.records import Request

_LOOK = 1.0  # seconds of waiting, after which signals and limits are looked at
_TAKE = 10.0  # seconds that an actor waits for its next reply before it says that there is none
_LANES = 2  # chunks that a client of a server has at once: a second one while the last calls of the first are awaited
_THREADS = _LANES + 2  # of an actor: it is asked for replies in each lane, and may be told to end meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class Actors:
    """How many actors of Ray share a model, and what each of them takes; read with `--on ray` alone.

    `actors`: their number; by default one for each GPU of the cluster where they take GPUs, else one for each machine.
    `num_cpus`, `num_gpus`: what each takes of its machine; by default a local model takes a CPU, and a GPU where the
    cluster has any, and a model on a server takes neither.
    `resources`: of your own names in the cluster, such as {big_memory: 1}.
    `wait`: seconds in which the first actor has to begin, for clusters whose machines are busy or join on demand; by
    default 120, and none where no machine has what one actor takes.
    """

    actors: int | None = None
    num_cpus: float | None = None
    num_gpus: float | None = None
    resources: Mapping[str, float] = field(default_factory=dict)
    wait: float | None = None

    def __post_init__(self) -> None:
        if self.actors is not None and not 1 <= self.actors <= 10_000:
            raise ValueError(f"'actors' should be from 1 to 10,000, got {self.actors}")
        amounts = {"num_cpus": self.num_cpus, "num_gpus": self.num_gpus, "wait": self.wait, **self.resources}
        for name, amount in amounts.items():
            if amount is not None and not 0 <= amount < math.inf:
                raise ValueError(f"'{name}' should be 0 or more and finite, got {amount}")

    def needs(self, *, local: bool, nodes: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """Return what each actor takes, by the names of Ray; `nodes`: what each machine of the cluster has."""
        gpus = float(local and any(node.get("GPU", 0.0) >= 1 for node in nodes))
        taken = {
            "CPU": float(local) if self.num_cpus is None else self.num_cpus,
            "GPU": gpus if self.num_gpus is None else self.num_gpus,
            **self.resources,
        }
        return {name: amount for name, amount in taken.items() if amount}

    def number(self, needs: Mapping[str, float], nodes: Sequence[Mapping[str, float]]) -> int:
        """Return how many actors there should be."""
        if self.actors is not None:
            return self.actors
        of_gpus = sum(int(node.get("GPU", 0.0) // needs["GPU"]) for node in nodes) if "GPU" in needs else len(nodes)
        return max(1, of_gpus)


class _Lane:
    """A lane of an actor: the call that asks for its news, and the number of requests that it has yet to answer."""

    def __init__(self, handle: Any, number: int) -> None:
        self.handle, self.number, self.left = handle, number, 0
        self.asked: Any = None


class RayCrew:
    """The actors of one model with their lanes, the workers of `spread`. Actors that die are replaced.

    `heard`: whether any of them has answered a request.
    """

    def __init__(self, model: ChatModel, opener: Callable[[int], ChatModel], actors: Actors, address: str) -> None:
        self._model, self._opener, self._actors, self._address = model, opener, actors, address
        self.heard = False
        self._lanes = _LANES if isinstance(model, EndpointModel) else 1
        self._at_once = model.concurrency if isinstance(model, EndpointModel) else 1  # calls of all actors
        self._number = 0  # of actors that there should be
        self._needs: dict[str, float] = {}
        self._ray: Any = None
        self._pending: dict[Any, Any] = {}  # actors, by the call whose result says that it has begun
        self._ready: dict[Any, list[_Lane]] = {}  # lanes by actors
        self._stillborn = 0  # actors that died before they began, in a row

    @property
    def size(self) -> int:
        """The number of lanes that there should be."""
        return self._number * self._lanes

    def check(self) -> None:
        """Connect to the cluster, and check that an actor fits on one of its machines.

        Raises:
            InputError: the cluster cannot be reached, or has no such machine.
        """
        self._ray = connect(self._address)
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        self._needs = self._actors.needs(local=not isinstance(self._model, EndpointModel), nodes=nodes)
        self._number = self._actors.number(self._needs, nodes)
        fit = any(all(node.get(name, 0.0) >= amount for name, amount in self._needs.items()) for node in nodes)
        if not fit and self._actors.wait is None:
            had = "; ".join(_amounts(node, self._needs) for node in nodes) or "none"
            raise InputError(
                f"{self._model.name}: an actor takes {_amounts(self._needs, self._needs)}, and no machine of the Ray "
                f"cluster has that (they have {had}): mend 'ray' in the section of this model, or set its 'wait' where "
                "machines join on demand"
            )

    def free(self, busy: Collection[Any]) -> _Lane | None:
        """Return a lane without work, see `Crew.free`.

        Raises:
            ChatError: none begins in time, or cannot begin, or holds another model than this process.
        """
        if self._ray is None:
            self.check()
        for _ in range(self._number - len(self._ready) - len(self._pending)):
            self._start()
        limit = 120.0 if self._actors.wait is None else self._actors.wait
        until = time.monotonic() + limit
        while True:
            for number in range(self._lanes):  # the first lanes of all actors first
                for lanes in self._ready.values():
                    if lanes[number] not in busy and sum(lane.left for lane in lanes) * self._number <= self._at_once:
                        return lanes[number]
            if not self._pending or (not self._greet(0.0 if busy else _LOOK) and busy):
                return None
            if not self._ready and time.monotonic() > until:
                self.close()
                left = _amounts(self._ray.available_resources(), self._needs)
                raise ChatError(
                    f"{self._model.name}: no actor began within {limit:g} seconds. Each takes "
                    f"{_amounts(self._needs, self._needs) or 'no resource'}, and the Ray cluster has {left or 'all'} "
                    "left: wait until others are done, or lower 'ray' in the section of this model"
                )

    def begin(self, worker: _Lane, requests: Sequence[Request]) -> None:
        """Give an actor requests in a lane."""
        worker.left = len(requests)
        worker.handle.begin.remote(worker.number, list(requests), self.heard)

    def news(self, busy: Collection[Any]) -> Iterable[tuple[_Lane, News]]:
        """Yield what is new in busy lanes, after a short wait at most.

        Raises:
            Stopped: the cluster cannot be reached any more.
        """
        for lane in busy:
            if lane.asked is None:
                lane.asked = lane.handle.take.remote(lane.number, _TAKE)
        asked = {lane.asked: lane for lane in busy}
        try:
            done, _ = self._ray.wait(list(asked), num_returns=1, timeout=_LOOK)
        except ConnectionError as error:
            raise Stopped(f"the connection to the Ray cluster is lost ({first_line(error)})") from error
        for ref in done:
            lane = asked[ref]
            lane.asked = None
            try:
                found = self._ray.get(ref)
            except self._deaths() as error:
                self._drop(lane.handle)
                found = News(died=first_line(error))
            lane.left = 0 if found.done or found.error else lane.left - len(found.replies)
            yield lane, found

    def finish(self, worker: _Lane) -> None:
        """Tell an actor to begin no further calls; those under way go on."""
        worker.handle.finish.remote()

    def ask(self, method: str, *given: Any) -> Any:
        """Return the result of a method of any actor.

        Raises:
            Exception: what the method returned as one. Stopped: actors die of it.
        """
        for _ in range(DEATHS):
            lane = self.free(())
            assert lane is not None
            ref = getattr(lane.handle, method).remote(*given)
            try:
                while not self._ray.wait([ref], timeout=_LOOK)[0]:
                    pass
                found = self._ray.get(ref)
            except self._deaths() as error:
                self._drop(lane.handle)
                died = first_line(error)
                continue
            if isinstance(found, Exception):
                raise found
            return found
        raise Stopped(f"the actors on Ray die as soon as they are asked: {died}")

    def close(self) -> None:
        """End all actors, with the calls that are under way."""
        for handle in (*self._pending.values(), *self._ready):
            self._kill(handle)
        self._pending, self._ready = {}, {}

    def _start(self) -> None:
        """Start one more actor. It belongs to this process: nothing is detached."""
        options: dict[str, Any] = {
            "num_cpus": self._needs.get("CPU", 0),
            "num_gpus": self._needs.get("GPU", 0),
            "resources": {name: amount for name, amount in self._needs.items() if name not in ("CPU", "GPU")},
        }
        remote = self._ray.remote(Worker).options(**options, max_concurrency=_THREADS, scheduling_strategy="SPREAD")
        name = getattr(self._model, "api_key_env", "")
        environment = {name: os.environ[name]} if name in os.environ else {}
        handle = remote.remote(self._opener, self._number, environment)
        self._pending[handle.hello.remote()] = handle

    def _greet(self, seconds: float) -> bool:
        """Take in actors that have begun; wait so long for one. Return whether there was one.

        Raises:
            CaiError: why the model cannot be opened there. ChatError: it is another model, or nothing begins there.
        """
        done, _ = self._ray.wait(list(self._pending), num_returns=1, timeout=seconds)
        for ref in done:
            try:
                self._check_hello(self._ray.get(ref))
            except self._deaths() as error:
                self._kill(self._pending.pop(ref))
                self._stillborn += 1
                if self._stillborn >= DEATHS:
                    self.close()
                    raise ChatError(
                        f"{self._model.name}: actors cannot begin on the Ray cluster ({last_line(error)}); cai-lite "
                        f"{version()} has to be installed on each of its machines"
                    ) from error
                self._start()
            else:
                handle = self._pending.pop(ref)
                self._ready[handle] = [_Lane(handle, number) for number in range(self._lanes)]
                self._stillborn = 0
        return bool(done)

    def _check_hello(self, hello: Hello) -> None:
        problem: Exception | None = hello.error
        if problem is None and hello.version != version():
            problem = ChatError(
                f"cai-lite {hello.version} is installed on {hello.host} of the Ray cluster, and {version()} here: "
                "install the same version"
            )
        elif problem is None and hello.digest != self._model.digest:
            problem = ChatError(
                f"{self._model.name} is another model on {hello.host} of the Ray cluster than here: give all machines "
                "the same files, or a folder that they share"
            )
        if problem is not None:
            self.close()
            raise problem

    def _drop(self, handle: Any) -> None:
        if self._ready.pop(handle, None):  # another lane may have told of its death
            self._kill(handle)  # one that only lost its connection would go on unseen

    def _kill(self, handle: Any) -> None:
        with suppress(Exception):  # it is dead already, or the cluster is gone
            self._ray.kill(handle)

    def _deaths(self) -> tuple[type[Exception], ...]:
        errors = self._ray.exceptions
        return (errors.RayActorError, errors.ObjectLostError, errors.WorkerCrashedError)


def _amounts(had: Mapping[str, float], names: Iterable[str]) -> str:
    return ", ".join(f"{had.get(name, 0.0):g} {name}" for name in names)
