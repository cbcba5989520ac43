"""Compare two versions of a constitution, and count the rows of a run that the changes affect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Terminal

_REQUESTED = ("text", "critique", "revise", "examples")  # fields that appear in requests: changing one repeats them
# Fields that only choose and weight requests.
_WEIGHTED = ("weight", "priority", "applies_to", "always", "checks", "source")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A difference between two versions of a constitution: a principle, with the (old, new) values that differ.

    `how`: "added"; "removed"; "reworded" (the teacher would be asked something different, so stored replies no longer
    apply); "weighed anew" (only fields changed that no request contains). If only the list of conflicts changed,
    `principle` is "" and `how` is "conflicts decided anew".
    """

    principle: str
    how: str
    fields: Mapping[str, tuple[Any, Any]]


def changes(old: Constitution, new: Constitution) -> list[Change]:
    """Return the principles that differ, in the order of the new file, removed ones last; their order is ignored."""
    before, after = ({p.id: p for p in c.principles} for c in (old, new))
    found = []
    for id_, principle in after.items():
        if id_ not in before:
            found.append(Change(principle=id_, how="added", fields={"text": ("", principle.text)}))
        elif fields := _fields(before[id_], principle):
            how = "reworded" if set(fields) & set(_REQUESTED) else "weighed anew"
            found.append(Change(principle=id_, how=how, fields=fields))
    found += [
        Change(principle=id_, how="removed", fields={"text": (p.text, "")})
        for id_, p in before.items()
        if id_ not in after
    ]
    conflicts = [[(c.between, c.prefer, c.when) for c in constitution.conflicts] for constitution in (old, new)]
    if conflicts[0] != conflicts[1]:
        found.append(Change(principle="", how="conflicts decided anew", fields={}))
    return found


def touched(run: Run, found: Sequence[Change]) -> dict[str, dict[str, int]]:
    """Return how many rows of a run depend on each changed principle, as {principle: {kind: count}}.

    A new run on the same directory makes these rows again and reuses all others.
    """
    names = {change.principle for change in found if change.how in ("added", "removed", "reworded")}
    counts = run.rows_by_principle()
    return {name: counts[name] for name in sorted(names) if name in counts}


def show_changes(
    found: Sequence[Change], rows: Mapping[str, Mapping[str, int]], console: Console | None = None
) -> None:
    """Print the changes as a diff, with the number of affected rows of a run."""
    console = console or Terminal()
    if not found:
        console.print("no principle changed; all rows of a run are reused")
        return
    for change in found:
        made = ", ".join(f"{n:,} {kind}" for kind, n in rows.get(change.principle, {}).items())
        head = Text.assemble((change.principle or "conflicts", "bold"), f": {change.how}")
        console.print(head + Text(f"; to be made again: {made}" if made else "", style="yellow"))
        for name, (old, new) in change.fields.items():
            label = "" if change.how in ("added", "removed") else f"{name}: "
            for sign, value, style in (("-", old, "red"), ("+", new, "green")):
                if value not in ("", None, ()):
                    console.print(Text(f"  {sign} {label}{value}", style=style), soft_wrap=True)


def _fields(old: Principle, new: Principle) -> dict[str, tuple[Any, Any]]:
    return {
        name: (getattr(old, name), getattr(new, name))
        for name in (*_REQUESTED, *_WEIGHTED)
        if getattr(old, name) != getattr(new, name)
    }
