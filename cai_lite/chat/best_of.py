"""Best of n: draw n replies to each request, and keep the one that a preference model scores highest.

Source: Stiennon et al. 2020, arXiv:2009.01325, section 4.4; Bai et al. 2022, arXiv:2204.05862, section 4.4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, Protocol

from cai_lite.chat.base import ChatModel
from cai_lite.chat.thoughts import split_thought
from cai_lite.errors import InputError
from cai_lite.records import Messages, Reply, Request, digest

TOGETHER = 32  # requests whose replies are drawn and scored before the first of them is returned


class Scorer(Protocol):
    """What tells the best of several answers: `chat.preference.PreferenceModel`, or anything with these members."""

    @property
    def name(self) -> str: ...

    @property
    def digest(self) -> str: ...

    def scores(
        self, prompts: Sequence[Messages], completions: Sequence[str], principle: str | None = None
    ) -> list[float]: ...


class BestOf:
    """A chat model whose replies are the best of `n` of another one, by the scores of a preference model.

    Requests for options, as verdicts are asked, go to the model as they are. Replies that are cut, empty, refused or
    failed are not scored; where all of them are, the first is returned. The tokens of all n replies are counted.

    Raises:
        InputError: `n` is below 2, or `by` is no scorer.
    """

    def __init__(self, model: ChatModel, n: int, by: Any) -> None:
        if n < 2:
            raise InputError(f"the best of {n}? give at least 2")
        if not callable(getattr(by, "scores", None)):
            raise InputError(
                f"{getattr(by, 'name', by)} cannot score answers: give a preference model, as MODEL#ADAPTER_FOLDER"
            )
        self.model, self.n, self.by = model, n, by
        self.name = f"{model.name}, best of {n}"
        self.digest = digest("best of", model.digest, n, by.digest)
        self.wording: Literal["full", "short", "scored"] = model.wording

    def answer(self, requests: Sequence[Request]) -> Iterator[dict[int, Reply]]:
        """Answer every request; yields {position in `requests`: reply} as parts are done. See `ChatModel.answer`.

        Raises:
            InputError: a request is decoded greedily, so that all n replies would be the same.
        """
        drawn = [i for i, request in enumerate(requests) if not request.options]
        asked = [i for i, request in enumerate(requests) if request.options]
        if any(requests[i].sampling.temperature == 0 for i in drawn):
            raise InputError(f"{self.name}: at temperature 0 all replies are the same; set a temperature above 0")
        if asked:
            for batch in self.model.answer([requests[i] for i in asked]):
                yield {asked[position]: reply for position, reply in batch.items()}
        for start in range(0, len(drawn), TOGETHER):
            yield self._best(requests, drawn[start : start + TOGETHER])

    def close(self) -> None:
        """Release the weights of both models, where they are on this machine."""
        for model in (self.model, self.by):
            if callable(close := getattr(model, "close", None)):
                close()

    def _best(self, requests: Sequence[Request], part: Sequence[int]) -> dict[int, Reply]:
        each = [replace(requests[i], index=requests[i].index * self.n + k) for i in part for k in range(self.n)]
        replies: dict[int, Reply] = {}
        for batch in self.model.answer(each):
            replies.update(batch)
        usable = [j for j in range(len(each)) if replies[j].outcome == "ok" and _said(replies[j])]
        found = self.by.scores([each[j].messages for j in usable], [_said(replies[j]) for j in usable])
        scores = dict(zip(usable, found, strict=True))
        best = {}
        for place, i in enumerate(part):
            own = range(place * self.n, (place + 1) * self.n)
            chosen = max(own, key=lambda j: (scores.get(j, float("-inf")), -j))
            best[i] = replace(
                replies[chosen],
                tokens_in=sum(replies[j].tokens_in for j in own),
                tokens_out=sum(replies[j].tokens_out for j in own),
                seconds=sum(replies[j].seconds for j in own),
                cost=sum(replies[j].cost for j in own),
            )
        return best


def _said(reply: Reply) -> str:
    return split_thought(reply.text).answer
