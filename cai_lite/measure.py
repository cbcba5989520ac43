"""evaluate: the student before training beside the student after it, on held-out prompts.

What takes long is kept in the run under all that decided it, so that a finished run computes nothing again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from cai_lite.chat.base import ChatModel
from cai_lite.chat.local import LocalModel
from cai_lite.constitution import Constitution
from cai_lite.distill.pointwise import score
from cai_lite.distill.verdicts import judge as compare_answers
from cai_lite.embedded import oracle as grammar
from cai_lite.errors import PromptError
from cai_lite.evaluation import evaluation_json
from cai_lite.evaluation.adherence import adherence, checks_keep, judge_keeps, oracle_keeps
from cai_lite.evaluation.agreement import reliability
from cai_lite.evaluation.answers import answer
from cai_lite.evaluation.confounds import confounds, copies, warnings_of
from cai_lite.evaluation.form import boilerplate, well_formed, words
from cai_lite.evaluation.perplexity import TextLoss, perplexity, text_losses
from cai_lite.evaluation.preference import preference_accuracy, reward_margin, reward_margins
from cai_lite.ledger import Run
from cai_lite.records import Candidate, PreferencePair, Prompt, Sampling, Score
from cai_lite.screen import Screen

METRICS = ("adherence", "preference_accuracy", "drift", "confounds", "reliability")
RELIABILITY_PROMPTS = 60  # compared in both orders, to see whether the judge can compare at all


def evaluate(
    adapter: str | Path,
    *,
    against: LocalModel,
    constitution: Constitution,
    judge: ChatModel,
    prompts: Sequence[Prompt],
    run: Run | None = None,
    pairs: Sequence[PreferencePair] = (),
    held_out_pairs: Sequence[PreferencePair] = (),
    metrics: Sequence[str] = METRICS,
    oracle: Literal["embedded"] | None = None,
    sampling: Sampling | None = None,
    samples: int = 1,
    votes: int = 1,
    log_probs: bool = True,
    screen: Screen | None = None,
) -> dict[str, Any]:
    """Everything of `metrics` that can be measured with what is given, as evaluation.json has it.

    `against`: the base model, which the adapter goes on top of. `pairs` (those of the training) serve "confounds",
    `held_out_pairs` (made from held-out prompts) serve "preference_accuracy".
    `oracle="embedded"` scores with the grammar that the embedded models were made from, and makes it the headline.

    Raises:
        PromptError: there are no held-out prompts.
    """
    if not prompts:
        raise PromptError(
            "no held-out prompts to evaluate on: raise prompts.held_out, or mark some with split: held_out"
        )
    run, screen = run or Run(), screen or Screen(quiet=True)
    sampling = sampling or Sampling()
    seed, found = sampling.seed, dict[str, Any]()
    after = LocalModel(against.model, load=against.load, adapter=adapter)
    answers: list[list[Candidate]] = []
    for stage, model in (("answers before", after.without_adapter()), ("answers after", after)):
        with screen.stage(stage) as tick:
            answers.append(
                answer(model, prompts, sampling=sampling, samples=samples, run=run, stage=stage, progress=tick)
            )
    one, two = answers
    if "drift" in metrics:
        found["words"] = words(one, two, seed=seed)
        found["boilerplate"] = boilerplate(one, two, seed=seed)
        if oracle:
            found["well_formed"] = well_formed(one, two, grammar.well_formed, seed=seed)
            found["perplexity"] = _perplexity(after, grammar.neutral_texts(constitution.name), seed, run)
    if "preference_accuracy" in metrics and held_out_pairs:
        margins = _margins(after, held_out_pairs, run)
        families = [pair.family for pair in held_out_pairs]
        found["preference_accuracy"] = preference_accuracy(margins, families, seed=seed)
        found["reward_margin"] = reward_margin(margins, families, seed=seed)
    if "confounds" in metrics and pairs:
        found["confounds"] = confounds(pairs, seed=seed)
        found["copies"] = copies(pairs, [prompt.messages for prompt in prompts], seed=seed)
        for warning in warnings_of(found["confounds"]):
            screen.warn(warning)
    after.close()
    scores: list[Score] = []
    if "adherence" in metrics:
        asked = [(c, p) for c in (*one, *two) for p in constitution.principles if p.applies(c.prompt)]
        with screen.stage("judge the answers") as tick:
            stage = "judge the answers"
            scores = score(judge, asked, run=run, stage=stage, log_probs=log_probs, votes=votes, progress=tick)
        keeps = {"adherence_judge": judge_keeps(scores), "adherence_checks": checks_keep}
        if oracle:
            keeps = {"adherence": oracle_keeps(constitution.name, grammar.keeps), **keeps}
        else:
            keeps["adherence"] = keeps.pop("adherence_judge")
        for name in sorted(keeps):
            if measured := adherence(one, two, constitution, keeps[name], seed=seed):
                found[name] = measured
    if "reliability" in metrics:
        compared = [*one[:RELIABILITY_PROMPTS], *two[:RELIABILITY_PROMPTS]]
        with screen.stage("judge in both orders") as tick:
            verdicts = compare_answers(
                judge,
                compared,
                constitution,
                rule="teacher_over_student",  # answers of two authors: before and after
                principles=1,
                run=run,
                progress=tick,
                stage="judge in both orders",
            )
        truth = (lambda p, q, r: grammar.keeps(constitution.name, p, q, r)) if oracle else None
        found["reliability"] = reliability(verdicts, scores, truth, seed=seed)
    return evaluation_json(
        model=after.name,
        against=against.name,
        constitution=constitution.name,
        judge="the grammar's oracle" if oracle else judge.name,
        seed=seed,
        metrics=found,
    )


def _perplexity(after: LocalModel, texts: list[str], seed: int, run: Run) -> dict[str, Any]:
    held = run.recall("perplexity", after.digest, texts)
    if held is None:
        model, tokenizer = after.opened()
        with model.disable_adapter():
            one = text_losses(model, tokenizer, texts)
        held = [one, text_losses(model, tokenizer, texts)]
        run.remember("perplexity", held, after.digest, texts)
    before, now = ([TextLoss(*loss) for loss in losses] for losses in held)
    return perplexity(before, now, seed=seed)


def _margins(after: LocalModel, pairs: Sequence[PreferencePair], run: Run) -> list[float | None]:
    keys = [pair.key for pair in pairs]
    held: list[float | None] | None = run.recall("reward margins", after.digest, keys)
    if held is None:
        model, tokenizer = after.opened()
        held = reward_margins(model, tokenizer, pairs)
        run.remember("reward margins", held, after.digest, keys)
    return held
