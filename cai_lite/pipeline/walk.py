"""The stages in order, as plain calls; one model in memory at a time. This file is the walk: read it top to bottom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from cai_lite.evaluation.relabelled import take_labels
from cai_lite.evaluation.result import ANSWERS
from cai_lite.inputs.prompts import Prompts, load_prompts
from cai_lite.inputs.quarantine import QUARANTINE, reasons, write_quarantine
from cai_lite.pipeline.earlier import along, earlier_of, show_along, since
from cai_lite.pipeline.make_pairs import Work, draft_held_out, held_out_pairs
from cai_lite.pipeline.phases import check_first, write_sources
from cai_lite.pipeline.ready import Plan, check_ready, plan_of
from cai_lite.pipeline.recipe import Recipe
from cai_lite.pipeline.roles import open_roles
from cai_lite.pipeline.rounds import put_rounds_aside, walk_rounds
from cai_lite.pipeline.steps import learn, make, measure, write_pairs
from cai_lite.pipeline.taken import with_failures, write_labels, write_taken
from cai_lite.records import PreferencePair
from cai_lite.reporting import write_report
from cai_lite.run.files import CONSTITUTION, recipe_text, write_aside, write_manifest
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Screen


def run_recipe(
    recipe: Recipe,
    out: Path,
    *,
    until: Literal["pair", "report"] = "report",
    adapter: Path | None = None,
    phase: int = 0,
    labels: Path | None = None,
    on: str | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Walk a recipe in the run directory `out`, and go on where an earlier walk stopped.

    `until="pair"` stops at pairs.jsonl. `adapter`: measure this adapter; nothing is paired or trained. `phase`: take
    the phases of the training before this one as they stand. `labels`: people's labels of the answers, where they are
    not in `out` yet. `on`: "ray" or `ray://HOST:PORT`, the cluster on which teachers, judges and critics answer.

    Raises:
        InputError: the recipe, or a file that it names, is wrong. RunBusyError: another process works in `out`.
        ChatError, TrainingError, Stopped, DiskError: stopped part-way; the same call goes on.
    """
    roles, prompts = open_roles(recipe, on), prompts_of(recipe)
    check_ready(recipe, roles, prompts, out, until=until, adapter=adapter)
    check_first(recipe, out, phase)
    roles.check_cluster()
    take_labels(labels, out)
    plan, earlier = plan_of(recipe, roles, prompts, out), earlier_of(recipe, roles, prompts, out)
    with Run(out, budget=recipe.budget) as run, Screen(quiet=quiet, log=out / "log.txt") as screen:
        screen.taken_over(run.recovered)
        if earlier is not None:
            with Run.reading(earlier.folder) as asked:
                run.take_over(asked)
        write_aside(out / "recipe.yaml", recipe_text(recipe.resolved(), roles.digests()))
        if (out / CONSTITUTION).resolve() != (policy := Path(roles.constitution.path).resolve()):  # a project's own
            write_aside(out / CONSTITUTION, policy.read_text(encoding="utf-8"))
        written = ["recipe.yaml", CONSTITUTION]
        if earlier is not None:
            show_along(rows := along(earlier, prompts), screen.console)
            screen.note(*(": ".join(filter(None, row)) for row in rows))
            written += write_taken(earlier.said, prompts, out)
            write_labels(earlier.labels, out)
        for warning in plan.warnings:
            screen.warn(warning)
        if plan.paid and plan.forecast is None:
            screen.warn(
                "no preflight was run with these models: `cai-lite preflight` asks a few prompts, and says whether "
                "the judge can apply each principle and what the whole run will take"
            )
        pairs: list[PreferencePair] = []
        work = Work(recipe=recipe, roles=roles, run=run, screen=screen, bad=list(prompts.bad), earlier=earlier)
        write_quarantine(out / QUARANTINE, work.bad)
        if prompts.bad:
            screen.warn(f"{len(prompts.bad):,} prompts left out ({reasons(prompts.bad)}); see {out / QUARANTINE}")
        if adapter is None and until == "report" and recipe.repeats.n > 1:
            adapter, evaluation, files = walk_rounds(work, prompts)
            written += files
        else:
            if adapter is None:
                if until == "report":
                    draft_held_out(work, prompts.held_out)
                pairs = make(work, prompts)
                written += write_pairs(work, pairs, prompts)
                written += (sources := write_sources(work, prompts.train, prompts.held_out, out))
                roles.close()
                if until == "pair":
                    _record(run, screen, written)
                    return {
                        "pairs": len(pairs),
                        "file": str(out / "pairs.jsonl"),
                        "sources": [str(out / name) for name in sources],
                        "counts": run.counts(),
                    }
                put_rounds_aside(out, screen.say)
                adapter, files = learn(work, pairs, out, first=phase, prompts=prompts.train)
                written += files
            held_out = held_out_pairs(work, prompts.held_out)
            roles.close()
            evaluation = measure(work, adapter, prompts, pairs, held_out, out)
        roles.close()
        page, *others = write_report(run)
        _record(run, screen, [*written, "evaluation.json", ANSWERS, page, *others])
        found = {"report": str(out / page), "adapter": str(adapter), "evaluation": evaluation}
        return found | ({"since": since(evaluation, earlier, run)} if earlier is not None else {})


def _record(run: Run, screen: Screen, written: Sequence[str]) -> None:
    """Write the manifest, and say what somebody else changed: it is not certified."""
    for line in [*run.damage(), *write_manifest(run.path("."), *written)]:
        screen.warn(line)
    run.accept_removals()


def prompts_of(recipe: Recipe) -> Prompts:
    """Return the prompts of a recipe, read and split; of a next round, with those that failed in production."""
    settings = recipe.prompts
    found = load_prompts(settings.file, settings.held_out, settings.limit, settings.eval_limit)
    return found if recipe.from_ is None else with_failures(found, recipe.from_)


def check_recipe(recipe: Recipe, out: Path, on: str | None = None) -> Plan:
    """Check everything that can be checked before a run asks anybody, and return what the run would do.

    `on`: as for `run_recipe`; no cluster is looked for.

    Raises:
        InputError: something that the run will need is missing.
    """
    roles, prompts = open_roles(recipe, on), prompts_of(recipe)
    check_ready(recipe, roles, prompts, out)
    earlier = earlier_of(recipe, roles, prompts, out)
    plan = plan_of(recipe, roles, prompts, out)
    return plan if earlier is None else replace(plan, along=tuple(along(earlier, prompts)))


def resolved_text(recipe: Recipe) -> str:
    """Return recipe.yaml as a run of this recipe would write it."""
    return recipe_text(recipe.resolved(), open_roles(recipe).digests())
