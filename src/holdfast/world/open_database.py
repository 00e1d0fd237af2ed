"""Opens the database that a URL names."""

from __future__ import annotations

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from holdfast.world.chance import Chance, SystemChance
from holdfast.world.database import Database
from holdfast.world.errors import Refusal
from holdfast.world.postgresql import CONNECTIONS, PostgresqlDatabase
from holdfast.world.sqlite import MemoryDatabase, SqliteDatabase

ADVICE = "Write sqlite:////folder/holdfast.db or postgresql://user:password@host/holdfast."


def open_database(url: str, *, chance: Chance | None = None, connections: int = CONNECTIONS) -> Database:
    """The database at `url`. Its schema is as it is there: `migrations.upgrade.upgrade_schema` comes first.

    `sqlite:///path` is a file (four slashes for an absolute path), `sqlite://` a new database in memory whose
    schema is up to date, `postgresql://user@host/name` a server, used over `connections` connections.
    `chance` jitters the pauses between attempts. Raises Refusal("config.invalid"), or Trouble if a file
    cannot be opened; a server is not asked before it is needed.
    """
    try:
        parts = make_url(url)
    except ArgumentError as error:
        raise Refusal("config.invalid", "The database setting is not a URL.", advice=ADVICE) from error
    if parts.get_backend_name() == "sqlite":
        if parts.database in {None, "", ":memory:"}:
            # Alembic takes half a second to import: only this case needs it here.
            from holdfast.world.migrations.upgrade import empty_image

            return MemoryDatabase(empty_image())
        return SqliteDatabase(str(parts.database))
    if parts.get_backend_name() == "postgresql":
        return PostgresqlDatabase(parts, chance=chance or SystemChance(), connections=connections)
    raise Refusal(
        "config.invalid", f"Databases of the kind '{parts.drivername}' are not supported.", advice=ADVICE
    )
