"""Before a run is paid for: can this judge apply these principles, and what will the whole cost?

A few prompts are drafted and judged under every principle: as it stands, in other words, and once more with the verdict
drawn instead of the likeliest taken. What a judge cannot repeat when the order, the wording or the dice change will not
become better with more pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from cai_lite.distill.drafts import draft
from cai_lite.distill.verdicts import judge
from cai_lite.errors import InputError
from cai_lite.evaluation.conflicts import Preference, opposition
from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.pipeline.make_pairs import sampling_of, spread
from cai_lite.pipeline.recipe import Recipe
from cai_lite.pipeline.roles import open_roles
from cai_lite.pipeline.walk import prompts_of
from cai_lite.preflight.examples import in_other_words
from cai_lite.records import Prompt, Verdict
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Screen
from cai_lite.stats import kappa_figure, wilson

CONSISTENT, AGREEING = 0.65, 0.75  # least share of verdicts that stand in the other order, and in other words
OPPOSED = 0.5  # two principles pull apart where they prefer opposite replies surely more often than this
AGAIN = 1000  # the index of a sample that no vote has
ENOUGH = 8  # comparisons, below which nothing is said of a principle


def preflight(recipe: Recipe, out: Path, *, prompts: int = 24, quiet: bool = False) -> dict[str, Any]:
    """What each principle is worth to this judge, which pull apart, and a forecast of the whole run.

    Asks for two drafts of each of `prompts` training prompts and judges them; the run in `out` keeps every answer.

    Raises:
        InputError: no prompts. ChatError, Stopped: as in a run; the same call goes on.
    """
    roles, known = open_roles(recipe), prompts_of(recipe)
    if not known.train or prompts < 1:
        raise InputError("preflight needs training prompts: at least 1")
    some = spread(known.train, prompts)
    constitution = roles.constitution
    reworded = in_other_words(constitution)
    with Run(out, budget=recipe.budget) as run, Screen(quiet=quiet, log=out / "log.txt") as screen:
        author = roles.teachers[0].model if recipe.draft.from_ == "teacher" else roles.student
        with screen.stage("draft") as tick:
            drafts = draft(author, some, n=2, sampling=sampling_of(recipe), run=run, progress=tick)

        def judged(rules: Constitution, stage: str, **otherwise: Any) -> list[Verdict]:
            with screen.stage(stage) as tick:
                return judge(
                    roles.judge,
                    drafts,
                    rules,
                    rule="best_over_worst",
                    judging=recipe.judge.but(principles=len(rules.principles), **otherwise),
                    run=run,
                    progress=tick,
                    stage=stage,
                )

        plain, other = judged(constitution, "judge"), judged(reworded, "judge in other words")
        # One verdict of each order, drawn at temperature 1 and read by its word: how sure the judge is of itself.
        again = judged(
            constitution, "judge again", votes=1, until=None, drawn=True, log_probs="never", first_index=AGAIN
        )
        conflicts = _conflicts(constitution, plain)
        opposed = {name for row in conflicts if row["pull_apart"] and not row["decided"] for name in row["between"]}
        rows = [_principle(p, some, (plain, other, again), p.id in opposed, recipe) for p in constitution.principles]
        forecast = _forecast(recipe, len(known.train), run.calls(), plain)
    roles.close()
    return {
        "format": 1,
        "judge": roles.judge.name,
        "mode": recipe.judge.mode,
        "prompts": len(some),
        "principles": rows,
        "conflicts": conflicts,
        "forecast": forecast,
        "ready": all(row["verdict"] in ("ready", "not met") for row in rows),
    }


def show_preflight(found: dict[str, Any], console: Console | None = None) -> None:
    """A row for each principle, the conflicts and the forecast under it."""
    console = console or Console()
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
        pad_edge=False,
        collapse_padding=True,
        title=f"{found['judge']}, {found['mode']}, {found['prompts']} prompts",
        caption="orders: verdicts that stand in both; reworded, again: agreement beyond chance (kappa); n/a: "
        "prompts that it does not apply to",
    )
    table.add_column("principle", overflow="fold", max_width=22)
    for column in ("n", "unread", "orders", "reworded", "again", "n/a"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for row in found["principles"]:
        order, words, again = row["order_consistency"], row["paraphrase_kappa"], row["repeat_kappa"]
        table.add_row(
            row["id"],
            str(row["judged"]),
            f"{row['unreadable']:.0%}",
            *(f"{figure['value']:.2f}" if figure else "" for figure in (order, words, again)),
            f"{row['does_not_apply']:.0%}",
            row["verdict"],
            style="" if row["verdict"] == "ready" else "yellow",
        )
    console.print(table)
    for row in found["principles"]:
        if row["why"]:
            console.print(f"{row['id']}: {row['why']}", highlight=False)
    for row in found["conflicts"]:
        if row["pull_apart"]:
            how = "decided in the constitution" if row["decided"] else "no conflict rule decides it"
            console.print(
                f"{' and '.join(row['between'])} prefer opposite sides in {row['opposed']:.0%} of {row['n']}: {how}",
                highlight=False,
            )
    f = found["forecast"]
    console.print(
        f"the whole run: about {f['calls']:,} calls, {f['tokens']:,} tokens, {f['hours']:.1f} h"
        + (f", cost {f['cost']:.2f}" if f["cost"] else "")
        + f"; {f['discarded']:.0%} of the comparisons fall below pair.min_margin",
        highlight=False,
    )


def _principle(
    principle: Principle,
    prompts: Sequence[Prompt],
    asked: tuple[Sequence[Verdict], Sequence[Verdict], Sequence[Verdict]],
    opposed: bool,
    recipe: Recipe,
) -> dict[str, Any]:
    """`asked`: the verdicts as the principle stands, in other words, and drawn once more."""
    mine, other, again = ({_what(v): v for v in verdicts if v.principle == principle.id} for verdicts in asked)
    read = {what: v for what, v in mine.items() if v.p_first is not None}
    reworded, repeated = _same(read, other), _same(read, again)
    pairwise = recipe.judge.mode == "pairwise"
    order = wilson(sum(not v.flipped for v in read.values()), len(read)).as_dict() if pairwise and read else None
    words = wilson(sum(a == b for a, b, _ in reworded), len(reworded)).as_dict() if reworded else None
    applies = sum(principle.applies(prompt) for prompt in prompts)
    verdict, why = "ready", ""
    if not applies:
        verdict, why = "not met", f"no prompt bears {', '.join(principle.applies_to)}: tag some, or leave it"
    elif len(read) < ENOUGH:
        verdict, why = "unknown", f"only {len(read)} comparisons could be judged; ask with more prompts"
    elif order is not None and order["value"] < CONSISTENT:
        verdict, why = "vague", "the verdict turns with the order of the replies"
    elif words is not None and words["value"] < AGREEING:
        verdict, why = "vague", "the verdict turns with the wording of the principle"
    elif opposed:
        verdict, why = "conflicting", "another principle often prefers the other reply, and no conflict rule decides"
    return {
        "id": principle.id,
        "judged": len(mine),
        "unreadable": 1 - len(read) / len(mine) if mine else 0.0,
        "order_consistency": order,
        "same_in_other_words": words,
        "paraphrase_kappa": _kappa(reworded),
        "repeat_kappa": _kappa(repeated),
        "does_not_apply": 1 - applies / len(prompts),
        "verdict": verdict,
        "why": why,
    }


def _conflicts(constitution: Constitution, verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Of each two principles: how often they prefer opposite replies, where both prefer one."""
    decided = {frozenset(conflict.between) for conflict in constitution.conflicts}
    rows = opposition(Preference(v.principle, _what(v), v.choice) for v in verdicts)
    return [
        {
            "between": row["between"],
            "n": row["n"],
            "opposed": row["opposed"]["value"],
            "pull_apart": row["n"] >= ENOUGH and row["opposed"]["low"] > OPPOSED,
            "decided": frozenset(row["between"]) in decided,
        }
        for row in rows
    ]


def _forecast(
    recipe: Recipe, prompts: int, calls: Sequence[dict[str, Any]], plain: Sequence[Verdict]
) -> dict[str, Any]:
    """Calls counted from the recipe; tokens, cost and seconds of a call as measured here, of critiques as of drafts."""
    drafts = prompts * recipe.draft.n
    principles, votes = recipe.judge.principles, recipe.judge.votes
    wanted = {"draft": drafts, "judge": 0}
    for rule in recipe.pair.rules:
        revised = drafts * recipe.revise.rounds
        if rule == "revision_over_draft":
            wanted["draft"] += drafts * recipe.critique.principles_per_draft + revised
        elif rule == "teacher_over_student":
            wanted["draft"] += prompts
        compared = {"revision_over_draft": revised, "teacher_over_student": drafts}.get(
            rule, prompts * recipe.draft.n * (recipe.draft.n - 1) // 2
        )
        pointwise = drafts + (revised if rule == "revision_over_draft" else 0)
        wanted["judge"] += votes * principles * (pointwise if recipe.judge.mode == "pointwise" else 2 * compared)
    total = {"tokens": 0.0, "cost": 0.0, "seconds": 0.0}
    for stage, n in wanted.items():
        measured = next((row for row in calls if row["stage"] == stage), None)
        if measured:
            share = n / measured["calls"]
            total["tokens"] += share * (measured["tokens_in"] + measured["tokens_out"])
            total["cost"] += share * (measured["cost"] or 0.0)
            total["seconds"] += share * measured["seconds"]
    at_once = sum(section.concurrency if section.url else 1 for section in recipe.all_teachers)
    read = [v for v in plain if v.p_first is not None]
    small = sum(abs((v.p_first or 0.5) - 0.5) < recipe.pair.min_margin for v in read)
    return {
        "calls": sum(wanted.values()),
        "tokens": round(total["tokens"]),
        "cost": total["cost"],
        "hours": total["seconds"] / at_once / 3600,
        "discarded": small / len(read) if read else 1.0,
    }


def _what(verdict: Verdict) -> tuple[str, str]:
    return verdict.first.key, verdict.second.key


def _same(read: dict[tuple[str, str], Verdict], others: dict[tuple[str, str], Verdict]) -> list[tuple[bool, bool, str]]:
    """(the first was better, and the second time, family) of all that was decided both times; a tie decides nothing."""
    return [
        (v.choice == "first", w.choice == "first", v.first.prompt.family)
        for what, v in read.items()
        if (w := others.get(what)) is not None and {v.choice, w.choice} <= {"first", "second"}
    ]


def _kappa(rows: Sequence[tuple[bool, bool, str]]) -> dict[str, Any] | None:
    if not rows:
        return None
    one, two, families = zip(*rows, strict=True)
    return kappa_figure(one, two, families).as_dict()
