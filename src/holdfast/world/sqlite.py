"""SQLite: one writer with group commit, readers beside it on snapshots.

Durable means fsynced: the journal is a write-ahead log with `synchronous=FULL`. SQLite has room for one
writer, so one thread is it; all transactions that wait when it becomes free share one commit and thus one
fsync. Each runs in a savepoint of its own, so that an error undoes just the one that raised it, and nobody is
told of success before the commit. Where many brief ones wait the event loop carries them out, between the
writer's BEGIN and COMMIT, which may take long. `MemoryDatabase` does all of it inline, without a thread or a
file.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar, cast

from sqlalchemy import Connection, Engine, StaticPool, create_engine

from holdfast.world.crew import Crew, Job
from holdfast.world.errors import Trouble
from holdfast.world.held import HeldConnection

T = TypeVar("T")
P = ParamSpec("P")

READERS = 2
GROUP_WRITES_MAX = 256
GROUP_READS_MAX = 8
BRIEF_LEAST = 4
BRIEF_MAX = 64
"""So many brief transactions are done by the event loop at a time. Two threads that take turns at the lock of
the interpreter, statement by statement, cost more than the statements; done in one thread it is two turns."""
LOOP_SECONDS = 1.0
"""How often the writer looks whether the event loop that works for it is still there."""
BUSY_SECONDS = 5.0
CACHED_STATEMENTS = 1000

_PRAGMAS: Final = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA cache_size=-65536",
    "PRAGMA mmap_size=268435456",
    # The log is folded into the file at 16 MiB: rarely enough to cost little, often enough to stay small.
    "PRAGMA wal_autocheckpoint=4000",
    "PRAGMA journal_size_limit=67108864",
)


def open_sqlite(path: str, *, busy_seconds: float = BUSY_SECONDS) -> sqlite3.Connection:
    """A connection with our settings that begins no transaction by itself; raises Trouble."""
    try:
        connection = sqlite3.connect(
            path,
            timeout=busy_seconds,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=CACHED_STATEMENTS,
        )
        for pragma in _PRAGMAS:
            connection.execute(pragma).close()
    except sqlite3.Error as error:
        raise translated(error, path) from error
    return connection


def engine_on(raw: sqlite3.Connection) -> Engine:
    """An engine whose only connection is `raw`, which stays open when the engine's user closes it."""
    return create_engine(
        "sqlite+pysqlite://",
        creator=lambda: raw,
        poolclass=StaticPool,
        # Transactions are ended by whoever began them, never by a connection's return to its pool.
        pool_reset_on_return=None,
        query_cache_size=CACHED_STATEMENTS,
    )


_TROUBLES: Final[dict[int, tuple[str, bool, str]]] = {
    sqlite3.SQLITE_BUSY: ("database.busy", True, "Another program holds the database; try again."),
    sqlite3.SQLITE_LOCKED: ("database.busy", True, "Another program holds the database; try again."),
    sqlite3.SQLITE_FULL: ("disk.full", False, "Free some space on the disk that holds the database."),
    sqlite3.SQLITE_IOERR: ("disk.failed", True, "Look at the health of the disk that holds the database."),
    sqlite3.SQLITE_CANTOPEN: ("database.unreachable", True, "See that its folder exists and is writable."),
    sqlite3.SQLITE_READONLY: ("database.unreachable", False, "Make the file and its folder writable."),
    sqlite3.SQLITE_CORRUPT: ("disk.failed", False, "The file is damaged: restore it from a backup."),
    sqlite3.SQLITE_NOTADB: ("disk.failed", False, "The file is no database: restore it from a backup."),
    sqlite3.SQLITE_PROTOCOL: ("database.busy", True, "Another program holds the database; try again."),
}


def translated(error: BaseException, path: str) -> BaseException:
    """The error as our family has it; one that is not about the world (a broken constraint) as it is."""
    cause = getattr(error, "orig", error)
    if not isinstance(cause, sqlite3.Error):
        return error
    # Errors that the driver itself raises (a closed connection) carry no code.
    code = getattr(cause, "sqlite_errorcode", -1) & 0xFF
    if code not in _TROUBLES:
        return error
    kind, retry, advice = _TROUBLES[code]
    trouble = Trouble(kind, f"The database {path} failed: {cause}.", retry=retry, advice=advice)
    trouble.__cause__ = error
    return trouble


class _Held:
    """One connection kept for life. Transactions are begun and ended here, beneath SQLAlchemy."""

    def __init__(self, path: str, *, reading: bool, busy_seconds: float) -> None:
        self.path = path
        self.raw = open_sqlite(path, busy_seconds=busy_seconds)
        if reading:
            self.execute("PRAGMA query_only=ON")
        self._held = HeldConnection(engine_on(self.raw))

    def perform(self, job: Job) -> None:
        """Runs the job's function in the transaction that is open."""
        job.perform(self._held.connection)
        if not self._held.sound:
            self._held.renew()

    def execute(self, sql: str) -> None:
        self.raw.execute(sql).close()

    def leave(self) -> None:
        """Rolls back whatever is open."""
        if self.raw.in_transaction:
            self.execute("ROLLBACK")

    def close(self) -> None:
        self._held.let_go()
        self.raw.close()


class _Writer:
    """Runs groups of transactions, each in a savepoint, all in one commit."""

    group_max = GROUP_WRITES_MAX

    def __init__(self, held: _Held) -> None:
        self._held = held

    def run(self, jobs: Sequence[Job]) -> None:
        if not self._commit_together(jobs) and len(jobs) > 1:
            # Something undid the whole group (a full disk does): let each stand or fall by itself.
            for job in jobs:
                self._commit_together([job])

    def _commit_together(self, jobs: Sequence[Job]) -> bool:
        held = self._held
        try:
            held.execute("BEGIN IMMEDIATE")
            if self._perform_all(jobs):
                held.execute("COMMIT")
                return True
        except sqlite3.Error as error:
            self._undo(jobs, translated(error, held.path))
        else:
            self._undo(jobs, None)
        return False

    def _perform_all(self, jobs: Sequence[Job]) -> bool:
        """Whether the transaction is still open after all of them."""
        brief = [job for job in jobs if job.brief]
        if len(brief) < BRIEF_LEAST:
            return self._perform_each(jobs)
        if not self._perform_each([job for job in jobs if not job.brief]):
            return False
        return all(
            _on_loop(brief[at].loop, self._perform_each, brief[at : at + BRIEF_MAX])
            for at in range(0, len(brief), BRIEF_MAX)
        )

    def _perform_each(self, jobs: Sequence[Job]) -> bool:
        for job in jobs:
            self._perform(job)
            if not self._held.raw.in_transaction:
                return False
        return True

    def _perform(self, job: Job) -> None:
        held = self._held
        held.execute("SAVEPOINT work")
        held.perform(job)
        if job.error is not None:
            job.error = translated(job.error, held.path)
            if held.raw.in_transaction:
                held.execute("ROLLBACK TO work")
        if held.raw.in_transaction:
            held.execute("RELEASE work")

    def _undo(self, jobs: Sequence[Job], error: BaseException | None) -> None:
        self._held.leave()
        for job in jobs:
            job.result = None
            job.error = job.error or error

    def close(self) -> None:
        self._held.close()


def _on_loop(
    loop: asyncio.AbstractEventLoop | None, work: Callable[[Sequence[Job]], bool], jobs: Sequence[Job]
) -> bool:
    """What `work(jobs)` gives, done by the event loop; this thread stands still meanwhile."""
    outcome: Future[bool] = Future()

    def run() -> None:
        if not outcome.set_running_or_notify_cancel():
            return
        try:
            outcome.set_result(work(jobs))
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            outcome.set_exception(error)

    assert loop is not None, "a submitted job knows its loop"
    try:
        loop.call_soon_threadsafe(run)
    except RuntimeError:
        # The loop was closed while its jobs waited: nothing runs beside this thread.
        return work(jobs)
    while True:
        try:
            return outcome.result(LOOP_SECONDS)
        except TimeoutError:
            if loop.is_closed() and outcome.cancel():
                return work(jobs)


class _Reader:
    """Runs a few reads on one snapshot, taken after all of them were asked for."""

    group_max = GROUP_READS_MAX

    def __init__(self, held: _Held) -> None:
        self._held = held

    def run(self, jobs: Sequence[Job]) -> None:
        held = self._held
        try:
            held.execute("BEGIN")
            for job in jobs:
                read(job, held)
            held.execute("COMMIT")
        except sqlite3.Error as error:
            for job in jobs:
                job.error = job.error or translated(error, held.path)
            held.leave()

    def close(self) -> None:
        self._held.close()


class _Near:
    """Reads in the thread of the event loop; what is asked for in one turn of the loop shares a snapshot.

    The snapshot ends before any callback that was asked for after it began. So whoever has been told of a
    commit, by this process or another, finds it; and three lookups of a request take one lock.
    """

    def __init__(self, held: _Held) -> None:
        self._held = held
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, job: Job) -> None:
        held, loop = self._held, asyncio.get_running_loop()
        try:
            if self._loop is not loop:
                held.leave()
                held.execute("BEGIN")
                loop.call_soon(self._end)
                self._loop = loop
            read(job, held)
        except sqlite3.Error as error:
            job.error = job.error or translated(error, held.path)
            self._end()

    def _end(self) -> None:
        self._loop = None
        with contextlib.suppress(sqlite3.ProgrammingError):
            # That it was closed in between.
            self._held.leave()

    def close(self) -> None:
        self._held.close()


def read(job: Job, held: _Held) -> None:
    """Runs a reading job; an attempt to write is our bug and said to be."""
    held.perform(job)
    if job.error is None:
        return
    cause = getattr(job.error, "orig", None)
    if getattr(cause, "sqlite_errorcode", -1) & 0xFF == sqlite3.SQLITE_READONLY:
        wrong = AssertionError("a function given to read() must not write")
        wrong.__cause__ = job.error
        job.error = wrong
    job.error = translated(job.error, held.path)


class SqliteDatabase:
    """A database in a file of this machine, made if missing. Close it to end its threads."""

    one_at_a_time = True

    def __init__(
        self, path: str | Path, *, readers: int = READERS, busy_seconds: float = BUSY_SECONDS
    ) -> None:
        def held(*, reading: bool) -> _Held:
            return _Held(str(path), reading=reading, busy_seconds=busy_seconds)

        self._writer = Crew("sqlite-write", [_Writer(held(reading=False))])
        self._readers = Crew("sqlite-read", [_Reader(held(reading=True)) for _ in range(readers)])
        # It never waits: what it finds busy is left to the readers.
        self._near: _Near | None = _Near(_Held(str(path), reading=True, busy_seconds=0.0))

    async def transact(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return cast("T", await self._writer.submit(Job(work, args, kwargs, reading=False)))

    async def transact_briefly(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        job = Job(work, args, kwargs, reading=False)
        job.brief = True
        return cast("T", await self._writer.submit(job))

    async def read(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return cast("T", await self._readers.submit(Job(work, args, kwargs, reading=True)))

    async def peek(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        if self._near is not None:
            # A lookup takes microseconds, handing it to a thread and back ten times as many.
            job = Job(work, args, kwargs, reading=True)
            self._near.run(job)
            if not _is_busy(job.error):
                return cast("T", _outcome(job))
        return await self.read(work, *args, **kwargs)

    async def close(self) -> None:
        if self._near is not None:
            self._near.close()
            self._near = None
        await self._readers.close()
        await self._writer.close()


class MemoryDatabase:
    """A database in memory that runs everything at once, where it was asked for: no threads, no waiting.

    `image` is a database file's content to start from, such as `migrations.upgrade.empty_image()`.
    """

    one_at_a_time = True

    def __init__(self, image: bytes | None = None) -> None:
        self._held = _Held(":memory:", reading=False, busy_seconds=0.0)
        if image is not None:
            self._held.raw.deserialize(image)
        self._writer = _Writer(self._held)
        self._closed = False

    async def transact(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        job = Job(work, args, kwargs, reading=False)
        self._check_open()
        self._writer.run([job])
        return cast("T", _outcome(job))

    transact_briefly = transact

    async def read(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        job = Job(work, args, kwargs, reading=True)
        self._check_open()
        self._held.execute("PRAGMA query_only=ON")
        try:
            read(job, self._held)
        finally:
            self._held.execute("PRAGMA query_only=OFF")
        return cast("T", _outcome(job))

    peek = read

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._held.close()

    def _check_open(self) -> None:
        if self._closed:
            raise Trouble("database.unreachable", "The database was closed by this program.", retry=False)


def _is_busy(error: BaseException | None) -> bool:
    return isinstance(error, Trouble) and error.code == "database.busy"


def _outcome(job: Job) -> Any:
    if job.error is not None:
        raise job.error
    return job.result
