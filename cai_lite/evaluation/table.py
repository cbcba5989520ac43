"""Print evaluation.json in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cai_lite.evaluation.comparing import paired_runs, side_by_side, unbeaten
from cai_lite.evaluation.shown import sections
from cai_lite.stats import Comparison, Figure


def show(evaluation: Mapping[str, Any], console: Console) -> None:
    """Print every figure that was measured, section by section; then the headline and the gates."""
    title = Text(f"{evaluation['constitution']}: adherence by {evaluation['judge']}", "table.title")
    table = Table(title=title, title_justify="left")
    for name in ("", "before", "after", "change", "95 % interval", "n"):
        table.add_column(name, justify="left" if not name else "right")
    for section, rows in sections(evaluation["metrics"]):
        before, after, _ = section.columns
        sides = f" ({before}, {after})" if section.columns != ("before", "after", "change") else ""
        for row in rows:
            table.add_row(Text(row.label.heading + sides), *_cells(row.figure))
        table.add_section()
    console.print(table)
    if text := headline(evaluation):
        console.print(text, style="bold", highlight=False, markup=False, soft_wrap=True)
    for gate in evaluation.get("gates", ()):
        found = "not measured" if gate["found"] is None else f"{gate['found']:.3f}"
        style = "green" if gate["holds"] else "red"
        console.print(
            f"{'holds' if gate['holds'] else 'FAILS'}: {gate['name']} {gate['wanted']}, is {found}", style=style
        )


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


def _cells(figure: Figure | Comparison) -> tuple[str, ...]:
    if isinstance(figure, Figure):
        return "", f"{figure.value:.2f}", "", f"[{figure.low:.2f}, {figure.high:.2f}]", f"{figure.n}"
    change = figure.change
    span = f"[{change.low:+.2f}, {change.high:+.2f}]"
    return f"{figure.before.value:.2f}", f"{figure.after.value:.2f}", f"{change.value:+.2f}", span, f"{change.n}"
