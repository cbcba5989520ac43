"""`Run`: a run directory with one SQLite database, in which every row is keyed by its content.

Replies of models are keyed by the request, rows by the request and the parser. So the same command on the same
directory resumes where it stopped, and a corrected parser re-reads the replies without paying for them again. In WAL
mode, SQLite loses no committed row when the process is killed.
"""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from cai_lite.errors import InputError, RunBusyError, Stopped
from cai_lite.records import Reply, digest

_SCHEMA = """
create table if not exists calls(
    key text primary key, stage text, model text, outcome text, fault text, text text, log_probs text,
    tokens_in integer, tokens_out integer, attempts integer, seconds real, cost real, at real);
create table if not exists rows(key text primary key, kind text, parents text, payload text);
create table if not exists counts(stage text, what text, n integer, primary key(stage, what));
create table if not exists memos(name text primary key, fingerprint text, value text);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The spending limits of a run, over all its sessions; None means no limit.

    `max_cost`: in the currency of the models' prices. `max_tokens`: prompt and reply tokens together.
    """

    max_cost: float | None = None
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_cost", "max_tokens"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"'{name}' should be above 0 and finite, got {value}")


class Run:
    """A run directory that stores every reply and every row, so that an interrupted run can be resumed.

    Without `directory`, everything is kept in memory and lost on `close`. `budget` limits the cost of the calls;
    `chat.asking.ask` checks it.

    Raises:
        RunBusyError: another process, or another `Run` in this process, has the directory open.
        InputError: `directory` is a file.
    """

    def __init__(self, directory: str | Path | None = None, *, budget: Budget | None = None) -> None:
        self.budget = budget or Budget()
        self.directory = Path(directory) if directory is not None else None
        self._lock: sqlite3.Connection | None = None
        if self.directory is not None:
            if self.directory.exists() and not self.directory.is_dir():
                raise InputError(f"{self.directory} is a file; give a directory for the run")
            self.directory.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(self.directory)
        self._db = sqlite3.connect(self.directory / "run.db" if self.directory else ":memory:")
        self._db.execute("pragma journal_mode=wal")
        self._db.executescript(_SCHEMA)

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database and release the lock on the directory."""
        self._db.close()
        if self._lock is not None:
            self._lock.close()

    def path(self, name: str) -> Path:
        """Return the path of a file in the run directory.

        Raises:
            InputError: the run is kept in memory and has no directory.
        """
        if self.directory is None:
            raise InputError(f"'{name}' needs a run directory; use Run('some/directory')")
        return self.directory / name

    # Calls of models

    def replies(self, keys: Iterable[str]) -> dict[str, Reply]:
        """Return the stored replies to these calls, by key. Failed calls are left out, so that they are tried again."""
        found: dict[str, Reply] = {}
        for key in keys:
            row = self._db.execute(
                "select text, outcome, fault, log_probs, tokens_in, tokens_out, attempts, seconds, cost from calls"
                " where key = ? and outcome != 'failed'",
                (key,),
            ).fetchone()
            if row:
                found[key] = Reply(
                    text=row[0],
                    outcome=row[1],
                    fault=row[2],
                    log_probs=json.loads(row[3]),
                    tokens_in=row[4],
                    tokens_out=row[5],
                    attempts=row[6],
                    seconds=row[7],
                    cost=row[8],
                )
        return found

    def keep_replies(self, stage: str, model: str, replies: Mapping[str, Reply]) -> None:
        """Store replies by key, in one transaction: all of them are on disk when this returns, or none."""
        now = time.time()
        with self._db:
            self._db.executemany(
                "insert or replace into calls values(?,?,?,?,?,?,?,?,?,?,?,?,?)",
                [
                    (
                        key,
                        stage,
                        model,
                        r.outcome,
                        r.fault,
                        r.text,
                        json.dumps(dict(r.log_probs) if r.log_probs else None),
                        r.tokens_in,
                        r.tokens_out,
                        r.attempts,
                        r.seconds,
                        r.cost,
                        now,
                    )
                    for key, r in replies.items()
                ],
            )

    def calls(self) -> list[dict[str, Any]]:
        """Return one row per stage and model: calls, faults, tokens in and out, seconds, cost."""
        cursor = self._db.execute(
            "select stage, model, count(*) calls, sum(outcome != 'ok') faults, sum(tokens_in) tokens_in,"
            " sum(tokens_out) tokens_out, sum(seconds) seconds, sum(cost) cost from calls"
            " group by stage, model order by min(rowid)"
        )
        return [dict(zip((d[0] for d in cursor.description), row, strict=True)) for row in cursor]

    def check_budget(self) -> None:
        """Check the budget.

        Raises:
            Stopped: the budget is spent.
        """
        tokens, cost = self._db.execute("select sum(tokens_in + tokens_out), sum(cost) from calls").fetchone()
        for name, spent, limit in (
            ("max_cost", cost or 0.0, self.budget.max_cost),
            ("max_tokens", tokens or 0, self.budget.max_tokens),
        ):
            if limit is not None and spent >= limit:
                raise Stopped(
                    f"the budget is spent: {spent:,.4g} of {limit:,.4g} (budget.{name}); raise it to continue"
                )

    # Rows and counts

    def keep_rows(self, kind: str, rows: Iterable[tuple[str, Iterable[str], Mapping[str, Any]]]) -> None:
        """Store rows of (key, parents, payload); a row whose key exists already is left unchanged."""
        with self._db:
            self._db.executemany(
                "insert or ignore into rows values(?,?,?,?)",
                [
                    (key, kind, json.dumps(list(parents)), json.dumps(payload, ensure_ascii=False))
                    for key, parents, payload in rows
                ],
            )

    def row(self, key: str) -> tuple[str, list[str], dict[str, Any]] | None:
        """Return (kind, parents, payload) of the row with this key, or None."""
        found = self._db.execute("select kind, parents, payload from rows where key = ?", (key,)).fetchone()
        return (found[0], json.loads(found[1]), json.loads(found[2])) if found else None

    def keys_beginning(self, start: str) -> list[str]:
        """Return the keys of all rows that start with `start`."""
        found = self._db.execute("select key from rows where substr(key, 1, ?) = ?", (len(start), start))
        return [key for (key,) in found]

    def rows(self, kind: str) -> Iterator[tuple[str, list[str], dict[str, Any]]]:
        """Yield (key, parents, payload) of every row of a kind, in the order in which they were stored."""
        for key, parents, payload in self._db.execute(
            "select key, parents, payload from rows where kind = ? order by rowid", (kind,)
        ):
            yield key, json.loads(parents), json.loads(payload)

    def rows_by_principle(self) -> dict[str, dict[str, int]]:
        """Return the number of rows that mention a principle, as {principle: {kind: count}}."""
        found: dict[str, dict[str, int]] = {}
        for principle, kind, n in self._db.execute(
            "select json_extract(payload, '$.principle') principle, kind, count(*) from rows"
            " where principle is not null group by principle, kind order by principle, kind"
        ):
            found.setdefault(principle, {})[kind] = n
        return found

    def count(self, stage: str, counts: Mapping[str, int]) -> None:
        """Replace the counts of a stage: how many rows it made, and how many it dropped for which reason."""
        with self._db:
            self._db.execute("delete from counts where stage = ?", (stage,))
            self._db.executemany("insert into counts values(?,?,?)", [(stage, what, n) for what, n in counts.items()])

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the counts of each stage."""
        found: dict[str, dict[str, int]] = {}
        for stage, what, n in self._db.execute("select stage, what, n from counts order by rowid"):
            found.setdefault(stage, {})[what] = n
        return found

    # Results of long computations

    def recall(self, name: str, *decided_by: Any) -> Any | None:
        """Return the result stored under `name` if it was computed from the same `decided_by`, else None."""
        found = self._db.execute("select fingerprint, value from memos where name = ?", (name,)).fetchone()
        return json.loads(found[1]) if found and found[0] == digest(name, *decided_by) else None

    def remember(self, name: str, value: Any, *decided_by: Any) -> None:
        """Store a result under `name`, with a digest of everything that determined it."""
        with self._db:
            self._db.execute(
                "insert or replace into memos values(?,?,?)", (name, digest(name, *decided_by), json.dumps(value))
            )


def _lock(directory: Path) -> sqlite3.Connection:
    """Lock the directory by a SQLite file lock, which works on every system and ends with the process."""
    lock = sqlite3.connect(directory / ".lock", timeout=0, isolation_level=None)
    try:
        lock.execute("begin exclusive")
    except sqlite3.OperationalError as error:
        lock.close()
        raise RunBusyError(
            f"{directory}: another process is using this run directory; wait until it ends, or choose another --out"
        ) from error
    return lock
