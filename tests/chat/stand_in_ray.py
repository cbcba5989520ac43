"""A stand-in for the few calls of Ray that are used, with threads for actors: what is sent is pickled, as Ray does."""

from __future__ import annotations

import concurrent.futures
import pickle
from collections.abc import Callable
from typing import Any


class RayActorError(Exception):
    pass


class ObjectLostError(Exception):
    pass


class WorkerCrashedError(Exception):
    pass


class StandIn:
    """The module. `room`: how many actors may live at once; `have`: what each machine has; `started`: every actor.

    `dies`: called with a number of an actor and the name of a method before the method; if true, the actor dies of it.
    """

    class exceptions:
        RayActorError, ObjectLostError, WorkerCrashedError = RayActorError, ObjectLostError, WorkerCrashedError

    def __init__(self) -> None:
        self.room = 100
        self.have: list[dict[str, float]] = [{"CPU": 2.0}]
        self.started: list[Handle] = []
        self.dies: Callable[[int, str], bool] = lambda number, method: False
        self.address = ""

    def init(self, address: str = "ray", **_: Any) -> None:
        self.address = address

    def is_initialized(self) -> bool:
        return bool(self.address)

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": had} for had in self.have]

    def available_resources(self) -> dict[str, float]:
        return {}

    def remote(self, made: type) -> Maker:
        return Maker(self, made, {})

    def wait(self, refs: list[Any], num_returns: int = 1, timeout: float | None = None) -> tuple[list[Any], list[Any]]:
        done, rest = concurrent.futures.wait(refs, timeout, concurrent.futures.FIRST_COMPLETED)
        return list(done)[:num_returns], list(rest)

    def get(self, ref: Any) -> Any:
        return pickle.loads(ref.result())

    def kill(self, handle: Handle) -> None:
        handle.die("it was killed")

    @property
    def living(self) -> list[Handle]:
        return [handle for handle in self.started if handle.alive]


class Maker:
    def __init__(self, ray: StandIn, made: type, options: dict[str, Any]) -> None:
        self.ray, self.made, self.given = ray, made, options

    def options(self, **options: Any) -> Maker:
        return Maker(self.ray, self.made, options)

    def remote(self, *given: Any) -> Handle:
        handle = Handle(self.ray, self.given)
        self.ray.started.append(handle)
        if len(self.ray.living) <= self.ray.room:
            handle.begin_life(lambda: self.made(*pickle.loads(pickle.dumps(given))))
        return handle


class Handle:
    def __init__(self, ray: StandIn, options: dict[str, Any]) -> None:
        self.ray, self.options, self.number, self.alive = ray, options, len(ray.started), True
        self.calls: list[Any] = []
        self.pool = concurrent.futures.ThreadPoolExecutor(4)
        self.made: Any = None

    def begin_life(self, made: Callable[[], Any]) -> None:
        self.made = self.pool.submit(made)

    def die(self, why: str) -> None:
        self.alive = False
        self.pool.shutdown(wait=False)
        for call in self.calls:
            if not call.done():
                call.set_exception(RayActorError(f"{why}\nsecond line"))

    def __getattr__(self, method: str) -> Any:
        class Method:
            @staticmethod
            def remote(*given: Any) -> Any:
                return self.call(method, pickle.dumps(given))

        return Method

    def call(self, method: str, given: bytes) -> Any:
        result: concurrent.futures.Future[bytes] = concurrent.futures.Future()
        self.calls.append(result)
        if not self.alive:
            result.set_exception(RayActorError("it died before"))
        elif self.made is not None:  # otherwise the cluster has no room for it

            def work() -> None:
                if self.ray.dies(self.number, method):
                    return self.die("the machine is gone")
                try:
                    found = pickle.dumps(getattr(self.made.result(), method)(*pickle.loads(given)))
                except Exception as error:
                    return result.done() or result.set_exception(RayActorError(f"its creation failed\n{error}"))
                if not result.done():
                    result.set_result(found)

            self.pool.submit(work)
        return result
