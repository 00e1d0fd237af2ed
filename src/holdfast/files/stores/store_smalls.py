"""The SQL of small objects and of packs.

A row of `smalls` holds sealed bytes until a pack has them; then it says where in the pack they lie. It
belongs to one version or part, and goes with it. A row of `packs` is what must be known to read its stream.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    select,
    text,
    update,
)

from holdfast.files.small_rows import Pack, Small
from holdfast.files.stores.store import IDENTITY, metadata
from holdfast.files.stores.store_prepared import Prepared

smalls = Table(
    "smalls",
    metadata,
    Column("id", IDENTITY, primary_key=True),
    Column("storage_class", Text, nullable=False),
    Column("length", Integer, nullable=False),
    Column("sealed_length", Integer, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("pack", BigInteger),
    Column("pack_offset", Integer),
    # The last column: whoever reads the others need not walk over it.
    Column("sealed", LargeBinary),
    Index(
        "smalls_waiting",
        "storage_class",
        "id",
        "sealed_length",
        sqlite_where=text("pack IS NULL"),
        postgresql_where=text("pack IS NULL"),
    ),
    Index(
        "smalls_packed",
        "pack",
        "sealed_length",
        sqlite_where=text("pack IS NOT NULL"),
        postgresql_where=text("pack IS NOT NULL"),
    ),
    sqlite_autoincrement=True,
)

packs = Table(
    "packs",
    metadata,
    Column("stream", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False, unique=True),
    Column("tenant", Text, nullable=False),
    Column("storage_class", Text, nullable=False),
    Column("k", SmallInteger, nullable=False),
    Column("n", SmallInteger, nullable=False),
    Column("repair_at", SmallInteger, nullable=False),
    Column("chunk_size", Integer, nullable=False),
    Column("chunk_count", Integer, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("checksum", Text, nullable=False),
    Column("envelope_mode", Text, nullable=False),
    Column("envelope_key_id", LargeBinary, nullable=False),
    Column("envelope_wrapped", LargeBinary, nullable=False),
    Column("closing", LargeBinary, nullable=False),
    Column("created", BigInteger, nullable=False),
)

NUMBERS_AT_A_TIME = 500

# Written out, not bound: a planner only uses a partial index whose condition it can read.
UNPACKED: ColumnElement[bool] = literal_column("smalls.pack IS NULL", Boolean())
PACKED: ColumnElement[bool] = literal_column("smalls.pack IS NOT NULL", Boolean())


_ADD = Prepared(
    insert(smalls).returning(smalls.c.id),
    columns=("storage_class", "length", "sealed_length", "created", "sealed"),
)
_GET = Prepared(select(smalls).where(smalls.c.id == bindparam("id")))
_PACK = Prepared(select(packs).where(packs.c.stream == bindparam("stream")))
_REMOVE = delete(smalls).where(smalls.c.id == bindparam("id"))
_MOVE = (
    update(smalls)
    .where(smalls.c.id == bindparam("of_small"), smalls.c.pack.is_(None))
    .values(pack=bindparam("to_pack"), pack_offset=bindparam("to_offset"), sealed=None)
)
_MOVE_ON = (
    update(smalls)
    .where(smalls.c.id == bindparam("of_small"), smalls.c.pack == bindparam("from_pack"))
    .values(pack=bindparam("to_pack"), pack_offset=bindparam("to_offset"), sealed=None)
)


def add_small(connection: Connection, sealed: bytes, *, length: int, storage_class: str, created: int) -> int:
    """Keeps sealed bytes; their number."""
    rows = _ADD(
        connection,
        storage_class=storage_class,
        length=length,
        sealed_length=len(sealed),
        created=created,
        sealed=sealed,
    )
    return int(rows.fetchall()[0][0])


def small_by_id(connection: Connection, small: int) -> Small | None:
    """One row."""
    row = _GET(connection, id=small).fetchone()
    return None if row is None else Small(*row)


def pack_of(connection: Connection, stream: int) -> Pack | None:
    """The pack that is kept as this stream."""
    row = _PACK(connection, stream=stream).fetchone()
    return None if row is None else Pack(*row)


def remove_small(connection: Connection, small: int) -> bool:
    """Frees the bytes, or their place in a pack; False if there was no such row."""
    return bool(connection.execute(_REMOVE, {"id": small}).rowcount)


# --- packing ---------------------------------------------------------------------------------------------


def classes_waiting(connection: Connection) -> list[tuple[str, int, int]]:
    """(storage class, bytes, time of the oldest) of what lies in the metadata store unpacked."""
    found = connection.execute(
        select(smalls.c.storage_class, func.sum(smalls.c.sealed_length), func.min(smalls.c.id))
        .where(UNPACKED)
        .group_by(smalls.c.storage_class)
        .order_by(smalls.c.storage_class)
    ).all()
    since = {
        row[0]: row[1]
        for row in connection.execute(
            select(smalls.c.id, smalls.c.created).where(smalls.c.id.in_([oldest for _, _, oldest in found]))
        )
    }
    return [(name, int(total), since[oldest]) for name, total, oldest in found]


def unpacked(connection: Connection, storage_class: str, limit: int) -> list[tuple[int, int]]:
    """(number, sealed length) of smalls of a class that no pack holds, oldest first."""
    rows = connection.execute(
        select(smalls.c.id, smalls.c.sealed_length)
        .where(UNPACKED, smalls.c.storage_class == storage_class)
        .order_by(smalls.c.id)
        .limit(limit)
    )
    return [(row[0], row[1]) for row in rows]


def smalls_numbered(connection: Connection, numbers: Sequence[int]) -> list[Small]:
    """Those of these numbers that are there, in order."""
    found: list[Small] = []
    for first in range(0, len(numbers), NUMBERS_AT_A_TIME):
        some = numbers[first : first + NUMBERS_AT_A_TIME]
        rows = connection.execute(select(smalls).where(smalls.c.id.in_(some)).order_by(smalls.c.id))
        found += [Small(*row) for row in rows]
    return found


def add_pack(connection: Connection, pack: Pack) -> None:
    """A pack, whose stream has just been committed."""
    connection.execute(insert(packs), pack._asdict())


def point(connection: Connection, pack: int, places: Sequence[tuple[int, int, int | None]]) -> int:
    """Smalls (number, offset in the pack, pack they lay in before) lie in this pack now; how many.

    Those that went, or were packed by somebody else meanwhile, stay as they are.
    """
    moved = 0
    for small, offset, before in places:
        bound = {"of_small": small, "to_pack": pack, "to_offset": offset}
        if before is None:
            moved += connection.execute(_MOVE, bound).rowcount
        else:
            moved += connection.execute(_MOVE_ON, bound | {"from_pack": before}).rowcount
    return moved


def packs_after(connection: Connection, stream: int, limit: int) -> list[Pack]:
    """A page of packs in the order of their streams."""
    rows = connection.execute(
        select(packs).where(packs.c.stream > stream).order_by(packs.c.stream).limit(limit)
    )
    return [Pack(*row) for row in rows]


def live_in(connection: Connection, streams: Sequence[int]) -> dict[int, tuple[int, int]]:
    """(smalls, sealed bytes) that still live in each pack; a pack without any is not named."""
    rows = connection.execute(
        select(smalls.c.pack, func.count(), func.sum(smalls.c.sealed_length))
        .where(PACKED, smalls.c.pack.in_(streams))
        .group_by(smalls.c.pack)
    )
    return {row[0]: (int(row[1]), int(row[2])) for row in rows}


def smalls_in(connection: Connection, pack: int) -> list[Small]:
    """What still lives in a pack, in the order of its place there."""
    rows = connection.execute(
        select(smalls).where(PACKED, smalls.c.pack == pack).order_by(smalls.c.pack_offset)
    )
    return [Small(*row) for row in rows]


def forget_pack(connection: Connection, stream: int) -> bool:
    """Removes the pack's row if nothing lives in it; whether it did."""
    alive = select(smalls.c.id).where(PACKED, smalls.c.pack == stream).limit(1)
    if connection.execute(alive).first() is not None:
        return False
    return bool(connection.execute(delete(packs).where(packs.c.stream == stream)).rowcount)


def classes_of_packs(connection: Connection, streams: Sequence[int]) -> dict[int, str]:
    """The storage class of each of the streams that is a pack."""
    rows = connection.execute(
        select(packs.c.stream, packs.c.storage_class).where(packs.c.stream.in_(streams))
    )
    return {row[0]: row[1] for row in rows}
