"""What each principle contributed to the pairs of a run, by leaving it out of the stored verdicts. No model is asked.

The revisions stay as they were: a principle that is left out no longer speaks where sides are chosen, but texts that
were rewritten for it are still among those compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cai_lite.distill.pairs import pairs_of
from cai_lite.errors import InputError
from cai_lite.inputs.constitution import Constitution, load_constitution
from cai_lite.inputs.pairs import load_pairs
from cai_lite.pipeline.recipe import PairSection, Recipe, load_recipe
from cai_lite.pipeline.walk import prompts_of
from cai_lite.records import Candidate, Messages, PreferencePair, Prompt, Verdict
from cai_lite.run.files import CONSTITUTION
from cai_lite.run.ledger import Run

Sides = tuple[Messages, Messages, Messages]  # prompt, chosen, rejected


class Decided(NamedTuple):
    """The verdicts of a run on its training prompts, the constitution behind them, and the pairs made of them.

    `kept`: the pairs in pairs.jsonl, which the filters of the run left; those written by people are not among them.
    """

    verdicts: Sequence[Verdict]
    constitution: Constitution
    settings: PairSection
    kept: Sequence[PreferencePair]

    def without(self, principle: str) -> dict[Sides, PreferencePair]:
        """Return the pairs that the verdicts make without a principle, by their texts; "" leaves none out."""
        settings = self.settings
        made = pairs_of(
            [verdict for verdict in self.verdicts if verdict.principle != principle],
            min_margin=settings.min_margin,
            soft_labels=settings.soft_labels,
            clamp=settings.clamp,
            per_prompt=settings.per_prompt,
            run=Run(),
            stage="pair",
        )
        return {_sides(pair): pair for pair in made}


def decided(folder: Path) -> Decided:
    """Read the verdicts of a run again.

    Raises:
        InputError: it is not a run with pairs of its own, of one round and one constitution.
    """
    for name in ("run.db", "recipe.yaml", CONSTITUTION, "pairs.jsonl"):
        if not (folder / name).is_file():
            raise InputError(f"{folder} has no {name}; run its recipe in it once more, nothing is paid for again")
    recipe = load_recipe(folder / "recipe.yaml", environment=False)
    if recipe.repeats.n > 1:
        raise InputError(f"{folder} has several rounds, whose verdicts are not told apart; make a run with rounds=1")
    constitution = load_constitution(folder / CONSTITUTION)
    with Run.reading(folder) as run:
        verdicts = list(_verdicts(run, recipe, constitution))
    kept = [pair for pair in load_pairs(folder / "pairs.jsonl") if pair.rule != "human"]
    found = Decided(verdicts, constitution, recipe.pair, kept)
    known = found.without("")
    if any(_sides(pair) not in known for pair in kept):
        raise InputError(
            f"{folder}: run.db holds verdicts of another constitution besides, so that its pairs cannot be made again; "
            "run the recipe in a new directory"
        )
    return found


def contributions(found: Decided) -> dict[str, Any]:
    """Return, for each principle that was judged, what the pairs of the run owe to it.

    `decides`: pairs whose label it decided, and `share`: their share of the sum of all margins. Without it, `gone`
    pairs would not be there, `flipped` ones would prefer the other side, and `gained` ones would be there besides.
    """
    base = found.without("")
    margins = sum(pair.margin for pair in found.kept)
    judged = {verdict.principle for verdict in found.verdicts}
    rows = {}
    for principle in found.constitution.principles:
        if principle.id not in judged:
            continue
        left = found.without(principle.id)
        flipped = [pair for pair in found.kept if _swapped(_sides(pair)) in left]
        gone = [pair for pair in found.kept if _sides(pair) not in left and _swapped(_sides(pair)) not in left]
        gained = [sides for sides in left if sides not in base and _swapped(sides) not in base]
        own = [pair for pair in found.kept if pair.principle == principle.id]
        rows[principle.id] = {
            "decides": len(own),
            "share": sum(pair.margin for pair in own) / margins if margins else 0.0,
            "gone": len(gone),
            "flipped": len(flipped),
            "gained": len(gained),
        }
    return {"pairs": len(found.kept), "principles": rows}


def left_without(found: Decided, principle: str) -> list[PreferencePair]:
    """Return the pairs to train on without a principle: those that stay, those flipped, and those gained.

    Raises:
        InputError: the constitution of the run has no such principle.
    """
    found.constitution.principle(principle)
    base, left = found.without(""), found.without(principle)
    kept = {_sides(pair) for pair in found.kept}
    dropped = base.keys() - kept  # by the filters of the run
    return [pair for sides, pair in left.items() if sides not in dropped and _swapped(sides) not in dropped]


def show_contributions(found: Mapping[str, Any], console: Console) -> None:
    """Print what `contributions` returned, the largest share first."""
    table = Table(title=f"{found['pairs']:,} pairs, and what they owe to each principle", title_justify="left")
    table.add_column("", no_wrap=True)
    for name in ("decides", "share of margins", "gone without it", "flipped", "gained"):
        table.add_column(name, justify="right")
    for id_, row in sorted(found["principles"].items(), key=lambda row: -row[1]["share"]):
        numbers = (f"{row[name]:,}" for name in ("gone", "flipped", "gained"))
        table.add_row(Text(id_), f"{row['decides']:,}", f"{row['share']:.0%}", *numbers)
    console.print(table)
    console.print("the revisions stay as they were: only its verdicts are left out", style="dim", highlight=False)


def _verdicts(run: Run, recipe: Recipe, constitution: Constitution) -> Iterator[Verdict]:
    """Yield the verdicts on training prompts as they were judged, in the order of the run."""
    prompts = {prompt.key: prompt for prompt in prompts_of(recipe).train}
    sections = recipe.judge.models or recipe.all_teachers
    weights = {section.model: section.weight for section in sections}
    candidates: dict[str, Candidate] = {}
    for key, parents, row in run.rows("candidate"):
        of = candidates[parents[0]].prompt if parents[0] in candidates else prompts.get(parents[0])
        if of is not None:
            candidates[key] = Candidate(
                key=key, prompt=of, text=row["text"], author=row["author"], round=row["round"], parents=tuple(parents)
            )
    for key, parents, row in run.rows("verdict"):
        sides = [candidates.get(parent) for parent in parents]
        if row["rule"] not in recipe.pair.rules or sides[0] is None or sides[1] is None:
            continue
        if len(sections) > 1 and row["judge"] not in weights:
            raise InputError(f"recipe.yaml gives the judge '{row['judge']}' no weight; it was made with other judges")
        principle, prompt = constitution.principle(row["principle"]), sides[0].prompt
        yield Verdict(
            key=key,
            first=sides[0],
            second=sides[1],
            principle=principle.id,
            choice=row["choice"],
            p_first=row["p_first"],
            order=row["order"],
            judge=row["judge"],
            rule=row["rule"],
            weight=principle.weight * weights.get(row["judge"], 1.0),
            flipped=row["flipped"],
            text=row["text"],
            reasoned=recipe.judge.reason == "before",
            quotes=tuple(row["quotes"]),
            **_yielding(constitution, principle.id, prompt),
        )


def _yielding(constitution: Constitution, principle: str, prompt: Prompt) -> dict[str, tuple[str, ...]]:
    return {
        "over": constitution.yields_to(principle, prompt),
        "over_if": constitution.yields_to(principle, prompt, conditional=True),
    }


def _sides(pair: PreferencePair) -> Sides:
    return pair.prompt, pair.chosen, pair.rejected


def _swapped(sides: Sides) -> Sides:
    prompt, chosen, rejected = sides
    return prompt, rejected, chosen
