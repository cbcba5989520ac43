"""Report a run: one self-contained page, the model card and the data set card, from the same figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cai_lite.reporting import page
from cai_lite.reporting.card import CARD, write_card
from cai_lite.run.files import MANIFEST, write_manifest
from cai_lite.run.ledger import Run

__all__ = ["report"]


def report(run: Run | str | Path, *, compare: Sequence[str | Path] = ()) -> Path:
    """Write report.html of a run, and the model card beside its adapter; return the path of the page.

    What the run did not measure is absent. `compare`: other run directories, whose figures are listed next to this
    one's.

    Raises:
        InputError: no such run directory, or nothing in it to report.
        RunBusyError: the run is in use.
    """
    path = page.report(run, compare=compare)
    card = write_card(path.parent)
    if (path.parent / MANIFEST).is_file():
        write_manifest(path.parent, path.name, *([CARD] if card else []))
    return path
