"""The tables of this room.

Keys are bytes (UTF-8), so that both databases order them alike, byte by byte; times are microseconds; a
checksum of 64 bits is kept as the signed number of the same bits. A *stream* is the id under which an
upload's chunks are kept: whatever the upload becomes takes the stream over, so a commit touches no chunk row.
Versions, pieces and parts may share streams; the last one that goes dooms it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    desc,
    literal_column,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite

metadata = MetaData()

HIDDEN = "state IN ('noncurrent', 'marker')"
"""Versions that a plain read passes over, as they are written in the conditions of indexes and queries."""

# SQLite numbers rows by itself only in a column called INTEGER.
IDENTITY = BigInteger().with_variant(Integer(), "sqlite")
# Names are compared byte by byte on both, whatever the server's locale.
NAME = Text().with_variant(Text(collation="C"), "postgresql")

buckets = Table(
    "buckets",
    metadata,
    Column("id", IDENTITY, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("name", NAME, nullable=False, unique=True),
    Column("storage_class", Text, nullable=False),
    Column("versioning", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("settings", LargeBinary, nullable=False, server_default=text("''")),
    Column("revision", Integer, nullable=False, server_default=text("0")),
    Index("buckets_of_tenant", "tenant", "name"),
    sqlite_autoincrement=True,
)


def _content_columns() -> list[Column[Any]]:
    """The columns of `records.Content`, in its order."""
    return [
        Column("size", BigInteger, nullable=False),
        Column("checksum", Text, nullable=False),
        Column("storage_class", Text, nullable=False),
        Column("k", SmallInteger, nullable=False),
        Column("n", SmallInteger, nullable=False),
        Column("repair_at", SmallInteger, nullable=False),
        Column("chunk_size", Integer, nullable=False),
        Column("chunk_count", Integer, nullable=False),
        Column("envelope_mode", Text, nullable=False),
        Column("envelope_key_id", LargeBinary, nullable=False),
        Column("envelope_wrapped", LargeBinary, nullable=False),
        Column("closing", LargeBinary, nullable=False),
        Column("stream", BigInteger),
        Column("small", BigInteger),
        Column("sealed_as", Text, nullable=False),
    ]


def _partial(name: str, *columns: Any, where: str, unique: bool = False) -> Index:
    condition = text(where)
    return Index(name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def _references(table: str) -> list[Index]:
    """Who refers to a stream, or to a small object."""
    return [
        _partial(f"{table}_of_{column}", column, where=f"{column} IS NOT NULL")
        for column in ("stream", "small")
    ]


versions = Table(
    "versions",
    metadata,
    Column("id", IDENTITY, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("bucket_id", BigInteger, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("version_id", Text, nullable=False, unique=True),
    Column("sequence", BigInteger, nullable=False),
    *_content_columns(),
    Column("part_count", Integer, nullable=False),
    Column("user_metadata", LargeBinary, nullable=False),
    Column("etag", Text, nullable=False),
    Column("attributes", LargeBinary, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("modified", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("superseded", BigInteger),
    Column("trashed_at", BigInteger),
    Column("is_null", Boolean, nullable=False),
    Column("marker", Boolean, nullable=False),
    UniqueConstraint("bucket_id", "key", "sequence", name="versions_in_order"),
    # What a listing walks, and what keeps a key from having two current versions.
    _partial("versions_current", "bucket_id", "key", where="state = 'current'", unique=True),
    # The rest of what a listing of versions walks: neither it nor the one above comes upon trash.
    _partial("versions_hidden", "bucket_id", "key", desc("sequence"), where=HIDDEN),
    _partial("versions_null_hidden", "bucket_id", "key", where=f"is_null AND {HIDDEN}"),
    _partial("versions_in_trash", "trashed_at", where="state = 'trashed'"),
    *_references("versions"),
    sqlite_autoincrement=True,
)

version_parts = Table(
    "version_parts",
    metadata,
    Column("version", BigInteger, nullable=False),
    Column("number", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("etag", Text, nullable=False),
    Column("checksum_value", Text, nullable=False),
    *_content_columns(),
    PrimaryKeyConstraint("version", "number", name="version_parts_key"),
    *_references("version_parts"),
    sqlite_with_rowid=False,
)

multiparts = Table(
    "multiparts",
    metadata,
    Column("id", IDENTITY, primary_key=True),
    Column("upload_id", NAME, nullable=False, unique=True),
    Column("tenant", Text, nullable=False),
    Column("bucket_id", BigInteger, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("storage_class", Text, nullable=False),
    Column("attributes", LargeBinary, nullable=False),
    Column("initiator", Text, nullable=False),
    Column("initiator_name", Text, nullable=False),
    Column("envelope_mode", Text, nullable=False),
    Column("envelope_key_id", LargeBinary, nullable=False),
    Column("envelope_wrapped", LargeBinary, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("version_id", Text),
    Column("finished", BigInteger),
    _partial("multiparts_open", "bucket_id", "key", "upload_id", where="state = 'open'"),
    _partial("multiparts_finished", "finished", where="state = 'completed'"),
    sqlite_autoincrement=True,
)

multipart_parts = Table(
    "multipart_parts",
    metadata,
    Column("multipart", BigInteger, nullable=False),
    Column("number", Integer, nullable=False),
    Column("etag", Text, nullable=False),
    Column("checksum_value", Text, nullable=False),
    Column("modified", BigInteger, nullable=False),
    *_content_columns(),
    PrimaryKeyConstraint("multipart", "number", name="multipart_parts_key"),
    *_references("multipart_parts"),
    sqlite_with_rowid=False,
)

uploads = Table(
    "uploads",
    metadata,
    Column("stream", IDENTITY, primary_key=True),
    Column("upload_id", Text, nullable=False, unique=True),
    Column("tenant", Text, nullable=False),
    Column("bucket_id", BigInteger, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("storage_class", Text, nullable=False),
    Column("k", SmallInteger, nullable=False),
    Column("n", SmallInteger, nullable=False),
    Column("repair_at", SmallInteger, nullable=False),
    Column("ack_at", SmallInteger, nullable=False),
    Column("chunk_size", Integer, nullable=False),
    Column("envelope_mode", Text, nullable=False),
    Column("envelope_key_id", LargeBinary, nullable=False),
    Column("envelope_wrapped", LargeBinary, nullable=False),
    Column("user_metadata", LargeBinary, nullable=False),
    Column("if_absent", Boolean, nullable=False),
    Column("if_version", Text),
    Column("state", Text, nullable=False),
    Column("version_id", Text),
    Column("chunks_changed", BigInteger, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("last_active", BigInteger, nullable=False),
    Index("uploads_of_bucket", "bucket_id"),
    sqlite_autoincrement=True,
    # Rows change in place: room on their page, and no index on what changes, keeps PostgreSQL from touching
    # index pages that others have read, which would make it doubt that the two can be put in an order.
    postgresql_with={"fillfactor": 70},
)

chunks = Table(
    "chunks",
    metadata,
    Column("stream", BigInteger, nullable=False),
    Column("number", Integer, nullable=False),
    Column("chunk_id", LargeBinary, nullable=False, unique=True),
    Column("k", SmallInteger, nullable=False),
    Column("repair_at", SmallInteger, nullable=False),
    Column("plain_length", Integer, nullable=False),
    Column("packed_length", Integer, nullable=False),
    Column("compressed", Boolean, nullable=False),
    Column("sealed_length", Integer, nullable=False),
    Column("shard_length", Integer, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("checksum", BigInteger, nullable=False),
    Column("format", SmallInteger, nullable=False),
    # n aliases of four bytes each, in shard order; see `placed`.
    Column("placement", LargeBinary, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("recorded", BigInteger, nullable=False),
    PrimaryKeyConstraint("stream", "number", name="chunks_key"),
    # The rows themselves lie in key order: a stream is read in one sweep.
    sqlite_with_rowid=False,
)

shard_faults = Table(
    "shard_faults",
    metadata,
    Column("stream", BigInteger, nullable=False),
    Column("number", Integer, nullable=False),
    Column("shard_index", SmallInteger, nullable=False),
    Column("alias", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("reports", Integer, nullable=False),
    Column("first_reported", BigInteger, nullable=False),
    Column("last_reported", BigInteger, nullable=False),
    PrimaryKeyConstraint("stream", "number", "shard_index", "alias", name="shard_faults_key"),
    sqlite_with_rowid=False,
)

doomed = Table(
    "doomed_streams",
    metadata,
    Column("stream", BigInteger, primary_key=True, autoincrement=False),
    Column("since", BigInteger, nullable=False),
)

usage = Table(
    "storage_usage",
    metadata,
    Column("id", IDENTITY, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("bucket_id", BigInteger, nullable=False),
    Column("version_id", Text, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("delta_bytes", BigInteger, nullable=False),
    Column("delta_objects", Integer, nullable=False),
    Index("storage_usage_of_tenant", "tenant", "time"),
    sqlite_autoincrement=True,
)

answered_requests = Table(
    "answered_requests",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("token", LargeBinary, nullable=False),
    Column("asked", LargeBinary, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("time", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "token", name="answered_requests_key"),
    Index("answered_requests_in_time", "time"),
    sqlite_with_rowid=False,
)

# Written out, not bound: a planner only uses a partial index whose condition it can read.
CURRENT: ColumnElement[str] = literal_column("'current'")
TRASHED: ColumnElement[str] = literal_column("'trashed'")
OPEN: ColumnElement[str] = literal_column("'open'")
ONE: ColumnElement[int] = literal_column("1")


def add_if_free(table: Table, answer: str | None = None) -> dict[str, Any]:
    """By dialect: an insert that answers one row if it added it, none where a unique key is taken.

    The row holds the column `answer`, if one is named. It finds that out without reading: what a serialisable
    transaction has read, others can no longer change without one of them being run again.
    """
    row = literal_column("1") if answer is None else table.c[answer]
    return {
        "sqlite": sqlite.insert(table).on_conflict_do_nothing().returning(row),
        "postgresql": postgresql.insert(table).on_conflict_do_nothing().returning(row),
    }
