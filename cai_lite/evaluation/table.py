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
from cai_lite.evaluation.comparing import MARGIN, Against, side_by_side, unbeaten
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


def show_side_by_side(
    names: Sequence[str],
    evaluations: Sequence[Mapping[str, Any]],
    against: Sequence[Against],
    console: Console,
    margin: float = MARGIN,
) -> None:
    """Print a column for each run, then the differences to the first; a star marks runs that none beats.

    `names`: the run directories. `against`: what `against_first` found with this `margin`.

    Rows bear the paths of their figures, which gates accept.
    """
    rows = side_by_side(evaluations, against)
    table = Table(title="after training", title_justify="left")
    table.add_column("", no_wrap=True)  # a name cut short is no name that a gate accepts
    for name, best in zip(names, unbeaten(rows), strict=True):
        table.add_column(Text(name + (" *" if best else "")), justify="right")
    for row in rows:
        cells = ["" if f is None else f"{f.value:.2f} [{f.low:.2f}, {f.high:.2f}] n {f.n}" for f in row.figures]
        table.add_row(Text(row.name), *cells)
    console.print(table)
    console.print("* no other run is at least as good on every principle and better on one", style="dim")
    for each in against:
        show_against(names[0], each, console, margin)


def show_against(first: str, against: Against, console: Console, margin: float) -> None:
    """Print how one run differs from the first, and what is not compared."""
    if against.paired:
        title = f"{against.run}: change from {first}, paired by prompt and principle"
        table = Table(title=Text(title), title_justify="left")
        table.add_column("", no_wrap=True)
        for name in ("change", "95 % interval", "n", "p (Holm)", "not worse"):
            table.add_column(name, justify="right")
        for path, found in against.paired.items():
            change, p = found.comparison.change, found.p if found.p_holm is None else found.p_holm
            span = f"[{change.low:+.2f}, {change.high:+.2f}]"
            worse = "yes" if found.not_worse else "not shown"
            table.add_row(Text(path), f"{change.value:+.2f}", span, f"{change.n}", f"{p:.3f}", worse)
        console.print(table)
        console.print(
            f"p: sign-flip test over families, adjusted over the principles; not worse: the interval lies above "
            f"{-margin:+g}",
            style="dim",
            highlight=False,
        )
    if against.unpaired:
        title = f"{against.run}: difference to {first}, UNPAIRED, on different prompts"
        table = Table(title=Text(title), title_justify="left")
        for name in ("", "difference", "95 % interval", "n"):
            table.add_column(name, justify="right" if name else "left", no_wrap=True)
        for path, figure in against.unpaired.items():
            table.add_row(Text(path), f"{figure.value:+.2f}", f"[{figure.low:+.2f}, {figure.high:+.2f}]", f"{figure.n}")
        console.print(table)
    for note in against.notes:
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
