"""How far people agree with each other and with the judge, from the decisions of a review."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from cai_lite.evaluation.calibrated import FEWEST_LABELS
from cai_lite.serving.review_items import Item
from cai_lite.serving.reviewing import ASIDE, Decision, Review, coin
from cai_lite.stats import Figure, alpha_figure, kappa_figure

TIE = 0.02  # |p - 0.5| of the judge's mean probability up to which it prefers neither


def agreement(review: Review) -> dict[str, Any]:
    """Return what the decisions of a review come to, as JSON.

    Returns:
        `mode`, `items`, `drawn`; `raters` (counts of decisions by person); `people_alpha` (Krippendorff's alpha over
        the items that two or more people decided, ties a value of their own); `judge_kappa` (Cohen's kappa of the judge
        and each person, over decisions that are no ties on either side) and `judge_kappa_by_principle`, from
        ten decisions on; `flagged` (keys). What cannot be measured is absent. Rankings count as their pairs
        in nothing but `raters`.
    """
    raters: dict[str, Counter[str]] = defaultdict(Counter)
    said: dict[str, list[Decision]] = defaultdict(list)
    for (key, by), decision in review.decisions.items():
        if key in review.places:
            raters[by].update([decision.choice] * bool(decision.choice) + ["edits"] * (decision.edit is not None))
            if decision.choice and decision.choice not in ASIDE:
                said[key].append(decision)
    items = {key: review.item(review.places[key]) for key in said}
    found: dict[str, Any] = {
        "mode": review.mode,
        "items": len(review.keys),
        "drawn": review.queue.drawn,
        "raters": {by: dict(counts) for by, counts in sorted(raters.items())},
    }
    if review.mode != "ranks":
        units = [[_value(one) for one in said[key]] for key in said]
        families = [items[key].family or key for key in said]
        if alpha := _if_defined(alpha_figure, units, families):
            found["people_alpha"] = alpha.as_dict()
        cells = _cells(said, items)
        if kappa := _kappa([cell for mine in cells.values() for cell in mine]):
            found["judge_kappa"] = kappa.as_dict()
        by_principle = {id_: kappa.as_dict() for id_, mine in sorted(cells.items()) if (kappa := _kappa(mine))}
        if by_principle:
            found["judge_kappa_by_principle"] = by_principle
    flagged = [key for (key, _), decision in review.decisions.items() if decision.choice == "flag"]
    if flagged := [key for key in dict.fromkeys(flagged) if key in review.places]:
        found["flagged"] = flagged
    return found


def show_agreement(found: Mapping[str, Any], console: Console) -> None:
    """Print what the decisions of a review come to."""
    for by, counts in found["raters"].items():
        said = ", ".join(f"{n:,} {choice}" for choice, n in sorted(counts.items(), key=lambda one: -one[1]))
        console.print(f"{by}: {said}", highlight=False, soft_wrap=True)
    if not found["raters"]:
        console.print("nobody has decided anything yet")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("agreement", "value", "95 % interval", "n"):
        table.add_column(head, justify="left" if head == "agreement" else "right")
    rows = {
        "people with each other (alpha)": found.get("people_alpha"),
        "judge with people (kappa)": found.get("judge_kappa"),
    }
    rows |= {f"  {id_}": figure for id_, figure in found.get("judge_kappa_by_principle", {}).items()}
    for name, figure in rows.items():
        if figure is not None:
            interval = f"{figure['low']:.2f} to {figure['high']:.2f}"
            table.add_row(name, f"{figure['value']:.2f}", interval, f"{figure['n']:,}")
    if table.row_count:
        console.print(table)
        if found["drawn"] != "uniformly at random":
            console.print(
                "the items were drawn least certain first: on all items, the agreement is likely higher", soft_wrap=True
            )
    aside = sum(counts.get(choice, 0) for counts in found["raters"].values() for choice in ASIDE)
    if aside and found["drawn"] == "uniformly at random":
        console.print(
            f"{aside:,} items were skipped or flagged: if they differ, the others are no random sample", soft_wrap=True
        )
    if flagged := found.get("flagged"):
        console.print(f"flagged: {', '.join(flagged)}", highlight=False, soft_wrap=True)


def _value(decision: Decision) -> str:
    """Return a decision for alpha. Which of two texts comes first is a toss of a coin, so that neither has a name."""
    if decision.choice in ("first", "second"):
        return "ab"[(decision.choice == "second") ^ coin(decision.item)]
    return decision.choice


def _cells(
    said: Mapping[str, Sequence[Decision]], items: Mapping[str, Item]
) -> dict[str, list[tuple[bool, bool, str]]]:
    """Return, for each principle, the judge's choice, the person's choice and the family of every decision but ties."""
    found: dict[str, list[tuple[bool, bool, str]]] = defaultdict(list)
    for key, decisions in said.items():
        item = items[key]
        if "keeps" in item.evidence:
            judge: bool | None = bool(item.evidence["keeps"])
        else:
            p = item.evidence["p_first"]
            judge = None if p is None or abs(p - 0.5) <= TIE else (p > 0.5) ^ coin(key)
        for decision in decisions:
            if judge is not None and decision.choice != "tie":
                person = decision.choice == "keeps" or _value(decision) == "a"
                found[item.principle or ""].append((judge, person, item.family or key))
    return found


def _kappa(cells: Sequence[tuple[bool, bool, str]]) -> Figure | None:
    if len(cells) < FEWEST_LABELS:
        return None
    judge, people, families = zip(*cells, strict=True)
    if len({*judge, *people}) == 1:  # all agree on one value, which says nothing of chance
        return None
    return kappa_figure(judge, people, families)


def _if_defined(
    measure: Callable[[Sequence[Sequence[Hashable]], Sequence[Hashable]], Figure],
    units: Sequence[Sequence[Hashable]],
    families: Sequence[Hashable],
) -> Figure | None:
    try:
        return measure(units, families)
    except ValueError:
        return None
