"""draft: ask a model for answers to the prompts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from cai_lite.chat.asking import Stage, stage_of
from cai_lite.chat.base import ChatModel
from cai_lite.distill.reading import fault, spoken
from cai_lite.distill.wording import fill, wording_of
from cai_lite.inputs.constitution import Constitution
from cai_lite.records import Candidate, Message, Prompt, Request, Sampling, digest
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Tick


def draft(
    model: ChatModel,
    prompts: Sequence[Prompt],
    *,
    n: int = 1,
    sampling: Sampling | None = None,
    constitution: Constitution | None = None,
    run: Run | None = None,
    progress: Tick | None = None,
    stage: str | Stage = "draft",
) -> list[Candidate]:
    """`n` answers to each prompt, in order. Empty, cut, refused and failed ones are counted and left out.

    `constitution`: where given, the model is told to follow it (a teacher's own answers); a student is asked bare.
    """
    work = stage_of(stage, run, progress)
    sampling = sampling or Sampling()
    requests = [
        Request(messages=_told(model, prompt, constitution), sampling=sampling, index=index)
        for prompt in prompts
        for index in range(n)
    ]
    replies = work.ask(model, requests)
    drafts, counts = [], Counter[str]({"asked": len(requests)})
    for place, (request, reply) in enumerate(zip(requests, replies, strict=True)):
        prompt = prompts[place // n]
        if why := fault(reply):
            counts[why] += 1
            continue
        drafts.append(
            Candidate(
                key=digest("draft", prompt.key, request.key(model.digest)),
                prompt=prompt,
                text=spoken(reply.text),
                # Told the constitution, the same model is another author: it is what self-distillation compares.
                author=model.name if constitution is None else f"{model.name}, told the constitution",
                parents=(prompt.key,),
            )
        )
    counts["kept"] = len(drafts)
    work.count(counts)
    keep_candidates(work.run, drafts)
    return drafts


def keep_candidates(run: Run, candidates: Sequence[Candidate]) -> None:
    """Write candidates, and their prompts, to the run."""
    run.keep_rows(
        "prompt", ((c.prompt.key, (), {"messages": c.prompt.messages, "family": c.prompt.family}) for c in candidates)
    )
    run.keep_rows(
        "candidate", ((c.key, c.parents, {"text": c.text, "author": c.author, "round": c.round}) for c in candidates)
    )


def _told(model: ChatModel, prompt: Prompt, constitution: Constitution | None) -> tuple[Message, ...]:
    """The prompt's messages, with the constitution as (or behind) the system message."""
    if constitution is None:
        return prompt.messages
    apply = [principle for principle in constitution.principles if principle.applies(prompt)]
    # Those that win come first: the sort is stable, so equals keep the order of the file.
    listed = [f"- {principle.text}" for principle in sorted(apply, key=lambda principle: principle.priority)]
    decided = [f"- {line}" for line in constitution.tradeoffs(prompt)]
    told = fill(
        wording_of(model.wording).follow,
        principles="\n".join(listed),
        tradeoffs="".join(f"{line}\n" for line in ["Decided beforehand:", *decided]) if decided else "",
    ).rstrip()
    if prompt.messages and prompt.messages[0].role == "system":
        return (Message("system", f"{prompt.messages[0].content}\n\n{told}"), *prompt.messages[1:])
    return (Message("system", told), *prompt.messages)
