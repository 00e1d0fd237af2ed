"""The SQL of who refers to a stream or a small object, and of what goes when nobody does any more.

Versions, pieces and parts may share streams and small objects. Whoever takes one of them out says afterwards
what it referred to (`release`): what nothing refers to then is doomed, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, delete, insert, select, union

from holdfast.files.stores import store_versions
from holdfast.files.stores.store import (
    TRASHED,
    doomed,
    multipart_parts,
    shard_faults,
    uploads,
    version_parts,
    versions,
)
from holdfast.files.stores.store_smalls import classes_of_packs, remove_small

_TABLES = (versions, version_parts, multipart_parts)
_AT_A_TIME = 500


def release(
    connection: Connection, streams: Sequence[int | None], smalls: Sequence[int | None], now: int
) -> None:
    """Dooms the streams, and frees the smalls, that nothing refers to any more."""
    left = _unreferenced(connection, "stream", streams)
    for first in range(0, len(left), _AT_A_TIME):
        some = left[first : first + _AT_A_TIME]
        connection.execute(delete(uploads).where(uploads.c.stream.in_(some)))
        connection.execute(insert(doomed), [{"stream": stream, "since": now} for stream in some])
    for small in _unreferenced(connection, "small", smalls):
        remove_small(connection, small)


def held(connection: Connection, streams: Sequence[int | None]) -> bool:
    """Whether something refers to each of the streams: then they are not doomed."""
    return not _unreferenced(connection, "stream", streams)


def _unreferenced(connection: Connection, column: str, wanted: Iterable[int | None]) -> list[int]:
    """Those that no version, piece or part refers to, in order."""
    asked = sorted({number for number in wanted if number is not None})
    left: list[int] = []
    for first in range(0, len(asked), _AT_A_TIME):
        some = asked[first : first + _AT_A_TIME]
        queries = [select(table.c[column]).where(table.c[column].in_(some)) for table in _TABLES]
        held = {row[0] for row in connection.execute(union(*queries))}
        left += [number for number in some if number not in held]
    return left


def forget_version(connection: Connection, version: int, now: int) -> bool:
    """Removes the trashed version of this number and what only it referred to; False if it is not there."""
    gone = connection.execute(
        delete(versions)
        .where(versions.c.id == version, versions.c.state == TRASHED)
        .returning(versions.c.stream, versions.c.small, versions.c.part_count)
    ).first()
    if gone is None:
        return False
    places = [(gone[0], gone[1])]
    if gone[2]:
        places += store_versions.take_pieces(connection, version)
    release(connection, [stream for stream, _ in places], [small for _, small in places], now)
    return True


def doom(connection: Connection, stream: int, now: int) -> None:
    """From now on nothing refers to the stream: its chunks are taken away page by page."""
    connection.execute(delete(uploads).where(uploads.c.stream == stream))
    connection.execute(insert(doomed).values(stream=stream, since=now))


def doomed_streams(connection: Connection, limit: int) -> list[int]:
    """Streams whose chunks are still to be taken away."""
    rows = connection.execute(select(doomed.c.stream).order_by(doomed.c.since, doomed.c.stream).limit(limit))
    return [row[0] for row in rows]


def undoom(connection: Connection, stream: int) -> None:
    """The stream has no chunks left."""
    connection.execute(delete(shard_faults).where(shard_faults.c.stream == stream))
    connection.execute(delete(doomed).where(doomed.c.stream == stream))


def classes_of(connection: Connection, streams: Sequence[int]) -> dict[int, str]:
    """The storage class of each stream: of what it belongs to, or of its upload while that is open."""
    found: dict[int, str] = {}
    for table in (uploads, *_TABLES):
        rows = connection.execute(
            select(table.c.stream, table.c.storage_class).where(table.c.stream.in_(streams))
        )
        found |= {row[0]: row[1] for row in rows}
    return found | classes_of_packs(connection, streams)
