"""How often do the 95 % intervals of `stats` hold the true value? Measured by simulation.

    python -m cai_lite.bench.coverage --half held-out --json coverage.json

Families of prompts are drawn from a beta distribution and their observations from each family's rate, so that two
observations of one family correlate as stated. Every second cell of the grid, as on a chessboard, served to choose the
method and its two constants (`intervals.PRIOR_CORRELATION` and `PRIOR_FAMILIES`); the others were kept out of that.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from cai_lite.run.progress import Terminal
from cai_lite.stats import Figure, compare, difference, mean_figure

RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
CHANGES = (
    (0.02, 0.02),
    (0.05, 0.01),
    (0.2, 0.2),
    (0.5, 0.5),
    (0.5, 0.6),
    (0.5, 0.8),
    (0.9, 0.95),
    (0.9, 0.99),
    (0.3, 0.1),
)
OBSERVATIONS = (20, 50, 100, 200, 500)
FAMILIES = (6, 8, 10, 20, 50, 150)
CORRELATIONS = (0.0, 0.1, 0.2, 0.3, 0.5)
KINDS = ("rate", "weighted rate", "change", "difference", "mean")
HALVES = ("tuning", "held-out")
RARE = 10  # expected observations of the rarer value, or of changes, below which coverage is mostly above 97 %
LOWEST, HIGHEST = 0.93, 0.97


class Cell(NamedTuple):
    """One case of the simulation. `rates`: one, or those before and after; `uneven`: families differ in size."""

    kind: str
    rates: tuple[float, ...]
    n: int
    families: int
    correlation: float
    uneven: bool
    half: str

    @property
    def rarer(self) -> float:
        """Return the expected number of observations of the rarer value, or of pairs that change."""
        if len(self.rates) == 1:
            return self.n * min(self.rates[0], 1 - self.rates[0])
        before, after = self.rates
        return self.n * (before * (1 - after) + after * (1 - before))


def cells(kind: str) -> Iterator[Cell]:
    """Yield the grid of one kind. Half of the rates are mirrored, so that both edges of [0, 1] are tried."""
    of_kind: Sequence[tuple[float, ...]] = [(rate,) for rate in RATES]
    if kind in ("change", "difference"):
        of_kind = CHANGES
    elif kind == "mean":
        of_kind = [(0.5,)]
    axes = (of_kind, OBSERVATIONS, FAMILIES, CORRELATIONS, (False, True))
    for at in product(*(range(len(axis)) for axis in axes)):
        rates, n, families = of_kind[at[0]], OBSERVATIONS[at[1]], FAMILIES[at[2]]
        correlation, uneven = CORRELATIONS[at[3]], bool(at[4])
        if families > n or (families == n and (correlation or uneven)):
            continue
        mirrored = tuple(1 - rate for rate in rates) if (at[0] + at[2]) % 2 else rates
        yield Cell(kind, mirrored, n, families, correlation, uneven, HALVES[sum(at) % 2])


def family_sizes(cell: Cell) -> NDArray[np.int64]:
    """Return the sizes of the families, shape [F]: alike, or spread like an exponential distribution."""
    if not cell.uneven:
        return np.asarray([len(part) for part in np.array_split(np.arange(cell.n), cell.families)])
    part_F = np.random.default_rng(cell.n * 1000 + cell.families).exponential(size=cell.families)
    size_F: NDArray[np.int64] = 1 + np.floor((cell.n - cell.families) * part_F / part_F.sum()).astype(np.int64)
    size_F[: cell.n - size_F.sum()] += 1
    return size_F


def covered(cell: Cell, draws: int) -> tuple[float, float, float]:
    """Return the share of simulated samples whose interval holds the true value, the mean width, and the true value."""
    rng = np.random.default_rng(zlib.crc32(repr(cell).encode()))
    family_N = np.repeat(np.arange(cell.families), family_sizes(cell))
    found = [DRAWS[cell.kind](cell, family_N, rng) for _ in range(draws)]
    truth = found[0][1]
    held = [figure.low - 1e-9 <= truth <= figure.high + 1e-9 for figure, _ in found]
    return float(np.mean(held)), float(np.mean([figure.high - figure.low for figure, _ in found])), truth


def _rates(cell: Cell, rate: float, rng: np.random.Generator) -> NDArray[np.float64]:
    if not cell.correlation:
        return np.full(cell.families, rate)
    size = (1 - cell.correlation) / cell.correlation
    return rng.beta(rate * size, (1 - rate) * size, cell.families)


def _values(cell: Cell, rate: float, family_N: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    return (rng.random(cell.n) < _rates(cell, rate, rng)[family_N]).astype(float)


def _rate(cell: Cell, family_N: NDArray[np.int64], rng: np.random.Generator) -> tuple[Figure, float]:
    return mean_figure(_values(cell, cell.rates[0], family_N, rng).tolist(), family_N.tolist()), cell.rates[0]


def _weighted(cell: Cell, family_N: NDArray[np.int64], rng: np.random.Generator) -> tuple[Figure, float]:
    weights = rng.choice([0.5, 1.0, 3.0], cell.n)
    return mean_figure(
        _values(cell, cell.rates[0], family_N, rng).tolist(), family_N.tolist(), weights=weights.tolist()
    ), cell.rates[0]


def _change(cell: Cell, family_N: NDArray[np.int64], rng: np.random.Generator) -> tuple[Figure, float]:
    before_N = _values(cell, cell.rates[0], family_N, rng)
    after_N = _values(cell, cell.rates[1], family_N, rng)
    kept = 0.7 if cell.uneven else 0.0  # the share of answers that stay as they were
    after_N = np.where(rng.random(cell.n) < kept, before_N, after_N)
    change = compare(before_N.tolist(), after_N.tolist(), family_N.tolist()).change
    return change, (1 - kept) * (cell.rates[1] - cell.rates[0])


def _difference(cell: Cell, family_N: NDArray[np.int64], rng: np.random.Generator) -> tuple[Figure, float]:
    before_N, after_N = (_values(cell, rate, family_N, rng) for rate in cell.rates)
    families = family_N.tolist()
    return difference(after_N.tolist(), families, before_N.tolist(), families), cell.rates[1] - cell.rates[0]


def _mean(cell: Cell, family_N: NDArray[np.int64], rng: np.random.Generator) -> tuple[Figure, float]:
    of_family = rng.normal(0, cell.correlation**0.5, cell.families)[family_N]
    value_N = of_family + rng.normal(0, (1 - cell.correlation) ** 0.5, cell.n)
    return mean_figure(value_N.tolist(), family_N.tolist()), 0.0


DRAWS: dict[str, Callable[[Cell, NDArray[np.int64], np.random.Generator], tuple[Figure, float]]] = {
    "rate": _rate,
    "weighted rate": _weighted,
    "change": _change,
    "difference": _difference,
    "mean": _mean,
}


def measure(kinds: Sequence[str], halves: Sequence[str], draws: int, every: int = 1) -> list[dict[str, Any]]:
    """Return a row for each cell of the kinds and halves; `every`: take each n-th cell only."""
    rows = []
    for kind in kinds:
        for cell in [each for each in cells(kind) if each.half in halves][::every]:
            coverage, width, truth = covered(cell, draws)
            rows.append({**cell._asdict(), "rarer": cell.rarer, "truth": truth, "coverage": coverage, "width": width})
    return rows


def summary(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return, for each kind, half and number of families, how many cells stay within 93 to 97 %."""
    found = []
    for kind, half, families in sorted({(row["kind"], row["half"], row["families"]) for row in rows}):
        mine = [r for r in rows if (r["kind"], r["half"], r["families"]) == (kind, half, families)]
        coverage = [row["coverage"] for row in mine]
        above = [row for row in mine if row["coverage"] > HIGHEST]
        found.append(
            {
                "kind": kind,
                "half": half,
                "families": families,
                "cells": len(mine),
                "within": sum(LOWEST <= each <= HIGHEST for each in coverage),
                "below": sum(each < LOWEST for each in coverage),
                "above": len(above),
                "above_rare": sum(row["rarer"] < RARE for row in above),
                "above_independent": sum(row["rarer"] >= RARE and row["correlation"] == 0 for row in above),
                "least": min(coverage),
                "mean": float(np.mean(coverage)),
                "most": max(coverage),
            }
        )
    return found


def show(rows: Sequence[dict[str, Any]], draws: int, console: Console) -> None:
    """Print a table for each kind, a line for each half and number of families, then the cells that cover least."""
    lines = summary(rows)
    for kind in dict.fromkeys(line["kind"] for line in lines):
        table = Table(title=f"{kind}: coverage of 95 % intervals, {draws:,} samples per cell", title_justify="left")
        heads = ("F", "cells", "93-97", "<93", ">97", "rare*", "indep**", "least", "mean")
        for head in ("half", *heads):
            table.add_column(head, justify="left" if head == "half" else "right", no_wrap=True)
        for line in lines:
            if line["kind"] == kind:
                shown = [value for name, value in line.items() if name not in ("kind", "most")]
                table.add_row(*(f"{each:.2f}" if isinstance(each, float) else str(each) for each in shown))
        console.print(table)
        for row in sorted((row for row in rows if row["kind"] == kind), key=lambda row: float(row["coverage"]))[:5]:
            rates, sizes = " to ".join(f"{rate:g}" for rate in row["rates"]), "uneven" if row["uneven"] else "even"
            where = f"p {rates}, n {row['n']}, {row['families']} {sizes} families, correlation {row['correlation']}"
            console.print(f"  {row['coverage']:.3f}: {where}", highlight=False)
    console.print(
        f"*: of these above 97, with fewer than {RARE} expected observations of the rarer value, or expected changes; "
        "**: others above 97, with correlation 0; F: families",
        highlight=False,
    )


def main() -> None:
    """Simulate, and print the table of coverage."""
    parser = argparse.ArgumentParser(prog="python -m cai_lite.bench.coverage", description=__doc__)
    parser.add_argument("--kind", choices=KINDS, nargs="+", default=KINDS)
    parser.add_argument("--half", choices=HALVES, nargs="+", default=HALVES)
    parser.add_argument("--draws", type=int, default=1000, help="simulated samples per cell")
    parser.add_argument("--every", type=int, default=1, help="take each n-th cell only")
    parser.add_argument("--json", type=Path, help="also write every cell to this file")
    given = parser.parse_args()
    rows = measure(given.kind, given.half, given.draws, given.every)
    show(rows, given.draws, Terminal())
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
