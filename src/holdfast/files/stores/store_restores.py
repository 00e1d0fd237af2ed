"""The table of archived versions that can be read for a while, and its SQL."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Connection, Index, LargeBinary, Table, Text, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from holdfast.files.outbox_rows import Restore
from holdfast.files.stores.store_outbox import metadata

restores = Table(
    "restores",
    metadata,
    Column("bucket_id", BigInteger, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("version_id", Text, primary_key=True),
    Column("until", BigInteger, nullable=False),
    Index("restores_in_time", "until"),
)


def _setting(dialect: type[sqlite.Insert | postgresql.Insert]) -> sqlite.Insert | postgresql.Insert:
    added = dialect(restores)
    return added.on_conflict_do_update(index_elements=["version_id"], set_={"until": added.excluded.until})


_SET = {"sqlite": _setting(sqlite.Insert), "postgresql": _setting(postgresql.Insert)}


def set_restore(connection: Connection, restore: Restore) -> None:
    """Notes until when the version can be read; a later word replaces an earlier one."""
    connection.execute(_SET[connection.dialect.name], restore._asdict())


def ended_restores(connection: Connection, now: int, limit: int) -> list[Restore]:
    """Those that are over, the longest over first."""
    ended = select(restores).where(restores.c.until <= now).order_by(restores.c.until).limit(limit)
    return [Restore(*row) for row in connection.execute(ended)]


def forget_restore(connection: Connection, restore: Restore) -> None:
    """Removes the row, unless it was given more time meanwhile."""
    connection.execute(
        delete(restores).where(restores.c.version_id == restore.version_id, restores.c.until == restore.until)
    )
