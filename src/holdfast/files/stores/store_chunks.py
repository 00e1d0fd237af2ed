"""The SQL of chunks and of what is known to be wrong with their shards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
    tuple_,
    update,
)

from holdfast.files.stores.store import add_if_free, chunks, shard_faults
from holdfast.protocol.nouns import ChunkRecord

_SIGN = 1 << 63


class Chunk(NamedTuple):
    """A row of `chunks`; `checksum` is the signed number of the same 64 bits."""

    stream: int
    number: int
    chunk_id: bytes
    k: int
    repair_at: int
    plain_length: int
    packed_length: int
    compressed: bool
    sealed_length: int
    shard_length: int
    root: bytes
    checksum: int
    format: int
    placement: bytes
    revision: int
    recorded: int

    @property
    def record(self) -> ChunkRecord:
        """The chunk as clients speak of it."""
        return ChunkRecord(
            number=self.number,
            chunk_id=self.chunk_id,
            plain_length=self.plain_length,
            packed_length=self.packed_length,
            compressed=self.compressed,
            sealed_length=self.sealed_length,
            shard_length=self.shard_length,
            root=self.root,
            checksum=unsigned(self.checksum),
            format=self.format,
        )


class Fault(NamedTuple):
    """A row of `shard_faults`. `state`: suspect | confirmed | dismissed."""

    stream: int
    number: int
    shard_index: int
    alias: int
    kind: str
    state: str
    evidence: str
    reports: int
    first_reported: int
    last_reported: int


class PlainSum(NamedTuple):
    """What a commit needs to know of a chunk."""

    number: int
    plain_length: int
    checksum: int


def signed(checksum: int) -> int:
    """The 64 bits as databases take them."""
    return checksum - (checksum >= _SIGN) * 2 * _SIGN


def unsigned(checksum: int) -> int:
    """The 64 bits as they are spoken of."""
    return checksum % (2 * _SIGN)


_CHUNK_BY_NUMBER = select(chunks).where(
    chunks.c.stream == bindparam("stream"), chunks.c.number == bindparam("number")
)
_CHUNK_BY_ID = select(chunks).where(chunks.c.chunk_id == bindparam("chunk_id"))
_RANGE = (
    select(chunks)
    .where(chunks.c.stream == bindparam("stream"), chunks.c.number >= bindparam("first"))
    .order_by(chunks.c.number)
    .limit(bindparam("rows"))
)
_PLAIN_SUMS = (
    select(chunks.c.number, chunks.c.plain_length, chunks.c.checksum)
    .where(chunks.c.stream == bindparam("stream"))
    .order_by(chunks.c.number)
)
_SWAP = (
    update(chunks)
    .where(
        chunks.c.stream == bindparam("of_stream"),
        chunks.c.number == bindparam("of_number"),
        chunks.c.chunk_id == bindparam("of_chunk"),
        chunks.c.revision == bindparam("seen"),
    )
    .values(placement=bindparam("new_placement"), revision=chunks.c.revision + 1)
)
_ADD = add_if_free(chunks)


def add_chunk(connection: Connection, chunk: Chunk) -> bool:
    """Adds the row; False if the stream has a chunk of this number, or any stream one of this id."""
    return connection.execute(_ADD[connection.dialect.name], chunk._asdict()).first() is not None


def remove_chunk(connection: Connection, chunk: Chunk) -> None:
    """Takes the row out; its shards are the caller's to journal."""
    connection.execute(delete(chunks).where(chunks.c.stream == chunk.stream, chunks.c.number == chunk.number))


def chunk_numbered(connection: Connection, stream: int, number: int) -> Chunk | None:
    """One chunk of a stream."""
    row = connection.execute(_CHUNK_BY_NUMBER, {"stream": stream, "number": number}).first()
    return None if row is None else Chunk(*row)


def chunk_by_id(connection: Connection, chunk_id: bytes) -> Chunk | None:
    """The chunk of this id, whichever stream it is in."""
    row = connection.execute(_CHUNK_BY_ID, {"chunk_id": chunk_id}).first()
    return None if row is None else Chunk(*row)


def chunk_range(connection: Connection, stream: int, first: int, limit: int) -> list[Chunk]:
    """Chunks first.. of a stream in order, at most `limit`."""
    return [
        Chunk(*row) for row in connection.execute(_RANGE, {"stream": stream, "first": first, "rows": limit})
    ]


def chunk_ids(connection: Connection, stream: int, first: int, limit: int) -> list[bytes]:
    """The ids of chunks first.. in order, at most `limit`."""
    rows = connection.execute(
        select(chunks.c.chunk_id)
        .where(chunks.c.stream == stream, chunks.c.number >= first)
        .order_by(chunks.c.number)
        .limit(limit)
    )
    return [bytes(row[0]) for row in rows]


def plain_sums(connection: Connection, stream: int) -> list[PlainSum]:
    """Length and checksum of every chunk of a stream, in order."""
    rows = connection.execute(_PLAIN_SUMS, {"stream": stream})
    return [PlainSum(number, length, unsigned(checksum)) for number, length, checksum in rows]


def placements(connection: Connection, stream: int) -> list[tuple[int, bytes, int]]:
    """(number, placement, shard length) of every chunk of a stream, in order."""
    rows = connection.execute(
        select(chunks.c.number, chunks.c.placement, chunks.c.shard_length)
        .where(chunks.c.stream == stream)
        .order_by(chunks.c.number)
    )
    return [(row[0], bytes(row[1]), row[2]) for row in rows]


def swap_placement(connection: Connection, chunk: Chunk, placement: bytes) -> bool:
    """Stores the new placement if the chunk still is as it was read; says whether it was."""
    done = connection.execute(
        _SWAP,
        {
            "of_stream": chunk.stream,
            "of_number": chunk.number,
            "of_chunk": chunk.chunk_id,
            "seen": chunk.revision,
            "new_placement": placement,
        },
    )
    return bool(done.rowcount)


def chunks_after(connection: Connection, stream: int, number: int, limit: int) -> list[Chunk]:
    """A page of all chunks there are, in the order of (stream, number), for passes."""
    rows = connection.execute(
        select(chunks)
        .where(tuple_(chunks.c.stream, chunks.c.number) > tuple_(stream, number))
        .order_by(chunks.c.stream, chunks.c.number)
        .limit(limit)
    )
    return [Chunk(*row) for row in rows]


def take_chunks(connection: Connection, stream: int, limit: int) -> list[Chunk]:
    """Removes up to `limit` chunk rows of a doomed stream and returns them."""
    taken = chunk_range(connection, stream, 0, limit)
    if taken:
        connection.execute(
            delete(chunks).where(chunks.c.stream == stream, chunks.c.number <= taken[-1].number)
        )
    return taken


# --- faults ----------------------------------------------------------------------------------------------


def fault_at(connection: Connection, stream: int, number: int, index: int, alias: int) -> Fault | None:
    """What is known of this shard at this node."""
    row = connection.execute(select(shard_faults).where(_is(stream, number, index, alias))).first()
    return None if row is None else Fault(*row)


def put_fault(connection: Connection, fault: Fault) -> None:
    """Stores what is known of a shard, over what was known before."""
    here = _is(fault.stream, fault.number, fault.shard_index, fault.alias)
    changed = connection.execute(update(shard_faults).where(here).values(fault._asdict())).rowcount
    if not changed:
        connection.execute(insert(shard_faults), fault._asdict())


def faults_of(connection: Connection, stream: int, first: int = 0, last: int | None = None) -> list[Fault]:
    """Suspect and confirmed faults of a stream's chunks first..last, in order."""
    wanted = and_(
        shard_faults.c.stream == stream,
        shard_faults.c.number >= first,
        shard_faults.c.state.in_(("suspect", "confirmed")),
    )
    if last is not None:
        wanted = and_(wanted, shard_faults.c.number <= last)
    rows = connection.execute(
        select(shard_faults)
        .where(wanted)
        .order_by(shard_faults.c.number, shard_faults.c.shard_index, shard_faults.c.alias)
    )
    return [Fault(*row) for row in rows]


def faults_of_chunks(connection: Connection, keys: Sequence[tuple[int, int]]) -> list[Fault]:
    """Suspect and confirmed faults of the chunks (stream, number), in order."""
    if not keys:
        return []
    rows = connection.execute(
        select(shard_faults)
        .where(
            tuple_(shard_faults.c.stream, shard_faults.c.number).between(tuple_(*keys[0]), tuple_(*keys[-1])),
            shard_faults.c.state.in_(("suspect", "confirmed")),
        )
        .order_by(
            shard_faults.c.stream, shard_faults.c.number, shard_faults.c.shard_index, shard_faults.c.alias
        )
    )
    return [Fault(*row) for row in rows]


def fault_count(connection: Connection, state: str) -> int:
    """How many faults are in this state."""
    query = select(func.count()).select_from(shard_faults).where(shard_faults.c.state == state)
    return int(connection.execute(query).scalar_one())


def _is(stream: int, number: int, index: int, alias: int) -> ColumnElement[bool]:
    return and_(
        shard_faults.c.stream == stream,
        shard_faults.c.number == number,
        shard_faults.c.shard_index == index,
        shard_faults.c.alias == alias,
    )
