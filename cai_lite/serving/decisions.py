"""Decide whether logged answers keep the principles: by machine checks, a guard, or a judge that is asked about some.

Each way of deciding has figures of its own: the share that a check finds is not the share that a judge finds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from cai_lite.chat.asking import Stage
from cai_lite.chat.base import ChatModel
from cai_lite.distill.judging import Judging
from cai_lite.distill.pointwise import score
from cai_lite.distill.reading import sigmoid
from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.records import Candidate, Prompt
from cai_lite.run.ledger import Budget, Run
from cai_lite.serving.conversations import Logged

if TYPE_CHECKING:
    from cai_lite.serving.guard import Guard

CHECKS = "checks"
Verdict = Literal["kept", "broken", "unknown"]


class Asked(NamedTuple):
    """A logged conversation with its number in the log, its key and the principles that apply to it."""

    number: int
    key: str
    logged: Logged
    prompt: Prompt
    principles: Sequence[Principle]


class Decision(NamedTuple):
    """What one decider says of one answer under one principle.

    `kept`: the probability that the answer keeps it; None where nobody knows. `weight`: how many conversations it
    stands for. `evidence`: the words that decided; `reason`: why there is no verdict, or what the judge said.
    """

    number: int
    key: str
    principle: str
    verdict: Verdict
    kept: float | None
    weight: float = 1.0
    evidence: str = ""
    reason: str = ""


class Decider(Protocol):
    """A way of deciding. `name`: what decisions name it; `principles`: those that it can decide."""

    name: str

    @property
    def about(self) -> str:
        """Which model it is; another one would have other rates."""

    @property
    def principles(self) -> Sequence[str]:
        """The ids of the principles."""

    def decide(self, asked: Sequence[Asked]) -> Iterator[Decision]:
        """Yield the decisions about these conversations, in their order."""


def asked_of(constitution: Constitution) -> Callable[[int, Logged, tuple[str, ...]], Asked]:
    """Return what makes an `Asked` of a number, a conversation and its tags; principles apply by tags."""

    @lru_cache(maxsize=4096)
    def applying(tags: tuple[str, ...]) -> list[Principle]:
        return constitution.applying(Prompt(key="", messages=(), family="", tags=tags))

    def make(number: int, logged: Logged, tags: tuple[str, ...]) -> Asked:
        key = logged.key
        prompt = Prompt(key=key, messages=logged.prompt, family=logged.family, tags=tags)
        return Asked(number, key, logged, prompt, applying(tags))

    return make


class ByChecks:
    """The machine checks of the constitution, on every conversation, in `workers` processes."""

    name = CHECKS
    about = ""

    def __init__(self, constitution: Constitution, workers: int = 1) -> None:
        self._known = {principle.id: principle for principle in constitution.principles if principle.checks}
        self.principles = tuple(self._known)
        self._pool = _Pool(self._known, workers) if workers > 1 and self._known else None

    def decide(self, asked: Sequence[Asked]) -> Iterator[Decision]:
        """Yield the decisions about these conversations, in their order. An abstaining check knows nothing."""
        work = [([p.id for p in one.principles if p.id in self._known], one.logged.answer) for one in asked]
        found = self._pool.checked(work) if self._pool else (_checked(self._known, *item) for item in work)
        for one, results in zip(asked, found, strict=True):
            for id_, passed, evidence in results:
                verdict: Verdict = "unknown" if passed is None else "kept" if passed else "broken"
                kept = None if passed is None else float(passed)
                yield Decision(one.number, one.key, id_, verdict, kept, 1.0, evidence, "" if kept else _WHY[verdict])

    def close(self) -> None:
        """End the processes."""
        if self._pool:
            self._pool.close()


_WHY = {"kept": "", "broken": "a check fails", "unknown": "the checks abstain"}
_Checked = list[tuple[str, bool | None, str]]


def _checked(known: Mapping[str, Principle], ids: Sequence[str], answer: str) -> _Checked:
    found: _Checked = []
    for id_ in ids:
        checks = known[id_].checks
        assert checks is not None
        passed = checks.passed(answer)
        found.append((id_, passed, checks.broken_by(answer) if passed is False else ""))
    return found


class _Pool:
    """Processes that run checks, each with the principles of its own."""

    def __init__(self, known: Mapping[str, Principle], workers: int) -> None:
        import multiprocessing

        self._pool = multiprocessing.get_context("spawn").Pool(workers, _begin, (dict(known),))
        self._workers = workers

    def checked(self, work: Sequence[tuple[list[str], str]]) -> list[_Checked]:
        return self._pool.map(_work, work, chunksize=max(1, len(work) // (4 * self._workers)))

    def close(self) -> None:
        self._pool.terminate()
        self._pool.join()


_known_here: dict[str, Principle] = {}  # in a process of a pool


def _begin(known: dict[str, Principle]) -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the first process's to handle
    _known_here.update(known)


def _work(item: tuple[list[str], str]) -> _Checked:
    return _checked(_known_here, *item)


def drawn(asked: Sequence[Asked], share: float) -> list[Asked]:
    """Return the conversations whose key falls into the share, 0 to 1; the same ones at every reading."""
    return [one for one in asked if int(one.key[:13], 16) / 16**13 < share]


@dataclass
class ByGuard:
    """A guard, on a share of the conversations."""

    guard: Guard
    share: float
    name: str = "guard"

    @property
    def about(self) -> str:
        """The preference model behind it."""
        return self.guard.model.name

    @property
    def principles(self) -> Sequence[str]:
        """The principles that the guard knows."""
        return tuple(self.guard.principles)

    def decide(self, asked: Sequence[Asked]) -> Iterator[Decision]:
        """Yield the decisions about the conversations drawn: broken where the guard would stop the answer."""
        mine = drawn(asked, self.share)
        findings = self.guard.look([one.logged.prompt for one in mine], [one.logged.answer for one in mine])
        for one, found in zip(mine, findings if mine else [], strict=True):
            applying = {principle.id for principle in one.principles}
            for finding in found:
                if finding.principle in applying:
                    verdict: Verdict = "broken" if finding.stopped else "kept"
                    reason = f"the guard's probability of a breach is {finding.p:.2f}" if finding.stopped else ""
                    yield Decision(
                        one.number, one.key, finding.principle, verdict, 1 - finding.p, 1 / self.share, "", reason
                    )


@dataclass
class ByJudge:
    """A judge, asked pointwise about a share of the conversations, under every principle that applies.

    What it was asked and said is kept in memory alone. `run` holds the budget and what was spent of it.
    """

    model: ChatModel
    constitution: Constitution
    share: float
    budget: Budget = field(default_factory=Budget)
    name: str = "judge"
    run: Run = field(init=False)

    def __post_init__(self) -> None:
        self.run = Run(budget=self.budget)

    @property
    def about(self) -> str:
        """The name of the judge."""
        return self.model.name

    @property
    def principles(self) -> Sequence[str]:
        """All principles."""
        return tuple(principle.id for principle in self.constitution.principles)

    def decide(self, asked: Sequence[Asked]) -> Iterator[Decision]:
        """Yield the decisions about the conversations drawn. A fault of the judge's is no verdict.

        Raises:
            Stopped: the budget is spent, or the server answers no more for now.
        """
        mine = [(one, principle) for one in drawn(asked, self.share) for principle in one.principles]
        cells = [
            (Candidate(key=one.key, prompt=one.prompt, text=one.logged.answer, author="log"), principle)
            for one, principle in mine
        ]
        if not cells:
            return
        scores = score(self.model, cells, Judging(mode="pointwise"), Stage(run=self.run, name="monitor"))
        for (one, principle), found in zip(mine, scores, strict=True):
            kept = None if found.log_odds is None else sigmoid(found.log_odds)
            verdict: Verdict = "unknown" if kept is None else "kept" if kept > 0.5 else "broken"
            reason = f"the judge's reply is {found.outcome}" if kept is None else found.text
            weight = 1 / self.share
            shown = "" if verdict == "kept" else reason
            yield Decision(one.number, one.key, principle.id, verdict, kept, weight, "", shown)
