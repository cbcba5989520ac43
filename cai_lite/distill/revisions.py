"""revise: rewrite the drafts that break a principle, in rounds, until every drawn principle is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from cai_lite.chat.asking import Stage, stage_of
from cai_lite.chat.base import ChatModel
from cai_lite.distill.critiques import SAMPLING, Critic, critique_each, majority, task_messages
from cai_lite.distill.drafts import keep_candidates
from cai_lite.distill.pairs import mean_shares
from cai_lite.distill.reading import FAULTS, fault, spoken
from cai_lite.distill.wording import fill_reply, wording_of
from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.records import Candidate, Critique, Request, Sampling, Verdict, Violated, digest, distinct
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
    made = revisions_of(
        teacher,
        drafts,
        [critiques],
        constitution,
        rounds=rounds,
        until=until,
        samplings=(sampling or Sampling(temperature=0.0), critique_sampling),
        stage=stage_of(stage, run, progress),
    )
    return made.accepted


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One rewrite of one text, and what became of it.

    `before`: the text that was rewritten, the draft or its last accepted revision; `critique`: the critique that the
    rewrite follows; `principle`: the one that it is to mend, `needed` unless it was kept already. `outcome`: "revised",
    "broke what held", "unchanged", or the fault of the reply ("cut", "empty", "refused", "failed"). `after`: the new
    text, if there is one. `mended`: whether the principle is kept after it; None if that could not be read. `broken`:
    ids of the principles that were kept before and are broken after it. `left`: ids of the drawn principles that are
    broken after it.
    """

    draft: Candidate
    before: Candidate
    critique: str
    principle: str
    round: int
    needed: bool
    outcome: str
    after: Candidate | None = None
    mended: bool | None = None
    broken: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


class Revisions(NamedTuple):
    """The last accepted revision of each draft (of each draft and critic, if there are several), and all attempts."""

    accepted: list[Candidate]
    attempts: list[Attempt]


def revisions_of(
    teacher: ChatModel,
    drafts: Sequence[Candidate],
    critiques: Sequence[Sequence[Critique]],
    constitution: Constitution,
    *,
    rounds: int,
    until: Literal["satisfied", "rounds"],
    samplings: tuple[Sampling, Sampling],
    stage: Stage,
    critics: Sequence[Critic] = (),
    rest: Callable[[ChatModel], None] = lambda model: None,
) -> Revisions:
    """Return the revisions of `revise` with every attempt at one.

    With several critics, what most of them say decides whether a text breaks a principle (see `majority`), and each
    critic that finds the principle broken has a rewrite of its own made, by its own critique, round after round.

    `critiques`: of the drafts, one list per critic. `critics`: those who wrote them and critique the revisions; without
    any, the teacher does. `samplings`: of the revisions, and of the critiques of them. `rest`: called with a model that
    is not asked again before another one, so that only one is in memory.
    """
    critics = critics or [Critic(teacher, stage)]
    several = any(critic.model is not teacher for critic in critics)
    walk = _Walk(teacher, critics, constitution, samplings, stage, rest if several else lambda model: None)
    pending = [
        state for number in range(len(critics)) for state in _states(drafts, critiques, number) if state.violated()
    ]
    broken = len({state.draft.key for state in pending})
    pending = [state for state in pending if state.follows()]
    accepted: dict[tuple[str, int], _State] = {}
    attempts: list[Attempt] = []
    for number in range(1, rounds + 1):
        if not pending:
            break
        tried = walk.round(pending, number)
        attempts += [attempt for _, attempt in tried]
        revised = [state for state, _ in tried if state is not None]
        for state in revised:
            accepted.pop((state.draft.key, state.critic), None)  # those revised last stand last
            accepted[state.draft.key, state.critic] = state
        pending = [state for state in revised if until == "rounds" or state.follows()]
    outcomes = Counter(attempt.outcome for attempt in attempts if attempt.outcome != "revised")
    kept = list(accepted.values())
    satisfied = sum(not state.violated() for state in kept)
    stage.count({"drafts with a violation": broken, **outcomes, "kept": len(kept), "satisfied": satisfied})
    stage.weigh(len(attempts), {why: outcomes[why] for why in FAULTS}, section="revise", of="revisions")
    return Revisions(distinct([state.candidate for state in kept]), attempts)


@dataclass
class _State:
    """A draft, its current text (`candidate`), and the critiques of that text by one critic.

    `critic`: the number of the critic. `said`: what most critics say, by principle.
    """

    draft: Candidate
    candidate: Candidate
    critic: int
    critiques: list[Critique]
    said: dict[str, Violated] = field(default_factory=dict)

    def violated(self) -> set[str]:
        """Return the ids of the principles that the current text breaks."""
        return {id_ for id_, said in self.said.items() if said == "yes"}

    def kept(self) -> set[str]:
        """Return the ids of the principles that the current text keeps; unreadable critiques count as neither."""
        return {id_ for id_, said in self.said.items() if said == "no"}

    def follows(self) -> set[str]:
        """Return the ids of the broken principles that this critic, too, finds broken: a rewrite can follow it."""
        return self.violated() & {row.principle for row in self.critiques if row.violated == "yes"}


def _states(candidates: Iterable[Candidate], critiques: Sequence[Sequence[Critique]], critic: int) -> list[_State]:
    """Return the state of each draft for one critic. `critiques`: one list per critic."""
    own: dict[str, list[Critique]] = {}
    for row in critiques[critic]:
        own.setdefault(row.candidate.key, []).append(row)
    said = _said(critiques)
    return [_State(c, c, critic, own.get(c.key, []), said.get(c.key, {})) for c in candidates]


def _said(critiques: Sequence[Sequence[Critique]]) -> dict[str, dict[str, Violated]]:
    """Return what most critics say of each candidate, by its key and the principle."""
    votes: dict[str, dict[str, list[Violated]]] = {}
    for rows in critiques:
        for row in rows:
            votes.setdefault(row.candidate.key, {}).setdefault(row.principle, []).append(row.violated)
    return {key: {id_: majority(said) for id_, said in of.items()} for key, of in votes.items()}


class _Walk(NamedTuple):
    """What every round needs."""

    teacher: ChatModel
    critics: Sequence[Critic]
    constitution: Constitution
    samplings: tuple[Sampling, Sampling]
    stage: Stage
    rest: Callable[[ChatModel], None]

    def round(self, pending: Sequence[_State], number: int) -> list[tuple[_State | None, Attempt]]:
        """Rewrite each text once; return every attempt, with the new state if the revision is accepted."""
        teacher, stage = self.teacher, self.stage
        targets = [_target(state, self.constitution) for state in pending]
        requests = [
            Request(
                messages=task_messages(teacher, _text(teacher, state, principle, self.constitution, stage.run.secret)),
                sampling=self.samplings[0],
            )
            for state, principle in zip(pending, targets, strict=True)
        ]
        replies = stage.ask(teacher, requests, section="revise")
        self.rest(teacher)
        tried: list[tuple[_State, Attempt]] = []
        for state, principle, request, reply in zip(pending, targets, requests, replies, strict=True):
            text, why = spoken(reply.text), fault(reply)
            after = None
            if why is None and text != state.candidate.text:
                after = Candidate(
                    key=digest("revision", state.candidate.key, principle.id, request.key(teacher.digest)),
                    prompt=state.candidate.prompt,
                    text=text,
                    author=teacher.name,
                    round=number,
                    parents=(state.draft.key, state.candidate.key, *(c.key for c in state.critiques)),
                    principle=principle.id,
                )
            attempt = Attempt(
                draft=state.draft,
                before=state.candidate,
                critique=_critique(state, principle.id).text,
                principle=principle.id,
                round=number,
                needed=principle.id in state.violated(),
                outcome=why or ("unchanged" if after is None else "revised"),
                after=after,
                mended=False if why is None and after is None else None,
                left=tuple(sorted(state.violated())),
            )
            tried.append((state, attempt))
        keep_candidates(stage.run, [attempt.after for _, attempt in tried if attempt.after is not None])
        new = list({a.after.key: (state, a.after) for state, a in tried if a.after is not None}.values())
        critiques = self._critiques(new)
        of = [
            {state.candidate.key: state for state in _states([c for _, c in new], critiques, critic)}
            for critic in range(len(self.critics))
        ]
        return [
            _settled(state, attempt, of[state.critic][attempt.after.key]) if attempt.after else (None, attempt)
            for state, attempt in tried
        ]

    def _critiques(self, new: Sequence[tuple[_State, Candidate]]) -> list[list[Critique]]:
        """Critique new texts under every principle drawn, not only under the one they were rewritten for."""
        asked = [(after, self.constitution.principle(row.principle)) for state, after in new for row in state.critiques]
        found = []
        for critic in self.critics:
            found.append(critique_each(critic.model, asked, critic.stage, sampling=self.samplings[1]))
            self.rest(critic.model)
        return found


def _settled(state: _State, attempt: Attempt, new: _State) -> tuple[_State | None, Attempt]:
    """Return the attempt with what the critiques of its text say, and the new state unless it broke what held."""
    broken, said = new.violated() & state.kept(), new.said[attempt.principle]
    attempt = replace(
        attempt,
        outcome="broke what held" if broken else "revised",
        mended=None if said == "unreadable" else said == "no",
        broken=tuple(sorted(broken)),
        left=tuple(sorted(new.violated())),
    )
    return (None if broken else replace(new, draft=state.draft)), attempt


def _target(state: _State, constitution: Constitution) -> Principle:
    """Return the broken principle of highest priority; if none is broken, the one of highest priority overall."""
    ids = state.follows() or {row.principle for row in state.critiques}
    return min((constitution.principle(id_) for id_ in ids), key=lambda p: p.rank)


def _critique(state: _State, principle: str) -> Critique:
    return next(row for row in state.critiques if row.principle == principle)


def best_of(revisions: Sequence[Candidate], verdicts: Sequence[Verdict]) -> list[Candidate]:
    """Return one revision of each draft: the one that verdicts on revisions of the same draft prefer.

    Among equals, and without verdicts, it is the first.
    """
    shares = mean_shares(verdicts)
    best: dict[str, Candidate] = {}
    for revision in revisions:
        other = best.setdefault(revision.parents[0], revision)
        if shares.get(revision.key, 0.5) > shares.get(other.key, 0.5):
            best[revision.parents[0]] = revision
    return list(best.values())


def rewrites_text(principle: Principle) -> str:
    """Return the principle's examples as few-shot rewrites; the last one leaves a good reply unchanged."""
    shots = [(example.bad, example.good) for example in principle.examples if example.bad]
    if not shots:
        return ""
    shots.append((shots[-1][1], shots[-1][1]))
    return "".join(f"Example reply: {before}\nIts rewrite: {after}\n" for before, after in shots)


def _text(teacher: ChatModel, state: _State, principle: Principle, constitution: Constitution, secret: str) -> str:
    return fill_reply(
        wording_of(teacher.wording).revise,
        state.candidate,
        secret,
        principle=principle.behaviour,
        critique=_critique(state, principle.id).text,
        examples=rewrites_text(principle),
        others="".join(f"Keep as well: {constitution.principle(id_).text}\n" for id_ in sorted(state.kept())),
        tradeoffs="".join(f"{line}\n" for line in constitution.tradeoffs(state.draft.prompt, principle.id)),
        guide=f"{principle.revise}\n" if principle.revise else "",
    )
