"""The schema's history: one chain, the same outcome as the rooms' own tables, safe to run by many at once."""

from __future__ import annotations

import contextlib
import importlib
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.runtime.environment import EnvironmentContext
from sqlalchemy import Connection, MetaData, create_engine, make_url, text

import holdfast
from holdfast.files.records import Version
from holdfast.world.database import Database
from holdfast.world.errors import Refusal, Trouble
from holdfast.world.migrations.upgrade import empty_image, scripts, upgrade_schema

ROOMS = Path(holdfast.__file__).parent


def rooms_metadata() -> list[MetaData]:
    """What the rooms say their tables are, in all their stores."""
    found: dict[int, MetaData] = {}
    for path in sorted(ROOMS.glob("**/store*.py")):
        inside = path.relative_to(ROOMS).with_suffix("").parts
        module = importlib.import_module(".".join(("holdfast", *inside)))
        known = getattr(module, "metadata", None)
        if known is not None:
            found[id(known)] = known
    return list(found.values())


def comparable(_object: object, name: str | None, kind: str, _reflected: object, _other: object) -> bool:
    """Alembic cannot tell on SQLite which way an index goes: tests/files has an eye on this one."""
    return (kind, name) != ("index", "versions_hidden")


def test_the_steps_are_one_chain_in_the_order_of_their_names() -> None:
    steps = list(scripts().walk_revisions())[::-1]
    numbers = [step.revision for step in steps]
    assert numbers == [f"{number + 1:04}" for number in range(len(steps))]
    assert [step.down_revision for step in steps] == [None, *numbers[:-1]]
    assert [Path(step.path).name[:5] for step in steps] == [f"{number}_" for number in numbers]


async def test_the_migrated_schema_is_what_the_rooms_declare(database: Database) -> None:
    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "include_object": comparable}
        )
        return list(compare_metadata(context, rooms_metadata()))

    assert all(metadata.tables for metadata in rooms_metadata())
    assert await database.read(differences) == []


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def bare_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without any schema."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/test.db"
        return
    server: str = request.getfixturevalue("postgresql_server")
    name = f"holdfast_test_{uuid.uuid4().hex[:16]}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"')
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def version_of(url: str) -> list[str]:
    parts = make_url(url)
    if parts.get_backend_name() == "postgresql":
        parts = parts.set(drivername="postgresql+psycopg")
    engine = create_engine(parts)
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all()
    engine.dispose()
    return list(found)


def set_version(url: str, version: str) -> None:
    parts = make_url(url)
    if parts.get_backend_name() == "sqlite":
        with contextlib.closing(sqlite3.connect(str(parts.database))) as connection, connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
    else:
        with psycopg.connect(url) as connection:
            connection.execute("UPDATE alembic_version SET version_num = %s", (version,))


def test_upgrading_again_changes_nothing(bare_url: str) -> None:
    upgrade_schema(bare_url)
    first = version_of(bare_url)
    upgrade_schema(bare_url)
    assert version_of(bare_url) == first == scripts().get_heads()


@pytest.mark.slow
def test_programs_that_start_together_upgrade_once(bare_url: str) -> None:
    # Alembic binds its operations to the process, so that only processes can race.
    program = f"from holdfast.world.migrations.upgrade import upgrade_schema; upgrade_schema({bare_url!r})"
    racers = [subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE) for _ in range(4)]
    assert [(racer.communicate(timeout=60)[1], racer.returncode) for racer in racers] == [(b"", 0)] * 4
    assert version_of(bare_url) == scripts().get_heads()


def test_a_database_that_a_newer_program_upgraded_is_refused(bare_url: str) -> None:
    upgrade_schema(bare_url)
    set_version(bare_url, "9999")
    with pytest.raises(Refusal) as refusal:
        upgrade_schema(bare_url)
    assert refusal.value.code == "format.newer"
    assert "9999" in str(refusal.value)
    assert version_of(bare_url) == ["9999"]


def test_a_database_in_memory_cannot_be_upgraded_by_name() -> None:
    with pytest.raises(Refusal) as refusal:
        upgrade_schema("sqlite://")
    assert refusal.value.code == "config.invalid"


@pytest.mark.parametrize(
    "url", ["postgresql://nobody@/nothing?host=/nonexistent", "sqlite:////nonexistent/test.db"]
)
def test_a_database_that_is_not_there_is_trouble(url: str) -> None:
    with pytest.raises(Trouble) as trouble:
        upgrade_schema(url)
    assert trouble.value.code == "database.unreachable"


def test_the_image_for_memory_has_the_newest_schema() -> None:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(empty_image())
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [
            (head,) for head in scripts().get_heads()
        ]


def upgrade_to(url: str, step: str) -> None:
    """Leaves the database as a release left it whose newest step this was."""
    parts, directory = make_url(url), scripts()
    if parts.get_backend_name() == "postgresql":
        parts = parts.set(drivername="postgresql+psycopg")
    engine = create_engine(parts)
    with (
        engine.begin() as connection,
        EnvironmentContext(
            Config(), directory, fn=lambda revision, _: directory._upgrade_revs(step, revision)
        ) as environment,
    ):
        environment.configure(connection=connection)
        environment.run_migrations()
    engine.dispose()


OLD_VERSIONS = (
    "INSERT INTO versions (tenant, bucket_id, key, version_id, sequence, stream, size, checksum,"
    " storage_class, k, n, repair_at, chunk_size, chunk_count, envelope_mode, envelope_key_id,"
    " envelope_wrapped, closing, user_metadata, created, state, trashed_at) VALUES ('t', 1, :key,"
    " :version_id, :sequence, :stream, 10, 'crc64nvme:00000000000000ff', 'standard', 2, 5, 4, 65536, 1,"
    " 'client', :odd, :odd, :odd, :words, 77, :state, :trashed_at)"
)


def old_version(number: int, state: str) -> dict[str, Any]:
    return {
        "key": b"key", "version_id": f"{number:032x}", "sequence": number, "stream": number * 10,
        "odd": bytes(range(256)), "words": b'{"Colour":"red"}', "state": state,
        "trashed_at": 99 if state == "trashed" else None,
    }  # fmt: skip


def test_versions_written_before_there_was_versioning_show_as_null_versions(bare_url: str) -> None:
    upgrade_to(bare_url, "0004")
    parts = make_url(bare_url)
    if parts.get_backend_name() == "postgresql":
        parts = parts.set(drivername="postgresql+psycopg")
    engine = create_engine(parts)
    with engine.begin() as connection:
        rows = [old_version(1, "trashed"), old_version(2, "current"), old_version(3, "trashed")]
        connection.execute(text(OLD_VERSIONS), rows)
        connection.execute(text("DELETE FROM versions WHERE sequence = 3"))
    engine.dispose()
    upgrade_schema(bare_url)
    with engine.begin() as connection:
        # The release before may still be writing.
        connection.execute(text(OLD_VERSIONS), old_version(4, "noncurrent"))
        query = "SELECT {} FROM versions ORDER BY id"
        found = [Version(*row) for row in connection.execute(text(query.format(", ".join(Version._fields))))]
    engine.dispose()
    assert [version.id for version in found] == [1, 2, 4]
    assert [(version.state, version.trashed_at) for version in found[:2]] == [
        ("trashed", 99),
        ("current", None),
    ]
    second = found[1]
    assert (second.s3_version_id, second.marker, second.part_count) == ("null", False, 0)
    assert (second.etag, second.modified, second.stream) == (f"{2:032x}-1", 77, 20)
    assert (second.envelope_wrapped, second.small, second.attributes) == (bytes(range(256)), None, b"")
    shown = second.parsed
    assert (shown.metadata, shown.checksum_algorithm) == ({"colour": "red"}, "CRC64NVME")
    assert shown.checksum_value == "AAAAAAAAAP8="
