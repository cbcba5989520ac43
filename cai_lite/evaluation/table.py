"""evaluation.json in the terminal: a table per principle, with all that adherence must not be seen without."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

_JUDGES = {"adherence": "", "adherence_judge": "by the judge", "adherence_checks": "by machine checks"}
_BESIDE = {"well_formed": "well-formed", "perplexity": "perplexity", "words": "words", "boilerplate": "boilerplate"}


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
    if "preference_accuracy" in metrics:
        yield "held-out preference accuracy", metrics["preference_accuracy"]
    yield "", None
    for name, figure in metrics.get("reliability", {}).items():
        yield f"judge: {escape(name.replace('_', ' '))}", figure


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    if "change" not in row:
        return "", f"{row['value']:.2f}", "", f"[{row['low']:.2f}, {row['high']:.2f}]", f"{row['n']}"
    before, after, change = row["before"], row["after"], row["change"]
    span = f"[{change['low']:+.2f}, {change['high']:+.2f}]"
    return f"{before['value']:.2f}", f"{after['value']:.2f}", f"{change['value']:+.2f}", span, f"{change['n']}"
