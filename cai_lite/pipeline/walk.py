"""The stages in order, as plain calls; one model in memory at a time. This file is the walk: read it top to bottom."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from cai_lite.errors import Stopped
from cai_lite.evaluation.evaluate import evaluate
from cai_lite.evaluation.subject import PAIRED_LIMIT
from cai_lite.inputs.pairs import pair_lines
from cai_lite.inputs.prompts import Prompts, load_prompts
from cai_lite.inputs.quarantine import QUARANTINE, reasons, write_quarantine
from cai_lite.pipeline.make_pairs import (
    Work,
    draft_held_out,
    held_out_pairs,
    make_pairs,
    nothing_left,
    sampling_of,
    spread,
)
from cai_lite.pipeline.phases import check_first, needs_pairs, train_phases, write_sources
from cai_lite.pipeline.ready import Plan, check_ready, plan_of
from cai_lite.pipeline.recipe import Recipe
from cai_lite.pipeline.roles import open_roles
from cai_lite.records import PreferencePair
from cai_lite.reporting import write_report
from cai_lite.reporting.dataset_card import dataset_card
from cai_lite.run.files import recipe_text, write_aside, write_manifest, write_text
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Screen


def run_recipe(
    recipe: Recipe,
    out: Path,
    *,
    until: Literal["pair", "report"] = "report",
    adapter: Path | None = None,
    phase: int = 0,
    quiet: bool = False,
) -> dict[str, Any]:
    """Walk a recipe in the run directory `out`, and go on where an earlier walk stopped.

    `until="pair"` stops at pairs.jsonl. `adapter`: measure this adapter; nothing is paired or trained. `phase`: take
    the phases of the training before this one as they stand.

    Raises:
        InputError: the recipe, or a file that it names, is wrong. RunBusyError: another process works in `out`.
        ChatError, TrainingError, Stopped, DiskError: stopped part-way; the same call goes on.
    """
    roles, prompts = open_roles(recipe), prompts_of(recipe)
    check_ready(recipe, roles, prompts, out, until=until, adapter=adapter)
    check_first(recipe, out, phase)
    plan = plan_of(recipe, roles, prompts, out)
    with Run(out, budget=recipe.budget) as run, Screen(quiet=quiet, log=out / "log.txt") as screen:
        screen.taken_over(run.recovered)
        write_aside(out / "recipe.yaml", recipe_text(recipe.resolved(), roles.digests()))
        written = ["recipe.yaml"]
        for warning in plan.warnings:
            screen.warn(warning)
        if plan.paid and plan.forecast is None:
            screen.warn(
                "no preflight was run with these models: `cai-lite preflight` asks a few prompts, and says whether "
                "the judge can apply each principle and what the whole run will take"
            )
        pairs: list[PreferencePair] = []
        work = Work(recipe=recipe, roles=roles, run=run, screen=screen, bad=list(prompts.bad))
        write_quarantine(out / QUARANTINE, work.bad)
        if prompts.bad:
            screen.warn(f"{len(prompts.bad):,} prompts left out ({reasons(prompts.bad)}); see {out / QUARANTINE}")
        if adapter is None:
            if until == "report":
                draft_held_out(work, prompts.held_out)
            pairs = make_pairs(work, prompts.train, held_out=prompts.held_out)
            write_quarantine(out / QUARANTINE, work.bad)
            write_aside(out / "pairs.jsonl", pair_lines(pairs))
            card = dataset_card(
                pairs,
                name=recipe.name,
                digests=roles.digests(),
                counts=run.counts(),
                held_out=[prompt.messages for prompt in prompts.held_out],
            )
            write_text(out / "dataset_card.md", card)
            sources = write_sources(work, prompts.train, prompts.held_out)
            written += ["pairs.jsonl", "dataset_card.md", *sources]
            roles.close()
            if until == "pair":
                _record(run, screen, written)
                return {
                    "pairs": len(pairs),
                    "file": str(out / "pairs.jsonl"),
                    "sources": [str(out / name) for name in sources],
                    "counts": run.counts(),
                }
            if not pairs and any(needs_pairs(each) for each in recipe.phases):
                raise Stopped(nothing_left(work))
            adapter, files = train_phases(recipe, pairs, out, screen, first=phase)
            written += files
        held_out = held_out_pairs(work, prompts.held_out)
        roles.close()
        if roles.adapter_server is not None:
            server = roles.adapter_server
            screen.say(f"answers after training come from {server.url}: serve {adapter} there as '{server.model}'")
        evaluation = evaluate(
            adapter,
            against=roles.student,
            constitution=roles.constitution,
            judge=[voice.model for voice in roles.judges] or None,
            prompts=prompts.held_out,
            seen=spread(prompts.train, PAIRED_LIMIT),
            run=run,
            pairs=pairs,
            held_out_pairs=held_out,
            metrics=recipe.evaluate.metrics,
            oracle=recipe.evaluate.oracle,
            sampling=sampling_of(recipe, recipe.evaluate.temperature),
            samples=recipe.evaluate.samples,
            judging=recipe.judge,
            must=recipe.evaluate.must,
            answering=roles.answering(adapter),
            screen=screen,
            manifest=False,
        )
        roles.close()
        page, *others = write_report(run)
        _record(run, screen, [*written, "evaluation.json", page, *others])
    return {"report": str(out / page), "adapter": str(adapter), "evaluation": evaluation}


def _record(run: Run, screen: Screen, written: Sequence[str]) -> None:
    """Write the manifest, and say what somebody else changed: it is not certified."""
    for line in [*run.damage(), *write_manifest(run.path("."), *written)]:
        screen.warn(line)
    run.accept_removals()


def prompts_of(recipe: Recipe) -> Prompts:
    """The prompts of a recipe, read and split."""
    settings = recipe.prompts
    return load_prompts(settings.file, settings.held_out, settings.limit, settings.eval_limit)


def check_recipe(recipe: Recipe, out: Path) -> Plan:
    """Check everything that can be checked before a run asks anybody, and return what the run would do.

    Raises:
        InputError: something that the run will need is missing.
    """
    roles, prompts = open_roles(recipe), prompts_of(recipe)
    check_ready(recipe, roles, prompts, out)
    return plan_of(recipe, roles, prompts, out)


def resolved_text(recipe: Recipe) -> str:
    """Return recipe.yaml as a run of this recipe would write it."""
    return recipe_text(recipe.resolved(), open_roles(recipe).digests())
