"""The chat model interface: a name, a digest, and `answer`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

from cai_lite.records import Reply, Request
from cai_lite.run.ledger import Run

SystemMessage = Literal["keep", "merge"]
"""Where a system message goes: it is kept, or put in front of the first user turn."""


@runtime_checkable
class ChatModel(Protocol):
    """Teacher, student and judge are roles; each is a ChatModel.

    `digest` stands for all that decides an answer apart from the request: weights, revision, adapter, quantisation.
    `wording`: which profile of `distill/wording.py` the model is asked in.
    """

    @property
    def name(self) -> str: ...

    @property
    def digest(self) -> str: ...

    @property
    def wording(self) -> Literal["full", "short", "scored"]: ...

    def answer(self, requests: Sequence[Request]) -> Iterator[dict[int, Reply]]:
        """Answer every request; yields {position in `requests`: reply} as batches come back.

        A fault of one request is a Reply with its outcome; its neighbours go on.

        Raises:
            ChatError: the model cannot be asked at all (wrong key, unknown model).
        """
        ...


@runtime_checkable
class Collecting(Protocol):
    """A chat model that also answers requests later and at a lower price, once many were submitted together."""

    def collect(
        self,
        requests: Sequence[Request],
        *,
        run: Run,
        waiting: Callable[[int], None],
        say: Callable[[str], None],
    ) -> Iterator[dict[int, Reply]]:
        """Answer every request, as `ChatModel.answer` does; no request may be repeated.

        `run`: where it is noted what was submitted, so that nothing is submitted twice. `waiting`: called now and then
        with the number of replies that are ready to be fetched. `say`: called with a sentence for a person.

        Raises:
            ChatError, Stopped: as in `ChatModel.answer`; what was submitted is fetched the next time.
        """
        ...


def settings_digest(*, system: SystemMessage = "keep", **settings: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what of a model's settings enters its digest: only those given, so that older digests stay."""
    given: dict[str, Any] = {name: dict(value) for name, value in settings.items() if value}
    if system != "keep":
        given["system"] = system
    return (given,) if given else ()
