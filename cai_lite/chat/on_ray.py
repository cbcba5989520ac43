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

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from cai_lite.chat import open_model
from cai_lite.chat.base import ChatModel
from cai_lite.chat.cluster import check_address
from cai_lite.chat.crew import Actors, RayCrew
from cai_lite.chat.local import LocalModel
from cai_lite.chat.spread import guided, spread
from cai_lite.records import Reply, Request


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
        """Answer every request on the actors, as `ChatModel.answer` does; a local model gets its own batches as chunks.

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


def underlying(model: ChatModel) -> ChatModel:
    """Return the model that actors have opened, as this process knows it, or the model itself without any."""
    return model.model if isinstance(model, RayModel) else model


def is_embedded(model: ChatModel) -> bool:
    """Return whether a model is one of those that travel with the package, here or on Ray."""
    known = underlying(model)
    return isinstance(known, LocalModel) and known.model.startswith("embedded:")
