"""`cai-lite plan --power`: how many held-out prompts, in how many families, show a difference of adherence.

The usual formula for a two-sided test at 5 % with 80 % power: n = (t + z)^2 * variance * design effect / difference^2,
with the variance of a paired difference, or the sum of two variances where the runs have different prompts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from cai_lite.errors import InputError
from cai_lite.evaluation.adherence import CELLS, KeptCell, kept_cells
from cai_lite.intervals import Sample, correlation, t_quantile
from cai_lite.records import Prompt
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Terminal

DIFFERENCES = (0.02, 0.03, 0.05, 0.1, 0.15, 0.2)
POWER = 0.8
RATE, PAIRING, CORRELATION = 0.7, 0.5, 0.2  # assumed where no run was measured, see `Basis`
FEWEST = 10  # prompts of a principle below which its variance is not used


class Basis(NamedTuple):
    """What the numbers of prompts follow from.

    `rate`, `variance`: of adherence over prompts. `pairing`: the correlation of two runs' values on the same prompt;
    `correlation`, `change_correlation`: of values, and of paired differences, within families. `n`, `families`: of the
    held-out prompts; `size`: the mean number of prompts in the family of a prompt.
    """

    name: str
    rate: float
    variance: float
    pairing: float
    correlation: float
    change_correlation: float
    n: int
    families: int
    size: float

    def spread(self, *, paired: bool) -> float:
        """Return the variance of a difference on one prompt, times the design effect of the families."""
        within = self.change_correlation if paired else self.correlation
        return 2 * self.variance * (1 - self.pairing if paired else 1) * (1 + (self.size - 1) * within)


def required(basis: Basis, difference: float, *, paired: bool) -> tuple[int, int]:
    """Return how many prompts, and in how many families as large as now, show a difference with 80 % power.

    For unpaired runs, both numbers are those of each run.
    """
    prompts, strength = basis.size * 2.0, NormalDist().inv_cdf(POWER)
    for _ in range(100):  # t depends on the number of families; the sequence approaches its limit from one side
        t = t_quantile(_degrees(basis, prompts, paired))
        found = max(2 * basis.size, (t + strength) ** 2 * basis.spread(paired=paired) / difference**2)
        if abs(found - prompts) < 1e-6:
            break
        prompts = (prompts + found) / 2
    return math.ceil(prompts), max(2, math.ceil(prompts * basis.families / basis.n))


def detectable(basis: Basis, *, paired: bool) -> float:
    """Return the difference that the held-out prompts of today show with 80 % power."""
    t = t_quantile(_degrees(basis, basis.n, paired))
    return (t + NormalDist().inv_cdf(POWER)) * math.sqrt(basis.spread(paired=paired) / basis.n)


def assumed(prompts: Sequence[Prompt]) -> Basis:
    """Return the basis of a plan before any run, with the families of the held-out prompts."""
    places = _places([prompt.family or prompt.key for prompt in prompts])
    return Basis(
        "one principle", RATE, RATE * (1 - RATE), PAIRING, CORRELATION, CORRELATION, len(prompts), *_sizes(places)
    )


def measured(cells: Sequence[KeptCell]) -> list[Basis]:
    """Return the basis of all principles together, then those of each principle with enough prompts, from a run.

    Rate, variance and correlation are those after training. The pairing of two runs is that of before and after, where
    both were measured; a principle that never varied tells nothing and is left out.
    """
    texts = {cell.text: cell.principle for cell in cells}
    groups = [("all principles", list(cells))]
    groups += [(name, [cell for cell in cells if cell.text == text]) for text, name in texts.items()]
    found = [_basis(name, mine) for name, mine in groups]
    return [basis for basis in found if basis is not None]


def power(held_out: Sequence[Prompt], run: Path | None = None) -> dict[str, Any]:
    """Return the numbers of prompts and families by difference, paired and unpaired, and what they rest on.

    `held_out`: the held-out prompts of the recipe. `run`: a finished run, whose measured variance and correlation
    within families take the place of assumptions.

    Raises:
        InputError: there are no held-out prompts, or the run holds no decisions on each prompt.
    """
    if run is None:
        if not held_out:
            raise InputError("no held-out prompts to plan with: raise prompts.held_out")
        bases = [assumed(held_out)]
    else:
        with Run.reading(run) as opened:
            bases = measured(kept_cells(opened.recall(CELLS) or []))
        if not bases:
            raise InputError(f"{run} holds no decisions on {FEWEST} prompts that vary; evaluate it, or leave --run out")
    return {
        "format": 1,
        "power": POWER,
        "run": str(run) if run else None,
        "bases": [
            {
                **basis._asdict(),
                "detectable": {name: detectable(basis, paired=paired) for name, paired in _WAYS.items()},
                "required": [
                    {
                        "difference": difference,
                        **{
                            name: dict(
                                zip(("prompts", "families"), required(basis, difference, paired=paired), strict=True)
                            )
                            for name, paired in _WAYS.items()
                        },
                    }
                    for difference in DIFFERENCES
                ],
            }
            for basis in bases
        ],
    }


def show_power(found: dict[str, Any], console: Console | None = None) -> None:
    """Print the numbers for all principles together and for the principle that needs the most, as far as known."""
    console = console or Terminal()
    bases = found["bases"]
    hardest = max(bases, key=lambda basis: float(basis["detectable"]["paired"]))
    shown = [bases[0]] if hardest is bases[0] else [bases[0], hardest]
    table = Table(title=f"Held-out prompts (families) that show a difference of adherence with {POWER:.0%} power")
    table.add_column("points", justify="right", no_wrap=True)
    for basis in shown:
        for name in _WAYS:
            heading = "same prompts" if name == "paired" else "other prompts, each run"
            table.add_column(f"{basis['name']}: {heading}", justify="right")
    for row, difference in enumerate(DIFFERENCES):
        counts = [basis["required"][row][name] for basis in shown for name in _WAYS]
        table.add_row(f"{100 * difference:g}", *(f"{each['prompts']:,} ({each['families']:,})" for each in counts))
    console.print(table)
    for basis in shown:
        ways = {name: f"{100 * value:.1f}" for name, value in basis["detectable"].items()}
        console.print(
            f"{basis['name']}: {basis['n']} held-out prompts in {basis['families']} families show {ways['paired']} "
            f"points paired, {ways['unpaired']} unpaired",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        console.print(
            f"{'measured' if found['run'] else 'assumed'}: adherence {basis['rate']:.2f}, correlation of two runs on a "
            f"prompt {basis['pairing']:.2f}, within families {basis['correlation']:.2f} (of changes "
            f"{basis['change_correlation']:.2f})",
            style="dim",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


_WAYS = {"paired": True, "unpaired": False}


def _degrees(basis: Basis, prompts: float, paired: bool) -> float:
    families = prompts / basis.size
    return max(1.0, families - 1 if paired else 2 * (families - 1))


def _basis(name: str, cells: Sequence[KeptCell]) -> Basis | None:
    by_prompt: dict[str, list[KeptCell]] = {}
    for cell in cells:
        by_prompt.setdefault(cell.prompt, []).append(cell)
    if len(by_prompt) < FEWEST:
        return None
    sides = min(len(cell.kept) for cell in cells)
    values = np.array(
        [
            np.average([cell.kept for cell in mine], axis=0, weights=[cell.weight for cell in mine])[-sides:]
            for mine in by_prompt.values()
        ]
    )
    after_N = values[:, -1]
    variance = float(after_N.var(ddof=1))
    if variance < 1e-9:
        return None
    place_N = _places([mine[0].family or mine[0].prompt for mine in by_prompt.values()])
    within = _within(after_N, place_N)
    pairing, change = PAIRING, within
    if sides > 1 and values[:, 0].std() > 0:
        pairing = float(np.clip(np.corrcoef(values[:, 0], after_N)[0, 1], 0, 0.95))
        change = _within(after_N - values[:, 0], place_N)
    return Basis(name, float(after_N.mean()), variance, pairing, within, change, len(after_N), *_sizes(place_N))


def _within(values: np.ndarray[Any, Any], place_N: np.ndarray[Any, Any]) -> float:
    return min(1.0, max(0.0, correlation(Sample(values, np.ones(len(values)), place_N))))


def _places(families: Sequence[str]) -> np.ndarray[Any, Any]:
    return np.unique(families, return_inverse=True)[1]


def _sizes(place_N: np.ndarray[Any, Any]) -> tuple[int, float]:
    """Return the number of families, and the mean size of the family of a prompt."""
    size_F = np.bincount(place_N)
    return len(size_F), float((size_F**2).sum() / size_F.sum())
