from __future__ import annotations

import dataclasses

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.chunks import obvious

from holdfast.chunks import layout
from holdfast.chunks.metadata import ChunkRecord
from holdfast.chunks.redundancy import Redundancy
from holdfast.world.errors import Refusal

TEN_OF_FOURTEEN = Redundancy(10, 14, 12)


def record_of(plain_length: int, k: int, packed_length: int | None = None) -> ChunkRecord:
    packed = plain_length if packed_length is None else packed_length
    sealed = layout.sealed_length(packed)
    return ChunkRecord(
        number=0,
        chunk_id=bytes(16),
        plain_length=plain_length,
        packed_length=packed,
        compressed=packed != plain_length,
        sealed_length=sealed,
        shard_length=layout.shard_length(sealed, k),
        root=bytes(32),
        checksum=0,
    )


@given(st.integers(1, 3_000_000), st.integers(1, 255))
def test_a_shard_is_as_short_as_its_alignment_allows(sealed_length: int, k: int):
    assert layout.shard_length(sealed_length, k) == obvious.shard_length(sealed_length, k)


def test_the_default_chunk_makes_shards_of_half_a_mebibyte():
    record = record_of(layout.CHUNK_BYTES_DEFAULT, 10)
    assert (record.sealed_length, record.shard_length) == (5_244_160, 524_416)
    assert layout.slot_length(record.plain_length, TEN_OF_FOURTEEN) == 14 * 524_416
    assert layout.slot_length(record.plain_length, Redundancy(1, 3, 2)) == 5_244_160


@st.composite
def ranges(draw: st.DrawFn) -> tuple[ChunkRecord, int, int]:
    length = draw(st.integers(1, 700_000))
    start = draw(st.integers(0, length - 1))
    return record_of(length, draw(st.integers(1, 40))), start, draw(st.integers(start + 1, length))


def slices_byte_by_byte(record: ChunkRecord, start: int, stop: int) -> dict[int, tuple[int, int]]:
    """The slow twin: walks record by record and leaf by leaf; shard index to (offset, end)."""
    needed: dict[int, tuple[int, int]] = {}
    for number in range(layout.record_count(record.packed_length)):
        if number * 65_536 >= stop or (number + 1) * 65_536 <= start:
            continue
        first = number * 65_552
        end = min(first + 65_552, record.sealed_length)
        for leaf in range(0, record.sealed_length + layout.LEAF_BYTES, 64):
            shard, at = divmod(leaf, record.shard_length)
            if first < leaf + 64 and leaf < end:
                low = at // layout.LEAF_BYTES * layout.LEAF_BYTES
                high = min(low + layout.LEAF_BYTES, record.shard_length)
                old_low, old_high = needed.get(shard, (low, high))
                needed[shard] = (min(old_low, low), max(old_high, high))
    return needed


@given(ranges())
def test_a_range_needs_just_the_leaves_that_its_records_touch(case: tuple[ChunkRecord, int, int]):
    record, start, stop = case
    slices = layout.slices_for_range(record, start, stop)
    assert {s.index: (s.offset, s.offset + s.length) for s in slices} == slices_byte_by_byte(
        record, start, stop
    )
    assert [s.index for s in slices] == sorted({s.index for s in slices})


@pytest.mark.parametrize(("chunk_size", "share"), [(5 << 20, 1.0), (16 << 20, 0.95), (1 << 20, 0.4)])
def test_a_small_range_touches_one_node_most_of_the_time(chunk_size: int, share: float):
    record = record_of(chunk_size, 10)
    starts = range(0, record.plain_length, 4096)
    touched = [len(layout.slices_for_range(record, start, start + 4096)) for start in starts]
    assert max(touched) <= 2
    assert sum(count == 1 for count in touched) / len(touched) >= share


def test_a_range_of_a_compressed_chunk_needs_the_whole_chunk():
    record = record_of(1_000_000, 10, packed_length=400_000)
    assert layout.slices_for_range(record, 5, 6) == layout.slices_for_chunk(record)


def test_data_shards_that_hold_only_padding_are_not_fetched():
    record = record_of(100, 10)
    assert record.shard_length == 64
    assert [s.index for s in layout.slices_for_chunk(record)] == [0, 1]


def test_a_record_that_fits_together_is_let_through():
    layout.check_record(record_of(5 << 20, 10), TEN_OF_FOURTEEN)
    layout.check_record(record_of(5 << 20, 10, packed_length=1), TEN_OF_FOURTEEN)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"format": 2}, "format.newer"),
        ({"format": 0}, "format.invalid"),
        ({"number": -1}, "format.invalid"),
        ({"chunk_id": bytes(15)}, "format.invalid"),
        ({"root": b""}, "format.invalid"),
        ({"plain_length": 0, "packed_length": 0, "sealed_length": 0}, "format.invalid"),
        ({"plain_length": 65 << 20, "compressed": True}, "format.invalid"),
        ({"plain_length": 99}, "format.invalid"),
        ({"compressed": True}, "format.invalid"),
        ({"packed_length": 0, "compressed": True, "sealed_length": 0}, "format.invalid"),
        ({"sealed_length": 117}, "format.invalid"),
        ({"shard_length": 128}, "format.invalid"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(change: dict[str, object], code: str):
    record = msgspec.structs.replace(record_of(100, 10), **change)
    with pytest.raises(Refusal) as refusal:
        layout.check_record(record, TEN_OF_FOURTEEN)
    assert refusal.value.code == code


def test_a_record_of_another_redundancy_is_refused():
    with pytest.raises(Refusal):
        layout.check_record(record_of(5 << 20, 10), dataclasses.replace(TEN_OF_FOURTEEN, k=9))
