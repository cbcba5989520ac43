"""What changed between two versions of a constitution, and which rows of a run that touches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.run.ledger import Run

_ASKED = ("text", "critique", "revise", "examples")  # what enters a request: to change it asks anew
_WEIGHED = ("weight", "priority", "applies_to", "checks", "source")  # what decides which requests, and how they count


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One principle. `how`: "added", "removed", "reworded" (its requests change) or "weighed anew" (they do not)."""

    principle: str
    how: str
    fields: Mapping[str, tuple[Any, Any]]


def changes(old: Constitution, new: Constitution) -> list[Change]:
    """The principles that differ, in the order of the new file, removed ones last; their places say nothing."""
    before, after = ({p.id: p for p in c.principles} for c in (old, new))
    found = []
    for id_, principle in after.items():
        if id_ not in before:
            found.append(Change(principle=id_, how="added", fields={"text": ("", principle.text)}))
        elif fields := _fields(before[id_], principle):
            how = "reworded" if set(fields) & set(_ASKED) else "weighed anew"
            found.append(Change(principle=id_, how=how, fields=fields))
    found += [
        Change(principle=id_, how="removed", fields={"text": (p.text, "")})
        for id_, p in before.items()
        if id_ not in after
    ]
    decided = [[(c.between, c.prefer, c.when) for c in constitution.conflicts] for constitution in (old, new)]
    if decided[0] != decided[1]:
        found.append(Change(principle="", how="conflicts decided anew", fields={}))
    return found


def touched(run: Run, found: Sequence[Change]) -> dict[str, dict[str, int]]:
    """Per changed principle, how many rows of a run rest on it, by kind: they are made anew, all others stay."""
    names = {change.principle for change in found if change.how in ("added", "removed", "reworded")}
    counts = run.rows_by_principle()
    return {name: counts[name] for name in sorted(names) if name in counts}


def show_changes(
    found: Sequence[Change], rows: Mapping[str, Mapping[str, int]], console: Console | None = None
) -> None:
    """As a list: what went with a minus, what came with a plus, and the rows that are made anew."""
    console = console or Console()
    if not found:
        console.print("no principle changed: every row of a run stays")
        return
    for change in found:
        made = ", ".join(f"{n:,} {kind}" for kind, n in rows.get(change.principle, {}).items())
        head = Text.assemble((change.principle or "conflicts", "bold"), f": {change.how}")
        console.print(head + Text(f"; made anew: {made}" if made else "", style="yellow"))
        for name, (old, new) in change.fields.items():
            label = "" if change.how in ("added", "removed") else f"{name}: "
            for sign, value, style in (("-", old, "red"), ("+", new, "green")):
                if value not in ("", None, ()):
                    console.print(Text(f"  {sign} {label}{value}", style=style), soft_wrap=True)


def _fields(one: Principle, other: Principle) -> dict[str, tuple[Any, Any]]:
    return {
        name: (getattr(one, name), getattr(other, name))
        for name in (*_ASKED, *_WEIGHED)
        if getattr(one, name) != getattr(other, name)
    }
