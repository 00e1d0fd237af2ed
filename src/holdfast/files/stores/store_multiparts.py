"""The SQL of multipart uploads and their parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, cast, delete, func, insert, literal_column, select, update

from holdfast.files.records import Multipart, Part, Piece
from holdfast.files.stores.store import OPEN, add_if_free, multipart_parts, multiparts, version_parts
from holdfast.files.stores.store_prepared import Prepared

_ADD = Prepared(add_if_free(multiparts, "id"), columns=Multipart._fields[1:])
_BY_UPLOAD_ID = Prepared(select(multiparts).where(multiparts.c.upload_id == bindparam("upload_id")))
_STATE = Prepared(select(multiparts.c.state).where(multiparts.c.id == bindparam("multipart")))
_FINISH = Prepared(
    update(multiparts)
    .where(multiparts.c.id == bindparam("multipart"), multiparts.c.state == OPEN)
    .values(state="completed", version_id=bindparam("new_version"), finished=bindparam("now"))
)
_ABORT = Prepared(
    delete(multiparts).where(multiparts.c.id == bindparam("multipart"), multiparts.c.state == OPEN)
)
_ADD_PART = Prepared(add_if_free(multipart_parts))
_PART_KEY = (
    multipart_parts.c.multipart == bindparam("multipart"),
    multipart_parts.c.number == bindparam("number"),
)
_PART = Prepared(select(multipart_parts).where(*_PART_KEY))
_TAKE_PART = Prepared(
    delete(multipart_parts).where(*_PART_KEY).returning(multipart_parts.c.stream, multipart_parts.c.small)
)
_PARTS = Prepared(
    select(multipart_parts)
    .where(
        multipart_parts.c.multipart == bindparam("multipart"), multipart_parts.c.number > bindparam("after")
    )
    .order_by(multipart_parts.c.number)
    .limit(bindparam("rows"))
)
_STAMPS = Prepared(
    select(
        multipart_parts.c.number,
        multipart_parts.c.etag,
        multipart_parts.c.modified,
        multipart_parts.c.stream,
        multipart_parts.c.small,
    )
    .where(multipart_parts.c.multipart == bindparam("multipart"))
    .order_by(multipart_parts.c.number)
)


def _assembling() -> Prepared:
    """Parts into pieces, each with the place where it begins; their columns lie in the same order."""
    parts = multipart_parts.c
    before = func.coalesce(
        func.sum(parts.size).over(order_by=parts.number, rows=(None, -1)), literal_column("0")
    )
    values = {
        "version": bindparam("version", type_=version_parts.c.version.type),
        "number": parts.number,
        "offset": cast(before, version_parts.c.offset.type),
    } | {name: parts[name] for name in Piece._fields[3:]}
    chosen = select(*values.values()).where(parts.multipart == bindparam("multipart"))
    return Prepared(insert(version_parts).from_select(list(values), chosen, include_defaults=False))


_ASSEMBLE = _assembling()
_TAKE_PARTS = Prepared(
    delete(multipart_parts)
    .where(multipart_parts.c.multipart == bindparam("multipart"))
    .returning(multipart_parts.c.stream, multipart_parts.c.small)
)
_DROP_PARTS = Prepared(delete(multipart_parts).where(multipart_parts.c.multipart == bindparam("multipart")))


class Stamp(NamedTuple):
    """What tells a part from one that was uploaded in its place."""

    number: int
    etag: str
    modified: int
    stream: int | None
    small: int | None


def add_multipart(connection: Connection, multipart: Multipart) -> Multipart | None:
    """Opens the upload, numbered by the database; None if there is one with its id."""
    row = _ADD(connection, **multipart._asdict()).fetchone()
    return None if row is None else multipart._replace(id=row[0])


def multipart_by_id(connection: Connection, upload_id: str) -> Multipart | None:
    """The upload, open or completed."""
    row = _BY_UPLOAD_ID(connection, upload_id=upload_id).fetchone()
    return None if row is None else Multipart(*row)


def is_open(connection: Connection, multipart: int) -> bool:
    """Whether the upload is there and not completed."""
    row = _STATE(connection, multipart=multipart).fetchone()
    return row is not None and row[0] == "open"


def finish(connection: Connection, multipart: int, version_id: str, now: int) -> bool:
    """The upload has become a version; False if it is no longer open."""
    return bool(_FINISH(connection, multipart=multipart, new_version=version_id, now=now).rowcount)


def abort(connection: Connection, multipart: int) -> bool:
    """Forgets an open upload; False if it is not one."""
    return bool(_ABORT(connection, multipart=multipart).rowcount)


def open_of_bucket(connection: Connection, bucket_id: int) -> list[int]:
    """The open uploads of a bucket, oldest first."""
    query = select(multiparts.c.id).where(multiparts.c.bucket_id == bucket_id, multiparts.c.state == OPEN)
    return [row[0] for row in connection.execute(query.order_by(multiparts.c.id))]


def forget_finished(connection: Connection, before: int, limit: int) -> int:
    """Forgets up to `limit` uploads that were completed before this time; how many."""
    old = select(multiparts.c.id).where(
        multiparts.c.state == literal_column("'completed'"), multiparts.c.finished < before
    )
    some = old.order_by(multiparts.c.finished).limit(limit)
    return connection.execute(delete(multiparts).where(multiparts.c.id.in_(some))).rowcount


def finished_count(connection: Connection, before: int, limit: int) -> int:
    """How many uploads, up to `limit`, were completed before this time."""
    old = select(multiparts.c.id).where(
        multiparts.c.state == literal_column("'completed'"), multiparts.c.finished < before
    )
    return len(connection.execute(old.limit(limit)).all())


def add_part(connection: Connection, part: Part) -> bool:
    """Adds a part; False if there is one of its number."""
    return _ADD_PART(connection, **part._asdict()).fetchone() is not None


def part_numbered(connection: Connection, multipart: int, number: int) -> Part | None:
    """One part."""
    row = _PART(connection, multipart=multipart, number=number).fetchone()
    return None if row is None else Part(*row)


def take_part(connection: Connection, multipart: int, number: int) -> tuple[int | None, int | None] | None:
    """Removes a part; the stream and the small that it referred to, None if there was none."""
    row = _TAKE_PART(connection, multipart=multipart, number=number).fetchone()
    return None if row is None else (row[0], row[1])


def parts_of(connection: Connection, multipart: int, after: int, limit: int) -> list[Part]:
    """Parts in order, those with a number above `after`."""
    found = _PARTS(connection, multipart=multipart, after=after, rows=limit).fetchall()
    return [Part(*row) for row in found]


def stamps_of(connection: Connection, multipart: int) -> list[Stamp]:
    """All parts, in order, as far as they need to be told apart."""
    return [Stamp(*row) for row in _STAMPS(connection, multipart=multipart).fetchall()]


def take_all(connection: Connection, multipart: int) -> list[tuple[int | None, int | None]]:
    """Removes all parts; the streams and smalls that they referred to."""
    return [(row[0], row[1]) for row in _TAKE_PARTS(connection, multipart=multipart).fetchall()]


def take_these(
    connection: Connection, multipart: int, numbers: Sequence[int]
) -> list[tuple[int | None, int | None]]:
    """Removes these parts; the streams and smalls that they referred to."""
    taken = (take_part(connection, multipart, number) for number in numbers)
    return [places for places in taken if places is not None]


def assemble(connection: Connection, multipart: int, version: int) -> None:
    """Moves all parts of the upload into pieces of the version."""
    _ASSEMBLE(connection, multipart=multipart, version=version)
    _DROP_PARTS(connection, multipart=multipart)
