"""What a run measures on its held-out prompts: the student before training beside the student after it.

What takes long is kept in the run under all that decided it, so that a finished run computes nothing again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cai_lite.chat.local import LocalModel
from cai_lite.distill.verdicts import score
from cai_lite.embedded import oracle
from cai_lite.evaluation import evaluation_json
from cai_lite.evaluation.adherence import adherence, checks_keep, judge_keeps, oracle_keeps
from cai_lite.evaluation.answers import answer
from cai_lite.evaluation.confounds import confounds
from cai_lite.evaluation.form import boilerplate, well_formed, words
from cai_lite.evaluation.perplexity import TextLoss, perplexity, text_losses
from cai_lite.evaluation.preference import preference_accuracy, reward_margins
from cai_lite.ledger import Run
from cai_lite.recipe import Recipe
from cai_lite.records import Candidate, PreferencePair, Prompt, Sampling
from cai_lite.roles import Roles, open_student
from cai_lite.screen import Screen


def measure(
    recipe: Recipe,
    roles: Roles,
    prompts: Sequence[Prompt],
    pairs: Sequence[PreferencePair],
    held_out_pairs: Sequence[PreferencePair],
    adapter: Path,
    run: Run,
    screen: Screen,
) -> dict[str, Any]:
    """The whole evaluation.json. `pairs` are those of the training, `held_out_pairs` come from the held-out prompts."""
    wanted, metrics = recipe.evaluate.metrics, dict[str, Any]()
    after = open_student(recipe, adapter)
    before = after.without_adapter()
    sampling = Sampling(
        temperature=recipe.draft.temperature,
        top_p=recipe.draft.top_p,
        max_tokens=recipe.draft.max_tokens,
        seed=recipe.seed,
    )
    answers: list[list[Candidate]] = []
    for name, model in (("answers before", before), ("answers after", after)):
        with screen.stage(name) as tick:
            answers.append(
                answer(
                    model,
                    prompts,
                    sampling=sampling,
                    samples=recipe.evaluate.samples,
                    run=run,
                    stage=name,
                    progress=tick,
                )
            )
    one, two = answers
    if "drift" in wanted:
        metrics["words"] = words(one, two, seed=recipe.seed)
        metrics["boilerplate"] = boilerplate(one, two, seed=recipe.seed)
        if recipe.evaluate.oracle:
            metrics["well_formed"] = well_formed(one, two, oracle.well_formed, seed=recipe.seed)
            texts = oracle.neutral_texts(roles.constitution.name)
            metrics["perplexity"] = _perplexity(after, texts, recipe.seed, run)
    if "preference_accuracy" in wanted and held_out_pairs:
        margins = _margins(after, held_out_pairs, recipe.train.max_tokens, run)
        families = [pair.family for pair in held_out_pairs]
        metrics["preference_accuracy"] = preference_accuracy(margins, families, seed=recipe.seed)
    if "confounds" in wanted and pairs:
        metrics["confounds"] = confounds(pairs, seed=recipe.seed)
    after.close()
    if "adherence" in wanted:
        metrics = {**_adherence(recipe, roles, one, two, run, screen), **metrics}
    roles.close()
    return evaluation_json(
        model=after.name,
        against=before.name,
        constitution=roles.constitution.name,
        judge="the grammar's oracle" if recipe.evaluate.oracle else roles.judge.name,
        seed=recipe.seed,
        metrics=metrics,
    )


def _adherence(
    recipe: Recipe, roles: Roles, before: list[Candidate], after: list[Candidate], run: Run, screen: Screen
) -> dict[str, Any]:
    """Adherence by each judge there is. The headline is the oracle's where there is one, else the judge's."""
    constitution, found = roles.constitution, dict[str, Any]()
    asked = [(c, p) for c in (*before, *after) for p in constitution.principles if p.applies(c.prompt)]
    with screen.stage("judge the answers") as tick:
        scores = score(
            roles.judge,
            asked,
            run=run,
            stage="judge the answers",
            log_probs=recipe.judge.log_probs == "auto",
            votes=recipe.judge.votes,
            progress=tick,
        )
    judged = adherence(before, after, constitution, judge_keeps(scores), seed=recipe.seed)
    if recipe.evaluate.oracle:
        by_oracle = oracle_keeps(constitution.name, oracle.keeps)
        found["adherence"] = adherence(before, after, constitution, by_oracle, seed=recipe.seed)
        found["adherence_judge"] = judged
    else:
        found["adherence"] = judged
    found["adherence_checks"] = adherence(before, after, constitution, checks_keep, seed=recipe.seed)
    return {name: value for name, value in found.items() if value}


def _perplexity(after: LocalModel, texts: list[str], seed: int, run: Run) -> dict[str, Any]:
    held = run.recall("perplexity", after.digest, texts)
    if held is None:
        model, tokenizer = after.opened()
        with model.disable_adapter():
            one = text_losses(model, tokenizer, texts)
        held = [one, text_losses(model, tokenizer, texts)]
        run.remember("perplexity", held, after.digest, texts)
    one, two = ([TextLoss(*loss) for loss in losses] for losses in held)
    return perplexity(one, two, seed=seed)


def _margins(after: LocalModel, pairs: Sequence[PreferencePair], max_tokens: int, run: Run) -> list[float]:
    keys = [pair.key for pair in pairs]
    held: list[float] | None = run.recall("reward margins", after.digest, keys, max_tokens)
    if held is None:
        model, tokenizer = after.opened()
        held = reward_margins(model, tokenizer, pairs, max_tokens=max_tokens)
        run.remember("reward margins", held, after.digest, keys, max_tokens)
    return held
