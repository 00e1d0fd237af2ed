"""The SQL of listings: pages of keys, of versions and of multipart uploads, each by walking an index.

Nobody walks over trash, and a listing of keys not over delete markers or what they hide: what a page costs
depends on the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, bindparam, literal_column, select, text, union_all

from holdfast.files.listing import HistoryPage, Page, Want, WantWithin
from holdfast.files.records import Listed, Multipart, Version
from holdfast.files.stores import store_skimming
from holdfast.files.stores.store import CURRENT, HIDDEN, ONE, OPEN, multiparts, versions
from holdfast.files.stores.store_prepared import Prepared
from holdfast.files.stores.store_skimming import skim
from holdfast.files.stores.store_versions import version_of

_SHOWN = [versions.c[name] for name in Listed._fields]
_HIDDEN = text(HIDDEN)


def _both(query: Select[Any], column: Any) -> tuple[Prepared, Prepared]:
    """A query without and with an upper end of the keys."""
    return Prepared(query), Prepared(query.where(column < bindparam("end")))


def _from_start(columns: Sequence[Any], state: Any) -> Select[Any]:
    return (
        select(*columns)
        .where(versions.c.bucket_id == bindparam("bucket_id"), state, versions.c.key >= bindparam("start"))
        .order_by(versions.c.key)
        .limit(bindparam("rows"))
    )


_KEYS = _both(_from_start(_SHOWN, versions.c.state == CURRENT), versions.c.key)
_VERSIONS_OF_KEYS = _both(_from_start(list(versions.c), versions.c.state == CURRENT), versions.c.key)


def _of_both_states(*, ended: bool) -> Prepared:
    """Current versions and hidden ones, each along its own index, merged."""
    halves = []
    for state in (versions.c.state == CURRENT, _HIDDEN):
        half = _from_start(_SHOWN, state)
        if state is _HIDDEN:
            half = half.order_by(versions.c.sequence.desc())
        if ended:
            half = half.where(versions.c.key < bindparam("end"))
        halves.append(select(half.subquery()))
    merged = union_all(*halves).subquery()
    return Prepared(select(merged).order_by(merged.c.key, merged.c.sequence.desc()).limit(bindparam("rows")))


_HISTORIES = (_of_both_states(ended=False), _of_both_states(ended=True))


def _rest_of_key() -> Prepared:
    """Versions of one key below a sequence: when those above it were removed, one of them is current."""
    # A sum is not what an index is of: else a planner might walk the one that holds the trash too.
    kinds: list[tuple[Any, Any]] = [
        (versions.c.state == CURRENT, versions.c.sequence + literal_column("0")),
        (_HIDDEN, versions.c.sequence),
    ]
    halves = []
    for state, age in kinds:
        half = (
            select(*_SHOWN)
            .where(
                versions.c.bucket_id == bindparam("bucket_id"),
                versions.c.key == bindparam("start"),
                state,
                age < bindparam("within"),
            )
            .order_by(age.desc())
            .limit(bindparam("rows"))
        )
        halves.append(select(half.subquery()))
    merged = union_all(*halves).subquery()
    return Prepared(select(merged).order_by(merged.c.sequence.desc()).limit(bindparam("rows")))


_REST_OF_KEY = _rest_of_key()
_SEQUENCE_OF = Prepared(
    select(versions.c.sequence).where(
        versions.c.bucket_id == bindparam("bucket_id"),
        versions.c.key == bindparam("key"),
        versions.c.version_id == bindparam("version_id"),
    )
)
_SEQUENCE_OF_NULL = Prepared(
    select(versions.c.sequence)
    .where(
        versions.c.bucket_id == bindparam("bucket_id"), versions.c.key == bindparam("key"), text("is_null")
    )
    # One that is not in the trash, if there is one; else the last that was.
    .order_by(versions.c.state == "trashed", versions.c.sequence.desc())
    .limit(ONE)
)
_OPEN_OF_BUCKET = (multiparts.c.bucket_id == bindparam("bucket_id"), multiparts.c.state == OPEN)
_UPLOADS = _both(
    select(multiparts)
    .where(*_OPEN_OF_BUCKET, multiparts.c.key >= bindparam("start"))
    .order_by(multiparts.c.key, multiparts.c.upload_id)
    .limit(bindparam("rows")),
    multiparts.c.key,
)
_REST_OF_UPLOADS = Prepared(
    select(multiparts)
    .where(
        *_OPEN_OF_BUCKET,
        multiparts.c.key == bindparam("start"),
        multiparts.c.upload_id > bindparam("within"),
    )
    .order_by(multiparts.c.upload_id)
    .limit(bindparam("rows"))
)


def _listed(row: tuple[Any, ...]) -> Listed:
    return Listed._make((*row[:-2], bool(row[-2]), bool(row[-1])))


def _rows(
    connection: Connection,
    queries: tuple[Prepared, Prepared],
    bucket_id: int,
    start: bytes,
    end: bytes | None,
    rows: int,
) -> list[Any]:
    if end is None:
        return queries[0](connection, bucket_id=bucket_id, start=start, rows=rows).fetchall()
    return queries[1](connection, bucket_id=bucket_id, start=start, end=end, rows=rows).fetchall()


def page_of_keys(connection: Connection, bucket_id: int, want: Want, page: Page[Listed]) -> list[Listed]:
    """The first current versions that the page wants, in byte order of the key."""
    if page.delimiter:
        rows = skim(connection, store_skimming.OF_KEYS, bucket_id, want, page.prefix, page.delimiter)
    else:
        rows = _rows(connection, _KEYS, bucket_id, *want)
    return [_listed(row) for row in rows]


def page_of_objects(connection: Connection, bucket_id: int, want: Want, page: Page[Version]) -> list[Version]:
    """Like `page_of_keys`, with everything there is to know."""
    if page.delimiter:
        rows = skim(connection, store_skimming.OF_OBJECTS, bucket_id, want, page.prefix, page.delimiter)
    else:
        rows = _rows(connection, _VERSIONS_OF_KEYS, bucket_id, *want)
    return [version_of(row) for row in rows]


def page_of_versions(
    connection: Connection, bucket_id: int, want: WantWithin[int], page: HistoryPage[Listed, int]
) -> list[Listed]:
    """Versions and delete markers by key, of a key the newest first.

    `within` is the sequence below which the rows of the first key begin.
    """
    if want.skim:
        span = (want.start, want.end, want.rows)
        firsts = skim(connection, store_skimming.OF_HISTORIES, bucket_id, span, page.prefix, page.delimiter)
        return [_listed(row) for row in firsts]
    start, rows, found = want.start, want.rows, []
    if want.within is not None:
        found = _REST_OF_KEY(
            connection, bucket_id=bucket_id, start=start, within=want.within, rows=rows
        ).fetchall()
        start = start + b"\0"
    if len(found) < rows:
        found += _rows(connection, _HISTORIES, bucket_id, start, want.end, rows - len(found))
    return [_listed(row) for row in found]


def sequence_of(connection: Connection, bucket_id: int, key: bytes, version_id: str | None) -> int | None:
    """The sequence of a version of the key (None: of its null version), also of one in the trash."""
    if version_id is None:
        row = _SEQUENCE_OF_NULL(connection, bucket_id=bucket_id, key=key).fetchone()
    else:
        row = _SEQUENCE_OF(connection, bucket_id=bucket_id, key=key, version_id=version_id).fetchone()
    return None if row is None else int(row[0])


def page_of_multiparts(connection: Connection, bucket_id: int, want: WantWithin[str]) -> list[Multipart]:
    """Open multipart uploads by key, then by upload id; of the first key those after `within`."""
    start, rows, found = want.start, want.rows, []
    if want.within is not None:
        found = _REST_OF_UPLOADS(
            connection, bucket_id=bucket_id, start=start, within=want.within, rows=rows
        ).fetchall()
        start = start + b"\0"
    if len(found) < rows:
        found += _rows(connection, _UPLOADS, bucket_id, start, want.end, rows - len(found))
    return [Multipart(*row) for row in found]
