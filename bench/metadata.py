"""Durable transactions and lookups on both databases, beside the bare drivers doing the same work.

A transaction inserts one row of about 100 bytes and is durable (real fsync) when it returns; a lookup reads
one row by its key. `bare` is the driver without SQLAlchemy, event loop or hand-over between threads: on
SQLite one loop that commits as many rows at once as there are callers; on PostgreSQL as many threads as there
are callers, at most `CONNECTIONS`, each transaction on its own. CPU time is without the server's.

Run: `python -m bench metadata`. PostgreSQL is started by scripts/postgresql and left out if that fails.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import resource
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
import uvloop
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    LargeBinary,
    MetaData,
    Table,
    bindparam,
    insert,
    select,
)

from holdfast.world.database import Database
from holdfast.world.open_database import open_database

CALLERS: Final = (1, 16, 64, 256)
CONNECTIONS: Final = 16
SECONDS: Final = 1.0
"""How long each figure is measured."""

ROWS: Final = 10_000
CONTENT: Final = bytes(range(84))
SCRIPT: Final = Path(__file__).parent.parent / "scripts" / "postgresql"

METADATA: Final = MetaData()
ROW: Final = Table(
    "bench_row",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("content", LargeBinary, nullable=False),
)
# Built once: building a statement for each call costs three times what running it does.
INSERT: Final = insert(ROW)
LOOKUP: Final = select(ROW.c.content).where(ROW.c.number == bindparam("wanted"))


def put(connection: Connection, number: int) -> None:
    """One row more."""
    connection.execute(INSERT, {"number": number, "content": CONTENT})


def look_up(connection: Connection, number: int) -> bytes:
    """The content of a row."""
    return bytes(connection.execute(LOOKUP, {"wanted": number % ROWS}).scalar_one())


def fill(connection: Connection) -> None:
    """A fresh table with rows to look up."""
    METADATA.drop_all(connection)
    METADATA.create_all(connection)
    connection.execute(INSERT, [{"number": number, "content": CONTENT} for number in range(ROWS)])


# --- through the seam ------------------------------------------------------------------------------------


async def drive(call: Callable[[int], Any], callers: int, numbers: Iterator[int]) -> dict[str, float]:
    """What so many callers reach together, each with one call under way."""
    done = 0
    end = time.perf_counter() + SECONDS

    async def one() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await call(next(numbers))
            done += 1

    began, cpu = time.perf_counter(), _cpu_seconds()
    await asyncio.gather(*(one() for _ in range(callers)))
    seconds = time.perf_counter() - began
    return {"per_second": done / seconds, "cpu_us": (_cpu_seconds() - cpu) / done * 1e6}


async def through_the_seam(url: str) -> dict[str, dict[int, dict[str, float]]]:
    """Figures for each number of callers."""
    database: Database = open_database(url, connections=CONNECTIONS)
    await database.transact(fill)
    numbers = itertools.count(ROWS)
    found: dict[str, dict[int, dict[str, float]]] = {"transactions": {}, "lookups": {}}
    for callers in CALLERS:
        await asyncio.gather(*(database.read(look_up, number) for number in range(CONNECTIONS * 4)))
        found["transactions"][callers] = await drive(
            lambda number: database.transact(put, number), callers, numbers
        )
        found["lookups"][callers] = await drive(
            lambda number: database.read(look_up, number), callers, itertools.count()
        )
    await database.close()
    return found


# --- bare ------------------------------------------------------------------------------------------------


def _rate(work: Callable[[], int]) -> float:
    """How many a second `work` gets through, which says how many it did."""
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        done += work()
    return done / (time.perf_counter() - began)


def bare_sqlite(path: Path, callers: int) -> dict[str, float]:
    """One connection, one loop."""
    numbers = itertools.count(1 << 40 | callers << 32)
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("PRAGMA synchronous=FULL")

        def commit() -> int:
            raw.execute("BEGIN IMMEDIATE")
            for _ in range(callers):
                raw.execute("INSERT INTO bench_row VALUES (?, ?)", (next(numbers), CONTENT))
            raw.execute("COMMIT")
            return callers

        def lookups() -> int:
            for number in range(100):
                raw.execute("SELECT content FROM bench_row WHERE number = ?", (number,)).fetchone()
            return 100

        return {"transactions": _rate(commit), "lookups": _rate(lookups)}


def bare_postgresql(url: str, callers: int) -> dict[str, float]:
    """As many threads as callers, each with a connection."""
    threads = min(callers, CONNECTIONS)
    numbers = itertools.count(1 << 40 | callers << 32)
    connections = [psycopg.connect(url, autocommit=True) for _ in range(threads)]

    def commit(raw: psycopg.Connection) -> int:
        raw.execute("INSERT INTO bench_row VALUES (%s, %s)", (next(numbers), CONTENT))
        return 1

    def lookup(raw: psycopg.Connection) -> int:
        raw.execute("SELECT content FROM bench_row WHERE number = %s", (1,)).fetchone()
        return 1

    def together(work: Callable[[psycopg.Connection], int]) -> float:
        rates: list[float] = []

        def one(raw: psycopg.Connection) -> None:
            rates.append(_rate(lambda: work(raw)))

        crew = [threading.Thread(target=one, args=(raw,)) for raw in connections]
        for thread in crew:
            thread.start()
        for thread in crew:
            thread.join()
        return sum(rates)

    found = {"transactions": together(commit), "lookups": together(lookup)}
    for raw in connections:
        raw.close()
    return found


def bare_fsyncs(folder: Path) -> float:
    """How often a second the disk makes 4 KiB durable: the limit of transactions that share nothing.

    Written over what is there, as both databases' logs are once they have come round.
    """
    with (folder / "fsync").open("wb", buffering=0) as file:
        file.write(bytes(1 << 20))
        os.fsync(file.fileno())
        offsets = itertools.cycle(range(0, 1 << 20, 4096))

        def once() -> int:
            os.pwrite(file.fileno(), bytes(4096), next(offsets))
            os.fdatasync(file.fileno())
            return 1

        return _rate(once)


# --- the whole -------------------------------------------------------------------------------------------


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """The URL of a PostgreSQL server with real fsync; empty, after printing why, if there can't be one."""
    started = subprocess.run(
        [SCRIPT, "start", folder], capture_output=True, text=True, check=False, env=_environment()
    )
    if started.returncode:
        print(f"  PostgreSQL left out: {started.stderr.strip()}")
        yield ""
        return
    try:
        yield started.stdout.strip()
    finally:
        subprocess.run([SCRIPT, "stop", folder], check=True, env=_environment())


def _environment() -> dict[str, str]:
    """Ours, without the tests' server: that one may run without fsync."""
    return {name: value for name, value in os.environ.items() if name != "HOLDFAST_TEST_POSTGRESQL"}


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def measure() -> dict[str, Any]:
    """All figures, as `database.kind.callers`; prints them as tables."""
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as name:
        folder = Path(name)
        # The server's own user must be able to reach its folder in here.
        folder.chmod(0o711)
        figures: dict[str, Any] = {"fsyncs_per_second": bare_fsyncs(folder)}
        print(f"  the disk makes 4 KiB durable {figures['fsyncs_per_second']:,.0f} times a second")
        path = folder / "bench.db"
        figures["sqlite"] = _database(f"sqlite:///{path}", lambda callers: bare_sqlite(path, callers))
        _print("sqlite", figures["sqlite"])
        with server(folder / "postgresql") as url:
            if url:
                figures["postgresql"] = _database(url, lambda callers: bare_postgresql(url, callers))
                _print("postgresql", figures["postgresql"])
    return figures


def _database(url: str, bare: Callable[[int], dict[str, float]]) -> dict[str, Any]:
    seam = uvloop.run(through_the_seam(url))
    limits = {callers: bare(callers) for callers in CALLERS}
    return {
        kind: {
            str(callers): {**seam[kind][callers], "bare_per_second": limits[callers][kind]}
            for callers in CALLERS
        }
        for kind in ("transactions", "lookups")
    }


def _print(name: str, figures: dict[str, Any]) -> None:
    for kind, by_callers in figures.items():
        print(f"\n  {name}, {kind} a second\n  {'callers':>8} {'reached':>9} {'bare':>9} {'CPU us':>7}")
        for callers, row in by_callers.items():
            reached, bare = row["per_second"], row["bare_per_second"]
            print(f"  {callers:>8} {reached:>9,.0f} {bare:>9,.0f} {row['cpu_us']:>7.0f}")


if __name__ == "__main__":
    measure()
