"""A chat model with scripted answers, for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from cai_lite.records import Reply, Request, digest


class ScriptedModel:
    """A chat model that answers with `script(request)`, a text or a `Reply`; `asked` lists the requests received."""

    def __init__(
        self,
        script: Callable[[Request], str | Reply],
        *,
        name: str = "scripted",
        wording: Literal["full", "short"] = "full",
    ) -> None:
        self._script = script
        self.name = name
        self.wording: Literal["full", "short"] = wording
        self.asked: list[Request] = []

    @property
    def digest(self) -> str:
        return digest("scripted", self.name)

    def answer(self, requests: Sequence[Request]) -> Iterator[dict[int, Reply]]:
        """Yield one reply at a time, so that a test can stop in between."""
        for position, request in enumerate(requests):
            self.asked.append(request)
            answer = self._script(request)
            if not isinstance(answer, Reply):
                answer = Reply(text=answer, outcome="ok" if answer else "empty")
            yield {position: answer}
