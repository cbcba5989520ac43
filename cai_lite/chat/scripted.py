"""A model whose answers are written by hand: for tests, ours and yours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from cai_lite.records import Reply, Request, digest


class ScriptedModel:
    """Answers with `script(request)`: a text, or a whole Reply. `asked` holds the requests that came, in order."""

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
        """One reply at a time, so that a test can stop in between."""
        for position, request in enumerate(requests):
            self.asked.append(request)
            said = self._script(request)
            yield {position: said if isinstance(said, Reply) else Reply(text=said, outcome="ok" if said else "empty")}
