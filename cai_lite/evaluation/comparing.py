"""Compare several evaluations, and find those that no other beats on every principle."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from cai_lite.errors import InputError
from cai_lite.evaluation.adherence import CELLS, KeptCell, kept_cells
from cai_lite.evaluation.paths import figures
from cai_lite.run.ledger import Run
from cai_lite.stats import Comparison, Figure, compare, difference, holm, sign_flip_p

MARGIN = 0.05
"""A principle that lost less than this, with 97.5 % confidence, did not get worse."""


class Row(NamedTuple):
    """One figure of all runs, by its path; None where a run did not measure it. `principle`: adherence to one."""

    name: str
    figures: tuple[Figure | None, ...]
    principle: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired change with its p-value. `not_worse`: the lower end of the change lies above minus the margin.

    `p`: of the sign-flip test over families. `p_holm`: for a principle, adjusted by Holm's method over all principles
    in both runs; None for the mean over all of them.
    """

    comparison: Comparison
    p: float
    p_holm: float | None
    not_worse: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the difference in the form of `--json`."""
        adjusted = {} if self.p_holm is None else {"p_holm": self.p_holm}
        return {**self.comparison.as_dict(), "p": self.p, **adjusted, "not_worse": self.not_worse}


@dataclass(frozen=True, slots=True)
class Against:
    """How a further run differs from the first.

    `paired`: by "adherence" and by principle, on the prompts that both runs have; `unpaired`: the same where they have
    no prompt in common, as differences of two means. `other_texts`: principles whose text is not the same in both,
    which are never compared. `same_principles`: both runs have the same texts. `note`: why nothing is paired, or "".
    """

    run: str
    paired: Mapping[str, Difference] = field(default_factory=dict)
    unpaired: Mapping[str, Figure] = field(default_factory=dict)
    shared_prompts: int = 0
    other_texts: tuple[str, ...] = ()
    same_principles: bool = True
    note: str = ""

    @property
    def notes(self) -> list[str]:
        """Return sentences about what is not compared."""
        texts = [f"{self.run}: principle '{name}' has another text and is not compared" for name in self.other_texts]
        return [*texts, *([self.note] if self.note else [])]

    def as_dict(self) -> dict[str, Any]:
        """Return the differences in the form of `--json`."""
        return {
            "run": self.run,
            "shared_prompts": self.shared_prompts,
            "paired": {name: found.as_dict() for name, found in self.paired.items()},
            "unpaired": {name: found.as_dict() for name, found in self.unpaired.items()},
            "other_texts": list(self.other_texts),
            "notes": self.notes,
        }


def side_by_side(evaluations: Sequence[Mapping[str, Any]], against: Sequence[Against] = ()) -> list[Row]:
    """Return every figure after training that any of the evaluations holds, principles first.

    Adherence to principles of another text in one of the runs (see `against_first`) is left out, and so are means over
    all principles where these are not the same in all runs. Splits, and principles by other deciders than the
    headline's, are left out, too. Each interval is that of its run alone: a difference within them may be chance, and
    one beyond them may come from other prompts.
    """
    runs = [_after_training(evaluation["metrics"]) for evaluation in evaluations]
    names = list(dict.fromkeys(name for run in runs for name in run))
    apart = {f"adherence.{name}" for each in against for name in each.other_texts}
    if not all(each.same_principles for each in against):
        apart |= {name for name in names if name.startswith("adherence") and not _is_principle(name)}
    rows = [Row(name, tuple(run.get(name) for run in runs), _is_principle(name)) for name in names if name not in apart]
    return sorted(rows, key=lambda row: not row.principle)


def unbeaten(rows: Sequence[Row]) -> list[bool]:
    """Return, for each run, whether it is on the Pareto front: no other is at least as good on every principle and
    better on one.
    """
    principles = [row.figures for row in rows if row.principle and all(row.figures)]
    runs = len(rows[0].figures) if rows else 0
    scores = [[figure.value for figures in principles if (figure := figures[run])] for run in range(runs)]
    return [
        not any(
            all(b >= a for a, b in zip(mine, theirs, strict=True))
            and any(b > a for a, b in zip(mine, theirs, strict=True))
            for theirs in scores
        )
        for mine in scores
    ]


def paired(
    before: Sequence[KeptCell], after: Sequence[KeptCell], *, seed: int = 0, margin: float = MARGIN
) -> dict[str, Difference]:
    """Return adherence on the prompts and principles that two evaluations share, over all and by principle.

    The latest side of each evaluation counts, which is the model after training. Answers to one prompt that repeat it
    are averaged. Principles of the same text are the same; they weigh as in `before`.
    """
    groups = _aligned(before, after)
    comparisons, p_values = {}, {}
    for name, rows in groups.items():
        one, other = [row.before for row in rows], [row.after for row in rows]
        families, weights = [row.family for row in rows], [row.weight for row in rows]
        comparisons[name] = compare(one, other, families, seed=seed, weights=weights)
        changes = [row.weight * (row.after - row.before) for row in rows]
        p_values[name] = sign_flip_p(changes, families, seed=seed)
    principles = [name for name in groups if _is_principle(name)]
    adjusted = dict(zip(principles, holm([p_values[name] for name in principles]), strict=True))
    return {
        name: Difference(found, p_values[name], adjusted.get(name), found.change.low > -margin)
        for name, found in comparisons.items()
    }


def unpaired(before: Sequence[KeptCell], after: Sequence[KeptCell], *, seed: int = 0) -> dict[str, Figure]:
    """Return the difference of adherence by principle between evaluations on different prompts.

    Only principles of the same text count; they are not averaged, since their prompts differ.
    """
    found = {}
    for text, name in {cell.text: cell.principle for cell in before}.items():
        sides = [[cell for cell in cells if cell.text == text] for cells in (after, before)]
        if all(sides):
            values = [([cell.kept[-1] for cell in side], [cell.family for cell in side]) for side in sides]
            found[f"adherence.{name}"] = difference(*values[0], *values[1], seed=seed)
    return found


def against_first(
    runs: Sequence[str | Path], evaluations: Sequence[Mapping[str, Any]], *, margin: float = MARGIN
) -> list[Against]:
    """Compare each further run with the first, paired by prompt and principle; see `paired` and `unpaired`."""
    cells, found = [_cells_of(run) for run in runs], list[Against]()
    for number, run in enumerate(runs[1:], 1):
        problem = ""
        if evaluations[0]["judge"] != evaluations[number]["judge"]:
            problem = f"other judges decided ({evaluations[0]['judge']}; {evaluations[number]['judge']})"
        elif missing := next((str(runs[i]) for i in (0, number) if not cells[i]), ""):
            problem = f"{missing} does not hold the decisions on each prompt; run its evaluation again"
        if problem:
            found.append(Against(str(run), note=f"{run} is not paired with {runs[0]}: {problem}"))
            continue
        found.append(
            _against(str(runs[0]), str(run), cells[0], cells[number], int(evaluations[0].get("seed", 0)), margin)
        )
    return found


def check_prompts(first: str | Path, against: Sequence[Against]) -> None:
    """Refuse to compare runs that have no prompt in common, unless the user asked for that.

    Raises:
        InputError: a run was evaluated on other prompts than the first.
    """
    for each in against:
        if each.unpaired:
            raise InputError(
                f"{each.run} was evaluated on other held-out prompts than {first}, so a difference may come from the "
                "prompts; evaluate both on the same ones, or add --unpaired to compare them all the same"
            )


def _against(
    first: str, run: str, before: Sequence[KeptCell], after: Sequence[KeptCell], seed: int, margin: float
) -> Against:
    ids = [{cell.principle: cell.text for cell in cells} for cells in (before, after)]
    others = tuple(name for name, text in ids[0].items() if ids[1].get(name, text) != text)
    same = set(ids[0].values()) == set(ids[1].values())
    shared = len({cell.prompt for cell in before} & {cell.prompt for cell in after})
    pairs = paired(before, after, seed=seed, margin=margin)
    apart = {} if shared else unpaired(before, after, seed=seed)
    note = "" if pairs else f"{run} is not paired with {first}: no prompt and principle is in both"
    return Against(run, pairs, apart, shared, others, same, note)


class _Pair(NamedTuple):
    before: float
    after: float
    family: Hashable
    weight: float


def _aligned(before: Sequence[KeptCell], after: Sequence[KeptCell]) -> dict[str, list[_Pair]]:
    """Return the means of repeated answers, a row for each prompt and principle in both, over all and by principle."""
    sides, groups = [_by_cell(before), _by_cell(after)], dict[str, list[_Pair]]()
    for key, cells in sides[0].items():
        if key in sides[1]:
            one, other = ([cell.kept[-1] for cell in side] for side in (cells, sides[1][key]))
            row = _Pair(sum(one) / len(one), sum(other) / len(other), cells[0].family, cells[0].weight)
            for name in ("adherence", f"adherence.{cells[0].principle}"):
                groups.setdefault(name, []).append(row)
    return groups


def _cells_of(run: str | Path) -> list[KeptCell]:
    if not (Path(run) / "run.db").is_file():
        return []
    with Run.reading(run) as opened:
        return kept_cells(opened.recall(CELLS) or [])


def _by_cell(cells: Sequence[KeptCell]) -> dict[tuple[str, str], list[KeptCell]]:
    found: dict[tuple[str, str], list[KeptCell]] = {}
    for cell in cells:
        found.setdefault((cell.prompt, cell.text), []).append(cell)
    return found


def _after_training(metrics: Mapping[str, Any]) -> dict[str, Figure]:
    return {
        path: figure.after if isinstance(figure, Comparison) else figure
        for path, figure in figures(metrics).items()
        if "." not in path or not path.startswith("adherence") or _is_principle(path)
    }


def _is_principle(path: str) -> bool:
    return path.startswith("adherence.") and not path.startswith("adherence.splits.")
