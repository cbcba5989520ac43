"""revise: rewrite the candidates that break a principle, in rounds, until every drawn principle is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cai_lite.chat.asking import Stage, stage_of
from cai_lite.chat.base import ChatModel
from cai_lite.distill.critiques import critique_each, told
from cai_lite.distill.drafts import keep_candidates
from cai_lite.distill.reading import fault, spoken
from cai_lite.distill.wording import fill_reply, wording_of
from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.records import Candidate, Critique, Request, Sampling, digest
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Tick


def revise(
    teacher: ChatModel,
    drafts: Sequence[Candidate],
    critiques: Sequence[Critique],
    constitution: Constitution,
    *,
    rounds: int = 3,
    until: Literal["satisfied", "rounds"] = "satisfied",
    sampling: Sampling | None = None,
    run: Run | None = None,
    progress: Tick | None = None,
    stage: str | Stage = "revise",
) -> list[Candidate]:
    """The last good revision of each draft that was found to break a principle.

    A round mends one principle, the one of highest priority. A round that breaks a principle that held is discarded and
    counted, and its draft goes no further. `until="satisfied"` stops at the critique's word; "rounds" goes on
    polishing.
    """
    working = stage_of(stage, run, progress)
    sampling = sampling or Sampling(temperature=0.0)
    of_draft: dict[str, list[Critique]] = {}
    for row in critiques:
        of_draft.setdefault(row.candidate.key, []).append(row)
    open_: list[_Work] = []
    done: list[_Work] = []
    counts = Counter[str]()
    for candidate in drafts:
        work = _Work(candidate, candidate, of_draft.get(candidate.key, []))
        if work.violated():
            open_.append(work)
    counts["drafts with a violation"] = len(open_)
    for number in range(1, rounds + 1):
        if not open_:
            break
        revised, fell = _round(teacher, open_, constitution, number, sampling, working)
        counts.update(fell)
        begun = {work.draft.key for work in revised}
        done = [work for work in done if work.draft.key not in begun] + revised
        open_ = [work for work in revised if work.violated() or until == "rounds"]
    revisions = [work.candidate for work in done]
    counts["kept"] = len(revisions)
    counts["satisfied"] = sum(not work.violated() for work in done)
    working.count(counts)
    return revisions


@dataclass
class _Work:
    """A draft, the text that stands for it now, and what is known of that text."""

    draft: Candidate
    candidate: Candidate
    critiques: list[Critique]

    def violated(self) -> set[str]:
        return {row.principle for row in self.critiques if row.violated == "yes"}

    def kept(self) -> set[str]:
        return {row.principle for row in self.critiques if row.violated == "no"}


def _round(
    teacher: ChatModel,
    open_: list[_Work],
    constitution: Constitution,
    number: int,
    sampling: Sampling,
    stage: Stage,
) -> tuple[list[_Work], Counter[str]]:
    fell = Counter[str]()
    targets = [_target(work, constitution) for work in open_]
    requests = [
        Request(messages=told(teacher, _text(teacher, work, principle, constitution)), sampling=sampling)
        for work, principle in zip(open_, targets, strict=True)
    ]
    replies = stage.ask(teacher, requests)
    new: list[tuple[_Work, Candidate]] = []
    for work, principle, request, reply in zip(open_, targets, requests, replies, strict=True):
        text = spoken(reply.text)
        if why := fault(reply):
            fell[why] += 1
        elif text == work.candidate.text:
            fell["unchanged"] += 1
        else:
            new.append(
                (
                    work,
                    Candidate(
                        key=digest("revision", work.candidate.key, principle.id, request.key(teacher.digest)),
                        prompt=work.candidate.prompt,
                        text=text,
                        author=teacher.name,
                        round=number,
                        parents=(work.draft.key, work.candidate.key, *(c.key for c in work.critiques)),
                    ),
                )
            )
    keep_candidates(stage.run, [candidate for _, candidate in new])
    # The new text is held against every principle that was drawn, not only the one that it was to mend.
    asked = [(candidate, constitution.principle(row.principle)) for work, candidate in new for row in work.critiques]
    rows = critique_each(teacher, asked, stage)
    of_candidate: dict[str, list[Critique]] = {}
    for row in rows:
        of_candidate.setdefault(row.candidate.key, []).append(row)
    revised = []
    for work, candidate in new:
        after = _Work(work.draft, candidate, of_candidate[candidate.key])
        if after.violated() & work.kept():
            fell["broke what held"] += 1
        else:
            revised.append(after)
    return revised, fell


def _target(work: _Work, constitution: Constitution) -> Principle:
    """What to mend now: of the broken principles (of all, once none is broken) the one of highest priority."""
    wanted = work.violated() or {row.principle for row in work.critiques}
    return min((constitution.principle(id_) for id_ in wanted), key=lambda p: (p.priority, -p.weight, p.id))


def rewrites_text(principle: Principle) -> str:
    """The principle's examples as few-shots of a rewrite, the last of them of a reply that was good already."""
    shots = [(example.bad, example.good) for example in principle.examples if example.bad]
    if not shots:
        return ""
    shots.append((shots[-1][1], shots[-1][1]))
    return "".join(f"Example reply: {before}\nIts rewrite: {after}\n" for before, after in shots)


def _text(teacher: ChatModel, work: _Work, principle: Principle, constitution: Constitution) -> str:
    said = next(row.text for row in work.critiques if row.principle == principle.id)
    return fill_reply(
        wording_of(teacher.wording).revise,
        work.candidate,
        principle=principle.text,
        critique=said,
        examples=rewrites_text(principle),
        others="".join(f"Keep as well: {constitution.principle(id_).text}\n" for id_ in sorted(work.kept())),
        tradeoffs="".join(f"{line}\n" for line in constitution.tradeoffs(work.draft.prompt, principle.id)),
        guide=f"{principle.revise}\n" if principle.revise else "",
    )
