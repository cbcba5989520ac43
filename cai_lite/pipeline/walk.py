"""The stages in order, as plain calls; one model in memory at a time. This file is the walk: read it top to bottom."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from cai_lite.chat.weights import adapter_folder, checked_load, resolve
from cai_lite.evaluation.evaluate import evaluate
from cai_lite.evaluation.gates import check_gates
from cai_lite.evaluation.labels import Planned
from cai_lite.evaluation.subject import PAIRED_LIMIT
from cai_lite.evaluation.table import show
from cai_lite.inputs.pairs import pair_lines, read_pairs
from cai_lite.inputs.prompts import Prompts, load_prompts
from cai_lite.inputs.quarantine import MAX_BAD, QUARANTINE, reasons, write_quarantine
from cai_lite.pipeline.assess import gated
from cai_lite.pipeline.make_pairs import Work, held_out_pairs, make_pairs, sampling_of, spread
from cai_lite.pipeline.recipe import Recipe
from cai_lite.pipeline.roles import Roles, open_roles
from cai_lite.records import PreferencePair
from cai_lite.reporting import report
from cai_lite.reporting.card import write_card
from cai_lite.reporting.dataset_card import dataset_card
from cai_lite.run.files import recipe_text, write_aside, write_manifest
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Screen
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
    if adapter is not None:
        adapter_folder(adapter)  # before anything is drafted
    roles, prompts = open_roles(recipe), prompts_of(recipe)
    if until == "report":
        check_gates(recipe.evaluate.must, planned(recipe, roles, prompts, pairs=adapter is None))
    with Run(out, budget=recipe.budget) as run:
        with Screen(quiet=quiet, log=out / "log.txt") as screen:
            write_aside(out / "recipe.yaml", recipe_text(recipe.resolved(), roles.digests()))
            for warning in roles.warnings([*prompts.train, *prompts.held_out]):
                screen.warn(warning)
            pairs: list[PreferencePair] = []
            work = Work(recipe=recipe, roles=roles, run=run, screen=screen, bad=list(prompts.bad))
            if prompts.bad:
                screen.warn(f"{len(prompts.bad):,} prompts left out ({reasons(prompts.bad)}); see {out / QUARANTINE}")
            write_quarantine(out / QUARANTINE, work.bad)
            if adapter is None:
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
                (out / "dataset_card.md").write_text(card, encoding="utf-8")
                roles.close()
                if until == "pair":
                    write_manifest(out)
                    return {"pairs": len(pairs), "file": str(out / "pairs.jsonl"), "counts": run.counts()}
                from cai_lite.training.loop import train  # which imports torch

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
            held_out = held_out_pairs(work, prompts.held_out)
            roles.close()
            evaluation = evaluate(
                adapter,
                against=roles.student,
                constitution=roles.constitution,
                judge=[voice.model for voice in roles.judges],
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
                screen=screen,
            )
            roles.close()
            evaluation |= gated(recipe.evaluate.must, evaluation["metrics"])
            write_aside(out / "evaluation.json", json.dumps(evaluation, indent=1, ensure_ascii=False))
        page = report(run)
        write_card(out)
        write_manifest(out)
    if not quiet:
        console = Console()
        show(evaluation, console)
        console.print(f"report: {page}", highlight=False)
    return {"report": str(page), "adapter": str(adapter), "evaluation": evaluation}


def prompts_of(recipe: Recipe) -> Prompts:
    """The prompts of a recipe, read and split."""
    settings = recipe.prompts
    return load_prompts(settings.file, settings.held_out, settings.limit, settings.eval_limit)


def planned(recipe: Recipe, roles: Roles, prompts: Prompts, *, pairs: bool = True) -> Planned:
    """Return what is known of a recipe's evaluation before anything is asked. `pairs`: training pairs are made."""
    return Planned(
        metrics=recipe.evaluate.metrics,
        constitution=roles.constitution,
        prompts=prompts.held_out,
        pairs=pairs,
        seen=bool(prompts.train),
        oracle=recipe.evaluate.oracle is not None,
        judges=len(roles.judges),
    )


def train_pairs(
    student: str,
    pairs: Path,
    config: TrainingConfig,
    out: Path,
    *,
    load: str | None = None,
    max_bad: float = MAX_BAD,
    quiet: bool = False,
) -> dict[str, Any]:
    """Train on a preference file in a run directory of its own, as `cai-lite train` does.

    Rows of the file that cannot be used are listed in quarantine.jsonl. `max_bad`: the share of them above which the
    file is refused, from 0 to below 1.
    """
    from cai_lite.training.loop import train

    (rows, bad), how = read_pairs(pairs, max_bad=max_bad), checked_load(load)
    resolve(student)
    with Run(out), Screen(quiet=quiet, log=out / "log.txt") as screen, screen.stage("train") as tick:
        write_quarantine(out / QUARANTINE, bad)
        if bad:
            screen.warn(f"{len(bad):,} rows left out ({reasons(bad)}); see {out / QUARANTINE}")
        result = train(student, rows, config=config, out=out, load=how, progress=tick, log=screen.say)
    return {
        "adapter": str(result.adapter),
        "steps": result.steps,
        "resumed_from": result.resumed_from,
        "quarantined": len(bad),
        "pairs": None if result.report is None else asdict(result.report),
        "last": result.last,
    }


def check_recipe(recipe: Recipe) -> str:
    """`--dry-run`: read all that a run would read, ask nobody; returns the resolved recipe under what was found."""
    roles, prompts = open_roles(recipe), prompts_of(recipe)
    check_gates(recipe.evaluate.must, planned(recipe, roles, prompts))
    found = {**roles.digests(), "prompts": str(prompts.report)}
    warnings = "".join(f"# ! {warning}\n" for warning in roles.warnings([*prompts.train, *prompts.held_out]))
    return recipe_text(recipe.resolved(), found) + warnings
