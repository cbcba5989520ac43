"""Print what an exam covers, and what a red team found, on a screen of 80 columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cai_lite.distill.exam_coverage import AGAIN
from cai_lite.distill.exam_kinds import KINDS
from cai_lite.run.progress import Terminal

GAPS_SHOWN, PLACES = 12, 8  # reasons for gaps, and cells of each, that are named; --json has all of them
NAME, ENDING = 22, 9  # characters of a principle's id in the first column, and of its end where it is too long
NOT_ASKED = "\u00b7"


def show_exam(found: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the result of `make_exam`: principles by kinds, then the kinds with their shares, then the gaps."""
    console = console or Terminal()
    kinds = [kind for kind in KINDS if kind.id in found["kinds"]]
    table = _table(f"{found['constitution']}: prompts by principle and kind, {found['wanted']} wanted of each")
    table.padding = (0, 0, 0, 0)
    table.add_column("principle", no_wrap=True)
    for kind in kinds:
        table.add_column(kind.short, justify="right", no_wrap=True, min_width=3)
    for principle, row in found["principles"].items():
        cells = [row.get(kind.id) for kind in kinds]
        shown = [Text(NOT_ASKED, "dim") if n is None else Text(f"{n}", "" if n else "bold red") for n in cells]
        table.add_row(Text(brief(principle)), *shown)
    console.print(table)
    console.print(_kinds(found, kinds))
    share = f"; {percent(found['verified'])} of what was written is verified" if found["verified"] else ""
    console.print(Text(f"{found['prompts']:,} prompts{share}"), style="bold", highlight=False, soft_wrap=True)
    empty = [gap for gap in found["gaps"] if not gap["has"]]
    grouped: dict[str, list[str]] = {}
    for gap in empty:
        where = "/".join(part for part in (gap["principle"], gap["kind"]) if part)
        grouped.setdefault(f"{gap['why']}; {gap['do']}", []).append(where)
    for what, places in list(grouped.items())[:GAPS_SHOWN]:
        others = f" and {len(places) - PLACES} more" if len(places) > PLACES else ""
        line = Text(f"no prompt for {', '.join(places[:PLACES])}{others}: {what}", "yellow")
        console.print(line, highlight=False, soft_wrap=True)
    if (more := len(grouped) - GAPS_SHOWN) > 0:
        console.print(f"... and {more} more reasons for gaps; --json lists them", style="dim", highlight=False)
    if short := len(found["gaps"]) - len(empty):
        have = "cell has" if short == 1 else "cells have"
        text = f"{short} {have} fewer than {found['wanted']} prompts: {AGAIN}; --json says why"
        console.print(Text(text, "dim"), highlight=False, soft_wrap=True)


def show_redteam(found: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the result of `make_redteam`: the yield by principle and tactic, and the errors of the simulated user."""
    console = console or Terminal()
    table = _table(f"{found['constitution']}: conversations that broke the student")
    table.add_column("", no_wrap=True, overflow="ellipsis", max_width=46)
    for name in ("yield", "95 % interval", "n"):
        table.add_column(name, justify="right", no_wrap=True)
    for part in ("yield_by_tactic", "yield_by_principle"):
        for name, figure in found[part].items():
            table.add_row(Text(name), *_cells(figure))
        table.add_section()
    if found["yield"]:
        table.add_row("all", *_cells(found["yield"]))
    if found["simulated_user_errors"]:
        table.add_row("errors of the simulated user, by turn", *_cells(found["simulated_user_errors"]))
    console.print(table)
    parts = {"undecided": found["undecided"], **found["dropped"]}
    lost = "".join(f"; {n} {what}" for what, n in parts.items() if n)
    seeds = "".join(f"; {n} seeds {why}" for why, n in found["skipped"].items())
    text = f"{found['kept']} of {found['tried']} conversations kept{lost}{seeds}"
    console.print(Text(text), style="bold", highlight=False, soft_wrap=True)
    for why, n in found["ended_early"].items():
        console.print(Text(f"{n} ended early: {why}", "dim"), highlight=False, soft_wrap=True)


def brief(name: str) -> str:
    """Return a name of at most `NAME` characters; imported principles often differ in their last words alone."""
    return name if len(name) <= NAME else f"{name[: NAME - ENDING - 1]}\u2026{name[-ENDING:]}"


def percent(figure: Mapping[str, float]) -> str:
    """Return a share with its interval and its number of observations."""
    return f"{figure['value']:.0%} [{figure['low']:.0%}, {figure['high']:.0%}], n {figure['n']:,},"


def _kinds(found: Mapping[str, Any], kinds: list[Any]) -> Table:
    """Return the table of kinds, which is the legend of the first one, too."""
    measured = any("difficulty" in row for row in found["kinds"].values())
    table = _table("")
    table.padding = (0, 0, 0, 0)
    columns = ("written", "unread", "verified", "train", "held", *(("wrong", "easy") if measured else ()))
    for name in ("", "kind", *columns):
        table.add_column(name, justify="left" if name in ("", "kind") else "right", no_wrap=True)
    for kind in kinds:
        row = found["kinds"][kind.id]
        share = row["verified"]
        interval = f"{share['value']:.0%} [{share['low']:.0%}, {share['high']:.0%}]" if share else ""
        cells = [row["written"], row["unreadable"] + row["unread"], interval, row["train"], row["held_out"]]
        if measured:
            wrong = row.get("difficulty")
            cells += [f"{wrong['value']:.0%}" if wrong else "", row.get("too_easy", "")]
        table.add_row(kind.short, kind.id, *(str(cell) for cell in cells))
    table.caption = "unread: what was written or verified in a form that cannot be read; held: held out"
    if measured:
        table.caption += "; wrong: share of the student's answers that are; easy: prompts it was never wrong on"
    table.caption_justify = "left"
    return table


def _table(title: str) -> Table:
    text = Text(title, "table.title") if title else None
    return Table(title=text, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))


def _cells(figure: Mapping[str, float]) -> tuple[str, str, str]:
    return f"{figure['value']:.0%}", f"[{figure['low']:.0%}, {figure['high']:.0%}]", f"{figure['n']:,}"
