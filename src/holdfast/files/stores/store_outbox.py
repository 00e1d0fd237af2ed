"""The tables of what is still to be told and to be copied, and their SQL.

A row is written in the transaction of the version it is about, and removed when it was carried out, so that
nothing is forgotten and nothing is told of what did not happen. `due` is when it may be tried (again); who
tries it moves `due` ahead first, which keeps others off it for as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    bindparam,
    delete,
    exists,
    insert,
    literal_column,
    select,
    text,
    update,
)

from holdfast.files.outbox_rows import CopyRow, EventRow

metadata = MetaData()

IDENTITY = BigInteger().with_variant(Integer(), "sqlite")
NAME = Text().with_variant(Text(collation="C"), "postgresql")
_WAITS = text("state = 'waiting'")

events = Table(
    "event_outbox",
    metadata,
    Column("id", IDENTITY, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("bucket_id", BigInteger, nullable=False),
    Column("bucket", NAME, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("event", Text, nullable=False),
    Column("target_id", Text, nullable=False),
    Column("arn", NAME, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("etag", Text, nullable=False),
    Column("version_id", Text),
    Column("sequencer", BigInteger, nullable=False),
    Column("who", LargeBinary, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due", BigInteger, nullable=False),
    Column("failure", Text, nullable=False),
    Index("event_outbox_due", "due", "id", sqlite_where=_WAITS, postgresql_where=_WAITS),
    Index("event_outbox_of_key", "bucket_id", "key", "arn", sqlite_where=_WAITS, postgresql_where=_WAITS),
    Index("event_outbox_by_state", "state", "id"),
    sqlite_autoincrement=True,
)

copies = Table(
    "replication_outbox",
    metadata,
    Column("id", IDENTITY, primary_key=True),
    Column("bucket_id", BigInteger, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("version_id", Text),
    Column("time", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due", BigInteger, nullable=False),
    Index("replication_outbox_due", "due", "id"),
    Index("replication_outbox_of_key", "bucket_id", "key"),
    sqlite_autoincrement=True,
)

# Written out, not bound: a planner only uses a partial index whose condition it can read.
WAITING: ColumnElement[str] = literal_column("'waiting'")


_ADD_EVENT = insert(events)
_ADD_COPY = insert(copies)


def add_events(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Adds rows; the database numbers them."""
    connection.execute(_ADD_EVENT, list(rows))


def add_copy(connection: Connection, row: dict[str, Any]) -> None:
    """Adds a row; the database numbers it."""
    connection.execute(_ADD_COPY, row)


_earlier_event = events.alias("earlier")
_DUE_EVENTS = (
    select(events)
    .where(
        events.c.state == WAITING,
        events.c.due <= bindparam("now"),
        ~exists().where(
            _earlier_event.c.state == WAITING,
            _earlier_event.c.bucket_id == events.c.bucket_id,
            _earlier_event.c.key == events.c.key,
            _earlier_event.c.arn == events.c.arn,
            _earlier_event.c.id < events.c.id,
            _earlier_event.c.due > bindparam("now"),
        ),
    )
    .order_by(events.c.id)
    .limit(bindparam("rows"))
)
_earlier_copy = copies.alias("earlier")
_DUE_COPIES = (
    select(copies)
    .where(
        copies.c.due <= bindparam("now"),
        ~exists().where(
            _earlier_copy.c.bucket_id == copies.c.bucket_id,
            _earlier_copy.c.key == copies.c.key,
            _earlier_copy.c.id < copies.c.id,
            _earlier_copy.c.due > bindparam("now"),
        ),
    )
    .order_by(copies.c.id)
    .limit(bindparam("rows"))
)


def due_events(connection: Connection, now: int, limit: int) -> list[EventRow]:
    """What may be told now, oldest first: nothing whose key and target wait for an earlier event."""
    return [EventRow(*row) for row in connection.execute(_DUE_EVENTS, {"now": now, "rows": limit})]


def due_copies(connection: Connection, now: int, limit: int) -> list[CopyRow]:
    """What may be copied now, oldest first: nothing whose key waits for an earlier version."""
    return [CopyRow(*row) for row in connection.execute(_DUE_COPIES, {"now": now, "rows": limit})]


def put_off(connection: Connection, table: Table, row: EventRow | CopyRow, until: int) -> bool:
    """Takes the row until then, if its `due` is still what was seen; whether it was."""
    return change(connection, table, row.id, row.due, {"due": until})


def change(connection: Connection, table: Table, row_id: int, seen: int, values: dict[str, Any]) -> bool:
    """Sets these of the row, if its `due` is still what was seen; whether it was."""
    changed = connection.execute(
        update(table).where(table.c.id == row_id, table.c.due == seen).values(**values)
    )
    return bool(changed.rowcount)


def remove(connection: Connection, table: Table, row_id: int) -> None:
    """The row was carried out."""
    connection.execute(delete(table).where(table.c.id == row_id))


def dead_events(connection: Connection, after: int, limit: int) -> list[EventRow]:
    """Events that were given up, in the order they were noted."""
    rows = connection.execute(
        select(events).where(events.c.state == "dead", events.c.id > after).order_by(events.c.id).limit(limit)
    )
    return [EventRow(*row) for row in rows]


def forget_dead(connection: Connection, before: int) -> int:
    """Forgets events that were given up before this time; how many there were."""
    return connection.execute(delete(events).where(events.c.state == "dead", events.c.due < before)).rowcount


def revive_events(connection: Connection, row_ids: Sequence[int], now: int) -> int:
    """Lets these dead events be tried again; how many there were."""
    return connection.execute(
        update(events)
        .where(events.c.id.in_(row_ids), events.c.state == "dead")
        .values(state="waiting", attempts=0, due=now, failure="")
    ).rowcount


def drop_events(connection: Connection, row_ids: Sequence[int]) -> int:
    """Forgets these dead events; how many there were."""
    return connection.execute(
        delete(events).where(events.c.id.in_(row_ids), events.c.state == "dead")
    ).rowcount
