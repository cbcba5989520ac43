"""Decide about rounds: whether another one follows, and which one is kept.

Both are decided by adherence on one half of the held-out families. The figures of the other half, which decide nothing,
stand beside them in rounds.json: the best of several rounds looks better than it is on the prompts that chose it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cai_lite.errors import Stopped
from cai_lite.evaluation.adherence import KeptCell
from cai_lite.evaluation.comparing import paired
from cai_lite.evaluation.gates import Gate
from cai_lite.pipeline.recipe import RoundsSection
from cai_lite.records import digest
from cai_lite.stats import Comparison, Figure


class Round(NamedTuple):
    """A round that was walked. `change`, `other`: adherence in the round before and in this one, on the half of the
    held-out families that decides and on the other half, which may be empty. `outside`: the bounds that it passed.
    """

    number: int
    adapter: Path
    pairs: int
    evaluation: Mapping[str, Any]
    cells: Sequence[KeptCell]
    change: Comparison
    other: Comparison | None
    outside: Sequence[Gate]


def changes(
    before: Sequence[KeptCell] | None, after: Sequence[KeptCell], *, seed: int
) -> tuple[Comparison, Comparison | None]:
    """Return adherence in the round before and in this one: on the half of the held-out families that decides, and on
    the other half, which is None where there is one family alone. `before`: None compares with the base.

    Raises:
        Stopped: no answer could be judged.
    """
    families = sorted({cell.family or cell.prompt for cell in after}, key=lambda family: digest("half", family))
    found = []
    for half in (set(families[::2]), set(families[1::2])):
        mine = [cell for cell in after if (cell.family or cell.prompt) in half]
        base = [cell._replace(kept=cell.kept[:1]) for cell in mine]
        overall = paired(before if before is not None else base, mine, seed=seed).get("adherence")
        found.append(overall.comparison if overall else None)
    if found[0] is None:
        raise Stopped("rounds: no held-out answer could be judged, so no round can be chosen; look at the judge")
    return found[0], found[1]


def stops(latest: Round, settings: RoundsSection) -> str:
    """Return why no round follows the latest one, or ""."""
    if latest.outside:
        passed = ", ".join(f"{gate.name} is {gate.found:.3g}, not {gate.wanted}" for gate in latest.outside)
        return f"round {latest.number} passed a bound of rounds.drift: {passed}"
    if settings.until == "settled" and latest.change.change.low <= 0:
        return f"adherence no longer rose in round {latest.number}: {shown(latest.change)}"
    return ""


def choose(rounds: Sequence[Round], *, seed: int) -> Round:
    """Return the last round, of those within the bounds, that clearly rose over the one that would be kept without it.

    Clearly: the interval of the paired change lies above 0 on the half that decides. Of rounds that do not differ so,
    the earlier one has drifted less. The first of all is kept where none is within the bounds.
    """
    first, *others = [one for one in rounds if not one.outside] or rounds[:1]
    kept = first
    for one in others:
        if changes(kept.cells, one.cells, seed=seed)[0].change.low > 0:
            kept = one
    return kept


def summary(rounds: Sequence[Round], kept: Round, ended: str, held_in: Mapping[int, Figure | None]) -> dict[str, Any]:
    """Return the contents of rounds.json.

    `decides`, `other_half`: adherence in the round before (the base before the first) and in this one, on both halves
    of the held-out families. `held_in`: adherence of the student after the round on training prompts, where the next
    round measured it.
    """
    return {
        "format": 1,
        "kept": kept.number,
        "ended": ended,
        "rounds": [
            {
                "round": one.number,
                "pairs": one.pairs,
                "decides": one.change.as_dict(),
                **({"other_half": one.other.as_dict()} if one.other else {}),
                **({"held_in": figure.as_dict()} if (figure := held_in.get(one.number)) else {}),
                "outside": [gate._asdict() for gate in one.outside],
            }
            for one in rounds
        ],
    }


def shown(change: Comparison) -> str:
    return (
        f"{change.before.value:.2f} -> {change.after.value:.2f}, change {change.change.value:+.2f} "
        f"[{change.change.low:+.2f}, {change.change.high:+.2f}]"
    )
