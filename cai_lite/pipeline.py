"""The stages in order, as plain calls; one model in memory at a time. This file is the walk: read it top to bottom."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from cai_lite.chat.asking import Tick
from cai_lite.chat.weights import checked_load, resolve
from cai_lite.distill.critiques import critique
from cai_lite.distill.drafts import draft
from cai_lite.distill.guards import guarded
from cai_lite.distill.pairs import pair
from cai_lite.distill.revisions import revise
from cai_lite.distill.verdicts import judge
from cai_lite.evaluation.table import show
from cai_lite.ledger import Run
from cai_lite.measure import evaluate
from cai_lite.pairfile import load_pairs, pairs_text
from cai_lite.prompts import Prompts, load_prompts
from cai_lite.recipe import Recipe
from cai_lite.records import Candidate, PreferencePair, Prompt, Sampling
from cai_lite.reporting import report
from cai_lite.reporting.card import write_card
from cai_lite.roles import Roles, close, open_roles
from cai_lite.rundir import described, write_aside
from cai_lite.screen import Screen
from cai_lite.training import train
from cai_lite.training.config import TrainingConfig


def run_recipe(
    recipe: Recipe,
    out: Path,
    *,
    until: Literal["pair", "report"] = "report",
    adapter: Path | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Walk a recipe in the run directory `out`, and go on where an earlier walk stopped.

    `until="pair"` stops at pairs.jsonl. `adapter`: measure this adapter; nothing is paired or trained.

    Raises:
        InputError: the recipe, or a file that it names, is wrong. RunBusyError: another process works in `out`.
        ChatError, TrainingError, Stopped: stopped part-way; the same call goes on.
    """
    roles, prompts = open_roles(recipe), prompts_of(recipe)
    with Run(out, budget=recipe.budget) as run:
        with Screen(quiet=quiet, log=out / "log.txt") as screen:
            write_aside(out / "recipe.yaml", described(recipe, roles.digests()))
            for warning in roles.warnings():
                screen.warn(warning)
            pairs: list[PreferencePair] = []
            if adapter is None:
                pairs = make_pairs(recipe, roles, prompts.train, run, screen, held_out=prompts.held_out)
                write_aside(out / "pairs.jsonl", pairs_text(pairs))
                roles.close()
                if until == "pair":
                    return {"pairs": len(pairs), "file": str(out / "pairs.jsonl"), "counts": run.counts()}
                with screen.stage("train") as tick:
                    adapter = train(
                        recipe.student.model,
                        pairs,
                        config=recipe.train,
                        out=out,
                        load=recipe.student.load,
                        progress=tick,
                        log=screen.say,
                    ).adapter
            held_out = held_out_pairs(recipe, roles, prompts.held_out, run, screen)
            roles.close()
            evaluation = evaluate(
                adapter,
                against=roles.student,
                constitution=roles.constitution,
                judge=roles.judge,
                prompts=prompts.held_out,
                run=run,
                pairs=pairs,
                held_out_pairs=held_out,
                metrics=recipe.evaluate.metrics,
                oracle=recipe.evaluate.oracle,
                sampling=sampling_of(recipe, recipe.evaluate.temperature),
                samples=recipe.evaluate.samples,
                votes=recipe.judge.votes,
                log_probs=recipe.judge.log_probs == "auto",
                screen=screen,
            )
            roles.close()
            write_aside(out / "evaluation.json", json.dumps(evaluation, indent=1, ensure_ascii=False))
        page = report(run)
        write_card(out)
    if not quiet:
        console = Console()
        show(evaluation, console)
        console.print(f"report: {page}", highlight=False)
    return {"report": str(page), "adapter": str(adapter), "evaluation": evaluation}


def prompts_of(recipe: Recipe) -> Prompts:
    """The prompts of a recipe, read and split."""
    settings = recipe.prompts
    return load_prompts(settings.file, settings.held_out, settings.limit, settings.eval_limit)


def sampling_of(recipe: Recipe, temperature: float | None = None) -> Sampling:
    """How drafts are drawn; and the answers that are measured, where the recipe names no other temperature for them."""
    settings = recipe.draft
    return Sampling(
        temperature=settings.temperature if temperature is None else temperature,
        top_p=settings.top_p,
        max_tokens=settings.max_tokens,
        seed=recipe.seed,
    )


def judging_of(recipe: Recipe) -> dict[str, Any]:
    """How a judge is asked, as keyword arguments of `judge`."""
    settings = recipe.judge
    return {
        "mode": settings.mode,
        "votes": settings.votes,
        "until": settings.until,
        "log_probs": settings.log_probs,
    }


def spread(prompts: Sequence[Prompt], most: int) -> list[Prompt]:
    """At most so many of the prompts, evenly from first to last."""
    most = min(most, len(prompts))
    return [prompts[i * len(prompts) // most] for i in range(most)]


def held_out_pairs(
    recipe: Recipe, roles: Roles, prompts: Sequence[Prompt], run: Run, screen: Screen
) -> list[PreferencePair]:
    """Pairs made of held-out prompts as those for training were, to see whether the student orders them rightly."""
    if "preference_accuracy" not in recipe.evaluate.metrics:
        return []
    some = spread(prompts, recipe.evaluate.pair_prompts or len(prompts))
    return make_pairs(recipe, roles, some, run, screen, label="held-out ")


def make_pairs(
    recipe: Recipe,
    roles: Roles,
    prompts: Sequence[Prompt],
    run: Run,
    screen: Screen,
    *,
    held_out: Sequence[Prompt] = (),
    label: str = "",
) -> list[PreferencePair]:
    """Draft, critique, revise, judge, pair, and drop what would teach something else: `held_out` prompts, copies.

    `label` tells the held-out pairs from those for training.
    """

    def stage(name: str) -> AbstractContextManager[Tick]:
        return screen.stage(label + name)

    rules, constitution = recipe.pair.rules, roles.constitution
    author = roles.teacher if recipe.draft.from_ == "teacher" else roles.student
    sampling = sampling_of(recipe)
    name = f"{label}draft"
    with stage("draft") as tick:
        drafts = draft(author, prompts, n=recipe.draft.n, sampling=sampling, run=run, progress=tick, stage=name)
    close(author)
    candidates: list[Candidate] = [*drafts]
    if "teacher_over_student" in rules:
        name = f"{label}teacher's answers"
        with stage("teacher's answers") as tick:
            candidates += draft(
                roles.teacher,
                prompts,
                sampling=sampling,
                constitution=constitution,
                run=run,
                progress=tick,
                stage=name,
            )
    if "revision_over_draft" in rules:
        with stage("critique") as tick:
            critiques = critique(
                roles.teacher,
                drafts,
                constitution,
                principles=recipe.critique.principles_per_draft,
                run=run,
                progress=tick,
                stage=f"{label}critique",
            )
        with stage("revise") as tick:
            candidates += revise(
                roles.teacher,
                drafts,
                critiques,
                constitution,
                rounds=recipe.revise.rounds,
                until=recipe.revise.until,
                run=run,
                progress=tick,
                stage=f"{label}revise",
            )
    verdicts = []
    for rule in rules:
        with stage(f"judge {rule.replace('_', ' ')}") as tick:
            verdicts += judge(
                roles.judge,
                candidates,
                constitution,
                rule=rule,
                principles=recipe.judge.principles,
                **judging_of(recipe),
                run=run,
                progress=tick,
                stage=f"{label}judge",
            )
    pairs = pair(
        verdicts,
        min_margin=recipe.pair.min_margin,
        soft_labels=recipe.pair.soft_labels,
        clamp=recipe.pair.clamp,
        per_prompt=recipe.pair.per_prompt,
        run=run,
        stage=f"{label}pair",
    )
    kept, dropped = guarded(
        pairs,
        near=recipe.pair.near,
        held_out=[prompt.messages for prompt in held_out],
        max_length_ratio=recipe.pair.max_length_ratio,
    )
    if dropped:
        run.count(f"{label}guards", {"kept": len(kept), **dropped})
        screen.say(f"{label}pairs dropped: " + ", ".join(f"{n} {why}" for why, n in dropped.items()))
    return kept


def train_pairs(
    student: str,
    pairs: Path,
    config: TrainingConfig,
    out: Path,
    *,
    load: str | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """`cai-lite train`: train on a preference file that somebody else made, in a run directory of its own."""
    rows, how = load_pairs(pairs), checked_load(load)
    resolve(student)
    with Run(out), Screen(quiet=quiet, log=out / "log.txt") as screen, screen.stage("train") as tick:
        result = train(student, rows, config=config, out=out, load=how, progress=tick, log=screen.say)
    return {
        "adapter": str(result.adapter),
        "steps": result.steps,
        "resumed_from": result.resumed_from,
        "pairs": None if result.report is None else asdict(result.report),
        "last": result.last,
    }


def check_recipe(recipe: Recipe) -> str:
    """`--dry-run`: read all that a run would read, ask nobody; returns the resolved recipe under what was found."""
    roles, prompts = open_roles(recipe), prompts_of(recipe)
    found = {**roles.digests(), "prompts": str(prompts.report)}
    warnings = "".join(f"# ! {warning}\n" for warning in roles.warnings())
    return described(recipe, found) + warnings
