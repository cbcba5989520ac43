"""Forecast what a change of a constitution takes: calls, tokens and minutes of `run --only-changed`, and its updates.

Nothing is asked. Which critiques and verdicts come anew follows from the principles drawn for each prompt under both
versions; how many revisions those lead to, tokens and minutes a call are taken from the run that the change begins at.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cai_lite.errors import InputError
from cai_lite.evaluation.conflicts import Preference, opposition
from cai_lite.inputs.constitution import Constitution, draw
from cai_lite.inputs.pairs import load_pairs
from cai_lite.inputs.versions import changes
from cai_lite.pipeline.recipe import FromSection, Recipe, load_recipe
from cai_lite.pipeline.walk import prompts_of
from cai_lite.records import Prompt
from cai_lite.run.ledger import Run

KINDS = ("draft", "critique", "revise", "judge", "evaluate")
_PAUSE = 600.0  # seconds without a reply from which a run is taken to have rested
_ASKED_ANEW = ("reworded", "added")


class _Made(NamedTuple):
    """What a run made of its training prompts: by prompt the drafts, all candidates, and the comparisons judged."""

    drafts: Counter[str]
    candidates: Counter[str]
    comparisons: Counter[str]
    pulls: list[Preference]
    violated: float  # share of the critiques of drafts that find their principle broken


def forecast(folder: Path, old: Constitution, new: Constitution) -> dict[str, Any]:
    """Return what a run from `folder` under the constitution `new` would ask anew, and learn.

    `kinds`: by kind of call, how many the run made, how many come anew, and their tokens and minutes; an evaluation
    asks all anew but the answers of the base, which is its upper bound. `pairs`, `learnt`, `updates`: the pairs that
    the change touches, those with their replay, and the updates of the training; `whole`: those of all pairs.
    `interaction`: what each changed principle meets, see `interaction`.

    Raises:
        InputError: the directory is no run of a recipe, or has no pairs yet.
    """
    for name in ("recipe.yaml", "pairs.jsonl"):
        if not (folder / name).is_file():
            raise InputError(f"{folder} has no {name}: a forecast takes a run that has made its pairs")
    recipe = load_recipe(folder / "recipe.yaml", environment=False)
    prompts = prompts_of(recipe)
    with Run.reading(folder) as run:
        made = _made(run, recipe, prompts.train)
        calls, times = run.calls(), run.times()
    found = changes(old, new)
    anew = {change.principle for change in found if change.how in _ASKED_ANEW}
    asked, share = _asked(recipe, made, prompts.train, old, new, anew)
    if "preference_accuracy" in recipe.evaluate.metrics and prompts.train:  # held-out pairs are made in the same way
        held_out = min(len(prompts.held_out), recipe.evaluate.pair_prompts or len(prompts.held_out))
        asked = {kind: n * (1 + held_out / len(prompts.train)) for kind, n in asked.items()}
    known, minutes = _by_kind(calls), _minutes(times)
    asked["evaluate"] = sum(row["calls"] for row in calls if _kind(row["stage"]) == "evaluate" and not _base(row))
    kinds = {}
    for kind in KINDS:
        if before := known.get(kind):
            n = round(asked.get(kind, 0))
            each = n / before["calls"]
            kinds[kind] = {
                "made": before["calls"],
                "asked": n,
                "tokens": round(each * before["tokens"]),
                "minutes": round(each * minutes.get(kind, 0.0), 2),
            }
    pairs = len(load_pairs(folder / "pairs.jsonl"))
    replay = (recipe.from_ or FromSection(run=str(folder))).replay
    touched = round(share * pairs)
    learnt = min(pairs, round(touched * (1 + replay)))
    phases = [phase for phase in recipe.phases if phase.on is None]
    return {
        "kinds": kinds,
        "pairs": touched,
        "learnt": learnt,
        "updates": sum(math.ceil(learnt / phase.batch_size * phase.epochs) for phase in phases),
        "whole": sum(math.ceil(pairs / phase.batch_size * phase.epochs) for phase in phases),
        "interaction": interaction(made.pulls, new, {change.principle for change in found} - {""}, prompts.train),
    }


def interaction(
    pulls: Sequence[Preference], constitution: Constitution, changed: set[str], prompts: Sequence[Prompt]
) -> list[dict[str, Any]]:
    """Return what each changed principle meets: the prompts that both apply to, and how their verdicts pull.

    `opposed`: the share of comparisons decided under both on which they prefer opposite sides, as a figure, and `n`
    their number; absent where nothing was decided under both. `conflict`: the principle that a decided conflict
    prefers, or "". Those that pull apart most come first.
    """
    apart = {frozenset(row["between"]): row for row in opposition(pulls)}
    decided = {frozenset(conflict.between): conflict.prefer for conflict in constitution.conflicts}
    rows = []
    for one in constitution.principles:
        for other in constitution.principles:
            both = frozenset((one.id, other.id))
            if one.id not in changed or other.id == one.id or (other.id in changed and other.id < one.id):
                continue
            shared = sum(one.applies(prompt) and other.applies(prompt) for prompt in prompts)
            met = apart.get(both)
            verdicts = {"n": met["n"], "opposed": met["opposed"]} if met else {}
            if shared or both in decided:
                prefer = decided.get(both, "")
                rows.append({"between": [one.id, other.id], "prompts": shared, "conflict": prefer, **verdicts})
    return sorted(rows, key=lambda row: -row["opposed"]["value"] if "opposed" in row else 0.0)


def show_forecast(found: Mapping[str, Any], console: Console) -> None:
    """Print what `forecast` returned."""
    table = Table(title="what a run --only-changed would ask", title_justify="left")
    for name in ("", "in the run", "asked anew", "tokens", "minutes"):
        table.add_column(name, justify="right" if name else "left")
    for kind, row in found["kinds"].items():
        about = "" if not row["asked"] else "at most " if kind == "evaluate" else "about "
        cells = (f"{row['made']:,}", f"{about}{row['asked']:,}", f"{row['tokens']:,}", f"{row['minutes']:.1f}")
        table.add_row(kind, *cells)
    console.print(table, highlight=False)
    total = sum(row["minutes"] for row in found["kinds"].values())
    console.print(
        f"about {total:.1f} minutes of calls; about {found['pairs']:,} pairs touched, {found['learnt']:,} learnt with "
        f"their replay: {found['updates']:,} updates, where the whole training takes {found['whole']:,}",
        highlight=False,
        soft_wrap=True,
    )
    for row in found["interaction"]:
        one, other = row["between"]
        parts = [f"{row['prompts']:,} prompts in common"]
        if opposed := row.get("opposed"):
            bounds = f"[{opposed['low']:.2f}, {opposed['high']:.2f}]"
            parts.append(f"pull apart in {opposed['value']:.2f} {bounds} of {row['n']:,} comparisons")
        parts += [f"a conflict is decided for {row['conflict']}"] if row["conflict"] else []
        console.print(Text.assemble((f"{one} and {other}", "bold"), f": {', '.join(parts)}"), soft_wrap=True)


def _made(run: Run, recipe: Recipe, prompts: Sequence[Prompt]) -> _Made:
    keys = {prompt.key for prompt in prompts}
    prompt_of: dict[str, str] = {}
    drafts, candidates, comparisons = Counter[str](), Counter[str](), Counter[str]()
    for key, parents, row in run.rows("candidate"):
        prompt = prompt_of.get(parents[0], parents[0])
        if prompt in keys:
            prompt_of[key] = prompt
            candidates[prompt] += 1
            drafts[prompt] += row["round"] == 0
    said = Counter(row["violated"] for _, parents, row in run.rows("critique") if parents[0] in prompt_of)
    pulls, seen = [], set[tuple[str, ...]]()
    for _, parents, row in run.rows("verdict"):
        if row["rule"] in recipe.pair.rules and parents[0] in prompt_of:
            what = (parents[0], parents[1])
            pulls.append(Preference(row["principle"], what, row["choice"]))
            if what not in seen:
                seen.add(what)
                comparisons[prompt_of[parents[0]]] += 1
    judged = said["yes"] + said["no"]
    return _Made(drafts, candidates, comparisons, pulls, said["yes"] / judged if judged else 0.0)


def _asked(
    recipe: Recipe, made: _Made, prompts: Sequence[Prompt], old: Constitution, new: Constitution, anew: set[str]
) -> tuple[dict[str, float], float]:
    """Return the calls on training prompts that come anew, and the share of the verdicts among them."""
    per_draft, judging = recipe.critique.principles_per_draft, recipe.judge
    critiques = revisions = verdicts = total = 0.0
    for prompt in prompts:
        drafts = made.drafts[prompt.key]
        if recipe.revises:
            drawn = _drawn(old, new, prompt, per_draft, anew)
            # A new verdict on one principle decides anew which one the draft is rewritten for.
            rewritten = drafts * made.violated * min(drawn, 1)
            critiques += drafts * drawn
            # As in the ledger, the critiques of revisions count as part of revising.
            revisions += (made.candidates[prompt.key] - drafts) * drawn + rewritten * (1 + per_draft)
        else:
            rewritten = 0.0
        drawn = _drawn(old, new, prompt, judging.principles, anew)
        principles = len(draw(new, prompt, judging.principles))
        pointwise = judging.mode == "pointwise"
        each = (1 if pointwise else 2) * judging.votes
        units = (made.candidates if pointwise else made.comparisons)[prompt.key]
        verdicts += each * (units * drawn + rewritten * principles)
        total += each * units * principles
    asked = {"critique": critiques, "revise": revisions, "judge": verdicts}
    return asked, min(1.0, verdicts / total) if total else 0.0


def _drawn(old: Constitution, new: Constitution, prompt: Prompt, n: int, anew: set[str]) -> int:
    """Return how many principles are asked anew about each text of a prompt."""
    before = {principle.id for principle in draw(old, prompt, n)}
    return sum(p.id in anew or p.id not in before for p in draw(new, prompt, n))


def _kind(stage: str) -> str:
    """Return the kind of a stage by its name in the ledger; what no maker of pairs asks belongs to the evaluation."""
    name = stage.removeprefix("held-out ")
    if name == "judge" or name.startswith(("judge (", "judge what")):
        return "judge"
    if name == "teacher's answers":
        return "draft"
    return next((kind for kind in KINDS[:3] if name.split(" ")[0] == kind), "evaluate")


def _base(row: Mapping[str, Any]) -> bool:
    return str(row["stage"]).endswith(" before")


def _by_kind(calls: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for row in calls:
        of = found.setdefault(_kind(row["stage"]), {"calls": 0, "tokens": 0})
        of["calls"] += row["calls"]
        of["tokens"] += (row["tokens_in"] or 0) + (row["tokens_out"] or 0)
    return found


def _minutes(times: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Return the minutes of each kind: from the reply before to its own, whatever was in the air at once."""
    found: dict[str, float] = {}
    for (_, before), (stage, at) in itertools.pairwise(times):
        if at - before < _PAUSE:
            found[_kind(stage)] = found.get(_kind(stage), 0.0) + at - before
    return {kind: seconds / 60 for kind, seconds in found.items()}
