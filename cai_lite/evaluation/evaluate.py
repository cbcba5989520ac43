"""evaluate: a model before training beside the model after it, on held-out prompts.

What takes long is kept in the run under all that decided it, so that a finished run computes nothing again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from cai_lite.chat.asking import Stage
from cai_lite.chat.base import ChatModel
from cai_lite.chat.local import LocalModel
from cai_lite.distill.judging import Judging
from cai_lite.distill.pointwise import score
from cai_lite.distill.verdicts import judge as compare_answers
from cai_lite.embedded import oracle as grammar
from cai_lite.errors import PromptError
from cai_lite.evaluation import METRICS, evaluation_json
from cai_lite.evaluation.adherence import Keeps, adherence, checks_keep, judge_keeps, oracle_keeps
from cai_lite.evaluation.agreement import reliability
from cai_lite.evaluation.answers import answer
from cai_lite.evaluation.confounds import confounds, copies, warnings_of
from cai_lite.evaluation.form import boilerplate, well_formed, words
from cai_lite.evaluation.neutral import TEXTS
from cai_lite.evaluation.perplexity import TextLoss, kl, perplexity, text_kl, text_losses
from cai_lite.evaluation.preference import preference_accuracy, reward_margin, reward_margins
from cai_lite.evaluation.refusals import refusals
from cai_lite.evaluation.robustness import WRAPPINGS, robustness, wrapped
from cai_lite.evaluation.superficial import checks_gap, phrasing_gap
from cai_lite.evaluation.superficial import warnings_of as superficial_warnings
from cai_lite.evaluation.winrate import win_rate
from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.records import Candidate, PreferencePair, Prompt, Sampling, Score, Verdict
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Screen

COMPARED = 60  # prompts whose answers are compared with each other, and seen prompts that are answered
WRAPPED = 40  # prompts of each wrapping
AGAIN = 120  # cells that the judge is asked a second time


def evaluate(
    adapter: str | Path | ChatModel,
    *,
    against: ChatModel | None,
    constitution: Constitution,
    judge: ChatModel | Sequence[ChatModel],
    prompts: Sequence[Prompt],
    run: Run | None = None,
    seen: Sequence[Prompt] = (),
    pairs: Sequence[PreferencePair] = (),
    held_out_pairs: Sequence[PreferencePair] = (),
    metrics: Sequence[str] = METRICS,
    oracle: Literal["embedded"] | None = None,
    judging: Judging | None = None,
    mode: Literal["pairwise", "pointwise"] | None = None,
    sampling: Sampling | None = None,
    samples: int = 1,
    votes: int | None = None,
    log_probs: bool | None = None,
    screen: Screen | None = None,
) -> dict[str, Any]:
    """Everything of `metrics` that can be measured with what is given, as evaluation.json has it.

    `adapter`: a folder that goes on top of the local model `against`; or a model of its own, measured beside `against`,
    or alone where that is None. `judge`: the first of several decides adherence, the others tell how far judges agree.
    `seen`: prompts of the training, for "superficial". `pairs` (those of the training) serve "confounds",
    `held_out_pairs` (made from held-out prompts) serve "preference_accuracy".
    `oracle="embedded"` scores with the grammar that the embedded models were made from, and makes it the headline.

    Raises:
        PromptError: there are no held-out prompts.
    """
    if not prompts:
        raise PromptError(
            "no held-out prompts to evaluate on: raise prompts.held_out, or mark some with split: held_out"
        )
    sampling = sampling or Sampling()
    if isinstance(adapter, (str, Path)):
        assert isinstance(against, LocalModel), "an adapter goes on top of a local model"
        after: ChatModel = against.with_adapter(adapter)
        before: ChatModel | None = after.without_adapter() if isinstance(after, LocalModel) else None
    else:
        after, before = adapter, against
    judges = [judge] if isinstance(judge, ChatModel) else list(judge)
    asked = {"mode": mode, "votes": votes, "log_probs": {None: None, True: "auto", False: "never"}[log_probs]}
    judging = (judging or Judging()).but(**{name: value for name, value in asked.items() if value is not None})
    measuring = _Measuring(
        before=before,
        after=after,
        constitution=constitution,
        judges=judges,
        prompts=prompts,
        run=run or Run(),
        screen=screen or Screen(quiet=True),
        sampling=sampling,
        samples=samples,
        judging=judging,
        oracle=oracle,
    )
    found = measuring.all(metrics, seen, pairs, held_out_pairs)
    return evaluation_json(
        model=after.name,
        against=against.name if against is not None else "",
        constitution=constitution.name,
        judge="the grammar's oracle" if oracle else judges[0].name,
        seed=sampling.seed,
        metrics=found if before is not None else alone(found),
    )


def alone(metrics: Any) -> Any:
    """Comparisons as the figures after, where there was nothing before."""
    if isinstance(metrics, dict) and {"before", "after", "change"} <= metrics.keys():
        return metrics["after"]
    return {name: alone(value) for name, value in metrics.items()} if isinstance(metrics, dict) else metrics


@dataclass
class _Measuring:
    """One evaluation: who is asked, and what is known. `before` None: `after` stands in, and `alone` drops it."""

    before: ChatModel | None
    after: ChatModel
    constitution: Constitution
    judges: Sequence[ChatModel]
    prompts: Sequence[Prompt]
    run: Run
    screen: Screen
    sampling: Sampling
    samples: int
    judging: Judging
    oracle: Literal["embedded"] | None
    scores: dict[tuple[str, str], Score] = field(default_factory=dict)
    compared: dict[str, list[Verdict]] = field(default_factory=dict)  # by mode

    @property
    def seed(self) -> int:
        return self.sampling.seed

    @property
    def adapted(self) -> LocalModel | None:
        """The trained model, where its adapter can be switched off: what drift and margins need."""
        return self.after if isinstance(self.after, LocalModel) and self.after.adapter is not None else None

    def all(
        self,
        metrics: Sequence[str],
        seen: Sequence[Prompt],
        pairs: Sequence[PreferencePair],
        held_out_pairs: Sequence[PreferencePair],
    ) -> dict[str, Any]:
        """All answers first, then what the student's weights are needed for, then the judge: one model at a time."""
        found: dict[str, Any] = {}
        one, two = self.answers(self.prompts, "answers")
        seen = seen[:COMPARED] if "superficial" in metrics and self.before is not None else []
        of_seen = self.answers(seen, "answers to seen prompts") if seen else ([], [])
        plain = two[: WRAPPED * self.samples : self.samples]
        in_clothes = self.in_clothes([c.prompt for c in plain]) if "robustness" in metrics else {}
        if "drift" in metrics:
            found |= self.drift(one, two)
        if self.adapted and "preference_accuracy" in metrics and held_out_pairs:
            margins = _margins(self.adapted, held_out_pairs, self.run)
            families = [pair.family for pair in held_out_pairs]
            found["preference_accuracy"] = preference_accuracy(margins, families, seed=self.seed)
            found["reward_margin"] = reward_margin(margins, families, seed=self.seed)
        for model in (self.before, self.after):
            if isinstance(model, LocalModel):
                model.close()
        if "refusals" in metrics:
            found |= refusals(one, two, seed=self.seed)
        if "confounds" in metrics and pairs:
            found["confounds"] = confounds(pairs, seed=self.seed)
            found["copies"] = copies(pairs, [prompt.messages for prompt in self.prompts], seed=self.seed)
            for warning in warnings_of(found["confounds"]):
                self.screen.warn(warning)
        if {"adherence", "superficial", "robustness", "reliability"} & set(metrics):
            self.judge([*one, *two], "judge the answers")
        if "adherence" in metrics:
            found |= self.adherence(one, two)
        if "superficial" in metrics:
            found |= self.superficial((one, two), of_seen)
        if in_clothes:
            found["robustness"] = self.robustness(plain, in_clothes)
        if self.before is not None and "win_rate" in metrics:
            most = COMPARED * self.samples
            same = [b for a, b in zip(one[:most], two[:most], strict=True) if a.text == b.text]
            found |= win_rate(self.verdicts(one, two, self.judging.mode), one[0].author, equal=same, seed=self.seed)
        if "reliability" in metrics:
            found["reliability"] = self.reliability(one, two)
        return found

    def answers(self, prompts: Sequence[Prompt], stage: str) -> tuple[list[Candidate], list[Candidate]]:
        """Of the model before, and of the one after."""
        sides = []
        for when, model in (("before", self.before), ("after", self.after)):
            if model is None:
                continue
            with self.screen.stage(name := f"{stage} {when}") as tick:
                sides.append(
                    answer(
                        model,
                        prompts,
                        sampling=self.sampling,
                        samples=self.samples,
                        run=self.run,
                        stage=name,
                        progress=tick,
                        warn=self.screen.warn,
                    )
                )
        if self.before is not None and self.before.name == self.after.name:  # two servers of one model's name
            sides[0] = [replace(c, author=f"{c.author}, before") for c in sides[0]]
        return sides[0], sides[-1]

    def in_clothes(self, prompts: Sequence[Prompt]) -> dict[str, list[Candidate]]:
        """The trained model's answers to wrapped prompts, bearing the plain ones: those are what they are judged by."""
        found = {}
        for name in WRAPPINGS:
            with self.screen.stage(stage := f"answers to {name.replace('_', ' ')}") as tick:
                given = answer(
                    self.after, wrapped(prompts, name), sampling=self.sampling, run=self.run, stage=stage, progress=tick
                )
            found[name] = [replace(c, prompt=prompt) for c, prompt in zip(given, prompts, strict=True)]
        return found

    def judge(self, candidates: Sequence[Candidate], stage: str) -> None:
        """Score every cell that was not scored before, by the first judge."""
        cells = [
            (candidate, principle)
            for candidate in candidates
            for principle in self.constitution.principles
            if principle.applies(candidate.prompt) and (candidate.key, principle.id) not in self.scores
        ]
        with self.screen.stage(stage) as tick:
            for row in self.scored(self.judges[0], cells, stage, tick):
                self.scores[row.candidate.key, row.principle] = row

    def scored(
        self, judge: ChatModel, cells: Sequence[tuple[Candidate, Principle]], stage: str, tick: Any, **otherwise: Any
    ) -> list[Score]:
        # A score has no reason beside it, and all of its votes are wanted.
        alone = self.judging.but(mode="pointwise", reason="none", until=None, **otherwise)
        return score(judge, cells, alone, Stage(run=self.run, name=stage, tick=tick))

    def keeps(self) -> Keeps:
        """Who decides the headline: the grammar where there is one, else the judge."""
        return self.by_oracle() if self.oracle else judge_keeps(list(self.scores.values()))

    def by_oracle(self) -> Keeps:
        return oracle_keeps(self.constitution.name, grammar.keeps)

    def adherence(self, one: list[Candidate], two: list[Candidate]) -> dict[str, Any]:
        by = {"adherence": self.keeps(), "adherence_checks": checks_keep}
        if self.oracle:
            by["adherence_judge"] = judge_keeps(list(self.scores.values()))
        found = {name: adherence(one, two, self.constitution, by[name], seed=self.seed) for name in sorted(by)}
        return {name: measured for name, measured in found.items() if measured}

    def superficial(
        self, held_out: tuple[list[Candidate], list[Candidate]], seen: tuple[list[Candidate], list[Candidate]]
    ) -> dict[str, Any]:
        gaps = {}
        if seen[0] and not self.oracle:
            self.judge([*seen[0], *seen[1]], "judge the answers to seen prompts")
        if self.before is not None:
            gaps["phrasing_gap"] = phrasing_gap(seen, held_out, self.constitution, self.keeps(), seed=self.seed)
            gaps["checks_gap"] = checks_gap(*held_out, self.constitution, checks_keep, self.keeps(), seed=self.seed)
        found = {name: figure.as_dict() for name, figure in gaps.items() if figure is not None}
        for warning in superficial_warnings(found):
            self.screen.warn(warning)
        return {"superficial": found} if found else {}

    def robustness(self, plain: list[Candidate], in_clothes: dict[str, list[Candidate]]) -> dict[str, Any]:
        if not self.oracle:
            self.judge([c for answers in in_clothes.values() for c in answers], "judge the wrapped answers")
        found = {
            name: robustness(plain, answers, self.constitution, self.keeps(), seed=self.seed)
            for name, answers in in_clothes.items()
        }
        # Plain and wrapped, both of the trained student: the words say so.
        return {
            name: {"plain": row["before"], "wrapped": row["after"], "drop": row["change"]}
            for name, row in found.items()
            if row
        }

    def verdicts(
        self, one: list[Candidate], two: list[Candidate], mode: Literal["pairwise", "pointwise"]
    ) -> list[Verdict]:
        """Answers before against answers after, by all principles that apply; each mode is asked once."""
        if mode in self.compared:
            return self.compared[mode]
        with self.screen.stage(stage := f"compare the answers, {mode}") as tick:
            self.compared[mode] = compare_answers(
                self.judges[0],
                [*one[: COMPARED * self.samples], *two[: COMPARED * self.samples]],
                self.constitution,
                rule="teacher_over_student",  # answers of two authors
                judging=self.judging.but(
                    mode=mode,
                    principles=len(self.constitution.principles) if mode == "pointwise" else 1,
                    reason="none",
                    until=None,
                ),
                stage=Stage(run=self.run, name=stage, tick=tick),
            )
        return self.compared[mode]

    def reliability(self, one: list[Candidate], two: list[Candidate]) -> dict[str, Any]:
        verdicts = self.verdicts(one, two, "pairwise") if self.before is not None else []
        cells = [(s.candidate, self.constitution.principle(s.principle)) for s in self.scores.values()]
        some = cells[:: max(1, len(cells) // AGAIN)][:AGAIN]
        with self.screen.stage(stage := "judge once more") as tick:
            again = self.scored(
                self.judges[0],
                some,
                stage,
                tick,
                votes=1,
                drawn=True,
                log_probs="never",
                first_index=self.judging.votes,
            )
        others = []
        for other in self.judges[1:]:
            with self.screen.stage(stage := f"judge by {other.name}") as tick:
                others.append(self.scored(other, some, stage, tick))
        truth = (lambda p, q, r: grammar.keeps(self.constitution.name, p, q, r)) if self.oracle else None
        scores = list(self.scores.values())
        return reliability(verdicts, scores, truth, again=again, others=others, seed=self.seed)

    def drift(self, one: list[Candidate], two: list[Candidate]) -> dict[str, Any]:
        found: dict[str, Any] = {
            "words": words(one, two, seed=self.seed),
            "boilerplate": boilerplate(one, two, seed=self.seed),
        }
        if self.oracle:
            found["well_formed"] = well_formed(one, two, grammar.well_formed, seed=self.seed)
        if self.adapted:
            texts = grammar.neutral_texts(self.constitution.name) if self.oracle else list(TEXTS)
            before, after, moved = _neutral(self.adapted, texts, self.run)
            found["perplexity"] = perplexity(before, after, seed=self.seed)
            found["kl"] = kl(moved, seed=self.seed)
        return found


def _neutral(after: LocalModel, texts: list[str], run: Run) -> list[list[TextLoss]]:
    """Losses before, losses after, and the KL between the two, of each text."""
    held = run.recall("neutral text", after.digest, texts)
    if held is None:
        model, tokenizer = after.opened()
        with model.disable_adapter():
            one = text_losses(model, tokenizer, texts)
        held = [one, text_losses(model, tokenizer, texts), text_kl(model, tokenizer, texts)]
        run.remember("neutral text", held, after.digest, texts)
    return [[TextLoss(*loss) for loss in losses] for losses in held]


def _margins(after: LocalModel, pairs: Sequence[PreferencePair], run: Run) -> list[float | None]:
    keys = [pair.key for pair in pairs]
    held: list[float | None] | None = run.recall("reward margins", after.digest, keys)
    if held is None:
        model, tokenizer = after.opened()
        held = reward_margins(model, tokenizer, pairs)
        run.remember("reward margins", held, after.digest, keys)
    return held
