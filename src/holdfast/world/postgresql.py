"""PostgreSQL through psycopg, on held connections: one thread for each, so that a transaction never waits in
a pool's hands, and plain functions need no await.

Transactions are SERIALIZABLE: the rooms' functions read, decide and write, and only that level makes this
right without locks by hand. The price is that a lost race (SQLSTATE 40001, 40P01) is run again, after a
jittered pause; CockroachDB speaks the same codes. Reads are REPEATABLE READ, which is one snapshot and
never loses a race. Group commit between connections is PostgreSQL's own.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Concatenate, Final, ParamSpec, TypeVar, cast

import psycopg
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, TransactionStatus
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event

from holdfast.world.chance import Chance
from holdfast.world.crew import Crew, Job
from holdfast.world.errors import Refusal, Trouble
from holdfast.world.held import HeldConnection

T = TypeVar("T")
P = ParamSpec("P")

CONNECTIONS = 16
RACES_MAX = 12
"""How often a transaction may lose a race before its caller is told."""
CONNECTIONS_LOST_MAX = 3
"""How often it is tried on a new connection: enough for a server that was restarted while nobody used it."""
PAUSE_SECONDS_FIRST = 0.002
PAUSE_SECONDS_MAX = 0.25
CONNECT_SECONDS = 5
CACHED_STATEMENTS = 1000
GROUP_READS_MAX = 8

_BEGIN_WRITE: Final = b"BEGIN ISOLATION LEVEL SERIALIZABLE"
_BEGIN_READ: Final = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_COMMIT: Final = b"COMMIT"
_ROLLBACK: Final = b"ROLLBACK"
_SESSION: Final = (
    "SET statement_timeout = '60s'",
    "SET lock_timeout = '10s'",
    "SET idle_in_transaction_session_timeout = '60s'",
)

_ATTEMPTS_MAX: Final = {"database.busy": RACES_MAX, "database.unreachable": CONNECTIONS_LOST_MAX}

_RACES: Final = frozenset({"40001", "40P01"})
_READ_ONLY: Final = "25006"
_BUSY: Final = frozenset({"53300", "55P03", "57014"})
_FULL: Final = "53100"
_GONE: Final = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03"})
_SAID_BY_NOBODY: Final = (psycopg.OperationalError, psycopg.DatabaseError)
"""What the driver raises for a connection that ended; a server that lives gives a state with its errors."""


class _AgainError(Exception):
    """The transaction left no trace and may be run again; `trouble` is what to say if that does not help."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(str(trouble))
        self.trouble = trouble


def make_engine(url: URL) -> Engine:
    """An engine for `url` without a pool, whose connections begin no transaction by themselves."""
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        query_cache_size=CACHED_STATEMENTS,
        use_native_hstore=False,
        connect_args={"connect_timeout": CONNECT_SECONDS, "application_name": "holdfast"},
    )

    @event.listens_for(engine, "connect")
    def settle(raw: Any, _record: object) -> None:
        for setting in _SESSION:
            raw.execute(setting)

    return engine


def translated(error: BaseException) -> BaseException:
    """The error as our family has it; one that is not about the world (a broken constraint) as it is."""
    cause = getattr(error, "orig", error)
    if not isinstance(cause, psycopg.Error):
        return error
    if isinstance(cause, psycopg.DataError) and "NUL" in str(cause):
        # SQLite stores it. No name of ours may have it, so whoever asks for one that does finds nothing.
        refusal = Refusal("request.invalid", "A text in the request holds the NUL character.")
        refusal.__cause__ = error
        return refusal
    state = cause.sqlstate or ""
    words = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
    again: BaseException
    if state in _RACES:
        again = _AgainError(
            Trouble("database.busy", f"The transaction kept losing races: {words}.", advice="Try again.")
        )
    elif state in _BUSY:
        again = Trouble("database.busy", f"The database is overloaded: {words}.", advice="Try again later.")
    elif state == _FULL:
        again = Trouble(
            "disk.full",
            f"The database server has no space left: {words}.",
            retry=False,
            advice="Free some space on the server's disk.",
        )
    elif state in _GONE or (not state and type(cause) in _SAID_BY_NOBODY):
        again = _AgainError(unreachable(words))
    elif state[:2] in {"08", "28", "3D", "53", "58"}:
        again = unreachable(words, retry=state[:2] in {"08", "53", "58"})
    else:
        return error
    (again.trouble if isinstance(again, _AgainError) else again).__cause__ = error
    return again


def settled(error: BaseException) -> BaseException:
    """Like `translated`, for a caller that will not try again by itself."""
    outcome = translated(error)
    return outcome.trouble if isinstance(outcome, _AgainError) else outcome


def unreachable(words: str, *, retry: bool = True) -> Trouble:
    """The Trouble of a server that does not answer or turns us away."""
    return Trouble(
        "database.unreachable",
        f"The database server cannot be used: {words}.",
        retry=retry,
        advice="See that the server runs and that the database setting names it.",
    )


class _Server:
    """What the sessions of a database have in common.

    `losses` counts connections that turned out to be lost. Most often all were lost together (the server was
    restarted), so none that was made before the last loss is trusted: else each would cost somebody a try.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.losses = 0


class _Session:
    """One held connection, made when it is first needed and again when it, or another, was lost.

    Reads that wait together share one snapshot, taken after all of them were asked for. Transactions that
    write stay apart: PostgreSQL itself lets those of several connections share a flush.
    """

    group_max = GROUP_READS_MAX

    def __init__(self, server: _Server) -> None:
        self._server = server
        self._losses_seen = 0
        self._held: HeldConnection | None = None
        self._raw: psycopg.Connection[Any]

    def run(self, jobs: Sequence[Job]) -> None:
        waiting = deque(jobs)
        while waiting:
            reads = list(itertools.takewhile(lambda job: job.reading, waiting))
            for _ in range(self._run(reads or [waiting[0]])):
                waiting.popleft()

    def _run(self, jobs: Sequence[Job]) -> int:
        """Runs the jobs in one transaction, up to the first that fails; returns how many are done with."""
        done = 0
        try:
            held = self._connected()
            self._execute(_BEGIN_READ if jobs[0].reading else _BEGIN_WRITE)
            for job in jobs:
                done += 1
                job.perform(held.connection)
                if job.error is None and self._raw.pgconn.transaction_status == TransactionStatus.INERROR:
                    # COMMIT would silently roll back, and the function be told that it succeeded.
                    job.error = AssertionError("a function went on after a failed statement: use a savepoint")
                if job.error is not None:
                    break
            self._end(jobs[done - 1])
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to the callers, who await it
            done = max(done, 1)
            jobs[done - 1].error = translated(error)
        lost = _is_lost(jobs[done - 1].error)
        if lost:
            self._server.losses += 1
        if self._held is not None and (lost or self._raw.closed or not self._held.sound):
            self._drop()
        return done

    def _end(self, job: Job) -> None:
        """Ends the transaction as its last job did."""
        if job.error is not None:
            job.error = _explained(job)
            if not self._raw.closed:
                self._execute(_ROLLBACK)
            return
        try:
            self._execute(_COMMIT)
        except psycopg.Error as error:
            if job.reading:
                return  # what was read stays good: a snapshot needs no commit
            outcome = translated(error)
            if isinstance(outcome, _AgainError) and outcome.trouble.code == "database.unreachable":
                # It may have been committed: running it again is the caller's to decide.
                outcome.trouble.facts["outcome"] = "unknown"
                raise outcome.trouble from error
            raise

    def _execute(self, command: bytes) -> None:
        """Runs a command without parameters or rows, past the driver's cursors: a third of their cost."""
        result = self._raw.pgconn.exec_(command)
        if self._raw.closed:
            raise psycopg.OperationalError(self._raw.pgconn.get_error_message())
        if result.status != ExecStatus.COMMAND_OK:
            raise error_from_result(result)

    def _connected(self) -> HeldConnection:
        if self._losses_seen != self._server.losses:
            self._drop()
        if self._held is None:
            self._losses_seen = self._server.losses
            held = HeldConnection(self._server.engine)
            raw = held.connection.connection.driver_connection
            assert isinstance(raw, psycopg.Connection), "the engine is psycopg's"
            self._held, self._raw = held, raw
        return self._held

    def _drop(self) -> None:
        if self._held is not None:
            held, self._held = self._held, None
            held.forget()

    def close(self) -> None:
        self._drop()


def _is_lost(error: BaseException | None) -> bool:
    """Whether the connection, or the server, is gone."""
    trouble = error.trouble if isinstance(error, _AgainError) else error
    return isinstance(trouble, Trouble) and trouble.code == "database.unreachable"


def _explained(job: Job) -> BaseException:
    assert job.error is not None, "only a failed job needs explaining"
    cause = getattr(job.error, "orig", None)
    if job.reading and isinstance(cause, psycopg.Error) and cause.sqlstate == _READ_ONLY:
        wrong = AssertionError("a function given to read() must not write")
        wrong.__cause__ = job.error
        return wrong
    return translated(job.error)


class PostgresqlDatabase:
    """A database on a server, which need not be up yet.

    While it is not, calls raise Trouble("database.unreachable").
    """

    one_at_a_time = False

    def __init__(self, url: URL, *, chance: Chance, connections: int = CONNECTIONS) -> None:
        self._chance = chance
        server = _Server(make_engine(url))
        self._crew = Crew("postgresql", [_Session(server) for _ in range(connections)])

    async def transact(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return cast("T", await self._persist(Job(work, args, kwargs, reading=False)))

    transact_briefly = transact

    async def read(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return cast("T", await self._persist(Job(work, args, kwargs, reading=True)))

    peek = read

    async def close(self) -> None:
        await self._crew.close()

    async def _persist(self, job: Job) -> Any:
        """Runs the job until it ends otherwise than by losing a race or a connection."""
        pause = PAUSE_SECONDS_FIRST
        for attempt in itertools.count(1):
            try:
                return await self._crew.submit(job)
            except _AgainError as again:
                if attempt >= _ATTEMPTS_MAX[again.trouble.code]:
                    raise again.trouble from again
            await asyncio.sleep(self._chance.unit() * pause)
            pause = min(pause * 2, PAUSE_SECONDS_MAX)
        raise AssertionError("the last attempt returns or raises")
