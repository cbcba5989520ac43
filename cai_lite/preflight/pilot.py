"""Check, before a run is paid for, whether the judge can apply the principles, and forecast the cost of the run.

Drafts of a few prompts are judged under every principle: as it is written, in other words, and once more with the
verdict sampled at temperature 1. If verdicts change with the order of the replies, with the wording or from one sample
to the next, more pairs will not help. Where the recipe revises, some drafts are revised, and its critics are tried.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cai_lite.chat.asking import Stage
from cai_lite.chat.base import ChatModel
from cai_lite.chat.batch import BatchModel
from cai_lite.chat.batch_rows import HALF
from cai_lite.distill.drafts import draft
from cai_lite.distill.verdicts import judge
from cai_lite.errors import InputError, Stopped
from cai_lite.evaluation.conflicts import Preference, opposition
from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.pipeline.critics import try_critics
from cai_lite.pipeline.make_pairs import sampling_of, spread
from cai_lite.pipeline.ready import PREFLIGHT, calls_for_pairs
from cai_lite.pipeline.recipe import Recipe
from cai_lite.pipeline.revising import quality_of, revise_drafts
from cai_lite.pipeline.roles import Roles, close, open_roles
from cai_lite.pipeline.walk import prompts_of
from cai_lite.preflight.examples import in_other_words
from cai_lite.records import Prompt, Verdict
from cai_lite.run.files import write_text
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Screen, Terminal
from cai_lite.stats import kappa_figure, wilson

MIN_ORDER_CONSISTENCY = 0.65  # least share of verdicts that are the same in both orders
MIN_PARAPHRASE_AGREEMENT = 0.75  # least share of verdicts that are the same in other words
OPPOSED = 0.5  # two principles conflict if the 95 % interval of their share of opposite preferences is above this
REPEAT_INDEX = 1000  # index of the repeated sample, above that of any vote
REVISED = 24  # drafts that are critiqued and revised
MIN_COMPARISONS = 8  # with fewer comparisons, no verdict on a principle is given


def preflight(recipe: Recipe, out: Path, *, prompts: int = 24, quiet: bool = False) -> dict[str, Any]:
    """Return how well the judge applies each principle, which principles conflict, and a forecast of the whole run.

    Two drafts of each of `prompts` training prompts are made and judged. The run in `out` keeps every reply, so that
    the same call resumes.

    Raises:
        InputError: there are no training prompts, or the recipe is wrong.
        ChatError, Stopped: stopped part-way, as in a run; the same call resumes.
    """
    roles, known = open_roles(recipe), prompts_of(recipe)
    if not roles.judges or not recipe.pair.rules:
        raise InputError(
            f"{recipe.path}: preflight tries the judge of the pairs, and this recipe makes none: run it at once; it "
            "tries the student's own critiques before it uses them"
        )
    if not known.train or prompts < 1:
        raise InputError("preflight needs at least 1 training prompt")
    sample = spread(known.train, prompts)
    constitution = roles.constitution
    reworded = in_other_words(constitution)
    with Run(out, budget=recipe.budget) as run, Screen(quiet=quiet, log=out / "log.txt") as screen:
        screen.taken_over(run.recovered)
        author = _author(recipe, roles)
        faults: list[str] = []
        told: set[str] = set()

        def say(sentence: str) -> None:
            faults.append(sentence)
            screen.warn(sentence)

        with screen.stage("draft") as tick:
            watch = roles.watch(author, say, told, stops=False)
            stage = Stage(run=run, name="draft", tick=tick, watch=watch, live=True)
            drafts = draft(author, sample, n=2, sampling=sampling_of(recipe), stage=stage)
        if not drafts:
            raise Stopped(f"no draft to judge: {'; '.join(faults)}. Then run the same command again")

        def judged(rules: Constitution, name: str, **settings: Any) -> list[Verdict]:
            with screen.stage(name) as tick:
                watch = roles.watch(roles.judge, say, told, stops=False)
                return judge(
                    roles.judge,
                    drafts,
                    rules,
                    rule="best_over_worst",
                    judging=recipe.judge.but(principles=len(rules.principles), **settings),
                    stage=Stage(run=run, name=name, tick=tick, watch=watch, live=True),
                )

        plain, paraphrased = judged(constitution, "judge"), judged(reworded, "judge in other words")
        # One verdict per order, sampled at temperature 1 and read from its word: does the judge repeat its verdict?
        repeated = judged(
            constitution, "judge again", votes=1, until=None, drawn=True, log_probs="never", first_index=REPEAT_INDEX
        )
        if roles.critics:
            close(roles.judge)

        @contextmanager
        def opened(name: str, model: ChatModel) -> Iterator[Stage]:
            with screen.stage(name) as tick:
                watch = roles.watch(model, say, told, stops=False)
                yield Stage(run=run, name=f"{name} ({model.name})", tick=tick, watch=watch, live=True)

        critics = try_critics(recipe, roles, drafts, opened) if roles.critics and recipe.revises else []
        revised: dict[str, Any] = {}
        if recipe.revises:
            some = drafts[:: max(1, len(drafts) // REVISED)][:REVISED]
            made = revise_drafts(recipe, roles, roles.teachers[0].model, some, opened)
            revised = quality_of(recipe, roles, made.attempts)
        conflicts = _conflicts(constitution, plain)
        opposed = {name for row in conflicts if row["pull_apart"] and not row["decided"] for name in row["between"]}
        trials = (plain, paraphrased, repeated)
        unread = next((sentence for sentence in faults if sentence.startswith("judge:")), "")
        rows = [_principle(p, sample, trials, p.id in opposed, recipe, unread) for p in constitution.principles]
        forecast = _forecast(recipe, roles, len(known.train), run.calls(), plain)
    roles.close()
    found = {
        "format": 1,
        "judge": roles.judge.name,
        "mode": recipe.judge.mode,
        "prompts": len(sample),
        "principles": rows,
        "conflicts": conflicts,
        "revisions": revised,
        "critics": critics,
        "forecast": forecast,
        "faults": faults,
        "ready": all(row["verdict"] in ("ready", "not met") for row in rows)
        and not any(critic["refused"] for critic in critics),
        "digests": roles.digests(),
    }
    write_text(out / PREFLIGHT, json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    return found


def show_preflight(found: dict[str, Any], console: Console | None = None) -> None:
    """Print the result of `preflight`: a table of the principles, then the conflicts and the forecast."""
    console = console or Terminal()
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
        pad_edge=False,
        collapse_padding=True,
        title=f"{found['judge']}, {found['mode']}, {found['prompts']} prompts",
        caption="n: comparisons judged; unread: verdicts that could not be read; orders: share of verdicts that are "
        "the same in both orders; reworded, again: agreement beyond chance (Cohen's kappa); n/a: prompts that the "
        "principle does not apply to",
    )
    table.add_column("principle", overflow="fold", max_width=22)
    for column in ("n", "unread", "orders", "reworded", "again", "n/a"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for row in found["principles"]:
        figures = row["order_consistency"], row["paraphrase_kappa"], row["repeat_kappa"]
        table.add_row(
            row["id"],
            str(row["judged"]),
            f"{row['unreadable']:.0%}",
            *(f"{figure['value']:.2f}" if figure else "" for figure in figures),
            f"{row['does_not_apply']:.0%}",
            row["verdict"],
            style="" if row["verdict"] == "ready" else "yellow",
        )
    console.print(table)
    for fault in found["faults"]:
        console.print(Text(f"! {fault}", style="yellow"), soft_wrap=True)
    for row in found["principles"]:
        if row["why"]:
            console.print(Text(f"{row['id']}: {row['why']}"), soft_wrap=True)
    for row in found["conflicts"]:
        if row["pull_apart"]:
            how = "decided in the constitution" if row["decided"] else "add a rule under 'conflicts'"
            console.print(
                f"{' and '.join(row['between'])} prefer opposite sides in {row['opposed']:.0%} of {row['n']} "
                f"comparisons: {how}",
                highlight=False,
            )
    if summary := found["revisions"].get("summary"):
        console.print(f"revisions: {summary}", highlight=False, soft_wrap=True)
    for critic in found["critics"]:
        agreed = critic.get("agreement", {"value": 0.0, "n": 0})
        shown = f"agrees with the teacher in {agreed['value']:.0%} of {agreed['n']} critiques"
        planted = [f"{of['value']:.0%} of the {name}" for name, of in critic["planted"].items() if name != "clean"]
        shown += f", finds {', '.join(planted)} planted violations" if planted else ""
        refused = f"; refused: {critic['refused']}" if critic["refused"] else ""
        style = "yellow" if refused else ""
        console.print(Text(f"critic {critic['critic']}: {shown}{refused}", style=style), soft_wrap=True)
    f = found["forecast"]
    console.print(
        f"forecast for the whole run: about {f['calls']:,} calls, {f['tokens']:,} tokens, {f['hours']:.1f} h"
        + (f" and up to a day for each batch of {' and '.join(f['batched'])}" if "batched" in f else "")
        + (f", cost {f['cost']:.2f}" if f["cost"] else "")
        + f"; {f['discarded']:.0%} of the comparisons are below pair.min_margin",
        highlight=False,
    )


def _principle(
    principle: Principle,
    prompts: Sequence[Prompt],
    trials: tuple[Sequence[Verdict], Sequence[Verdict], Sequence[Verdict]],
    opposed: bool,
    recipe: Recipe,
    unread: str,
) -> dict[str, Any]:
    """Return the row of one principle.

    `trials`: the verdicts with the principles as written, in other words, and sampled once more. `opposed`: whether it
    conflicts with another principle and the constitution does not decide the conflict. `unread`: why many verdicts
    could not be read, or "".
    """
    plain, paraphrased, repeated = (
        {_comparison(v): v for v in verdicts if v.principle == principle.id} for verdicts in trials
    )
    read = {keys: v for keys, v in plain.items() if v.p_first is not None}
    rewordings, repeats = _decided_twice(read, paraphrased), _decided_twice(read, repeated)
    pairwise = recipe.judge.mode == "pairwise"
    order = wilson(sum(not v.flipped for v in read.values()), len(read)).as_dict() if pairwise and read else None
    words = wilson(sum(a == b for a, b, _ in rewordings), len(rewordings)).as_dict() if rewordings else None
    applies = sum(principle.applies(prompt) for prompt in prompts)
    verdict, why = "ready", ""
    if not applies:
        tags = ", ".join(principle.applies_to)
        verdict, why = "not met", f"no prompt has the tag {tags}; tag some prompts, or remove the principle"
    elif len(read) < MIN_COMPARISONS:
        mend = unread if unread and 2 * len(read) < len(plain) else "run it with more prompts"
        verdict, why = "unknown", f"only {len(read)} of {len(plain)} comparisons could be judged; {mend}"
    elif order is not None and order["value"] < MIN_ORDER_CONSISTENCY:
        verdict, why = "vague", "the verdict often changes with the order of the replies; reword the principle"
    elif words is not None and words["value"] < MIN_PARAPHRASE_AGREEMENT:
        verdict, why = "vague", "the verdict often changes with the wording of the principle; reword it"
    elif opposed:
        verdict, why = "conflicting", "another principle often prefers the other reply; add a rule under 'conflicts'"
    return {
        "id": principle.id,
        "judged": len(plain),
        "unreadable": 1 - len(read) / len(plain) if plain else 0.0,
        "order_consistency": order,
        "same_in_other_words": words,
        "paraphrase_kappa": _kappa(rewordings),
        "repeat_kappa": _kappa(repeats),
        "does_not_apply": 1 - applies / len(prompts),
        "verdict": verdict,
        "why": why,
    }


def _conflicts(constitution: Constitution, verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Return, for each two principles, how often they prefer opposite replies, of the comparisons that both decide."""
    decided = {frozenset(conflict.between) for conflict in constitution.conflicts}
    rows = opposition(Preference(v.principle, _comparison(v), v.choice) for v in verdicts)
    return [
        {
            "between": row["between"],
            "n": row["n"],
            "opposed": row["opposed"]["value"],
            "pull_apart": row["n"] >= MIN_COMPARISONS and row["opposed"]["low"] > OPPOSED,
            "decided": frozenset(row["between"]) in decided,
        }
        for row in rows
    ]


def _author(recipe: Recipe, roles: Roles) -> ChatModel:
    """Return the model that drafts."""
    return roles.teachers[0].model if recipe.draft.from_ == "teacher" else roles.drafter


def _forecast(
    recipe: Recipe, roles: Roles, prompts: int, calls: Sequence[dict[str, Any]], plain: Sequence[Verdict]
) -> dict[str, Any]:
    """Return the forecast of the whole run.

    The number of calls follows from the recipe. Tokens, cost and seconds per call are those measured here; critiques
    and revisions are taken to cost as much as drafts. What the run leaves to a batch API costs less than here, where
    every call is live, and takes up to a day each time (`batched`).
    """
    asked = {"draft": _author(recipe, roles), "judge": roles.judge}
    batched = [stage for stage, model in asked.items() if isinstance(model, BatchModel)]
    needed = {stage: recipe.repeats.n * n for stage, n in calls_for_pairs(recipe, prompts).items()}
    total = {"tokens": 0.0, "cost": 0.0, "seconds": 0.0}
    for stage, n in needed.items():
        measured = next((row for row in calls if row["stage"] == stage), None)
        if measured:
            share = n / measured["calls"]
            total["tokens"] += share * (measured["tokens_in"] + measured["tokens_out"])
            total["cost"] += share * (measured["cost"] or 0.0) * (HALF if stage in batched else 1.0)
            total["seconds"] += share * measured["seconds"] * (stage not in batched)
    at_once = sum(section.concurrency if section.url else 1 for section in recipe.all_teachers)
    read = [v for v in plain if v.p_first is not None]
    small = sum(abs((v.p_first or 0.5) - 0.5) < recipe.pair.min_margin for v in read)
    return {
        "calls": sum(needed.values()),
        "tokens": round(total["tokens"]),
        "cost": total["cost"],
        "hours": total["seconds"] / at_once / 3600,
        "discarded": small / len(read) if read else 1.0,
        **({"batched": batched} if batched else {}),
    }


def _comparison(verdict: Verdict) -> tuple[str, str]:
    """Return the keys of the two candidates compared."""
    return verdict.first.key, verdict.second.key


def _decided_twice(
    read: dict[tuple[str, str], Verdict], others: dict[tuple[str, str], Verdict]
) -> list[tuple[bool, bool, str]]:
    """Return, for each comparison decided both times, whether the first candidate won each time, and its family.

    A tie or an unreadable verdict decides nothing.
    """
    return [
        (v.choice == "first", w.choice == "first", v.first.prompt.family)
        for keys, v in read.items()
        if (w := others.get(keys)) is not None and {v.choice, w.choice} <= {"first", "second"}
    ]


def _kappa(rows: Sequence[tuple[bool, bool, str]]) -> dict[str, Any] | None:
    if not rows:
        return None
    before, after, families = zip(*rows, strict=True)
    return kappa_figure(before, after, families).as_dict()
