"""Chat models spread over the actors of a Ray cluster: `cai-lite pairs RECIPE --on ray`.

Each actor opens the same model by the same settings: a client of a server, or weights on its machine. The driver, the
process of the command, keeps the ledger; it hands out requests and stores replies as they arrive, so keys, rows and the
texts of servers are those of one machine. Local models are given the batches that they would form by themselves, so on
CPUs alike their texts are equal, too; on GPUs they are up to rounding, as they are on one.

Actors belong to the driver and end with it. A killed one loses the calls that it had under way, and they go to others.
A server is called from the machines of the actors, so `http://localhost:8000/v1` is each machine's own server, such
as vLLM's; cai-lite itself runs no engine besides transformers.
"""

from __future__ import annotations

import importlib
import math
import os
import signal
import socket
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cai_lite.chat import open_model
from cai_lite.chat.base import ChatModel
from cai_lite.chat.endpoint import EndpointModel
from cai_lite.chat.local import LocalModel
from cai_lite.chat.spread import DEATHS, News, guided, spread
from cai_lite.chat.worker import Hello, Worker, version
from cai_lite.errors import ChatError, InputError, MissingPackageError, Stopped
from cai_lite.records import Reply, Request

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


@dataclass(frozen=True, slots=True)
class Opening:
    """How an actor opens a model: `by(where, **settings)`. Actors that share a server share its `concurrency`, too."""

    by: Callable[..., ChatModel]
    where: Any
    settings: Mapping[str, Any] = field(repr=False)

    def __call__(self, actors: int) -> ChatModel:
        """Return the model for one of so many actors."""
        settings = dict(self.settings)
        if "concurrency" in settings:
            settings["concurrency"] = max(1, settings["concurrency"] // actors)
        return self.by(self.where, **settings)


def open_on_ray(where: Any, *, address: str = "ray", actors: Actors | None = None, **settings: Any) -> RayModel:
    """Return a model that is opened as `cai.open_model(where, **settings)` in each actor of a Ray cluster.

    `address`: "ray" for the cluster that this machine belongs to, or that $RAY_ADDRESS names, else a new one on this
    machine; `ray://HOST:10001` for another one, whose client this process becomes.

    Raises:
        InputError: as `open_model`, or the address is not one of Ray's. MissingPackageError: ray is not installed.
    """
    return RayModel(open_model(where, **settings), Opening(open_model, where, settings), actors, address)


class RayModel:
    """A chat model whose requests are answered by actors of a Ray cluster. Nothing is started before the first request.

    `model`: the same model, opened in this process and never asked; it gives name, digest and wording. `opener`: opens
    it in an actor. `actors`, `address`: as for `open_on_ray`.
    """

    def __init__(
        self, model: ChatModel, opener: Callable[[int], ChatModel], actors: Actors | None = None, address: str = "ray"
    ) -> None:
        check_address(address)
        self.model = model
        self.wording: Literal["full", "short", "scored"] = model.wording
        self.template: Mapping[str, Any] = getattr(model, "template", {})
        self.former_digests: tuple[str, ...] = getattr(model, "former_digests", ())
        self._crew = RayCrew(model, opener, actors or Actors(), address)

    @property
    def name(self) -> str:
        """The name of the model, wherever it runs."""
        return self.model.name

    @property
    def digest(self) -> str:
        """The digest of the model, wherever it runs: replies of one machine count, and those of actors count there."""
        return self.model.digest

    def check(self) -> None:
        """Check that the cluster can be reached, and has machines on which an actor fits.

        Raises:
            InputError: neither.
        """
        self._crew.check()

    def answer(self, requests: Sequence[Request]) -> Iterator[dict[int, Reply]]:
        """Answer every request, see `ChatModel.answer` and `spread`; chunks are batches where the model is local.

        Raises:
            ChatError: no actor begins in time, or it holds another model. CaiError: what the model raises in an actor.
        """
        if not requests:
            return
        crew = self._crew
        crew.check()
        is_local = isinstance(self.model, LocalModel)
        chunks = crew.ask("plan", requests) if is_local else guided(len(requests), crew.size)
        for replies in spread(requests, chunks, crew):
            crew.heard = True
            yield replies

    def answered_before(self) -> None:
        """Take note that a server answered requests like these in an earlier session of a run."""
        self._crew.heard = True

    def fits(self, request: Request) -> bool:
        """Return whether a request fits into the context of a local model; on a server, this is not known.

        Raises:
            ModelError: the model cannot be opened, or the request not be rendered.
        """
        return not isinstance(self.model, LocalModel) or bool(self._crew.ask("fits", request))

    def close(self) -> None:
        """End the actors. The model stays usable: the next request starts others."""
        self._crew.close()


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
            raise Stopped(f"the connection to the Ray cluster is lost ({_first_line(error)})") from error
        for ref in done:
            lane = asked[ref]
            lane.asked = None
            try:
                found = self._ray.get(ref)
            except self._deaths() as error:
                self._drop(lane.handle)
                found = News(died=_first_line(error))
            lane.left = 0 if found.done or found.error else lane.left - len(found.replies)
            yield lane, found

    def finish(self, worker: _Lane) -> None:
        """Let an actor begin no more calls."""
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
                died = _first_line(error)
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
                        f"{self._model.name}: actors cannot begin on the Ray cluster ({_last_line(error)}); cai-lite "
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


def underlying(model: ChatModel) -> ChatModel:
    """Return the model that actors have opened, as this process knows it, or the model itself without any."""
    return model.model if isinstance(model, RayModel) else model


def is_embedded(model: ChatModel) -> bool:
    """Return whether a model is one of those that travel with the package, here or on Ray."""
    known = underlying(model)
    return isinstance(known, LocalModel) and known.model.startswith("embedded:")


def check_address(address: str) -> None:
    """Check the form of an address, and that ray is installed.

    Raises:
        InputError: it is neither "ray" nor `ray://HOST:PORT`. MissingPackageError: ray is not installed.
    """
    _, sharp, host = address.partition("ray://")
    if address != "ray" and not (sharp and host and address.startswith("ray://")):
        raise InputError(f"'{address}' should be 'ray', or the address of a Ray cluster, such as ray://HOST:10001")
    _ray()


def connect(address: str) -> Any:
    """Return the module ray, connected to a cluster; a process has one connection, which lasts until it ends.

    Raises:
        InputError: there is no cluster at this address. MissingPackageError: ray is not installed.
    """
    ray = _ray()
    if ray.is_initialized():
        return ray
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing leaves the cluster
    in_main = threading.current_thread() is threading.main_thread()
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    options: dict[str, Any] = {"include_dashboard": False} | _standing() if address == "ray" else {"address": address}
    try:
        with warnings.catch_warnings(action="ignore"):  # of what is said below
            ray.init(**options, log_to_driver=False, logging_level="ERROR")
    except ImportError as error:
        raise MissingPackageError(f"{address} needs a package ({_first_line(error)}): {_INSTALL}") from error
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        where = address if address != "ray" else f"ray (RAY_ADDRESS={os.environ.get('RAY_ADDRESS', '')})"
        raise InputError(
            f"no Ray cluster can be used at {where}: {_first_line(error)}. Is it up (`ray status` there), is the port "
            "that of its client server, 10001 by default, and does it ask for a token (then set RAY_AUTH_MODE=token "
            "and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH)?"
        ) from error
    finally:
        for number, handler in kept.items() if in_main else ():
            signal.signal(number, handler)  # Ray puts its own in their place
    return ray


def _standing() -> dict[str, str]:
    """Return the argument for `ray.init` that keeps it from waiting, for minutes, for a cluster that is gone.

    Raises:
        InputError: that cluster is the one of $RAY_ADDRESS.
    """
    named = os.environ.get("RAY_ADDRESS", "")
    left = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()) / "ray" / "ray_current_cluster"
    address = named or (left.read_text(encoding="utf-8").strip() if left.is_file() else "")
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or "/" in host:
        return {}
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5.0).close()
    except OSError as error:
        if named:
            raise InputError(f"no Ray cluster answers at {named} (RAY_ADDRESS): {error}") from error
        return {"address": "local"}  # what a cluster left behind that was killed
    return {}


_INSTALL = "pip install 'cai-lite[ray]'"


def _ray() -> Any:
    try:
        return importlib.import_module("ray")
    except ModuleNotFoundError as error:
        raise MissingPackageError(f"--on ray needs ray: {_INSTALL}") from error


def _amounts(had: Mapping[str, float], names: Iterable[str]) -> str:
    return ", ".join(f"{had.get(name, 0.0):g} {name}" for name in names)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _last_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1].strip()[:200]
