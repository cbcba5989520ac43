"""What an exam covers: prompts by principle and kind, the share that was verified, and the gaps in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from cai_lite.distill.exam import Exam
from cai_lite.distill.exam_kinds import KINDS
from cai_lite.distill.exam_verifying import REJECTED
from cai_lite.stats import Figure, mean_figure

AGAIN = "ask with another --seed"
_FAULTS = ("refused", "failed", "cut", "empty")


def coverage(exam: Exam) -> dict[str, Any]:
    """Return what an exam covers, in the form that is printed as JSON.

    `principles`: the number of prompts by principle and kind. `kinds`: by kind, the prompts `written`, the share
    `verified` of those whose verification could be read, with its interval, `unread` ones, those kept in `train` and
    `held_out`, and with a student the mean `difficulty` and how many are `too_easy`. `verified`: the share over all
    kinds. `gaps`: cells without a prompt or with fewer than wanted, each with `why` and `do`.
    """
    principles: dict[str, dict[str, int]] = {}
    for cell in exam.cells:
        row = principles.setdefault(cell.principle.id, {})
        row[cell.kind.id] = row.get(cell.kind.id, 0) + exam.counts[cell.name]["kept"]
    kinds = {kind.id: _kind(exam, kind.id) for kind in KINDS if any(cell.kind is kind for cell in exam.cells)}
    return {
        "constitution": exam.constitution.name,
        "wanted": exam.wanted,
        "prompts": len(exam.prompts),
        "principles": principles,
        "kinds": kinds,
        "verified": _as_dict(_verified(exam)),
        "too_easy": sum(row.too_easy for row in exam.prompts),
        "gaps": _gaps(exam),
    }


def _kind(exam: Exam, kind: str) -> dict[str, Any]:
    rows = [row for row in exam.prompts if row.kind == kind]
    counts = sum((exam.counts[cell.name] for cell in exam.cells if cell.kind.id == kind), Counter[str]())
    tried = [row for row in rows if row.difficulty is not None]
    found: dict[str, Any] = {
        "written": counts["written"],
        "unreadable": counts["unreadable"],
        "verified": _as_dict(_verified(exam, kind)),
        "unread": counts["unread"],
        "train": sum(row.prompt.split == "train" for row in rows),
        "held_out": sum(row.prompt.split == "held_out" for row in rows),
    }
    if tried:
        shares, families = [row.difficulty or 0.0 for row in tried], [row.prompt.family for row in tried]
        found |= {
            "difficulty": mean_figure(shares, families).as_dict(),
            "too_easy": sum(row.too_easy for row in tried),
        }
    return found


def _verified(exam: Exam, kind: str = "") -> Figure | None:
    """Return the share verified of what could be read; the prompts of one cell are a family."""
    values, families = [], []
    for cell in exam.cells:
        if kind and cell.kind.id != kind:
            continue
        counts = exam.counts[cell.name]
        read = [1.0] * counts["verified"] + [0.0] * sum(counts[name] for name in REJECTED)
        values += read
        families += [cell.name] * len(read)
    return mean_figure(values, families) if values else None


def _as_dict(figure: Figure | None) -> dict[str, float] | None:
    return None if figure is None else figure.as_dict()


def _gaps(exam: Exam) -> list[dict[str, Any]]:
    gaps = []
    for (principle, kind), why in exam.lacks.items():
        do = "write such prompts with another teacher, or by hand"
        gaps.append({"principle": principle, "kind": kind, "has": 0, "why": why, "do": do})
    for cell in exam.cells:
        counts = exam.counts[cell.name]
        lacked = {(cell.principle.id, ""), ("", cell.kind.id), (cell.principle.id, cell.kind.id)} & exam.lacks.keys()
        if not lacked and counts["kept"] < exam.wanted:
            why, do = _reason(counts)
            do = AGAIN if counts["kept"] else do
            row = {"principle": cell.principle.id, "kind": cell.kind.id, "has": counts["kept"], "why": why, "do": do}
            gaps.append(row)
    return sorted(gaps, key=lambda gap: gap["has"] > 0)


def _reason(counts: Counter[str]) -> tuple[str, str]:
    """Return why a cell has too few prompts, and what to do about it."""
    rejected = {name: counts[name] for name in REJECTED if counts[name]}
    faults = {name: counts[name] for name in _FAULTS if counts[name]}
    lost = {name: counts[name] for name in ("near another", "near --against", "leaks") if counts[name]}
    if not counts["written"]:
        if faults:
            do = "raise --max-tokens" if set(faults) == {"cut"} else "ask another teacher, or write them by hand"
            return f"nothing was written ({_listed(faults)})", do
        return "nothing was written in the form asked for", "ask another teacher, or write them by hand"
    said = f"{counts['written']} written"
    if counts["unreadable"] > sum(rejected.values()) + counts["unread"] + sum(lost.values()):
        return f"{said}, {counts['unreadable']} unreadable", "ask another teacher"
    if counts["unread"] > sum(rejected.values()) + sum(lost.values()):
        return f"{said}, {counts['unread']} verifications unreadable", "ask another --verifier"
    if sum(lost.values()) > sum(rejected.values()):
        return f"{said}, {_listed(lost)}", AGAIN
    if not rejected:
        return said, AGAIN
    main: str = max(rejected, key=lambda name: rejected[name])
    mend = {
        "not a test of the principle": "a statement of fact cannot be tested: reword it as a rule; else write by hand",
        "another kind": "ask another teacher, or write them by hand",
        "another side": "teacher and verifier read the principle differently: say in it where the line runs",
    }
    return f"{said}, {counts['verified']} verified: {_listed(rejected)}", mend[main]


def _listed(counts: Mapping[Any, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in counts.items())
