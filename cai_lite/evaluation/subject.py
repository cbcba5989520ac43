"""The subject of an evaluation: who is measured, by whom, on what, and everything that was asked so far.

A metric is a function over a `Subject`. The methods `answers_to`, `score_cells` and `verdicts` are the only places
where an evaluation asks a model; each keeps what it got, so metrics may ask for the same things again at no cost.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal

from cai_lite.chat.asking import Stage
from cai_lite.chat.base import ChatModel
from cai_lite.chat.local import LocalModel
from cai_lite.distill.comparisons import Comparison as Pairing
from cai_lite.distill.judging import Judging
from cai_lite.distill.pointwise import score
from cai_lite.distill.verdicts import judge_comparisons
from cai_lite.embedded import oracle as grammar
from cai_lite.evaluation.answers import answer
from cai_lite.evaluation.deciders import Keeps, checks_keep, judge_keeps, oracle_keeps
from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.inputs.labels import AnswerLabel
from cai_lite.records import Candidate, PreferencePair, Prompt, Sampling, Score, Verdict
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Screen
from cai_lite.stats import Comparison, Figure, over_sides

PAIRED_LIMIT = 60  # prompts whose two answers are compared with each other; also training prompts that are answered

Sides = Sequence[Sequence[Candidate]]
"""Answers of one model, or of two (before, after) to the same prompts in the same order."""


@dataclass(kw_only=True)
class Subject:
    """One model (`after`), or two to compare, with everything that a metric may need.

    `judges`: the first decides adherence, the others show how far judges agree; without any, machine checks decide and
    no verdicts are asked. `seen`: prompts of the training.
    `pairs`: the training pairs; `held_out_pairs`: pairs made from held-out prompts. `samples`: answers per prompt.
    `judging`: how judges are asked.
    `oracle`: "embedded" scores with the grammar that the embedded models were made from. `teacher`: answers under the
    constitution, for the baseline of that name. `own`: metrics of the user's own, see `own`. `told`: the answers of
    the baselines, by name. `metrics`: the names of those that are measured. `refusals`: what decides the kinds of
    replies, rules of English or the first judge. `second`: a judge who had no part in the training. `labels`: what
    people say of the answers. `earlier`: the student with the adapter that the run went on from; `regression`: prompts
    that it failed in production. `answering`: servers of the same weights that answer in place of "before" or "after",
    by these names.
    """

    after: ChatModel
    before: ChatModel | None = None
    constitution: Constitution
    judges: Sequence[ChatModel]
    prompts: Sequence[Prompt]
    seen: Sequence[Prompt] = ()
    pairs: Sequence[PreferencePair] = ()
    held_out_pairs: Sequence[PreferencePair] = ()
    run: Run = field(default_factory=Run)
    screen: Screen = field(default_factory=lambda: Screen(quiet=True))
    sampling: Sampling = field(default_factory=Sampling)
    samples: int = 1
    judging: Judging = field(default_factory=Judging)
    oracle: Literal["embedded"] | None = None
    second: ChatModel | None = None
    labels: Sequence[AnswerLabel] = ()
    teacher: ChatModel | None = None
    earlier: ChatModel | None = None
    regression: Sequence[Prompt] = ()
    refusals: Literal["rules", "judge"] = "rules"
    answering: Mapping[str, ChatModel] = field(default_factory=dict)
    own: Mapping[str, Any] = field(default_factory=dict)
    told: dict[str, list[Candidate]] = field(default_factory=dict, init=False)
    metrics: Collection[str] = field(default=(), init=False)
    scores: dict[tuple[str, str], Score] = field(default_factory=dict, init=False)
    _answers: dict[str, list[Candidate]] = field(default_factory=dict, init=False)
    _verdicts: dict[tuple[str, str], list[Verdict]] = field(default_factory=dict, init=False)

    @property
    def seed(self) -> int:
        """Return the seed of the sampled answers, which is also that of every bootstrap."""
        return self.sampling.seed

    @property
    def compared(self) -> bool:
        """Whether there are two models."""
        return self.before is not None

    @property
    def adapted(self) -> LocalModel | None:
        """The trained model, if it is a local one whose adapter can be switched off."""
        return self.after if isinstance(self.after, LocalModel) and self.after.adapter is not None else None

    # Answers

    @property
    def sides(self) -> Sides:
        """The answers to the held-out prompts: of one model, or before and after."""
        return self.answers_of_sides(self.prompts, "answers")

    @property
    def by_side(self) -> dict[str, Sequence[Candidate]]:
        """The answers to the held-out prompts by the name of their side, as answers.jsonl has them."""
        return {**dict(zip(("before", "after") if self.compared else ("after",), self.sides, strict=True)), **self.told}

    def answers_of_sides(self, prompts: Sequence[Prompt], stage: str) -> Sides:
        """Answer `prompts` by the model before, if there is one, and by the model after."""
        models = [("before", self.before), ("after", self.after)]
        return [
            self.answers_to(prompts, f"{stage} {when}", self.answering.get(when, model), samples=self.samples)
            for when, model in models
            if model is not None
        ]

    def answers_to(
        self, prompts: Sequence[Prompt], stage: str, model: ChatModel | None = None, *, samples: int = 1
    ) -> list[Candidate]:
        """Answer `prompts` by `model` (the model after, where None is given), once per `stage`."""
        if stage not in self._answers:
            with self.screen.stage(stage) as tick:
                self._answers[stage] = answer(
                    model or self.answering.get("after", self.after),
                    prompts,
                    sampling=self.sampling,
                    samples=samples,
                    run=self.run,
                    stage=stage,
                    progress=tick,
                    warn=self.screen.warn,
                )
        return self._answers[stage]

    def mean(self, value: Callable[[Candidate], float]) -> Figure | Comparison:
        """Return the mean of `value` over the answers, with an interval that allows for families of prompts."""
        sides = self.sides
        families = [candidate.prompt.family for candidate in sides[-1]]
        return over_sides([[value(c) for c in answers] for answers in sides], families, seed=self.seed)

    # Scores: one answer under one principle

    def keeps(self, candidates: Sequence[Candidate] = (), stage: str = "") -> Keeps:
        """Return the decider of `metrics.adherence`: the oracle, else the first judge, else the machine checks.

        The judge first scores the answers to the held-out prompts, then `candidates`.
        """
        if self.judges and not self.oracle:
            self.score_answers()
            if candidates:
                self.score(candidates, stage)
        return self._decider()

    def known_verdicts(self, answers: Sequence[Candidate]) -> list[dict[str, bool | None]]:
        """Return whether each answer keeps each principle, by the decider of `metrics.adherence`; nobody is asked.

        A verdict that could not be read is None; a principle that is undecided for another reason is left out.
        """
        keeps = self._decider()
        found: list[dict[str, bool | None]] = [{} for _ in answers]
        for given, verdicts in zip(answers, found, strict=True):
            for principle in self.constitution.applying(given.prompt):
                kept = keeps(given, principle)
                if kept is not None:
                    verdicts[principle.id] = kept > 0
                elif not self.oracle and (given.key, principle.id) in self.scores:
                    verdicts[principle.id] = None
        return found

    def _decider(self) -> Keeps:
        if self.oracle:
            return oracle_keeps(self.constitution.name, grammar.keeps)
        return judge_keeps(self.scores.values()) if self.judges else checks_keep

    def score_answers(self) -> list[Score]:
        """Score the answers to the held-out prompts by the first judge; return all scores so far."""
        self.score([candidate for answers in self.sides for candidate in answers], "judge the answers")
        return list(self.scores.values())

    def score(self, candidates: Sequence[Candidate], stage: str) -> None:
        """Score the candidates under every principle that applies, by the first judge; each cell once."""
        cells = [
            (candidate, principle)
            for candidate in candidates
            for principle in self.constitution.applying(candidate.prompt)
            if (candidate.key, principle.id) not in self.scores
        ]
        if cells:
            for row in self.score_cells(self.judges[0], cells, stage):
                self.scores[row.candidate.key, row.principle] = row

    def score_cells(
        self, judge: ChatModel, cells: Sequence[tuple[Candidate, Principle]], stage: str, **otherwise: Any
    ) -> list[Score]:
        """Ask a judge for pointwise scores. `otherwise`: settings that differ from those of the evaluation."""
        # A score comes without a reason, and all of its votes are asked.
        judging = self.judging.but(mode="pointwise", reason="none", until=None, **otherwise)
        with self.screen.stage(stage) as tick:
            return score(judge, cells, judging, Stage(run=self.run, name=stage, tick=tick, say=self.screen.say))

    # Verdicts: two answers to one prompt

    def verdicts(self, mode: Literal["pairwise", "pointwise"], against: str = "before") -> list[Verdict]:
        """Compare the answer of the side `against` (`first`) with the answer after (`second`), each mode once.

        Empty for one model.
        """
        if not self.compared:
            return []
        if (mode, against) not in self._verdicts:
            stage = f"compare the answers, {mode}" + ("" if against == "before" else f", with those {against}")
            principles = len(self.constitution.principles) if mode == "pointwise" else 1
            judging = self.judging.but(mode=mode, principles=principles, reason="none", until=None)
            with self.screen.stage(stage) as tick:
                self._verdicts[mode, against] = judge_comparisons(
                    self.judges[0],
                    self._pairings(against),
                    self.constitution,
                    judging,
                    Stage(run=self.run, name=stage, tick=tick, say=self.screen.say),
                    rule=f"after_against_{against}",
                )
        return self._verdicts[mode, against]

    def paired_answers(self, against: str = "before") -> Sides:
        """The answers to the first `PAIRED_LIMIT` prompts that are compared with each other: `against`, and after."""
        first, after = self.by_side[against], self.sides[-1]
        answered = {candidate.prompt.key for candidate in first}
        limit = PAIRED_LIMIT * self.samples
        return [first[:limit], [candidate for candidate in after if candidate.prompt.key in answered][:limit]]

    def _pairings(self, against: str) -> list[Pairing]:
        """Pair every answer of both sides to the same prompt, unless the texts are equal."""
        before, after = ({}, {})  # type: dict[str, list[Candidate]], dict[str, list[Candidate]]
        for of_prompt, answers in zip((before, after), self.paired_answers(against), strict=True):
            for candidate in answers:
                of_prompt.setdefault(candidate.prompt.key, []).append(candidate)
        return [
            Pairing(first, second)
            for key in before
            for first, second in product(before[key], after[key])
            if first.text != second.text
        ]
