"""Where bytes lie: in records inside the sealed chunk, in shards, in leaves. Arithmetic only, no bytes.

    plain  --zstd, where it pays-->  packed  --a tag per record-->  sealed  --cut, padded-->  k data shards

A record is 65,536 packed bytes (the last one fewer) and its 16-byte tag. Data shard j is the sealed bytes
from j * S, and zeros behind the end; S is the shard length. A leaf is 65,536 bytes of a shard (the last one
fewer).
All lengths and offsets are bytes; ranges are half-open.
"""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.chunks.metadata import CHUNK_ID_BYTES, ROOT_BYTES, ChunkRecord
from holdfast.chunks.redundancy import Redundancy
from holdfast.world.errors import Refusal

FORMAT = 1
RECORD_BYTES = 65_536
TAG_BYTES = 16
STRIDE_BYTES = RECORD_BYTES + TAG_BYTES
# Each leaf is one call that gives up and regains the interpreter lock: smaller leaves make two sealing
# threads slower than one, larger ones make proofs and small ranges dearer (figures: docs/formats/chunk.md).
LEAF_BYTES = 65_536
CHUNK_BYTES_DEFAULT = 5 << 20
CHUNK_BYTES_MAX = 64 << 20

# Vector instructions like 64; a stride that is a multiple of the page size makes the shards of a chunk fall
# into the same cache sets and halves the speed of the code.
_SHARD_ALIGNMENT = 64
_SHARD_UNWANTED = 4096


@dataclass(frozen=True, slots=True)
class Slice:
    """`length` bytes from `offset` of data shard `index`; leaf-aligned, but for the shard's end."""

    index: int
    offset: int
    length: int


def sealed_length(packed_length: int) -> int:
    """Length of the sealed chunk: the packed bytes and one tag per record."""
    return packed_length + TAG_BYTES * record_count(packed_length)


def record_count(packed_length: int) -> int:
    """How many records hold `packed_length` bytes."""
    return -(-packed_length // RECORD_BYTES)


def shard_length(sealed: int, k: int) -> int:
    """The least multiple of 64, not of 4096, that k times over holds `sealed` bytes."""
    per_shard = -(-sealed // k)
    length = -(-per_shard // _SHARD_ALIGNMENT) * _SHARD_ALIGNMENT
    return length + _SHARD_ALIGNMENT if length % _SHARD_UNWANTED == 0 else length


def slot_length(plain_length: int, redundancy: Redundancy) -> int:
    """Bytes of buffer that sealing a chunk of at most `plain_length` needs: its n shards, one after another.

    A replicated chunk (k = 1) needs one shard only: all its shards are the same bytes.
    """
    shards = 1 if redundancy.k == 1 else redundancy.n
    return shards * shard_length(sealed_length(plain_length), redundancy.k)


def leaf_count(length: int) -> int:
    """How many leaves a shard of `length` bytes has."""
    return -(-length // LEAF_BYTES)


def data_shard_count(sealed: int, per_shard: int) -> int:
    """How many of the data shards hold sealed bytes; those behind them are zeros and need not be fetched."""
    return -(-sealed // per_shard)


def check_record(record: ChunkRecord, redundancy: Redundancy) -> None:
    """Refuses a record whose lengths do not fit together, before anything is fetched or allocated for it.

    Raises Refusal("format.newer" | "format.invalid").
    """
    if record.format > FORMAT:
        raise Refusal(
            "format.newer",
            f"Chunk {record.number} is of format {record.format}; this program knows up to {FORMAT}.",
            advice="Update Holdfast.",
            format=record.format,
            known=FORMAT,
        )
    packed_fits = (
        0 < record.packed_length < record.plain_length
        if record.compressed
        else record.packed_length == record.plain_length
    )
    fits = (
        record.format == FORMAT
        and record.number >= 0
        and len(record.chunk_id) == CHUNK_ID_BYTES
        and len(record.root) == ROOT_BYTES
        and 1 <= record.plain_length <= CHUNK_BYTES_MAX
        and packed_fits
        and record.sealed_length == sealed_length(record.packed_length)
        and record.shard_length == shard_length(record.sealed_length, redundancy.k)
    )
    if not fits:
        raise Refusal(
            "format.invalid",
            f"The record of chunk {record.number} contradicts itself.",
            advice="The metadata is damaged; restore it, or open the object from its manifest.",
            number=record.number,
        )


def records_of_range(start: int, stop: int) -> range:
    """The records that hold the packed bytes [start, stop)."""
    assert 0 <= start < stop, "an empty range has no records"
    return range(start // RECORD_BYTES, -(-stop // RECORD_BYTES))


def slices_for_range(record: ChunkRecord, start: int, stop: int) -> list[Slice]:
    """What to read of the data shards to open plain bytes [start, stop) of a chunk, in shard order.

    The same slice of any k other shards stands in for one that is missing. Of a compressed chunk, the whole.
    """
    assert 0 <= start < stop <= record.plain_length, "the range must lie inside the chunk"
    if record.compressed:
        return slices_for_chunk(record)
    records = records_of_range(start, stop)
    first_byte = records.start * STRIDE_BYTES
    end_byte = min(records.stop * STRIDE_BYTES, record.sealed_length)
    return _slices(first_byte, end_byte, record.shard_length)


def slices_for_chunk(record: ChunkRecord) -> list[Slice]:
    """Every data shard that holds sealed bytes, whole."""
    count = data_shard_count(record.sealed_length, record.shard_length)
    return [Slice(index, 0, record.shard_length) for index in range(count)]


def _slices(first_byte: int, end_byte: int, per_shard: int) -> list[Slice]:
    """Sealed bytes [first_byte, end_byte) as slices of data shards, widened to leaves."""
    slices = []
    for index in range(first_byte // per_shard, -(-end_byte // per_shard)):
        low = max(first_byte - index * per_shard, 0)
        high = min(end_byte - index * per_shard, per_shard)
        offset = low // LEAF_BYTES * LEAF_BYTES
        slices.append(Slice(index, offset, min(-(-high // LEAF_BYTES) * LEAF_BYTES, per_shard) - offset))
    return slices
