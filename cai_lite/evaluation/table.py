"""Print evaluation.json in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cai_lite.evaluation.baselines import four_sides
from cai_lite.evaluation.comparing import paired_runs, side_by_side, unbeaten
from cai_lite.evaluation.decision import decide
from cai_lite.evaluation.shown import number, sections
from cai_lite.stats import Comparison, Figure


def show(evaluation: Mapping[str, Any], console: Console) -> None:
    """Print every figure that was measured, section by section; then the headline, and the verdict with its reasons."""
    title = Text(f"{evaluation['constitution']}: adherence by {evaluation['judge']}", "table.title")
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("", "before", "after", "change", "95 % interval", "n"):
        table.add_column(name, justify="left" if not name else "right")
    for section, rows in sections(evaluation["metrics"]):
        before, after, _ = section.columns
        sides = f" ({before}, {after})" if section.columns != ("before", "after", "change") else ""
        for row in rows:
            between = sides if isinstance(row.figure, Comparison) else ""
            table.add_row(Text(row.label.heading + between), *_cells(row.figure))
        table.add_section()
    console.print(table)
    for text in filter(None, (comparison(evaluation), headline(evaluation))):
        console.print(text, style="bold", highlight=False, markup=False, soft_wrap=True)
    found = decide(evaluation)
    style = {True: "bold green", False: "bold red", None: "bold"}[found.ship]
    console.print(found.verdict, style=style, highlight=False, markup=False)
    for reason in found.reasons:
        line = Text.assemble((f"{reason.speaks}: ", _STYLES[reason.speaks]), reason.text)
        console.print(Padding(line, (0, 0, 0, 2)), highlight=False)


def comparison(evaluation: Mapping[str, Any]) -> str:
    """Return the adherence of base, prompted base, trained student and teacher in a line; "" without baselines."""
    metrics = evaluation["metrics"]
    sides = four_sides(metrics)
    if not sides.keys() & {"prompted", "teacher"}:
        return ""
    text = "adherence: " + " · ".join(f"{name} {value:.2f}" for name, value in sides.items())
    if closed := metrics.get("gap_closed"):
        text += f"; {closed['value']:.0%} of the gap to the teacher closed [{closed['low']:.0%}, {closed['high']:.0%}]"
    return text


def headline(evaluation: Mapping[str, Any]) -> str:
    """Return the adherence, before and after where both were measured, as one sentence; "" if it was not measured."""
    overall = evaluation["metrics"].get("adherence", {}).get("overall")
    if overall is None:
        return ""
    after = overall.get("after", overall)
    n = f"n {after['n']:,}, {evaluation['judge']}"
    if "change" not in overall:
        return f"adherence {after['value']:.2f} [{after['low']:.2f}, {after['high']:.2f}], {n}"
    change = overall["change"]
    return (
        f"adherence {overall['before']['value']:.2f} -> {after['value']:.2f}, change {change['value']:+.2f} "
        f"[{change['low']:+.2f}, {change['high']:+.2f}], {n}"
    )


def show_side_by_side(names: Sequence[str], evaluations: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print a column for each run, then the paired differences to the first; a star marks runs that none beats.

    `names`: the run directories.

    Rows bear the paths of their figures, which gates accept.
    """
    rows = side_by_side(evaluations)
    table = Table(title="after training", title_justify="left")
    table.add_column("", no_wrap=True)  # a name cut short is no name that a gate accepts
    for name, best in zip(names, unbeaten(rows), strict=True):
        table.add_column(Text(name + (" *" if best else "")), justify="right")
    for row in rows:
        cells = ["" if f is None else f"{f.value:.2f} [{f.low:.2f}, {f.high:.2f}] n {f.n}" for f in row.figures]
        table.add_row(Text(row.name), *cells)
    console.print(table)
    console.print("* no other run is at least as good on every principle and better on one", style="dim")
    changes, notes = paired_runs(names, evaluations)
    if any(changes):
        table = Table(title=Text(f"change from {names[0]}, paired by prompt and principle"), title_justify="left")
        table.add_column("", no_wrap=True)
        for name in names[1:]:
            table.add_column(Text(name), justify="right")
        for path in dict.fromkeys(path for each in changes for path in each):
            found = [each[path].change if path in each else None for each in changes]
            cells = ["" if f is None else f"{f.value:+.2f} [{f.low:+.2f}, {f.high:+.2f}] n {f.n}" for f in found]
            table.add_row(Text(path), *cells)
        console.print(table)
    for note in notes:
        console.print(Text(note), style="dim", soft_wrap=True)


_STYLES = {"for": "green", "against": "red", "open": "yellow"}


def _cells(figure: Figure | Comparison) -> tuple[str, ...]:
    if isinstance(figure, Figure):
        value, low, high = (number(end, figure) for end in (figure.value, figure.low, figure.high))
        return "", value, "", f"[{low}, {high}]", f"{figure.n}"
    change = figure.change
    before, after = number(figure.before.value, figure), number(figure.after.value, figure)
    value, low, high = (number(end, figure, "+") for end in (change.value, change.low, change.high))
    return before, after, value, f"[{low}, {high}]", f"{change.n}"
