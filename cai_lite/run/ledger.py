"""`Run`: a run directory with one SQLite database, in which every row is keyed by its content.

Replies of models are keyed by the request, rows by the request and the parser. So the same command on the same
directory resumes where it stopped, and a corrected parser re-reads the replies without paying for them again. In WAL
mode, SQLite loses no committed row when the process is killed.
"""

from __future__ import annotations

import json
import math
import os
import secrets
import socket
import sqlite3
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar
from weakref import WeakValueDictionary

from cai_lite.errors import DiskError, InputError, RunBusyError, Stopped
from cai_lite.records import Reply, digest
from cai_lite.run.disk import writing
from cai_lite.run.files import write_text
from cai_lite.run.signals import held

_SCHEMA = """
create table if not exists calls(
    key text primary key, stage text, model text, outcome text, fault text, text text, log_probs text,
    tokens_in integer, tokens_out integer, attempts integer, seconds real, cost real, at real);
create table if not exists rows(key text primary key, kind text, parents text, payload text);
create table if not exists counts(stage text, what text, n integer, primary key(stage, what));
create table if not exists memos(name text primary key, fingerprint text, value text);
create table if not exists meta(name text primary key, value text);
"""
_COLUMNS = {
    "calls": "key, stage, model, outcome, fault, text, log_probs, tokens_in, tokens_out, attempts, seconds, cost, at",
    "rows": "key, kind, parents, payload",
    "memos": "name, fingerprint, value",
}
OWNER = ".lock.json"  # who holds the lock, for messages
_CALLED = {"calls": "the reply to call", "rows": "row", "memos": "the result"}


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
    `chat.asking.ask` checks it. A directory that this thread has open already gives the same object again, so that a
    notebook cell can be run twice; it is closed by the last `close`.

    Raises:
        RunBusyError: another process or thread has the directory open.
        InputError: `directory` is a file, or run.db is damaged.
        DiskError: the disk is full, read-only or gone; every method that stores something raises it, too.
    """

    _open: ClassVar[WeakValueDictionary[tuple[Path, int, int], Run]] = WeakValueDictionary()
    budget: Budget
    recovered: str | None = None
    """A sentence to show if the process that worked here before ended without closing the run."""
    _uses = 0  # calls of `Run(...)` without a `close`
    _spending: tuple[float, int] | None = None  # (cost, tokens) of the calls, once they were summed

    def __new__(cls, directory: str | Path | None = None, *, budget: Budget | None = None) -> Run:
        found = cls._open.get(_place(directory)) if directory is not None else None
        return super().__new__(cls) if found is None else found

    def __init__(self, directory: str | Path | None = None, *, budget: Budget | None = None) -> None:
        if self._uses:
            self._uses += 1
            self.budget = budget or self.budget
            return
        self.budget = budget or Budget()
        self.directory = Path(directory) if directory is not None else None
        self._lock: sqlite3.Connection | None = None
        if self.directory is not None:
            if self.directory.exists() and not self.directory.is_dir():
                raise InputError(f"{self.directory} is a file; give a directory for the run")
            with writing(self.directory):
                self.directory.mkdir(parents=True, exist_ok=True)
            self._lock = lock_directory(self.directory)
        try:
            self._db = _connect(self.directory)
            if self.directory is not None:
                self.recovered = _own(self.directory)
        except BaseException:
            if self._lock is not None:
                self._lock.close()
            raise
        self._uses = 1
        if self.directory is not None:
            self._open[_place(self.directory)] = self

    @classmethod
    def reading(cls, directory: str | Path) -> Run:
        """Return a run directory for reading only, even while another process works in it.

        Raises:
            InputError: it is not a run directory.
        """
        directory = Path(directory)
        if not (directory / "run.db").is_file():
            raise InputError(f"{directory} is not a run directory (run.db not found)")
        run = object.__new__(cls)
        run.budget, run.directory, run._lock, run._uses = Budget(), directory, None, 1
        address = f"{(directory / 'run.db').resolve().as_uri()}?mode=ro"
        run._db = sqlite3.connect(address, uri=True)
        try:
            run._db.execute("select count(*) from sqlite_master")
        except sqlite3.OperationalError:  # SQLite needs a file of its own beside run.db, which this disk does not take
            run._db.close()
            journal = directory / "run.db-wal"
            if journal.exists() and journal.stat().st_size:
                raise DiskError(
                    f"{directory} cannot be read where it is: its last rows wait in {journal.name}, which SQLite has "
                    "to join first; copy the run directory to a disk that is writable and has space"
                ) from None
            run._db = sqlite3.connect(f"{address}&immutable=1", uri=True)
        return run

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database and release the lock on the directory, unless the run was opened more than once."""
        self._uses = max(0, self._uses - 1)
        if self._uses:
            return
        if self.directory is not None and self._lock is not None:
            self._open.pop(_place(self.directory), None)
        self._db.close()
        if self._lock is not None and self.directory is not None:
            with suppress(OSError):
                (self.directory / OWNER).unlink()
            self._lock.close()

    def path(self, name: str) -> Path:
        """Return the path of a file in the run directory.

        Raises:
            InputError: the run is kept in memory and has no directory.
        """
        if self.directory is None:
            raise InputError(f"'{name}' needs a run directory; use Run('some/directory')")
        return self.directory / name

    @cached_property
    def secret(self) -> str:
        """The random secret of this run, which delimiters around candidates depend on.

        A run of an earlier version has none, "": its requests stay as they were, and it asks nothing anew.
        """
        return self._meta("secret") or ""

    def take_over(self, earlier: Run) -> None:
        """Copy the replies of another run, so that nothing which that run asked is asked again; at most once.

        They keep their digests, and are not counted as calls of this run. The secret is copied with them, since
        requests depend on it. Rows, counts and results are left out: the same replies make them anew.

        Raises:
            InputError: this run holds replies that are not of `earlier`.
        """
        if self._meta("taken over") is not None and self.secret == earlier.secret:
            return
        if self._db.execute("select count(*) from calls").fetchone()[0]:
            raise InputError(
                f"{self.directory} holds the replies of another run already; choose a directory that does not exist yet"
            )
        table, columns = "calls", _COLUMNS["calls"]
        known = earlier._db.execute(f"select {columns}, {earlier._sha} from calls order by rowid").fetchall()
        with self._changing():
            marks = ",".join("?" * (len(columns.split(",")) + 1))
            self._db.executemany(f"insert into calls({columns}, sha) values({marks})", known)
            self._set_meta(f"sum of {table}", f"{sum(int(row[-1] or '0', 16) for row in known):x}")
            self._set_meta("secret", earlier.secret)
            self._set_meta("taken over", str(len(known)))
        vars(self).pop("secret", None)

    @property
    def taken_over(self) -> int:
        """The number of replies that `take_over` copied from another run."""
        return int(self._meta("taken over") or "0")

    # Calls of models

    def replies(self, keys: Iterable[str]) -> dict[str, Reply]:
        """Return the stored replies to these calls, by key. Failed calls are left out, so that they are tried again.

        A reply that was changed after it was stored is left out with a warning, so that it is asked for again.
        """
        found: dict[str, Reply] = {}
        for key in keys:
            row = self._stored("calls", key)
            if row is None or row[3] == "failed":
                continue
            if not _fits("calls", row):
                _warn(f"the reply to call {key} was changed after it was stored; it is asked for again")
                continue
            found[key] = Reply(
                outcome=row[3],
                fault=row[4],
                text=row[5],
                log_probs=json.loads(row[6]),
                tokens_in=row[7],
                tokens_out=row[8],
                attempts=row[9],
                seconds=row[10],
                cost=row[11],
            )
        return found

    def keep_replies(self, stage: str, model: str, replies: Mapping[str, Reply]) -> None:
        """Store replies by key, in one transaction: all of them are on disk when this returns, or none."""
        now = time.time()
        spending, self._spending = self._spending, None  # should this be interrupted, they are summed anew
        with self._changing():
            replaced = self._put(
                "calls",
                (
                    (
                        key,
                        stage,
                        model,
                        r.outcome,
                        r.fault,
                        r.text,
                        json.dumps(dict(r.log_probs) if r.log_probs else None),
                        int(r.tokens_in),
                        int(r.tokens_out),
                        int(r.attempts),
                        float(r.seconds),  # as SQLite returns it, so that the digest fits
                        float(r.cost),
                        now,
                    )
                    for key, r in replies.items()
                ),
                replace=True,
            )
        if spending is not None and not any(row[7] or row[8] or row[11] for row in replaced):  # as failed calls are
            self._spending = (
                spending[0] + sum(reply.cost for reply in replies.values()),
                spending[1] + sum(reply.tokens_in + reply.tokens_out for reply in replies.values()),
            )

    def calls(self) -> list[dict[str, Any]]:
        """Return one row per stage and model: calls, faults, tokens in and out, seconds, cost.

        What was taken over from another run is not counted, here and in the budget.
        """
        cursor = self._db.execute(
            "select stage, model, count(*) calls, sum(outcome != 'ok') faults, sum(tokens_in) tokens_in,"
            " sum(tokens_out) tokens_out, sum(seconds) seconds, sum(cost) cost from calls where rowid > ?"
            " group by stage, model order by min(rowid)",
            (self.taken_over,),  # copied into an empty table, so theirs are the first row ids
        )
        return [dict(zip((d[0] for d in cursor.description), row, strict=True)) for row in cursor]

    def period(self) -> tuple[float, float] | None:
        """Return when the first and the last call were stored, in seconds since the epoch; None without calls."""
        own = "select min(at), max(at) from calls where rowid > ?"
        first, last = self._db.execute(own, (self.taken_over,)).fetchone()
        return None if first is None else (float(first), float(last))

    def times(self) -> list[tuple[str, float]]:
        """Return the stage of each call and when its reply was stored, in seconds since the epoch, in this order."""
        own = "select stage, at from calls where rowid > ? order by at"
        return [(str(stage), float(at)) for stage, at in self._db.execute(own, (self.taken_over,))]

    def check_budget(self) -> None:
        """Check the budget.

        Raises:
            Stopped: the budget is spent.
        """
        cost, tokens = self._spent()
        for name, spent, limit in (
            ("max_cost", cost, self.budget.max_cost),
            ("max_tokens", tokens, self.budget.max_tokens),
        ):
            if limit is not None and spent >= limit:
                raise Stopped(
                    f"the budget is spent: {spent:,.4g} of {limit:,.4g} (budget.{name}); raise it to continue"
                )

    def budget_left(self) -> tuple[float, float]:
        """Return what is left of the budget, as (cost, tokens); infinite where there is no limit."""
        limits = (self.budget.max_cost, self.budget.max_tokens)
        cost, tokens = (
            math.inf if limit is None else limit - spent for limit, spent in zip(limits, self._spent(), strict=True)
        )
        return cost, tokens

    def _spent(self) -> tuple[float, int]:
        """Return (cost, tokens) of all calls of this run; the table is read once, since it is asked for often."""
        if self._spending is None:
            own = "select sum(tokens_in + tokens_out), sum(cost) from calls where rowid > ?"
            tokens, cost = self._db.execute(own, (self.taken_over,)).fetchone()
            self._spending = cost or 0.0, tokens or 0
        return self._spending

    # Rows and counts

    def keep_rows(
        self, kind: str, rows: Iterable[tuple[str, Iterable[str], Mapping[str, Any]]], *, replace: bool = False
    ) -> None:
        """Store rows of (key, parents, payload).

        A row whose key exists already is left unchanged, unless it is damaged or `replace` is true.
        """
        with self._changing():
            self._put(
                "rows",
                (
                    (key, kind, json.dumps(list(parents)), json.dumps(payload, ensure_ascii=False))
                    for key, parents, payload in rows
                ),
                replace=replace,
            )

    def row(self, key: str) -> tuple[str, list[str], dict[str, Any]] | None:
        """Return (kind, parents, payload) of the row with this key, or None."""
        found = self._db.execute("select kind, parents, payload from rows where key = ?", (key,)).fetchone()
        return (found[0], json.loads(found[1]), json.loads(found[2])) if found else None

    def keys_beginning(self, start: str) -> list[str]:
        """Return the keys of all rows that start with `start`."""
        bounds = (start, f"{start}\U0010ffff")  # a range, which the index of the keys finds
        found = self._db.execute("select key from rows where key >= ? and key < ? order by rowid", bounds)
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
        with self._changing():
            self._db.execute("delete from counts where stage = ?", (stage,))
            self._db.executemany("insert into counts values(?,?,?)", [(stage, what, n) for what, n in counts.items()])
            self._set_meta(f"counts of {stage}", _digest_of_counts(counts))

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the counts of each stage."""
        found: dict[str, dict[str, int]] = {}
        for stage, what, n in self._db.execute("select stage, what, n from counts order by rowid"):
            found.setdefault(stage, {})[what] = n
        return found

    # Results of long computations

    def recall(self, name: str, *decided_by: Any) -> Any | None:
        """Return the result stored under `name` if it was computed from the same `decided_by`, else None.

        A result that was changed after it was stored is left out with a warning, so that it is computed again.
        """
        found = self._stored("memos", name)
        if found is None or found[1] != digest(name, *decided_by):
            return None
        if not _fits("memos", found):
            _warn(f"the result '{name}' was changed after it was stored; it is computed again")
            return None
        return json.loads(found[2])

    def remember(self, name: str, value: Any, *decided_by: Any) -> None:
        """Store a result under `name`, with a digest of everything that determined it."""
        with self._changing():
            self._put("memos", [(name, digest(name, *decided_by), json.dumps(value))], replace=True)

    # Digests: of each row, and the sum of all of them, so that an edited, a removed and an added row are all noticed

    def damage(self) -> Iterator[str]:
        """Yield a sentence for each reply, row, result and count that is no longer as this library stored it.

        Rows that an earlier version stored have no digest, and are not checked.
        """
        for table, columns in _COLUMNS.items():
            total, edited = 0, False
            for row in self._db.execute(f"select {columns}, {self._sha} from {table} where {self._sha} is not null"):
                total += int(row[-1], 16)
                if not _fits(table, row):
                    edited = True
                    yield f"run.db: {_CALLED[table]} {row[0]} was changed after it was stored"
            if not edited and total != self._total(table):
                yield f"run.db: rows of the table '{table}' were removed or added"
        stored = self.counts()
        known = "select name, value from meta where name like 'counts of %'"
        for name, sha in self._db.execute(known).fetchall() if self._sha == "sha" else ():
            stage = name.removeprefix("counts of ")
            if _digest_of_counts(stored.pop(stage, {})) != sha:
                yield f"run.db: the counts of '{stage}' were changed after they were stored"

    def uncovered(self) -> int:
        """Return how many calls, rows and results were stored by an earlier version, without a digest."""
        count = "select count(*) from {} where {} is null"
        return sum(self._db.execute(count.format(table, self._sha)).fetchone()[0] for table in _COLUMNS)

    def accept_removals(self) -> None:
        """Take the rows as they are for complete, after `damage` was reported and the missing ones were made again."""
        with self._changing():
            for table in _COLUMNS:
                shas = self._db.execute(f"select sha from {table} where sha is not null")
                self._set_meta(f"sum of {table}", f"{sum(int(sha, 16) for (sha,) in shas):x}")

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Open a transaction, which a signal that asks to stop does not cut off."""
        on_disk = self.directory is not None and self._lock is not None
        with held(), writing(self.path("run.db")) if on_disk else nullcontext(), self._db:
            yield

    def _put(self, table: str, rows: Iterable[tuple[Any, ...]], *, replace: bool) -> list[tuple[Any, ...]]:
        """Insert rows with their digests, and return those that they replace.

        Without `replace`, an existing row stays if it fits its digest.
        """
        total, replaced = self._total(table), list[tuple[Any, ...]]()
        for values in rows:
            old = self._stored(table, values[0])
            if old is not None:
                if not replace and _fits(table, old):
                    continue
                total -= int(old[-1] or "0", 16)
                replaced.append(old)
            sha = digest(table, *values)
            marks = ",".join("?" * (len(values) + 1))
            self._db.execute(f"insert or replace into {table}({_COLUMNS[table]}, sha) values({marks})", (*values, sha))
            total += int(sha, 16)
        self._set_meta(f"sum of {table}", f"{total:x}")
        return replaced

    def _stored(self, table: str, key: str) -> tuple[Any, ...] | None:
        """Return a row with its digest, or None."""
        name = _COLUMNS[table].partition(",")[0]
        query = f"select {_COLUMNS[table]}, {self._sha} from {table} where {name} = ?"
        row: tuple[Any, ...] | None = self._db.execute(query, (key,)).fetchone()
        return row

    @cached_property
    def _sha(self) -> str:
        """The column of digests; null in a database of an earlier version that was opened for reading."""
        return "sha" if "sha" in _columns(self._db, "calls") else "null"

    def _total(self, table: str) -> int:
        return int(self._meta(f"sum of {table}") or "0", 16)

    def _meta(self, name: str) -> str | None:
        if not _columns(self._db, "meta"):  # an earlier version's, opened for reading
            return None
        found = self._db.execute("select value from meta where name = ?", (name,)).fetchone()
        return found[0] if found else None

    def _set_meta(self, name: str, value: str) -> None:
        self._db.execute("insert or replace into meta values(?,?)", (name, value))


def _connect(directory: Path | None) -> sqlite3.Connection:
    """Return the open database of a directory, or one in memory.

    Raises:
        InputError: it is damaged. DiskError: the disk is full, read-only or gone.
    """
    if directory is None:
        db = sqlite3.connect(":memory:")
        _prepare(db)
        return db
    file = directory / "run.db"
    with writing(file):
        db = sqlite3.connect(file)
        try:
            db.execute("pragma journal_mode=wal")
            _prepare(db)
        except sqlite3.OperationalError:
            db.close()
            raise
        except sqlite3.DatabaseError as error:
            db.close()
            raise InputError(
                f"{file} is damaged ({error}); put back a copy, or choose another run directory to start anew"
            ) from error
    return db


def _prepare(db: sqlite3.Connection) -> None:
    """Create the tables of a new database, with its secret, in one transaction; add what an older one lacks."""
    new = not _columns(db, "calls")
    secret = f"insert into meta values('secret', '{secrets.token_hex(16)}');" if new else ""
    lacking = [table for table in _COLUMNS if new or "sha" not in _columns(db, table)]
    db.executescript(
        f"begin;{_SCHEMA}{secret}"
        + "".join(f"alter table {table} add column sha text;" for table in lacking)
        + "commit;"
    )


def _columns(db: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in db.execute(f"pragma table_info({table})")]


def _fits(table: str, row: tuple[Any, ...]) -> bool:
    """Return whether a stored row is what its digest, the last column, was made of; True without a digest."""
    return row[-1] is None or digest(table, *row[:-1]) == row[-1]


def _digest_of_counts(counts: Mapping[str, int]) -> str:
    return digest("counts", sorted(counts.items()))


def _warn(message: str) -> None:
    warnings.warn(f"run.db: {message}", stacklevel=3)


def in_use(directory: Path) -> bool:
    """Return whether a process or thread has the run open."""
    if not (directory / ".lock").is_file():
        return False
    try:
        lock_directory(directory).close()
    except RunBusyError:
        return True
    except DiskError:  # nobody can work on such a disk
        return False
    return False


def _place(directory: str | Path) -> tuple[Path, int, int]:
    """Return what a run is shared by: its directory, in one thread of one process, as SQLite allows."""
    return Path(directory).resolve(), os.getpid(), threading.get_ident()


def lock_directory(directory: Path) -> sqlite3.Connection:
    """Lock the directory by a SQLite file lock, which works on every system and ends with the process.

    Raises:
        RunBusyError: somebody else holds it. InputError: the disk cannot lock files. DiskError: it is full, read-only
        or gone.
    """
    file = directory / ".lock"
    lock = sqlite3.connect(file, timeout=0.1, isolation_level=None)  # `status` holds it for a moment, too
    try:
        with writing(file):
            lock.execute("begin exclusive")
        return lock
    except sqlite3.DatabaseError as error:
        lock.close()
        code = error.sqlite_errorcode & 0xFF
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            # SQLite reads the file once the lock is its own: nobody holds it, and what somebody wrote there is void.
            with writing(file):
                os.truncate(file, 0)
            return lock_directory(directory)
        if code not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise InputError(f"{file} cannot be locked ({error}); choose a run directory on a local disk") from error
        holder = _owner(directory) or "another process"
        if holder.startswith(f"process {os.getpid()} on {socket.gethostname()}"):
            holder = "another thread of this process"
        raise RunBusyError(
            f"{directory}: {holder} is using this run directory; wait until it ends, or choose another directory"
        ) from error
    except BaseException:
        lock.close()
        raise


def _own(directory: Path) -> str | None:
    """Write down who holds the lock, to be named to others; return a sentence about an owner who never gave it back.

    The lock itself ends with its process, so what stands in a file never decides whether the directory is free: a
    process of that number may be another one by now, on this host or another.
    """
    before = _owner(directory)
    owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    write_text(directory / OWNER, json.dumps(owner))
    if before is None:
        return None
    return f"{before} ended without closing this run; its lock is taken over, and all that it stored is kept"


def _owner(directory: Path) -> str | None:
    """Return "process 123 on HOST (since ...)" for who holds the lock or held it last; None if it was given back."""
    try:
        owner = json.loads((directory / OWNER).read_text(encoding="utf-8"))
        return f"process {int(owner['pid'])} on {str(owner['host'])[:80]} (since {str(owner['since'])[:40]})"
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
