"""Report a run: one self-contained page, the model card and the data set card, from the same figures."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from cai_lite.evaluation.comparing import MARGIN
from cai_lite.evaluation.relabelled import relabel
from cai_lite.inputs.pairs import load_pairs
from cai_lite.reporting import page
from cai_lite.reporting.card import CARD, write_card
from cai_lite.reporting.dataset_card import dataset_card
from cai_lite.run.files import MANIFEST, write_manifest, write_text
from cai_lite.run.ledger import Run

__all__ = ["report", "write_report"]


def report(run: Run | str | Path, *, compare: Sequence[str | Path] = (), margin: float = MARGIN) -> Path:
    """Write report.html of a run, the model card beside its adapter and, where missing, the data set card.

    Return the path of the page.

    What the run did not measure is absent. `compare`: other run directories, whose figures are listed next to this
    one's; a principle that lost less than `margin` with confidence is called not worse. A file that somebody changed
    since the run wrote it is warned of.

    Raises:
        InputError: no such run directory, or nothing in it to report.
        RunBusyError: the run is in use.
    """
    folder = run.path(".") if isinstance(run, Run) else Path(run)
    name, *others = write_report(run, compare=compare, margin=margin)
    if (folder / MANIFEST).is_file():
        for line in write_manifest(folder, name, *others):
            warnings.warn(line, stacklevel=2)
    return folder / name


def write_report(run: Run | str | Path, *, compare: Sequence[str | Path] = (), margin: float = MARGIN) -> list[str]:
    """Write what `report` writes, without the manifest, and return the names of the files; the page is the first.

    If people's labels have changed, evaluation.json is among them; see `relabel`.
    """
    if not isinstance(run, Run) and (Path(run) / "run.db").is_file():
        with Run(run) as opened:
            return write_report(opened, compare=compare, margin=margin)
    updated = relabel(run) if isinstance(run, Run) else []
    path = page.report(run, compare=compare, margin=margin)
    return [path.name, *updated, *([CARD] if write_card(path.parent) else []), *_dataset_card(path.parent)]


def _dataset_card(folder: Path) -> list[str]:
    """Write dataset_card.md from what the run itself knows, unless it is there; return the files written."""
    pairs, card = folder / "pairs.jsonl", folder / "dataset_card.md"
    if card.exists() or not pairs.is_file() or not pairs.stat().st_size:
        return []
    with Run(folder) as run:
        asked = {f"{row['stage']}: {row['model']}": f"{row['calls']:,} calls" for row in run.calls()}
        counts = run.counts()
    text = dataset_card(load_pairs(pairs, max_bad=0), name=folder.resolve().name, digests=asked, counts=counts)
    write_text(card, text)
    return [card.name]
