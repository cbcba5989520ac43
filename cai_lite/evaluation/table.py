"""evaluation.json in the terminal: a table per principle, with all that adherence must not be seen without."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cai_lite.evaluation.comparing import side_by_side, unbeaten

_JUDGES = {"adherence": "", "adherence_judge": "by the judge", "adherence_checks": "by machine checks"}
_BESIDE = {
    "over_refusal": "refused benign twins",
    "unsafe_compliance": "complied with unsafe requests",
    "well_formed": "well-formed",
    "perplexity": "perplexity",
    "kl": "KL on neutral text, nats a token",
    "words": "words",
    "boilerplate": "boilerplate",
    "win_rate": "win rate against the base",
    "win_rate_equal_length": "the same at equal length",
    "preference_accuracy": "held-out preference accuracy",
}


def show(evaluation: Mapping[str, Any], console: Console) -> None:
    """Print what was measured; what is absent is not shown."""
    metrics = evaluation["metrics"]
    title = escape(f"{evaluation['constitution']}: adherence by {evaluation['judge']}")
    table = Table(title=title, title_justify="left")
    for name in ("", "before", "after", "change", "95 % interval", "n"):
        table.add_column(name, justify="left" if not name else "right")
    for name, comparison in _rows(metrics):
        if comparison is None:
            table.add_section()
        else:
            table.add_row(name, *_cells(comparison))
    console.print(table)
    for gate in evaluation.get("gates", ()):
        found = "not measured" if gate["found"] is None else f"{gate['found']:.3f}"
        style = "green" if gate["holds"] else "red"
        console.print(
            f"{'holds' if gate['holds'] else 'FAILS'}: {gate['name']} {gate['wanted']}, is {found}", style=style
        )


def show_side_by_side(names: Sequence[str], evaluations: Sequence[Mapping[str, Any]], console: Console) -> None:
    """A column for each run; a star where no other run is at least as good on every principle."""
    rows = side_by_side(evaluations)
    table = Table(title="after training", title_justify="left")
    table.add_column("")
    for name, best in zip(names, unbeaten(rows), strict=True):
        table.add_column(escape(name) + (" *" if best else ""), justify="right")
    for row in rows:
        cells = [
            "" if f is None else f"{f['value']:.2f} [{f['low']:.2f}, {f['high']:.2f}] n {f['n']}" for f in row.figures
        ]
        table.add_row(escape(row.name.replace("_", " ")), *cells)
    console.print(table)
    console.print("* no other is at least as good on every principle and better on one", style="dim")


def _rows(metrics: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any] | None]]:
    headline = metrics.get("adherence", {})
    yield from headline.get("principles", {}).items()
    yield "", None
    for metric, by in _JUDGES.items():
        if metrics.get(metric):
            yield f"[bold]all principles[/bold] {by}".strip(), metrics[metric]["overall"]
    yield "", None
    for name, comparison in headline.get("splits", {}).items():
        yield escape(name.replace("_", " ")), comparison
    yield "", None
    for name, label in _BESIDE.items():
        if name in metrics:
            yield label, metrics[name]
    yield "", None
    for name, row in metrics.get("robustness", {}).items():
        yield (
            f"wrapped: {escape(name.replace('_', ' '))}",
            {
                "before": row["plain"],
                "after": row["wrapped"],
                "change": row["drop"],
            },
        )
    for name, figure in metrics.get("superficial", {}).items():
        yield f"superficial: {escape(name.replace('_', ' '))}", figure
    yield "", None
    for name, figure in metrics.get("reliability", {}).items():
        yield f"judge: {escape(name.replace('_', ' '))}", figure


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    if "change" not in row:
        return "", f"{row['value']:.2f}", "", f"[{row['low']:.2f}, {row['high']:.2f}]", f"{row['n']}"
    before, after, change = row["before"], row["after"], row["change"]
    span = f"[{change['low']:+.2f}, {change['high']:+.2f}]"
    return f"{before['value']:.2f}", f"{after['value']:.2f}", f"{change['value']:+.2f}", span, f"{change['n']}"
