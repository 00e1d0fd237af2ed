"""Databases for tests: `database` runs a test on every kind, each time with the newest schema and no rows."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from holdfast.world.database import Database
from holdfast.world.migrations.upgrade import empty_image, upgrade_schema
from holdfast.world.open_database import open_database

SERVER = "HOLDFAST_TEST_POSTGRESQL"
WITHOUT = "HOLDFAST_TEST_WITHOUT_POSTGRESQL"

CONNECTIONS = 4


class ScratchDatabase:
    """A database of this run's own on the server, emptied for each test: cheaper than making one for each."""

    def __init__(self, server: str) -> None:
        self._admin = psycopg.connect(_conninfo(server), autocommit=True)
        self._inside = None
        self._name = f"holdfast_test_{uuid.uuid4().hex[:16]}"
        self._admin.execute(f'CREATE DATABASE "{self._name}"')
        self.url = make_url(server).set(database=self._name).render_as_string(hide_password=False)
        try:
            upgrade_schema(self.url)
            self._inside = psycopg.connect(_conninfo(self.url), autocommit=True)
            self._tables = self._all_tables()
            for table in self._tables:
                # Emptying would lose them; then it is time to clone a template database instead.
                assert not self._inside.execute(f'SELECT 1 FROM "{table}" LIMIT 1').fetchall(), (
                    f"a migration wrote rows into {table}"
                )
        except BaseException:
            self.drop()
            raise

    def _all_tables(self) -> set[str]:
        rows = self._inside.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        return {name for (name,) in rows} - {"alembic_version"}

    def empty(self) -> None:
        """Ends what an earlier test left open, drops what it made and deletes what it wrote."""
        self._inside.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        for table in sorted(self._all_tables() - self._tables):
            self._inside.execute(f'DROP TABLE "{table}" CASCADE')
        if self._tables:
            names = ", ".join(f'"{table}"' for table in sorted(self._tables))
            self._inside.execute(f"TRUNCATE {names} RESTART IDENTITY CASCADE")

    def drop(self) -> None:
        """Removes the database from the server."""
        if self._inside is not None:
            self._inside.close()
        self._admin.execute(f'DROP DATABASE "{self._name}" WITH (FORCE)')
        self._admin.close()


def _conninfo(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def postgresql_server() -> str:
    """The URL of a PostgreSQL server that tests may make databases on."""
    server = os.environ.get(SERVER, "")
    if not server and os.environ.get(WITHOUT) == "1":
        pytest.skip(f"{WITHOUT}=1: not tested on PostgreSQL")
    if not server:
        pytest.fail(
            f"{SERVER} names no PostgreSQL server. `make test` starts one; by hand:\n"
            f'  export {SERVER}="$(scripts/postgresql start /tmp/holdfast-postgresql --fast)"\n'
            f"Or set {WITHOUT}=1 to leave these tests out.",
            pytrace=False,
        )
    return server


@pytest.fixture(scope="session")
def postgresql_scratch(postgresql_server: str) -> Iterator[ScratchDatabase]:
    """The run's own database on that server."""
    scratch = ScratchDatabase(postgresql_server)
    yield scratch
    scratch.drop()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database with the newest schema and no rows; once for each kind."""
    if request.param == "sqlite":
        path = tmp_path / "holdfast-test.db"
        path.write_bytes(empty_image())
        return f"sqlite:///{path}"
    scratch: ScratchDatabase = request.getfixturevalue("postgresql_scratch")
    scratch.empty()
    return scratch.url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """That database, open."""
    opened = open_database(database_url, connections=CONNECTIONS)
    yield opened
    await opened.close()
