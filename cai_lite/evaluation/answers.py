"""Answers of a model to prompts. None is dropped: leaving out bad answers would flatter the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from cai_lite.chat.asking import Stage
from cai_lite.chat.base import ChatModel
from cai_lite.chat.faults import Watch
from cai_lite.distill.drafts import keep_candidates
from cai_lite.distill.reading import FAULTS, spoken
from cai_lite.records import Candidate, Prompt, Request, Sampling, digest
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Tick


def answer(
    model: ChatModel,
    prompts: Sequence[Prompt],
    *,
    sampling: Sampling,
    samples: int = 1,
    run: Run,
    stage: str,
    progress: Tick | None = None,
    warn: Callable[[str], None] | None = None,
) -> list[Candidate]:
    """Return `samples` answers per prompt, in order.

    An answer cut at the token limit is kept as it is; an empty, refused or failed one has the text "". The thoughts of
    a thinking model are not part of its answer. `warn` is called if many answers are cut or empty.
    """
    asked = [(prompt, index) for prompt in prompts for index in range(samples)]
    requests = [Request(messages=prompt.messages, sampling=sampling, index=index) for prompt, index in asked]
    work = Stage(run=run, name=stage, tick=progress, watch=Watch(say=warn) if warn else None)
    replies = work.ask(model, requests)
    outcomes = Counter[str](reply.outcome for reply in replies)
    work.count({"asked": len(replies), **outcomes})
    work.weigh(len(replies), {why: outcomes[why] for why in FAULTS}, section="", of="answers")
    answers = [
        Candidate(
            key=digest("answer", prompt.key, request.key(model.digest)),
            prompt=prompt,
            text=spoken(reply.text) if reply.outcome in ("ok", "cut") else "",
            author=model.name,
            parents=(prompt.key,),
        )
        for (prompt, _), request, reply in zip(asked, requests, replies, strict=True)
    ]
    keep_candidates(run, answers)
    return answers
