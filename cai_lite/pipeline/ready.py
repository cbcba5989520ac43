"""Check, before anything is paid for, everything that a run will need, and say what it is going to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cai_lite.chat.base import ChatModel
from cai_lite.chat.local import LocalModel
from cai_lite.chat.on_ray import underlying
from cai_lite.chat.preference import PreferenceModel
from cai_lite.chat.weights import adapter_folder, check_opens
from cai_lite.distill.pairwise import check_reason
from cai_lite.errors import InputError, PromptError, did_you_mean, without_secrets
from cai_lite.evaluation.deciders import CHECKS_ALONE
from cai_lite.evaluation.gates import check_gates
from cai_lite.evaluation.labels import DECIDED, Planned
from cai_lite.evaluation.own import load_own
from cai_lite.evaluation.refusal_judge import check_judge
from cai_lite.inputs.constitution import Constitution
from cai_lite.inputs.prompts import Prompts
from cai_lite.pipeline.earlier import show_along
from cai_lite.pipeline.prompted import limits
from cai_lite.pipeline.recipe import Recipe
from cai_lite.pipeline.roles import Roles
from cai_lite.pipeline.sources import PROMPTED
from cai_lite.run.progress import Terminal
from cai_lite.training.trackers import check_installed

FREE_DISK = 1e9  # bytes that a run may need for its replies, adapter and checkpoints
PREFLIGHT = "preflight.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run is going to do.

    `along`: what it takes along of an earlier run, see `earlier.along`; empty where it begins anew.
    `prompts`: the report of `load_prompts`. `calls`: calls of models, by part of the run. `forecast`: tokens, cost and
    hours measured by an earlier preflight with the same models; None where there was none. `paid`: a server is asked.
    """

    recipe: str
    prompts: dict[str, int]
    calls: dict[str, int]
    models: dict[str, str]
    warnings: tuple[str, ...]
    forecast: dict[str, Any] | None
    paid: bool
    along: tuple[tuple[str, str, str, str], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as plain data."""
        return {**asdict(self), "warnings": list(self.warnings), "along": [list(row) for row in self.along]}

    @property
    def headline(self) -> str:
        """The plan in one sentence."""
        found = self.prompts
        text = f"ready: {found['train'] + found['held_out']:,} prompts ({found['train']:,} for training, "
        text += f"{found['held_out']:,} held out), about {sum(self.calls.values()):,} calls"
        if self.forecast is None:
            return text + ("; tokens, cost and hours: not measured yet" if self.paid else "")
        f = self.forecast
        cost = f", cost {f['cost']:,.2f}" if f["cost"] else ""
        days = " and up to a day for each batch" if "batched" in f else ""
        return f"{text}; making the pairs takes about {f['tokens']:,} tokens{cost}, {f['hours']:.1f} h{days}"


def check_ready(
    recipe: Recipe,
    roles: Roles,
    prompts: Prompts,
    out: Path,
    *,
    until: Literal["pair", "report"] = "report",
    adapter: Path | None = None,
) -> None:
    """Check what can be checked without asking a model: prompts, gates, models, the judge's wording, disk space.

    Raises:
        InputError: something that a later stage needs is missing.
    """
    if adapter is not None:
        adapter_folder(adapter)
    _check_principles(recipe, roles.constitution)
    if until == "report":
        if not prompts.held_out:
            share = recipe.prompts.held_out
            mend = "raise prompts.held_out or add prompts" if share else "set prompts.held_out: 0.2"
            raise PromptError(
                f"{recipe.path}: there are no held-out prompts, so nothing could be evaluated after the training; "
                f"{mend} (it is {share:g}, of {prompts.report['families']:,} families), or give some lines of "
                f'{recipe.prompts.file} "split": "held_out"'
            )
        load_own(recipe.evaluate.own)
        plan = planned(recipe, roles, prompts, pairs=adapter is None)
        check_gates(recipe.evaluate.must, plan)
        if "adherence" in plan.metrics and not DECIDED.holds(plan):
            raise InputError(f"{recipe.path}: adherence cannot be measured: {DECIDED.otherwise}")
        if plan.kinds_judged:
            check_judge([voice.model for voice in roles.judges])
    _check_roles(roles)
    for model in _local(roles):
        check_opens(model.model)
    if until == "report" and adapter is None:
        student_notes(recipe)
        for phase in recipe.phases:
            check_installed(phase.trackers)
    if recipe.judge.mode == "pairwise":
        for judge in roles.judges:
            check_reason(judge.model, recipe.judge.reason)
    _check_disk(out)


def _check_principles(recipe: Recipe, constitution: Constitution) -> None:
    """Check that the constitution has the principles that are weighted or grouped."""
    known = {principle.id for principle in constitution.principles}
    named = [("train.principle_weights", name) for phase in recipe.phases for name in phase.principle_weights]
    named += [(f"steer.groups.{group}", name) for group, names in recipe.steer.groups.items() for name in names]
    for place, name in named:
        if name not in known:
            raise InputError(
                f"{recipe.path}: {place}: the constitution '{constitution.name}' has no principle '{name}'"
                f"{did_you_mean(name, known)}"
            )


def student_notes(recipe: Recipe, *, needs_tokenizer: bool = True) -> list[str]:
    """Return what to mind about training the student. `needs_tokenizer`: a missing tokenizer is an error.

    Raises:
        ModelError: it cannot be trained.
    """
    from cai_lite.training.trainable import check_trainable  # which imports torch

    student = recipe.student
    return check_trainable(
        student.model,
        lora=recipe.phases[0].lora,
        template=student.template,
        system=student.system,
        needs_tokenizer=needs_tokenizer,
    )


def planned(recipe: Recipe, roles: Roles, prompts: Prompts, *, pairs: bool = True) -> Planned:
    """Return what is known of a recipe's evaluation before anything is asked. `pairs`: training pairs are made."""
    return Planned(
        metrics=(*recipe.evaluate.measured, *recipe.baselines),
        own=recipe.evaluate.own,
        constitution=roles.constitution,
        prompts=prompts.held_out,
        pairs=pairs and bool(recipe.pair.rules or recipe.pair.human),
        held_out_pairs=bool(recipe.pair.rules),
        seen=bool(prompts.train),
        oracle=recipe.evaluate.oracle is not None,
        judges=len(roles.judges),
        second=roles.second is not None,
        teacher=bool(roles.teachers),
        kinds_judged=recipe.evaluate.refusals == "judge",
        revisions=pairs and recipe.revises,
        earlier=recipe.from_ is not None,
        regression=bool(prompts.regression),
    )


def plan_of(recipe: Recipe, roles: Roles, prompts: Prompts, out: Path) -> Plan:
    """Return what a run of this recipe is going to do."""
    teachers = ", ".join(member.model.name for member in roles.teachers)
    judges = ", ".join(member.model.name for member in roles.judges)
    critics = ", ".join(member.model.name for member in roles.critics)
    return Plan(
        recipe=recipe.name,
        prompts=dict(prompts.report),
        calls=calls_needed(recipe, prompts),
        models={
            "student": roles.student.name,
            "teacher": teachers or "none",
            "judge": judges or CHECKS_ALONE,
            **({"critic": critics} if critics else {}),
            **({"second judge": roles.second.model.name} if roles.second else {}),
        },
        warnings=(
            *roles.warnings([*prompts.train, *prompts.held_out]),
            *student_notes(recipe),
            *limits(recipe, roles),
        ),
        forecast=forecast_of(roles, out, recipe.name),
        paid=any(not isinstance(underlying(m.model), LocalModel | PreferenceModel) for m in roles.members),
    )


def calls_needed(recipe: Recipe, prompts: Prompts) -> dict[str, int]:
    """Return about how many calls of models each part of a run takes; revisions are counted as if all were needed."""
    held_out, rounds = len(prompts.held_out), recipe.repeats.n
    paired = min(held_out, recipe.evaluate.pair_prompts or held_out)
    found = {"training pairs": rounds * sum(calls_for_pairs(recipe, len(prompts.train)).values())}
    if recipe.weighs:
        found["judging what still fails"] = (rounds - 1) * len(prompts.train) * recipe.judge.principles
    if any(phase.on == PROMPTED for phase in recipe.phases):
        found["answers under the constitution"] = calls_for_prompted(recipe, len(prompts.train))
    if "preference_accuracy" in recipe.evaluate.metrics:
        found["held-out pairs"] = sum(calls_for_pairs(recipe, paired).values())
    # The answers of baselines are the same in each round.
    answers = (1 + rounds + len(recipe.baselines)) * held_out * recipe.evaluate.samples
    found["answers"] = answers
    judged = bool(recipe.all_teachers or recipe.judge.models)
    if "adherence" in recipe.evaluate.metrics and recipe.evaluate.oracle is None and judged:
        found["judging the answers"] = answers * recipe.judge.principles
    if recipe.evaluate.second_judge is not None:
        found["judging the answers, second judge"] = answers * recipe.judge.principles
    if recipe.evaluate.refusals == "judge":
        found["judging the kinds of replies"] = answers
    return {part: n for part, n in found.items() if n}


def calls_for_prompted(recipe: Recipe, prompts: int) -> int:
    """Return about how many calls the student's answers under the constitution to so many prompts take."""
    drafts, per_draft = prompts * recipe.draft.n, recipe.critique.principles_per_draft
    return drafts * (1 + (per_draft + recipe.revise.rounds * (1 + per_draft) if recipe.revise.rounds else 0))


def calls_for_pairs(recipe: Recipe, prompts: int) -> dict[str, int]:
    """Return about how many calls the pairs of so many prompts take: to write ("draft") and to "judge"."""
    drafts = prompts * recipe.draft.n if recipe.drafts else 0
    principles, votes = recipe.judge.principles, recipe.judge.votes
    critics = max(1, len(recipe.critique.critics))
    revised = drafts * recipe.revise.rounds * critics
    needed = {"draft": drafts * recipe.draft.best_of, "judge": 0}
    if recipe.revises:
        needed["draft"] += drafts * critics * recipe.critique.principles_per_draft + revised
    for rule in recipe.pair.rules:
        if rule == "teacher_over_student":
            needed["draft"] += prompts
        compared = {"revision_over_draft": revised, "teacher_over_student": drafts}.get(
            rule, prompts * recipe.draft.n * (recipe.draft.n - 1) // 2
        )
        pointwise = drafts + (revised if rule == "revision_over_draft" else 0)
        needed["judge"] += votes * principles * (pointwise if recipe.judge.mode == "pointwise" else 2 * compared)
    return needed


def preflight_folder(out: Path, name: str) -> Path:
    """Return the run directory of the preflight that belongs to a run in `out`."""
    return out.parent / f"preflight-{name}"


def forecast_of(roles: Roles, out: Path, name: str) -> dict[str, Any] | None:
    """Return the forecast of an earlier preflight with the same constitution and models, or None."""
    path = preflight_folder(out, name) / PREFLIGHT
    if not path.is_file():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    return found["forecast"] if found["digests"] == roles.digests() else None


def show_plan(plan: Plan, next_: Sequence[str], console: Console | None = None) -> None:
    """Print a plan as a short table, its warnings, the headline and the next commands."""
    console = console or Terminal()
    table = Table(title=f"{plan.recipe}: what this run would do", title_justify="left", show_header=False)
    for role, names in plan.models.items():
        table.add_row(role, Text(names))
    counted = plan.prompts
    dropped = [f"{counted[what]:,} {what}" for what in ("duplicates", "contaminated", "beyond_limit") if counted[what]]
    table.add_row("prompts read", f"{counted['rows']:,} in {counted['families']:,} families" + _listed(dropped))
    for part, n in plan.calls.items():
        table.add_row(part, f"about {n:,} calls")
    console.print(table, highlight=False)
    if plan.along:
        show_along(plan.along, console)
    for warning in plan.warnings:
        console.print(Text(f"! {warning}", style="yellow"), soft_wrap=True)
    console.print(plan.headline, highlight=False, markup=False, soft_wrap=True)
    show_next(next_, console)


def show_next(commands: Sequence[str], console: Console) -> None:
    """Print the commands that may follow, the last lines on the terminal."""
    for place, command in enumerate(map(without_secrets, commands)):
        console.print(f"{'next:' if place == 0 else '     '} {command}", highlight=False, markup=False, soft_wrap=True)


def _listed(dropped: Sequence[str]) -> str:
    return f", without {' and '.join(dropped)}".replace("_", " ") if dropped else ""


def _local(roles: Roles) -> Iterator[LocalModel | PreferenceModel]:
    """Yield each local model once."""
    members = (underlying(member.model) for member in roles.members)
    models: list[ChatModel | None] = [roles.student, roles.chooser, *members]
    yield from {model.model: model for model in models if isinstance(model, LocalModel | PreferenceModel)}.values()


def _check_roles(roles: Roles) -> None:
    """Check that whoever has to write can, and that a preference model chooses among several draws."""
    for role, members in (("teacher", roles.teachers), ("critic", roles.critics)):
        for member in members:
            if isinstance(underlying(member.model), PreferenceModel):
                raise InputError(
                    f"the {role} {member.model.name} is a preference model, which scores answers and writes none; "
                    f"name a chat model as {member.section}"
                )
    if roles.chooser is not None and not isinstance(roles.chooser, PreferenceModel):
        raise InputError(f"draft.by: {roles.chooser.name} is no preference model; name one as MODEL#ADAPTER_FOLDER")


def _check_disk(out: Path) -> None:
    place = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if free < FREE_DISK:
        raise InputError(
            f"{out}: only {free / 1e9:.2f} GB are free on this disk, a run needs {FREE_DISK / 1e9:g} GB; free some, or "
            "choose another --out"
        )
