"""The tables of this room, and the SQL of buckets, versions and usage.

Every function takes a connection inside a transaction of `world.database`. Keys are bytes (UTF-8), so that
both databases order them alike, byte by byte; times are microseconds; a checksum of 64 bits is kept as the
signed number of the same bits. A *stream* is the id under which an upload's chunks are kept: the version
that the upload becomes takes the stream over, so a commit touches no chunk row.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Executable,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    and_,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from holdfast.protocol.nouns import Envelope, RedundancyInfo

metadata = MetaData()

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
    Index("buckets_of_tenant", "tenant", "name"),
    sqlite_autoincrement=True,
)

versions = Table(
    "versions",
    metadata,
    Column("id", IDENTITY, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("bucket_id", BigInteger, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("version_id", Text, nullable=False, unique=True),
    Column("sequence", BigInteger, nullable=False),
    Column("stream", BigInteger, nullable=False, unique=True),
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
    Column("user_metadata", LargeBinary, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("trashed_at", BigInteger),
    UniqueConstraint("bucket_id", "key", "sequence", name="versions_in_order"),
    # What a listing walks, and what keeps a key from having two current versions.
    Index(
        "versions_current",
        "bucket_id",
        "key",
        unique=True,
        sqlite_where=text("state = 'current'"),
        postgresql_where=text("state = 'current'"),
    ),
    Index(
        "versions_in_trash",
        "trashed_at",
        sqlite_where=text("state = 'trashed'"),
        postgresql_where=text("state = 'trashed'"),
    ),
    sqlite_autoincrement=True,
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


class Bucket(NamedTuple):
    """A row of `buckets`."""

    id: int
    tenant: str
    name: str
    storage_class: str
    versioning: str
    created: int


class Version(NamedTuple):
    """A row of `versions`."""

    id: int
    tenant: str
    bucket_id: int
    key: bytes
    version_id: str
    sequence: int
    stream: int
    size: int
    checksum: str
    storage_class: str
    k: int
    n: int
    repair_at: int
    chunk_size: int
    chunk_count: int
    envelope_mode: str
    envelope_key_id: bytes
    envelope_wrapped: bytes
    closing: bytes
    user_metadata: bytes
    created: int
    state: str
    trashed_at: int | None

    @property
    def redundancy(self) -> RedundancyInfo:
        """`k of n, repair at r`."""
        return RedundancyInfo(k=self.k, n=self.n, repair_at=self.repair_at)

    @property
    def envelope(self) -> Envelope:
        """The wrapped data key."""
        return Envelope(mode=self.envelope_mode, key_id=self.envelope_key_id, wrapped=self.envelope_wrapped)


def pack_metadata(words: dict[str, str]) -> bytes:
    """User metadata as it is stored."""
    return msgspec.json.encode(words, order="sorted")


def unpack_metadata(packed: bytes) -> dict[str, str]:
    """User metadata as it was given."""
    return msgspec.json.decode(packed, type=dict[str, str])


def add_if_free(table: Table) -> dict[str, Executable]:
    """By dialect: an insert that answers one row if it added it, none where a unique key is taken.

    It finds that out without reading: what a serialisable transaction has read, others can no longer change
    without one of them being run again.
    """
    return {
        "sqlite": sqlite.insert(table).on_conflict_do_nothing().returning(literal_column("1")),
        "postgresql": postgresql.insert(table).on_conflict_do_nothing().returning(literal_column("1")),
    }


# --- buckets ---------------------------------------------------------------------------------------------

_BUCKET_BY_NAME = select(buckets).where(buckets.c.name == bindparam("name"))
_BUCKET_BY_ID = select(buckets).where(buckets.c.id == bindparam("id"))


def bucket_named(connection: Connection, name: str) -> Bucket | None:
    """The bucket of this name, whoever owns it."""
    row = connection.execute(_BUCKET_BY_NAME, {"name": name}).first()
    return None if row is None else Bucket(*row)


def bucket_by_id(connection: Connection, bucket_id: int) -> Bucket | None:
    """The bucket of this number."""
    row = connection.execute(_BUCKET_BY_ID, {"id": bucket_id}).first()
    return None if row is None else Bucket(*row)


def add_bucket(connection: Connection, tenant: str, name: str, storage_class: str, created: int) -> Bucket:
    """Makes the bucket; the name must be free."""
    values = {
        "tenant": tenant,
        "name": name,
        "storage_class": storage_class,
        "versioning": "off",
        "created": created,
    }
    row = connection.execute(insert(buckets).values(values).returning(buckets)).one()
    return Bucket(*row)


def buckets_of(connection: Connection, tenant: str, after: str, limit: int) -> list[Bucket]:
    """The tenant's buckets in the order of their names."""
    rows = connection.execute(
        select(buckets)
        .where(buckets.c.tenant == tenant, buckets.c.name > after)
        .order_by(buckets.c.name)
        .limit(limit)
    )
    return [Bucket(*row) for row in rows]


def bucket_in_use(connection: Connection, bucket_id: int) -> bool:
    """Whether the bucket has a current version or an open upload."""
    current = select(versions.c.id).where(versions.c.bucket_id == bucket_id, versions.c.state == CURRENT)
    under_way = select(uploads.c.stream).where(uploads.c.bucket_id == bucket_id, uploads.c.state == OPEN)
    return any(connection.execute(query.limit(1)).first() is not None for query in (current, under_way))


def remove_bucket(connection: Connection, bucket_id: int) -> None:
    """Forgets the bucket's name."""
    connection.execute(delete(buckets).where(buckets.c.id == bucket_id))


# --- versions --------------------------------------------------------------------------------------------

_CURRENT_OF_KEY = select(versions).where(
    versions.c.bucket_id == bindparam("bucket_id"),
    versions.c.key == bindparam("key"),
    versions.c.state == CURRENT,
)
_VERSION_BY_ID = select(versions).where(
    versions.c.version_id == bindparam("version_id"), versions.c.bucket_id == bindparam("bucket_id")
)
_PAGE = (
    select(versions)
    .where(
        versions.c.bucket_id == bindparam("bucket_id"),
        versions.c.state == CURRENT,
        versions.c.key >= bindparam("start"),
    )
    .order_by(versions.c.key)
    .limit(bindparam("rows"))
)
_PAGE_WITH_END = _PAGE.where(versions.c.key < bindparam("end"))
_LAST_SEQUENCE = select(func.max(versions.c.sequence)).where(
    versions.c.bucket_id == bindparam("bucket_id"), versions.c.key == bindparam("key")
)
_TRASH = (
    update(versions)
    .where(versions.c.id == bindparam("of_version"), versions.c.state == CURRENT)
    .values(state="trashed", trashed_at=bindparam("now"))
)
_ADD_VERSION = add_if_free(versions)
_ADD_USAGE = insert(usage)


def current_version(connection: Connection, bucket_id: int, key: bytes) -> Version | None:
    """What a plain read of the key finds."""
    row = connection.execute(_CURRENT_OF_KEY, {"bucket_id": bucket_id, "key": key}).first()
    return None if row is None else Version(*row)


def version_by_id(connection: Connection, bucket_id: int, version_id: str) -> Version | None:
    """A version of this bucket, in the trash or not."""
    row = connection.execute(_VERSION_BY_ID, {"bucket_id": bucket_id, "version_id": version_id}).first()
    return None if row is None else Version(*row)


def page_of_keys(
    connection: Connection, bucket_id: int, start: bytes, end: bytes | None, rows: int
) -> list[Version]:
    """The first current versions with start <= key < end, in byte order of the key."""
    bound = {"bucket_id": bucket_id, "start": start, "rows": rows}
    query = _PAGE
    if end is not None:
        query, bound = _PAGE_WITH_END, bound | {"end": end}
    return [Version(*row) for row in connection.execute(query, bound)]


def next_sequence(connection: Connection, bucket_id: int, key: bytes) -> int:
    """One more than the last version of the key that is still known."""
    last = connection.execute(_LAST_SEQUENCE, {"bucket_id": bucket_id, "key": key}).scalar()
    return 1 if last is None else last + 1


def add_version(connection: Connection, version: Version) -> bool:
    """Adds a current version, numbered by the database; False if the key has got another one meanwhile."""
    values = version._asdict()
    del values["id"]
    return connection.execute(_ADD_VERSION[connection.dialect.name], values).first() is not None


def trash_version(connection: Connection, version: Version, now: int) -> bool:
    """Takes the current version out of sight; it is kept until the trash period is over.

    False if it is not the current one any more.
    """
    if not connection.execute(_TRASH, {"of_version": version.id, "now": now}).rowcount:
        return False
    add_usage(connection, version, now, sign=-1)
    return True


def add_usage(connection: Connection, version: Version, now: int, *, sign: int) -> None:
    """The usage row of a version that came (+1) or went (-1)."""
    connection.execute(
        _ADD_USAGE,
        {
            "tenant": version.tenant,
            "bucket_id": version.bucket_id,
            "version_id": version.version_id,
            "time": now,
            "delta_bytes": sign * version.size,
            "delta_objects": sign,
        },
    )


def usage_of(connection: Connection, tenant: str) -> tuple[int, int]:
    """(bytes, objects) that the tenant keeps now: the sum of all its usage rows."""
    row = connection.execute(
        select(
            func.coalesce(func.sum(usage.c.delta_bytes), 0), func.coalesce(func.sum(usage.c.delta_objects), 0)
        ).where(usage.c.tenant == tenant)
    ).one()
    return int(row[0]), int(row[1])


# --- what the trash gives up -----------------------------------------------------------------------------


def versions_in_trash(connection: Connection, trashed_before: int, limit: int) -> list[Version]:
    """Versions whose trash period is over, oldest first."""
    rows = connection.execute(
        select(versions)
        .where(and_(versions.c.state == TRASHED, versions.c.trashed_at < trashed_before))
        .order_by(versions.c.trashed_at)
        .limit(limit)
    )
    return [Version(*row) for row in rows]


def forget_version(connection: Connection, version: int, now: int) -> bool:
    """Removes the trashed version of this number and dooms its chunks; False if it is not in the trash."""
    gone = connection.execute(
        delete(versions)
        .where(versions.c.id == version, versions.c.state == TRASHED)
        .returning(versions.c.stream)
    ).first()
    if gone is not None:
        doom(connection, gone[0], now)
    return gone is not None


def doom(connection: Connection, stream: int, now: int) -> None:
    """From now on nothing refers to the stream: its chunks are taken away page by page."""
    connection.execute(insert(doomed).values(stream=stream, since=now))


def doomed_streams(connection: Connection, limit: int) -> list[int]:
    """Streams whose chunks are still to be taken away."""
    rows = connection.execute(select(doomed.c.stream).order_by(doomed.c.since, doomed.c.stream).limit(limit))
    return [row[0] for row in rows]


def undoom(connection: Connection, stream: int) -> None:
    """The stream has no chunks left."""
    connection.execute(delete(shard_faults).where(shard_faults.c.stream == stream))
    connection.execute(delete(doomed).where(doomed.c.stream == stream))
