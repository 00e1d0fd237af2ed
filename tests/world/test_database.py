"""One contract for every database, and what is particular to each."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Column, Connection, ForeignKey, Integer, MetaData, Table, Text, func, insert, select
from sqlalchemy.exc import IntegrityError
from tests.world.wire_to_postgresql import CutWire

from holdfast.world.chance import SystemChance
from holdfast.world.database import Database
from holdfast.world.errors import Refusal, Trouble
from holdfast.world.open_database import open_database
from holdfast.world.simulated.chance import SimulatedChance
from holdfast.world.simulated.database import SimulatedDatabase
from holdfast.world.sqlite import SqliteDatabase

METADATA = MetaData()
HARBOURS = Table("test_harbours", METADATA, Column("id", Integer, primary_key=True), Column("name", Text))
BOATS = Table(
    "test_boats",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("harbour", Integer, ForeignKey("test_harbours.id"), nullable=False),
)


def make_tables(connection: Connection) -> None:
    METADATA.create_all(connection)


def add(connection: Connection, number: int, *, name: str = "") -> int:
    connection.execute(insert(HARBOURS).values(id=number, name=name))
    return number


def numbers(connection: Connection) -> list[int]:
    return list(connection.execute(select(HARBOURS.c.id).order_by(HARBOURS.c.id)).scalars())


def write_name(connection: Connection, number: int, name: str) -> None:
    connection.execute(HARBOURS.update().where(HARBOURS.c.id == number).values(name=name))


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(
    params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql), "memory", "simulated"]
)
async def any_database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    opened: Database
    if request.param == "sqlite":
        opened = SqliteDatabase(tmp_path / "test.db")
    elif request.param == "memory":
        opened = open_database("sqlite://")
    elif request.param == "simulated":
        opened = SimulatedDatabase(SimulatedChance(1), seconds_max=0.0001)
    else:
        scratch = request.getfixturevalue("postgresql_scratch")
        scratch.empty()
        opened = open_database(scratch.url, connections=4)
    await opened.transact(make_tables)
    yield opened
    await opened.close()


async def test_a_transaction_returns_what_its_function_returns(any_database: Database) -> None:
    assert await any_database.transact(add, 7, name="Sète") == 7
    assert await any_database.read(numbers) == [7]


async def test_of_many_brief_transactions_only_those_that_fail_are_undone(any_database: Database) -> None:
    def add_unless_third(connection: Connection, number: int) -> int:
        add(connection, number)
        if number % 3 == 0:
            raise Refusal("request.invalid", "a third one")
        return number

    # More than one turn of the event loop, among transactions that are not brief.
    ended = await asyncio.gather(
        *(any_database.transact_briefly(add_unless_third, number) for number in range(300)),
        *(any_database.transact(add_unless_third, number) for number in range(300, 330)),
        return_exceptions=True,
    )
    kept = [number for number in range(330) if number % 3]
    assert [one for one in ended if not isinstance(one, BaseException)] == kept
    assert await any_database.read(numbers) == kept


async def test_a_peek_sees_what_was_committed_and_cannot_write(any_database: Database) -> None:
    for number in range(3):
        await any_database.transact(add, number)
        assert await any_database.peek(numbers) == list(range(number + 1))
    with pytest.raises(AssertionError, match="must not write"):
        await any_database.peek(add, 7)
    assert await any_database.peek(numbers) == [0, 1, 2]


async def test_what_was_committed_is_seen_by_the_next_read(any_database: Database) -> None:
    for number in range(20):
        await any_database.transact(add, number)
        assert await any_database.read(numbers) == list(range(number + 1))


async def test_an_error_undoes_its_own_transaction_only(any_database: Database) -> None:
    def refuse(connection: Connection, number: int) -> None:
        add(connection, number)
        raise Refusal("bucket.exists", "No.")

    outcomes = await asyncio.gather(
        *(any_database.transact(refuse if number % 3 else add, number) for number in range(30)),
        return_exceptions=True,
    )
    kept = list(range(0, 30, 3))
    assert [outcome for outcome in outcomes if not isinstance(outcome, BaseException)] == kept
    assert all(isinstance(outcomes[number], Refusal) for number in range(30) if number % 3)
    assert await any_database.read(numbers) == kept


async def test_a_broken_constraint_is_the_functions_own_error(any_database: Database) -> None:
    await any_database.transact(add, 1)
    outcomes = await asyncio.gather(
        any_database.transact(add, 1), any_database.transact(add, 2), return_exceptions=True
    )
    assert isinstance(outcomes[0], IntegrityError)
    assert outcomes[1] == 2
    with pytest.raises(IntegrityError):
        await any_database.transact(
            lambda connection: connection.execute(insert(BOATS).values(id=1, harbour=99))
        )
    assert await any_database.read(numbers) == [1, 2]


async def test_a_savepoint_can_be_undone_and_the_rest_kept(any_database: Database) -> None:
    def careful(connection: Connection) -> None:
        add(connection, 1)
        with contextlib.suppress(IntegrityError), connection.begin_nested():
            add(connection, 2)
            add(connection, 1)
        add(connection, 3)

    await any_database.transact(careful)
    assert await any_database.read(numbers) == [1, 3]


async def test_reading_functions_must_not_write(any_database: Database) -> None:
    with pytest.raises(AssertionError, match="must not write"):
        await any_database.read(add, 1)
    assert await any_database.read(numbers) == []
    await any_database.transact(add, 1)


@pytest.mark.parametrize("end", ["commit", "rollback"])
async def test_functions_must_not_end_their_transaction(any_database: Database, end: str) -> None:
    def meddle(connection: Connection) -> None:
        add(connection, 1)
        getattr(connection, end)()

    with pytest.raises(AssertionError, match="must not commit or roll back"):
        await any_database.transact(meddle)
    await any_database.transact(add, 2)
    assert await any_database.read(numbers) == [2]


async def test_a_read_sees_one_snapshot(any_database: Database) -> None:
    await any_database.transact(add, 1)
    between = threading.Event()

    def twice(connection: Connection) -> tuple[int, int]:
        first = connection.execute(select(func.count()).select_from(HARBOURS)).scalar_one()
        between.wait(0.05)
        return first, connection.execute(select(func.count()).select_from(HARBOURS)).scalar_one()

    async def disturb() -> None:
        await any_database.transact(add, 2)
        between.set()

    seen, _ = await asyncio.gather(any_database.read(twice), disturb())
    assert seen[0] == seen[1]


async def test_counting_transactions_lose_no_count(any_database: Database) -> None:
    def count(connection: Connection) -> int:
        name = connection.execute(select(HARBOURS.c.name).where(HARBOURS.c.id == 1)).scalar_one()
        write_name(connection, 1, str(int(name) + 1))
        return int(name)

    await any_database.transact(add, 1, name="0")
    seen = await asyncio.gather(*(any_database.transact(count) for _ in range(25)))
    assert sorted(seen) == list(range(25))


async def test_two_that_read_what_the_other_writes_end_as_if_one_came_first(any_database: Database) -> None:
    def write_skew(connection: Connection, number: int) -> None:
        """Adds its number only while there is none at all: run one after the other, one row comes of it."""
        if not numbers(connection):
            add(connection, number)

    await asyncio.gather(*(any_database.transact(write_skew, number) for number in range(10)))
    assert len(await any_database.read(numbers)) == 1


async def test_a_cancelled_caller_disturbs_nobody(any_database: Database) -> None:
    tasks = [asyncio.create_task(any_database.transact(add, number)) for number in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert outcomes[1::2] == list(range(1, 20, 2))
    assert set(range(1, 20, 2)) <= set(await any_database.read(numbers))


async def test_a_closed_database_says_so(any_database: Database) -> None:
    await any_database.close()
    await any_database.close()
    for call in (any_database.transact, any_database.read):
        with pytest.raises(Trouble) as trouble:
            await call(numbers)
        assert (trouble.value.code, trouble.value.retry) == ("database.unreachable", False)


async def test_statements_are_compiled_once(any_database: Database) -> None:
    misses: list[str] = []

    def look(connection: Connection, number: int) -> None:
        result = connection.execute(select(HARBOURS.c.name).where(HARBOURS.c.id == number))
        misses.append(result.context.cache_hit.name)  # type: ignore[attr-defined]  # only cursor results have one

    for number in range(10):
        await any_database.read(look, number)
    assert misses.count("CACHE_HIT") >= 10 - 4, "each of a few engines may compile it once"


# --- SQLite ----------------------------------------------------------------------------------------------


async def test_sqlite_acknowledges_only_what_another_program_can_read(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "test.db")
    await database.transact(make_tables)
    await asyncio.gather(*(database.transact(add, number) for number in range(50)))
    with contextlib.closing(sqlite3.connect(tmp_path / "test.db")) as other:
        assert other.execute("SELECT count(*) FROM test_harbours").fetchone() == (50,)
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    await database.close()
    assert files_in(tmp_path) == ["test.db"]


async def test_sqlite_shares_one_commit_among_those_that_wait(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "test.db")
    await database.transact(make_tables)
    gate = threading.Event()
    await_gate = asyncio.create_task(database.transact(lambda _connection: gate.wait(5)))
    await asyncio.sleep(0)
    others = [asyncio.create_task(database.transact(add, number)) for number in range(100)]
    await asyncio.sleep(0)
    before = (tmp_path / "test.db-wal").stat().st_size
    gate.set()
    await asyncio.gather(await_gate, *others)
    # A commit writes at least one page of 4 KiB to the log: a hundred would be 400 KiB.
    assert (tmp_path / "test.db-wal").stat().st_size - before < 40_000
    await database.close()


async def test_sqlite_held_by_another_program_is_busy(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "test.db", busy_seconds=0.05)
    await database.transact(make_tables)
    with contextlib.closing(sqlite3.connect(tmp_path / "test.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Trouble) as trouble:
            await database.transact(add, 1)
        assert (trouble.value.code, trouble.value.retry) == ("database.busy", True)
        assert await database.read(numbers) == []
        other.execute("ROLLBACK")
    await database.transact(add, 1)
    await database.close()


@pytest.mark.slow
def test_sqlite_keeps_what_it_acknowledged_when_its_program_is_killed(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\n"
        "from tests.world.test_database import SqliteDatabase, add, make_tables\n"
        "async def main():\n"
        "    database = SqliteDatabase(sys.argv[1])\n"
        "    await database.transact(make_tables)\n"
        "    async def write(first):\n"
        "        for number in range(first, 1 << 30, 16):\n"
        "            print(await database.transact(add, number), flush=True)\n"
        "    await asyncio.gather(*(write(first) for first in range(16)))\n"
        "asyncio.run(main())\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", program, tmp_path / "test.db"], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    acknowledged = [int(writer.stdout.readline()) for _ in range(2000)]
    writer.kill()
    acknowledged += [int(line) for line in writer.stdout.read().split(b"\n")[:-1]]
    writer.wait()
    writer.stdout.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "test.db")) as after:
        kept = {number for (number,) in after.execute("SELECT id FROM test_harbours")}
        assert after.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert set(acknowledged) <= kept


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"this is no database, but a letter" * 200, "disk.failed"), (None, "database.unreachable")],
)
def test_a_file_that_is_no_database_is_trouble(tmp_path: Path, content: bytes | None, code: str) -> None:
    path = tmp_path / "test.db" if content else tmp_path / "no" / "folder" / "test.db"
    if content:
        path.write_bytes(content)
    with pytest.raises(Trouble) as trouble:
        open_database(f"sqlite:///{path}")
    assert trouble.value.code == code


async def test_a_group_that_a_full_disk_undid_is_tried_one_by_one(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "test.db")
    await database.transact(make_tables)

    def limit(connection: Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 20}")

    await database.transact(limit)
    outcomes = await asyncio.gather(
        *(
            database.transact(add, number, name="x" * (1_000_000 if number == 5 else 10))
            for number in range(10)
        ),
        return_exceptions=True,
    )
    troubles = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert [(type(trouble), getattr(trouble, "code", "")) for trouble in troubles] == [(Trouble, "disk.full")]
    assert await database.read(numbers) == [number for number in range(10) if number != 5]
    await database.close()


# --- PostgreSQL ------------------------------------------------------------------------------------------


def sleepy(connection: Connection, seconds: float) -> None:
    """Keeps a connection busy, so that others have to be opened."""
    connection.exec_driver_sql(f"SELECT pg_sleep({seconds})")


@pytest.fixture
def own_url(postgresql_scratch: Any) -> str:
    postgresql_scratch.empty()
    return str(postgresql_scratch.url)


@pytest.mark.postgresql
async def test_a_lost_connection_is_made_again_unnoticed(own_url: str) -> None:
    database = open_database(own_url, connections=1)
    await database.transact(make_tables)
    with psycopg.connect(own_url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'holdfast'"
        )
    await database.transact(add, 1)
    assert await database.read(numbers) == [1]
    await database.close()


@pytest.mark.postgresql
@pytest.mark.parametrize("last_words", [False, True])
async def test_a_server_that_died_is_unreachable_and_back_as_soon_as_it_is(
    own_url: str, tmp_path: Path, *, last_words: bool
) -> None:
    with CutWire(own_url, tmp_path) as wire:
        database = open_database(wire.url, connections=6, chance=SimulatedChance(1))
        await database.transact(make_tables)
        held = asyncio.gather(*(database.transact(sleepy, 0.05) for _ in range(6)))
        await held
        wire.dead = True
        wire.cut(last_words=last_words)
        for _ in range(8):
            for call, *arguments in ((database.read, numbers), (database.transact, add, 1)):
                with pytest.raises(Trouble) as trouble:
                    await call(*arguments)
                assert (trouble.value.code, trouble.value.retry) == ("database.unreachable", True)
        wire.dead = False
        assert await database.read(numbers) == []
        # Restarted while nobody asked: all connections are dead, and no call is told of it.
        await asyncio.gather(*(database.transact(sleepy, 0.05) for _ in range(6)))
        wire.cut(last_words=last_words)
        await database.transact(add, 1)
        assert await database.read(numbers) == [1]
        await database.close()


@pytest.mark.postgresql
async def test_a_server_that_dies_amid_a_transaction_undoes_it(own_url: str, tmp_path: Path) -> None:
    with CutWire(own_url, tmp_path) as wire:
        database = open_database(wire.url, connections=1, chance=SimulatedChance(1))
        await database.transact(make_tables)
        tries = []

        def cut_short(connection: Connection) -> None:
            tries.append(None)
            add(connection, len(tries))
            if len(tries) == 1:
                wire.cut()
            numbers(connection)

        await database.transact(cut_short)
        assert await database.read(numbers) == [2]
        await database.close()


@pytest.mark.postgresql
async def test_a_function_that_goes_on_after_a_failed_statement_is_not_told_that_it_succeeded(
    own_url: str,
) -> None:
    database = open_database(own_url, connections=1)
    await database.transact(make_tables)

    def careless(connection: Connection) -> None:
        add(connection, 1)
        with contextlib.suppress(IntegrityError):
            add(connection, 1)

    with pytest.raises(AssertionError, match="savepoint"):
        await database.transact(careless)
    assert await database.read(numbers) == []
    await database.close()


@pytest.mark.postgresql
async def test_a_row_held_for_too_long_is_busy(own_url: str) -> None:
    database = open_database(own_url, connections=1)
    await database.transact(make_tables)
    await database.transact(add, 1)

    def impatient(connection: Connection) -> None:
        connection.exec_driver_sql("SET LOCAL lock_timeout = '20ms'")
        write_name(connection, 1, "mine")

    with psycopg.connect(own_url) as other:
        other.execute("UPDATE test_harbours SET name = 'theirs'")
        with pytest.raises(Trouble) as trouble:
            await database.transact(impatient)
        assert (trouble.value.code, trouble.value.retry) == ("database.busy", True)
    await database.close()


@pytest.mark.parametrize(
    ("url", "retry"),
    [
        ("postgresql://nobody@/nothing?host=/nonexistent", True),
        ("postgresql://nobody@127.0.0.1:1/nothing", True),
    ],
)
async def test_a_server_that_is_not_there_is_trouble(url: str, *, retry: bool) -> None:
    database = open_database(url, connections=1, chance=SimulatedChance(1))
    with pytest.raises(Trouble) as trouble:
        await database.read(numbers)
    assert (trouble.value.code, trouble.value.retry) == ("database.unreachable", retry)
    await database.close()


@pytest.mark.parametrize("url", ["", "holdfast.db", "mysql://host/name", "https://example.org"])
def test_a_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(Refusal) as refusal:
        open_database(url, chance=SystemChance())
    assert refusal.value.code == "config.invalid"


# --- the simulated one -----------------------------------------------------------------------------------


async def test_a_simulated_server_can_be_gone_busy_and_silent_about_a_commit() -> None:
    database = SimulatedDatabase(SimulatedChance(1), seconds_max=0.0)
    await database.transact(make_tables)
    database.gone = True
    with pytest.raises(Trouble, match="cannot be reached"):
        await database.transact(add, 1)
    database.gone, database.busy = False, 1.0
    with pytest.raises(Trouble, match="overloaded"):
        await database.transact(add, 2)
    database.busy, database.silences = 0.0, 1.0
    with pytest.raises(Trouble) as trouble:
        await database.transact(add, 3)
    assert trouble.value.facts == {"outcome": "unknown"}
    assert await database.read(numbers) == [3]
    await database.close()


async def test_a_simulated_server_finds_functions_out_that_cannot_be_run_again() -> None:
    database = SimulatedDatabase(SimulatedChance(1), seconds_max=0.0)
    database.rehearsals = 1.0
    runs: list[int] = []
    await database.transact(lambda _connection: runs.append(1))
    assert len(runs) == 2
    await database.close()
