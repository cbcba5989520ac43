"""Show an answer while it is written: a model that can write piece by piece has a method `stream`.

`stream(request)` yields pieces of the text as they come, and last the whole `Reply`, which is the one that `answer`
would have given. Where the writing breaks off, there is no reply, and the request is asked again as any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from cai_lite.chat.base import ChatModel
from cai_lite.chat.thoughts import MARKS, split_thought
from cai_lite.records import Reply, Request
from cai_lite.run.ledger import Run


@runtime_checkable
class Streams(Protocol):
    """A model that writes piece by piece."""

    def stream(self, request: Request) -> Iterator[str | Reply]: ...


def streamed(model: ChatModel, request: Request, *, run: Run, stage: str) -> Iterator[str]:
    """Yield the answer piece by piece, without its thought; the reply is kept in the run, where a stage finds it.

    Nothing comes of a model that does not stream, or that the run has asked already.
    """
    key = request.key(model.digest)
    if not isinstance(model, Streams) or run.replies([key]):
        return
    written = shown = ""
    for piece in model.stream(request):
        if isinstance(piece, Reply):
            run.keep_replies(stage, model.name, {key: piece})
            return
        written += piece
        answer = _so_far(written)
        if answer.startswith(shown) and len(answer) > len(shown):
            yield answer[len(shown) :]
            shown = answer


def _so_far(written: str) -> str:
    """Return what of an unfinished reply is its answer; "" while it thinks, or may be about to."""
    begun = written.strip().lower()
    beginning = any(opening.lower().startswith(begun) for opening, _ in MARKS)
    return "" if beginning else split_thought(written).answer
