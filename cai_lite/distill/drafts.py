"""draft: ask a model for replies to the prompts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from cai_lite.chat.asking import Stage, stage_of
from cai_lite.chat.base import ChatModel
from cai_lite.distill.reading import fault, spoken
from cai_lite.distill.wording import Wording, fill, wording_of
from cai_lite.inputs.constitution import Constitution
from cai_lite.inputs.prompts import as_prompts
from cai_lite.records import Candidate, Message, Messages, Prompt, Request, Sampling, digest
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Tick


def draft(
    model: ChatModel,
    prompts: Any,
    *,
    n: int = 1,
    sampling: Sampling | None = None,
    constitution: Constitution | None = None,
    run: Run | None = None,
    progress: Tick | bool | None = None,
    stage: str | Stage = "draft",
) -> list[Candidate]:
    """Return `n` drafts per prompt, in the order of the prompts.

    Replies that are empty, cut at the token limit, refused or failed are counted and left out.

    `prompts`: a list of texts, of dictionaries as in a prompt file, or of `Prompt`; or a path or `Prompts`, of which
    the training prompts are taken.

    `constitution`: if given, the system message tells the model to follow it (as for the teacher's own replies).
    `run`: where calls and drafts are stored; in memory if None. `stage`: the name under which calls are counted.
    `progress`: True shows a bar; a function is called with (done, total).

    Raises:
        Stopped: the stage watches its replies, and too few of them are usable.
    """
    work = stage_of(stage, run, progress)
    prompts = as_prompts(prompts, "train")
    sampling = sampling or Sampling()
    requests = [
        Request(messages=_asked(model, prompt, constitution), sampling=sampling, index=index)
        for prompt in prompts
        for index in range(n)
    ]
    replies = work.ask(model, requests, section="draft")
    drafts, faults = [], Counter[str]()
    for position, (request, reply) in enumerate(zip(requests, replies, strict=True)):
        prompt = prompts[position // n]
        if why := fault(reply):
            faults[why] += 1
            continue
        drafts.append(
            Candidate(
                key=digest("draft", prompt.key, request.key(model.digest)),
                prompt=prompt,
                text=spoken(reply.text),
                # With the constitution, the same model is a different author, so that self-distillation can compare
                # its drafts with and without it.
                author=model.name if constitution is None else f"{model.name}, told the constitution",
                parents=(prompt.key,),
            )
        )
    work.count({"asked": len(requests), **faults, "kept": len(drafts)})
    keep_candidates(work.run, drafts)
    work.weigh(len(requests), faults, section="draft", of="drafts")
    return drafts


def keep_candidates(run: Run, candidates: Sequence[Candidate]) -> None:
    """Write candidates and their prompts to the run."""
    run.keep_rows(
        "prompt", ((c.prompt.key, (), {"messages": c.prompt.messages, "family": c.prompt.family}) for c in candidates)
    )
    run.keep_rows("candidate", ((c.key, c.parents, _payload(c)) for c in candidates))


def _payload(candidate: Candidate) -> dict[str, Any]:
    written = {"text": candidate.text, "author": candidate.author, "round": candidate.round}
    return written | ({"principle": candidate.principle} if candidate.principle else {})


def _asked(model: ChatModel, prompt: Prompt, constitution: Constitution | None) -> Messages:
    return prompt.messages if constitution is None else told(wording_of(model.wording), prompt, constitution)


def told(wording: Wording, prompt: Prompt, constitution: Constitution) -> Messages:
    """Return the prompt's messages, with the constitution as the system message or at the end of the existing one.

    The principles that apply to the prompt are listed, and the trade-offs between them where the wording has a place
    for these.
    """
    apply = constitution.applying(prompt)
    # Highest priority first; the sort is stable, so principles of equal priority stay in the order of the file.
    listed = [f"- {principle.behaviour}" for principle in sorted(apply, key=lambda principle: principle.priority)]
    tradeoffs = [f"- {line}" for line in constitution.tradeoffs(prompt)]
    instructions = fill(
        wording.follow,
        principles="\n".join(listed),
        tradeoffs="".join(f"{line}\n" for line in ["Decided beforehand:", *tradeoffs]) if tradeoffs else "",
    ).rstrip()
    if prompt.messages and prompt.messages[0].role == "system":
        return (Message("system", f"{prompt.messages[0].content}\n\n{instructions}"), *prompt.messages[1:])
    return (Message("system", instructions), *prompt.messages)
