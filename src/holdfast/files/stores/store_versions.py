"""The SQL of versions, of the pieces they may consist of, and of the usage rows that go with them."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    Connection,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    select,
    text,
    update,
)

from holdfast.files.records import Bucket, Piece, Version
from holdfast.files.stores.store import (
    CURRENT,
    HIDDEN,
    ONE,
    TRASHED,
    add_if_free,
    buckets,
    usage,
    version_parts,
    versions,
)
from holdfast.files.stores.store_prepared import Prepared


class Known(NamedTuple):
    """What decisions need of a version: the columns under their own names."""

    id: int
    version_id: str
    sequence: int
    size: int
    etag: str
    modified: int
    state: str
    is_null: bool
    marker: bool


class Looked(NamedTuple):
    """A key on one snapshot: its bucket, its latest version (current or marker), its null version where that
    is hidden beneath the latest, and the highest sequence it was ever given.
    """

    bucket: Bucket
    latest: Known | None
    null: Known | None
    top: int


_OF_KEY = (versions.c.bucket_id == bindparam("bucket_id"), versions.c.key == bindparam("key"))
_KNOWN = [versions.c[name] for name in Known._fields]
_HIDDEN = text(HIDDEN)
_BUCKET_COLUMNS = len(Bucket._fields)
_AT_BUCKET = 1 + _BUCKET_COLUMNS

_by_age = versions.alias("by_age")
_latest_id = func.coalesce(
    select(versions.c.id).where(*_OF_KEY, versions.c.state == CURRENT).scalar_subquery(),
    select(versions.c.id)
    .where(*_OF_KEY, _HIDDEN)
    .order_by(versions.c.sequence.desc())
    .limit(ONE)
    .scalar_subquery(),
)
_top = select(func.max(versions.c.sequence)).where(*_OF_KEY).scalar_subquery()
_latest = versions.alias("latest")
_LOOK = Prepared(
    select(func.coalesce(_top, literal_column("0")), *buckets.c, *[_latest.c[name] for name in Known._fields])
    .select_from(buckets.outerjoin(_latest, _latest.c.id == _latest_id))
    .where(buckets.c.id == bindparam("bucket_id"))
)
_NULL_HIDDEN = Prepared(select(*_KNOWN).where(*_OF_KEY, text("is_null"), _HIDDEN))
_BELOW = Prepared(
    select(*_KNOWN)
    .where(*_OF_KEY, versions.c.sequence < bindparam("sequence", type_=BigInteger), _HIDDEN)
    .order_by(versions.c.sequence.desc())
    .limit(ONE)
)
_CURRENT_OF_KEY = Prepared(select(versions).where(*_OF_KEY, versions.c.state == CURRENT))
_LATEST_OF_KEY = Prepared(select(versions).where(versions.c.id == _latest_id))
_NULL_OF_KEY = Prepared(select(versions).where(*_OF_KEY, text("is_null"), _HIDDEN))
_VERSION_BY_ID = Prepared(
    select(versions).where(
        versions.c.version_id == bindparam("version_id"), versions.c.bucket_id == bindparam("bucket_id")
    )
)
_MOVE = Prepared(
    update(versions)
    .where(versions.c.id == bindparam("of_version"), versions.c.state == bindparam("seen"))
    .values(
        state=bindparam("new_state"),
        superseded=bindparam("new_superseded"),
        trashed_at=bindparam("new_trashed_at"),
    )
)
_ADD_VERSION = Prepared(add_if_free(versions, "id"), columns=Version._fields[1:])
_ADD_USAGE = Prepared(insert(usage), columns=[c.name for c in usage.c if c.name != "id"])
_SET_ATTRIBUTES = Prepared(
    update(versions)
    .where(versions.c.id == bindparam("of_version"), versions.c.attributes == bindparam("seen"))
    .values(attributes=bindparam("new_attributes"), user_metadata=bindparam("new_metadata"))
)
_PIECES = Prepared(
    select(version_parts)
    .where(version_parts.c.version == bindparam("version"), version_parts.c.number > bindparam("after"))
    .order_by(version_parts.c.number)
    .limit(bindparam("rows"))
)


def version_of(row: tuple[object, ...]) -> Version:
    """The row as a version: SQLite says 0 and 1 where it means false and true."""
    return Version._make((*row[:-2], bool(row[-2]), bool(row[-1])))


def _known(row: tuple[object, ...]) -> Known:
    return Known._make((*row[:-2], bool(row[-2]), bool(row[-1])))


def look(connection: Connection, bucket_id: int, key: bytes) -> Looked | None:
    """The key as a write or delete must know it, in one statement but for suspended buckets.

    None if the bucket is gone.
    """
    row = _LOOK(connection, bucket_id=bucket_id, key=key).fetchone()
    if row is None:
        return None
    bucket = Bucket(*row[1:_AT_BUCKET])
    latest = None if row[_AT_BUCKET] is None else _known(row[_AT_BUCKET:])
    null = None
    if bucket.versioning == "suspended" and latest is not None:
        null = null_hidden(connection, bucket_id, key)
    return Looked(bucket, latest, null, row[0])


def null_hidden(connection: Connection, bucket_id: int, key: bytes) -> Known | None:
    """The key's null version where it is not its current one."""
    row = _NULL_HIDDEN(connection, bucket_id=bucket_id, key=key).fetchone()
    return None if row is None else _known(row)


def next_below(connection: Connection, bucket_id: int, key: bytes, sequence: int) -> Known | None:
    """The newest hidden version of the key that is older than this sequence."""
    row = _BELOW(connection, bucket_id=bucket_id, key=key, sequence=sequence).fetchone()
    return None if row is None else _known(row)


def current_version(connection: Connection, bucket_id: int, key: bytes) -> Version | None:
    """What a plain read of the key finds."""
    row = _CURRENT_OF_KEY(connection, bucket_id=bucket_id, key=key).fetchone()
    return None if row is None else version_of(row)


def latest_version(connection: Connection, bucket_id: int, key: bytes) -> Version | None:
    """What a plain read of the key comes upon: a version, or the delete marker that hides it."""
    row = _LATEST_OF_KEY(connection, bucket_id=bucket_id, key=key).fetchone()
    return None if row is None else version_of(row)


def null_version(connection: Connection, bucket_id: int, key: bytes) -> Version | None:
    """The key's null version, latest or not, but not in the trash."""
    latest = latest_version(connection, bucket_id, key)
    if latest is not None and latest.is_null:
        return latest
    row = _NULL_OF_KEY(connection, bucket_id=bucket_id, key=key).fetchone()
    return None if row is None else version_of(row)


def version_by_id(connection: Connection, bucket_id: int, version_id: str) -> Version | None:
    """A version of this bucket, in the trash or not."""
    row = _VERSION_BY_ID(connection, bucket_id=bucket_id, version_id=version_id).fetchone()
    return None if row is None else version_of(row)


def version_exists(connection: Connection, row_id: int) -> bool:
    """Whether the row is there, in the trash or not: what it refers to is then kept."""
    query = select(versions.c.id).where(versions.c.id == row_id)
    return connection.execute(query).first() is not None


def add_version(connection: Connection, version: Version) -> int | None:
    """Adds a version, numbered by the database.

    None if its key has got another latest one meanwhile, or another one of this sequence.
    """
    row = _ADD_VERSION(connection, **version._asdict()).fetchone()
    return None if row is None else int(row[0])


def move_version(connection: Connection, version: Known | Version, state: str, now: int) -> bool:
    """Gives a version another state; False if it is no longer in the one that was seen."""
    return bool(
        _MOVE(
            connection,
            of_version=version.id,
            seen=version.state,
            new_state=state,
            new_superseded=now if state == "noncurrent" else None,
            new_trashed_at=now if state == "trashed" else None,
        ).rowcount
    )


def set_attributes(connection: Connection, version: Version, attributes: bytes, user_metadata: bytes) -> bool:
    """Gives a version other attributes; False if they are no longer those that were seen."""
    return bool(
        _SET_ATTRIBUTES(
            connection,
            of_version=version.id,
            seen=version.attributes,
            new_attributes=attributes,
            new_metadata=user_metadata,
        ).rowcount
    )


def take_pieces(connection: Connection, version: int) -> list[tuple[int | None, int | None]]:
    """Removes a version's pieces; the streams and smalls that they referred to."""
    taken = delete(version_parts).where(version_parts.c.version == version)
    rows = connection.execute(taken.returning(version_parts.c.stream, version_parts.c.small))
    return [(row[0], row[1]) for row in rows]


def add_usage(
    connection: Connection, bucket: Bucket, version_id: str, size: int, now: int, *, sign: int
) -> None:
    """The usage row of a version that came (+1) or went (-1)."""
    _ADD_USAGE(
        connection,
        tenant=bucket.tenant,
        bucket_id=bucket.id,
        version_id=version_id,
        time=now,
        delta_bytes=sign * size,
        delta_objects=sign,
    )


def usage_of(connection: Connection, tenant: str) -> tuple[int, int]:
    """(bytes, objects) that the tenant keeps now: the sum of all its usage rows."""
    row = connection.execute(
        select(
            func.coalesce(func.sum(usage.c.delta_bytes), 0), func.coalesce(func.sum(usage.c.delta_objects), 0)
        ).where(usage.c.tenant == tenant)
    ).one()
    return int(row[0]), int(row[1])


# --- pieces ----------------------------------------------------------------------------------------------


def pieces_of(connection: Connection, version: int, after: int, limit: int) -> list[Piece]:
    """A version's pieces in order, those with a number above `after`."""
    return [Piece(*row) for row in _PIECES(connection, version=version, after=after, rows=limit).fetchall()]


def add_pieces(connection: Connection, pieces: list[Piece]) -> None:
    """Adds the pieces of a version that is being added."""
    connection.execute(insert(version_parts), [piece._asdict() for piece in pieces])


# --- what the trash gives up -----------------------------------------------------------------------------


def versions_in_trash(connection: Connection, trashed_before: int, limit: int) -> list[Version]:
    """Versions whose trash period is over, oldest first."""
    rows = connection.execute(
        select(versions)
        .where(versions.c.state == TRASHED, versions.c.trashed_at < trashed_before)
        .order_by(versions.c.trashed_at)
        .limit(limit)
    )
    return [Version(*row) for row in rows]
