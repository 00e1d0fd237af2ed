"""Brings a database's schema to what this program expects, in one transaction.

Any number of processes may start at once: one upgrades, the others wait and find nothing left to do. A step
that cannot get its lock, or runs too long, gives up and leaves everything as it was, rather than holding up
those who use the database.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Final

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, make_url
from sqlalchemy.exc import SQLAlchemyError

from holdfast.world import postgresql, sqlite
from holdfast.world.errors import Failure, Refusal

WAIT_SECONDS: Final = 60
"""How long to wait for another process that is upgrading."""

LOCK_SECONDS: Final = 5
STATEMENT_SECONDS: Final = 600

# Any number will do, as long as nobody else on the server uses it: the first eight bytes of "holdfast".
_ADVISORY_LOCK: Final = int.from_bytes(b"holdfast", "big") >> 1

# Alembic's `op` is bound to one migration of the process at a time.
_ONE_AT_A_TIME: Final = threading.Lock()


def scripts() -> ScriptDirectory:
    """All steps this program knows."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(config)


def upgrade_schema(url: str) -> None:
    """Upgrades the database at `url` to the newest step; blocks.

    Raises Refusal("format.newer") if a newer program has upgraded it already, Refusal("config.invalid") for a
    database in memory, Trouble("database.busy" | "database.unreachable") if it cannot be done now.
    """
    parts = make_url(url)
    if parts.get_backend_name() == "postgresql":
        _upgrade_postgresql(parts)
    elif parts.database in {None, "", ":memory:"}:
        raise Refusal(
            "config.invalid", "A database in memory ends with its connection: it opens with its schema made."
        )
    else:
        _upgrade_sqlite(str(parts.database))


@lru_cache(maxsize=1)
def empty_image() -> bytes:
    """The content of a SQLite file with the newest schema and no rows; quick to copy."""
    raw = sqlite.open_sqlite(":memory:")
    try:
        _upgrade_raw(raw)
        return raw.serialize()
    finally:
        raw.close()


def _upgrade_sqlite(path: str) -> None:
    raw = sqlite.open_sqlite(path, busy_seconds=WAIT_SECONDS)
    try:
        _upgrade_raw(raw)
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise sqlite.translated(error, path) from error
    finally:
        raw.close()


def _upgrade_raw(raw: sqlite3.Connection) -> None:
    # A step that rebuilds a table drops the old one, which must not take the rows that point to it along.
    raw.execute("PRAGMA foreign_keys=OFF")
    with sqlite.engine_on(raw).connect() as connection, connection.begin():
        raw.execute("BEGIN IMMEDIATE")
        try:
            run_steps(connection)
            broken = raw.execute("PRAGMA foreign_key_check").fetchall()
            assert not broken, f"a migration left rows that point nowhere: {broken[:3]}"
            raw.execute("COMMIT")
        finally:
            if raw.in_transaction:
                raw.execute("ROLLBACK")


def _upgrade_postgresql(url: URL) -> None:
    try:
        with postgresql.make_engine(url).connect() as connection, connection.begin(), _locked(connection):
            run_steps(connection)
    except Failure:
        raise
    except Exception as error:
        outcome = postgresql.settled(error)
        if outcome is error:
            raise
        raise outcome from error


@contextmanager
def _locked(connection: Connection) -> Iterator[None]:
    """One transaction that no other upgrade runs beside, with time limits; undone by an error."""
    run = connection.exec_driver_sql
    run("BEGIN ISOLATION LEVEL READ COMMITTED")
    try:
        run(f"SET LOCAL lock_timeout = '{WAIT_SECONDS}s'")
        run(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
        run(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
        run(f"SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s'")
        yield
        run("COMMIT")
    except BaseException:
        if not connection.invalidated:
            run("ROLLBACK")
        raise


def run_steps(connection: Connection) -> None:
    """Runs the steps that are missing, in the transaction that is open on the connection."""
    directory = scripts()
    known = {script.revision for script in directory.walk_revisions()}
    heads = MigrationContext.configure(connection).get_current_heads()
    unknown = sorted(set(heads) - known)
    if unknown:
        raise Refusal(
            "format.newer",
            f"The database is at schema step {unknown[0]}, which this program does not know.",
            advice="A newer Holdfast has upgraded it: run that version or a later one.",
            step=unknown[0],
        )

    def missing(revision: str, _context: MigrationContext) -> object:
        return directory._upgrade_revs("head", revision)  # noqa: SLF001 - alembic's own commands do the same

    if set(heads) == set(directory.get_heads()):
        return
    with _ONE_AT_A_TIME, EnvironmentContext(Config(), directory, fn=missing) as environment:
        environment.configure(
            connection=connection,
            transactional_ddl=True,
            render_as_batch=connection.dialect.name == "sqlite",
        )
        environment.run_migrations()
