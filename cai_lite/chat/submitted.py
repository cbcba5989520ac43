"""What a run knows of the batches that it submitted, as rows of run.db; so a killed run finds them again."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from cai_lite.records import digest
from cai_lite.run.ledger import Run

KIND = "batch"  # of the rows

State = Literal["submitting", "submitted", "done", "void"]
"""Where a batch is: the server may or may not have it, it has it, its replies are stored, it never worked on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """A batch of one model.

    `mark`: stands in its metadata, so that a batch whose id was never stored can be found. `model`: the digest of the
    model. `keys`: of its requests. `file`: the id of the uploaded file. `id`: of the batch, "" as long as it is not
    known. `at`: when it was submitted, in seconds since the epoch.
    """

    mark: str
    model: str
    keys: tuple[str, ...] = field(repr=False)
    file: str
    id: str = ""
    state: State = "submitting"
    at: float = field(default_factory=time.time)

    def noted(self, run: Run, **changes: Any) -> Submitted:
        """Store the batch in the run, with these fields changed, and return it as stored."""
        now = replace(self, **changes)
        payload = {"id": now.id, "state": now.state, "model": now.model, "file": now.file, "at": now.at}
        run.keep_rows(KIND, [(f"{KIND} {now.mark}", now.keys, payload)], replace=True)
        return now


def new_mark(run: Run, keys: Collection[str]) -> str:
    """Return a mark for a new batch of these requests; the same run never gives it twice."""
    return digest(KIND, run.secret, list(keys), len(run.keys_beginning(f"{KIND} ")))


def under_way(run: Run, model: str | None = None) -> list[Submitted]:
    """Return the batches whose replies are not all stored, in the order of their submission.

    `model`: the digest of the model that was asked; all models if None.
    """
    found = [
        Submitted(mark=key.removeprefix(f"{KIND} "), keys=tuple(keys), **payload)
        for key, keys, payload in run.rows(KIND)
    ]
    return [one for one in found if one.state in ("submitting", "submitted") and model in (None, one.model)]
