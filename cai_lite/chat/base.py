"""Whom we ask: anything with a name, a digest and `answer`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol, runtime_checkable

from cai_lite.records import Reply, Request


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
    def wording(self) -> Literal["full", "short"]: ...

    def answer(self, requests: Sequence[Request]) -> Iterator[dict[int, Reply]]:
        """Answer every request; yields {position in `requests`: reply} as batches come back.

        A fault of one request is a Reply with its outcome; its neighbours go on.

        Raises:
            ChatError: the model cannot be asked at all (wrong key, unknown model).
        """
        ...
