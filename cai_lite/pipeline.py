"""The stages in order, as plain calls; one model in memory at a time. This file is the walk: read it top to bottom."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

import yaml

from cai_lite.chat import ChatModel, open_model
from cai_lite.chat.asking import Tick
from cai_lite.chat.embedded import unknown_principles
from cai_lite.constitution import Constitution, load_constitution
from cai_lite.distill.critiques import critique
from cai_lite.distill.drafts import draft
from cai_lite.distill.pairs import pair
from cai_lite.distill.revisions import revise
from cai_lite.distill.verdicts import judge
from cai_lite.ledger import Run
from cai_lite.pairfile import save_pairs
from cai_lite.prompts import Prompts, load_prompts
from cai_lite.recipe import Recipe
from cai_lite.records import Candidate, PreferencePair, Prompt, Sampling
from cai_lite.screen import Screen


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
    constitution, prompts = load_constitution(recipe.constitution), prompts_of(recipe)
    student = open_student(recipe)
    teacher = open_teacher(recipe)
    judge_model = open_judge(recipe, teacher)
    with Run(out) as run, Screen(quiet=quiet, log=out / "log.txt") as screen:
        write_aside(out / "recipe.yaml", described(recipe, constitution, student, teacher, judge_model))
        for warning in warnings_of(recipe, constitution, prompts):
            screen.warn(warning)
        if adapter is None:
            pairs = make_pairs(recipe, constitution, prompts.train, student, teacher, judge_model, run, screen)
            if not pairs:
                screen.warn("no pairs: every verdict was a tie or a fault; see the counts in the report")
            save_aside(out / "pairs.jsonl", pairs)
            if until == "pair":
                return {"pairs": len(pairs), "file": str(out / "pairs.jsonl"), "counts": run.counts()}
    raise NotImplementedError


def prompts_of(recipe: Recipe) -> Prompts:
    """The prompts of a recipe, read and split."""
    settings = recipe.prompts
    return load_prompts(settings.file, held_out=settings.held_out, limit=settings.limit, eval_limit=settings.eval_limit)


def make_pairs(
    recipe: Recipe,
    constitution: Constitution,
    prompts: Sequence[Prompt],
    student: ChatModel,
    teacher: ChatModel,
    judge_model: ChatModel,
    run: Run,
    screen: Screen,
    *,
    label: str = "",
) -> list[PreferencePair]:
    """Draft, critique, revise, judge, pair. `label` tells held-out pairs from those for training."""

    def stage(name: str) -> AbstractContextManager[Tick]:
        return screen.stage(f"{label}{name}")

    settings, rules = recipe.draft, recipe.pair.rules
    author = teacher if settings.from_ == "teacher" else student
    sampling = Sampling(temperature=settings.temperature, top_p=settings.top_p, max_tokens=settings.max_tokens)
    with stage("draft") as tick:
        candidates = draft(
            author, prompts, n=settings.n, sampling=sampling, run=run, progress=tick, stage=f"{label}draft"
        )
    if "teacher_over_student" in rules:
        with stage("teacher's answers") as tick:
            candidates += draft(
                teacher,
                prompts,
                sampling=sampling,
                constitution=constitution,
                run=run,
                progress=tick,
                stage=f"{label}teacher's answers",
            )
    close(student)
    if "revision_over_draft" in rules:
        drafts: list[Candidate] = [c for c in candidates if c.author == author.name]
        with stage("critique") as tick:
            critiques = critique(
                teacher,
                drafts,
                constitution,
                principles=recipe.critique.principles_per_draft,
                run=run,
                progress=tick,
                stage=f"{label}critique",
            )
        with stage("revise") as tick:
            candidates += revise(
                teacher,
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
                judge_model,
                candidates,
                constitution,
                rule=rule,
                mode=recipe.judge.mode,
                votes=recipe.judge.votes,
                principles=recipe.judge.principles,
                log_probs=recipe.judge.log_probs,
                run=run,
                progress=tick,
                stage=f"{label}judge",
            )
    return pair(
        verdicts,
        min_margin=recipe.pair.min_margin,
        soft_labels=recipe.pair.soft_labels,
        per_prompt=recipe.pair.per_prompt,
        run=run,
        stage=f"{label}pair",
    )
