"""The sections of report.html about revisions, about critics that were tried, and about a student taught by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cai_lite.evaluation.critics import MEMO as CRITICS
from cai_lite.evaluation.critics import SELF as PROMPTED
from cai_lite.evaluation.planted import SUBTLETIES
from cai_lite.evaluation.revisions import FIGURES
from cai_lite.evaluation.revisions import MEMO as REVISIONS
from cai_lite.reporting.html import Html, Part, table, tag
from cai_lite.run.ledger import Run

_HEAD = ["", "value", "95 % interval", "n"]


def revisions(run: Run) -> Html | None:
    """Show what the revisions mend, what else they change and break, and how many rounds they take."""
    shown = [part for purpose in ("", "held-out ") for part in _quality(purpose, run.recall(f"{purpose}{REVISIONS}"))]
    return tag("section", tag("h2", "Revisions"), *shown, id="revisions") if shown else None


def critics(run: Run) -> Html | None:
    """Show how far each critic agrees with the teacher, and which planted violations it finds."""
    found = run.recall(CRITICS)
    if not found:
        return None
    parts: list[Part] = []
    for one in found:
        rows = [_row(label, one[name]) for name, label in _AGREEMENT.items() if name in one]
        rows += [_row(_PLANTED[name], one["planted"][name]) for name in SUBTLETIES if name in one["planted"]]
        for id_, of in one["principles"].items() if "principles" in one else ():
            rows += [_row(f"{id_}: {label}", of[name]) for name, label in _AGREEMENT.items() if name in of]
        parts.append(table(f"{one['critic']}, compared with the teacher on held-out drafts", _HEAD, rows))
        if one["refused"]:
            parts.append(tag("p", f"refused: {one['refused']}", class_="warn"))
    return tag("section", tag("h2", "Critics"), *parts, id="critics")


def prompted(run: Run) -> Html | None:
    """Show what the student taught itself, how far its critiques agree with machine checks, and what that cannot do."""
    found = run.recall(PROMPTED)
    if not found:
        return None
    parts: list[Part] = [tag("p", f"{found['summary']}. It learns these answers without the constitution.")]
    rows = [_row(label, found[name]) for name, label in _BY_CHECKS.items() if name in found]
    rows += [_row(_PLANTED[name], found["planted"][name]) for name in SUBTLETIES if name in found.get("planted", {})]
    for id_, of in found.get("principles", {}).items():
        rows += [_row(f"{id_}: {label}", of[name]) for name, label in _BY_CHECKS.items() if name in of]
    if rows:
        parts.append(table("Its answers and critiques, compared with machine checks on held-out prompts", _HEAD, rows))
    for id_, why in found.get("left_out", {}).items():
        parts.append(tag("p", f"self-critique not used for {id_}: {why}"))
    parts += [tag("p", sentence, class_="warn") for sentence in found.get("limits", ())]
    return tag("section", tag("h2", "The student taught by itself"), *parts, id="prompted")


_AGREEMENT = {
    "agreement": "critiques with the teacher's verdict",
    "kappa": "agreement beyond chance (Cohen's kappa)",
    "unreadable": "critiques that could not be read",
}
_BY_CHECKS = {
    "kept_untold": "machine checks that its answers keep without the constitution",
    "kept_told": "machine checks that its answers keep under the constitution",
    **_AGREEMENT,
    "agreement": "critiques with the verdict of the checks",
}
_PLANTED = {
    "plain": "plain planted violations found",
    "moderate": "moderate planted violations found",
    "subtle": "subtle planted violations found",
    "clean": "clean replies passed",
}


def _quality(purpose: str, found: Mapping[str, Any] | None) -> list[Part]:
    if not found:
        return []
    rows = [_row(FIGURES[name], figure) for name, figure in found["figures"].items()]
    rows += [_row(f"mended: {id_}", figure) for id_, figure in found["principles"].items()]
    ended = [[number if number == "never" else f"round {number}", n] for number, n in found["rounds"].items()]
    caption = f"Revisions of {purpose or 'training '}drafts, by a fresh critique of each rewrite"
    return [table(caption, _HEAD, rows), table("Drafts by the round that satisfied them", ["", "drafts"], ended)]


def _row(label: str, figure: Mapping[str, Any]) -> list[Part]:
    return [label, f"{figure['value']:.2f}", f"{figure['low']:.2f} to {figure['high']:.2f}", figure["n"]]
