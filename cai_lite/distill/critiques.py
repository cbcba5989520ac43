"""critique: ask the teacher whether each candidate keeps the principles drawn for its prompt, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from cai_lite.chat.asking import Stage, stage_of
from cai_lite.chat.base import ChatModel
from cai_lite.distill.deciding import verdict_of
from cai_lite.distill.reading import PARSER, fault, spoken
from cai_lite.distill.wording import Wording, fill_reply, wording_of
from cai_lite.inputs.constitution import Constitution, Principle, draw
from cai_lite.records import Candidate, Critique, Message, Messages, Request, Sampling, Violated, digest
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Tick

SAMPLING = Sampling(temperature=0.0, max_tokens=256)


class Critic(NamedTuple):
    """A model that critiques, and the stage through which it is asked."""

    model: ChatModel
    stage: Stage


def critique(
    teacher: ChatModel,
    candidates: Sequence[Candidate],
    constitution: Constitution,
    *,
    principles: int = 2,
    sampling: Sampling = SAMPLING,
    run: Run | None = None,
    progress: Tick | bool | None = None,
    stage: str | Stage = "critique",
) -> list[Critique]:
    """Return one critique per candidate and per principle drawn for its prompt.

    `principles`: how many principles are drawn per prompt, weighted; all candidates of a prompt get the same ones.
    `sampling`: how a critique is sampled; a model that thinks first needs a larger `max_tokens`, some thousands.
    `run`: where calls and critiques are stored; in memory if None. `stage`: the name under which calls are counted.
    `progress`: True shows a bar; a function is called with (done, total).

    Raises:
        Stopped: the stage watches its replies, and too few of them are usable.
    """
    asked = [
        (candidate, principle)
        for candidate in candidates
        for principle in draw(constitution, candidate.prompt, principles)
    ]
    work = stage_of(stage, run, progress)
    found = critique_each(teacher, asked, work, sampling=sampling)
    violated = Counter(row.violated for row in found)
    work.count({"asked": len(found), **{f"violated: {said}": n for said, n in violated.items()}})
    work.weigh(len(found), {"unreadable": violated["unreadable"]}, section="critique")
    return found


def critique_each(
    teacher: ChatModel,
    asked: Sequence[tuple[Candidate, Principle]],
    stage: Stage,
    *,
    sampling: Sampling = SAMPLING,
) -> list[Critique]:
    """Return one critique per (candidate, principle), in the order given."""
    wording = wording_of(teacher.wording)
    requests = [
        Request(messages=critique_request(candidate, principle, wording, stage.run.secret), sampling=sampling)
        for candidate, principle in asked
    ]
    replies = stage.ask(teacher, requests, section="critique")
    rows = []
    for (candidate, principle), request, reply in zip(asked, requests, replies, strict=True):
        # The verdict stands first, so it can be read even where the token limit cut the critique.
        readable = fault(reply) in (None, "cut")
        verdict = verdict_of(spoken(reply.text), (wording.keeps, wording.breaks)) if readable else None
        violated: Violated = "unreadable" if verdict is None else "no" if verdict == wording.keeps else "yes"
        rows.append(
            Critique(
                key=digest("critique", PARSER, candidate.key, request.key(teacher.digest)),
                candidate=candidate,
                principle=principle.id,
                text=spoken(reply.text),
                violated=violated,
                author=teacher.name,
            )
        )
    stage.keep(
        "critique",
        (
            (
                row.key,
                row.parents,
                {"principle": row.principle, "violated": row.violated, "text": row.text, "author": row.author},
            )
            for row in rows
        ),
    )
    return rows


def majority(said: Sequence[Violated]) -> Violated:
    """Return what most critics say about one text and principle. Unreadable critiques do not count.

    A tie is a violation: a rewrite that was not needed is judged against its draft later on, a violation that is passed
    over is never looked at again.
    """
    yes, no = said.count("yes"), said.count("no")
    return "unreadable" if yes + no == 0 else "yes" if yes >= no else "no"


def examples_text(principle: Principle) -> str:
    """Return the principle's examples as few-shot text, or an empty string if it has none."""
    return "".join(f"Example: {e.prompt}\nKeeps it: {e.good}\nBreaks it: {e.bad}\n" for e in principle.examples)


def task_messages(teacher: ChatModel, text: str) -> Messages:
    """Return `text` as a user message, after the system message of the teacher's wording, if there is one."""
    return _messages(wording_of(teacher.wording), text)


def critique_request(candidate: Candidate, principle: Principle, wording: Wording, secret: str) -> Messages:
    """Return the request for a critique of one candidate. `secret`: of the run, for the marks around the candidate."""
    text = fill_reply(
        wording.critique,
        candidate,
        secret,
        principle=principle.behaviour,
        examples=examples_text(principle),
        guide=f"{principle.critique}\n" if principle.critique else "",
    )
    return _messages(wording, text)


def _messages(wording: Wording, text: str) -> Messages:
    return (*((Message("system", wording.system),) if wording.system else ()), Message("user", text))
