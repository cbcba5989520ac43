"""revise: rewrite the drafts that break a principle, in rounds, until every drawn principle is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cai_lite.chat.asking import Stage, stage_of
from cai_lite.chat.base import ChatModel
from cai_lite.distill.critiques import SAMPLING, critique_each, task_messages
from cai_lite.distill.drafts import keep_candidates
from cai_lite.distill.reading import FAULTS, fault, spoken
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
    critique_sampling: Sampling = SAMPLING,
    run: Run | None = None,
    progress: Tick | bool | None = None,
    stage: str | Stage = "revise",
) -> list[Candidate]:
    """Return the last accepted revision of each draft that was found to break a principle.

    Each round rewrites the text for one principle, the broken one with the highest priority, and has the new text
    critiqued under all principles drawn for the prompt. A revision that breaks a principle which was kept before is
    discarded and counted; its draft is not revised further.

    `critiques`: the critiques of the drafts; drafts without a violation are not revised. `rounds`: the limit of rounds
    per draft. `until`: "satisfied" stops when no principle is broken any more, "rounds" always uses all rounds.
    `sampling`, `critique_sampling`: how a revision and the critiques of it are sampled.
    `run`: where calls and revisions are stored; in memory if None. `stage`: the name under which calls are counted.
    `progress`: True shows a bar; a function is called with (done, total).

    Raises:
        Stopped: the stage watches its replies, and too few of them are usable.
    """
    work = stage_of(stage, run, progress)
    sampling = sampling or Sampling(temperature=0.0)
    by_draft: dict[str, list[Critique]] = {}
    for row in critiques:
        by_draft.setdefault(row.candidate.key, []).append(row)
    pending: list[_State] = []
    accepted: list[_State] = []
    counts = Counter[str]()
    for candidate in drafts:
        state = _State(candidate, candidate, by_draft.get(candidate.key, []))
        if state.violated():
            pending.append(state)
    counts["drafts with a violation"] = len(pending)
    asked = 0
    for number in range(1, rounds + 1):
        if not pending:
            break
        revised, discarded = _round(teacher, pending, constitution, number, (sampling, critique_sampling), work)
        counts.update(discarded)
        asked += len(pending)
        replaced = {state.draft.key for state in revised}
        accepted = [state for state in accepted if state.draft.key not in replaced] + revised
        pending = [state for state in revised if state.violated() or until == "rounds"]
    revisions = [state.candidate for state in accepted]
    counts["kept"] = len(revisions)
    counts["satisfied"] = sum(not state.violated() for state in accepted)
    work.count(counts)
    work.weigh(asked, {why: counts[why] for why in FAULTS}, section="revise", of="revisions")
    return revisions


@dataclass
class _State:
    """A draft, its current text (`candidate`), and the critiques of that text."""

    draft: Candidate
    candidate: Candidate
    critiques: list[Critique]

    def violated(self) -> set[str]:
        """Return the ids of the principles that the current text breaks."""
        return {row.principle for row in self.critiques if row.violated == "yes"}

    def kept(self) -> set[str]:
        """Return the ids of the principles that the current text keeps; unreadable critiques count as neither."""
        return {row.principle for row in self.critiques if row.violated == "no"}


def _round(
    teacher: ChatModel,
    pending: list[_State],
    constitution: Constitution,
    number: int,
    samplings: tuple[Sampling, Sampling],
    stage: Stage,
) -> tuple[list[_State], Counter[str]]:
    """Return the accepted revisions of one round, and the number of discarded ones by reason.

    `samplings`: of the revisions, and of the critiques of them.
    """
    discarded = Counter[str]()
    targets = [_target(state, constitution) for state in pending]
    requests = [
        Request(
            messages=task_messages(teacher, _text(teacher, state, principle, constitution, stage.run.secret)),
            sampling=samplings[0],
        )
        for state, principle in zip(pending, targets, strict=True)
    ]
    replies = stage.ask(teacher, requests, section="revise")
    new: list[tuple[_State, Candidate]] = []
    for state, principle, request, reply in zip(pending, targets, requests, replies, strict=True):
        text = spoken(reply.text)
        if why := fault(reply):
            discarded[why] += 1
        elif text == state.candidate.text:
            discarded["unchanged"] += 1
        else:
            new.append(
                (
                    state,
                    Candidate(
                        key=digest("revision", state.candidate.key, principle.id, request.key(teacher.digest)),
                        prompt=state.candidate.prompt,
                        text=text,
                        author=teacher.name,
                        round=number,
                        parents=(state.draft.key, state.candidate.key, *(c.key for c in state.critiques)),
                    ),
                )
            )
    keep_candidates(stage.run, [candidate for _, candidate in new])
    # Critique the new text under every principle drawn, not only under the one it was rewritten for.
    asked = [(candidate, constitution.principle(row.principle)) for state, candidate in new for row in state.critiques]
    rows = critique_each(teacher, asked, stage, sampling=samplings[1])
    by_candidate: dict[str, list[Critique]] = {}
    for row in rows:
        by_candidate.setdefault(row.candidate.key, []).append(row)
    revised = []
    for state, candidate in new:
        after = _State(state.draft, candidate, by_candidate[candidate.key])
        if after.violated() & state.kept():
            discarded["broke what held"] += 1
        else:
            revised.append(after)
    return revised, discarded


def _target(state: _State, constitution: Constitution) -> Principle:
    """Return the broken principle of highest priority; if none is broken, the one of highest priority overall."""
    ids = state.violated() or {row.principle for row in state.critiques}
    return min((constitution.principle(id_) for id_ in ids), key=lambda p: (p.priority, -p.weight, p.id))


def rewrites_text(principle: Principle) -> str:
    """Return the principle's examples as few-shot rewrites; the last one leaves a good reply unchanged."""
    shots = [(example.bad, example.good) for example in principle.examples if example.bad]
    if not shots:
        return ""
    shots.append((shots[-1][1], shots[-1][1]))
    return "".join(f"Example reply: {before}\nIts rewrite: {after}\n" for before, after in shots)


def _text(teacher: ChatModel, state: _State, principle: Principle, constitution: Constitution, secret: str) -> str:
    critique = next(row.text for row in state.critiques if row.principle == principle.id)
    return fill_reply(
        wording_of(teacher.wording).revise,
        state.candidate,
        secret,
        principle=principle.text,
        critique=critique,
        examples=rewrites_text(principle),
        others="".join(f"Keep as well: {constitution.principle(id_).text}\n" for id_ in sorted(state.kept())),
        tradeoffs="".join(f"{line}\n" for line in constitution.tradeoffs(state.draft.prompt, principle.id)),
        guide=f"{principle.revise}\n" if principle.revise else "",
    )
