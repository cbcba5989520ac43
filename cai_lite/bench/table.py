"""Show the figures of a benchmark as a table in the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from cai_lite.run.progress import Terminal


def show_bench(found: dict[str, Any], console: Console | None = None) -> None:
    """Print one row for each contender, then the ratios to ours and whether the numbers agree."""
    console = console or Terminal()
    case, machine = found["case"], found["machine"]
    table = Table(
        title=f"{case['shape']}, {case['load']}, {case['prompt_tokens']}:{case['completion_tokens']} tokens, "
        f"{case['pairs']} pairs a step, medians of {case['steps']} steps",
        caption=", ".join(f"{name} {value}" for name, value in machine.items()),
    )
    table.add_column("")
    for column in ("s/step", "CPU s/step", "pairs/s", "peak memory beyond the model, GB", "useful FLOPs"):
        table.add_column(column, justify="right")
    for name, row in found["contenders"].items():
        table.add_row(
            name,
            f"{row['seconds']:.3f}",
            f"{row['cpu_seconds']:.3f}",
            f"{row['pairs_per_second']:.2f}",
            f"{row['peak_bytes'] / 1e9:.2f}",
            f"{row['useful_flops_share']:.0%}",
        )
    console.print(table)
    for name, ratio in found["ratios"].items():
        console.print(
            f"against {name}: {ratio['seconds']:.2f}x the speed ({ratio['cpu_seconds']:.2f}x in CPU seconds), "
            f"{ratio['peak_bytes']:.2f}x the memory; log-probs differ by {ratio['logps_difference']:.1e} nats, "
            f"gradients by {ratio['gradient_difference']:.1e} of {ratio['gradient_largest']:.1e}"
        )
