"""Sealing: a chunk's plain bytes into n shards, in the caller's slot. Opening: any k shards into plain bytes.

Nothing is allocated or copied on the way but what compression makes: records are encrypted from the plain
bytes straight to their place among the shards, parity is computed beside them, and records are decrypted from
the shards straight to the reader's memory. All heavy calls release the GIL; one `Sealer` and one `Opener`
serve all threads.
"""

from __future__ import annotations

import mmap
from bisect import bisect_right
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from holdfast.chunks import checksum, layout, packing, tree
from holdfast.chunks.cipher import RecordCipher
from holdfast.chunks.erasure import Erasure
from holdfast.chunks.layout import CHUNK_BYTES_MAX, RECORD_BYTES, STRIDE_BYTES, Slice
from holdfast.chunks.metadata import ChunkRecord
from holdfast.chunks.packing import Packer
from holdfast.chunks.redundancy import Redundancy
from holdfast.world.errors import Trouble


@dataclass(frozen=True, slots=True)
class SealedChunk:
    """A sealed chunk in its slot. `shards`: n views of the slot, in order; `roots`: n times 32 bytes."""

    record: ChunkRecord
    shards: list[memoryview]
    roots: bytes

    def release(self) -> None:
        """Lets go of the slot, so that its next user cannot be read from here."""
        for shard in self.shards:
            shard.release()


class Sealer:
    """Seals chunks. `compress=False` where the bytes are known not to shrink."""

    def __init__(self, erasure: Erasure, *, compress: bool = True) -> None:
        self._erasure = erasure
        self._packer = Packer() if compress else None

    def seal(
        self,
        plain: memoryview,
        *,
        data_key: bytes,
        chunk_id: bytes,
        number: int,
        redundancy: Redundancy,
        slot: memoryview,
    ) -> SealedChunk:
        """Seals 1 byte to 64 MiB into `slot`: `layout.slot_length` bytes or more that do not overlap `plain`.

        `chunk_id` is 16 random bytes, new for every sealing, also of the same chunk again: the key follows
        from it. What the slot held before is overwritten wherever a shard reaches.
        """
        assert 1 <= len(plain) <= CHUNK_BYTES_MAX, "a chunk holds 1 byte to 64 MiB"
        compressed = self._packer.pack(plain) if self._packer else None
        packed = plain if compressed is None else memoryview(compressed)
        sealed_length = layout.sealed_length(len(packed))
        shard_length = layout.shard_length(sealed_length, redundancy.k)
        cipher = RecordCipher(
            data_key=data_key,
            chunk_id=chunk_id,
            number=number,
            plain_length=len(plain),
            packed_length=len(packed),
            compressed=compressed is not None,
        )
        cipher.seal(packed, slot)
        shards, roots = self._code(slot, sealed_length, shard_length, redundancy)
        lengths = {"shard_length": shard_length, "sealed_length": sealed_length}
        record = ChunkRecord(
            number=number,
            chunk_id=chunk_id,
            plain_length=len(plain),
            packed_length=len(packed),
            compressed=compressed is not None,
            sealed_length=sealed_length,
            shard_length=shard_length,
            root=tree.chunk_root(roots, redundancy, **lengths),
            checksum=checksum.crc64(plain),
        )
        return SealedChunk(record=record, shards=shards, roots=roots)

    def _code(
        self, slot: memoryview, sealed_length: int, shard_length: int, redundancy: Redundancy
    ) -> tuple[list[memoryview], bytes]:
        """Pads and codes what lies sealed in the slot: the n shards and their roots."""
        k, n = redundancy.k, redundancy.n
        # A slot keeps what its last user wrote, perhaps another tenant's bytes: padding is zeroed each time.
        slot[sealed_length : k * shard_length] = bytes(k * shard_length - sealed_length)
        if k == 1:
            # The code would only copy: all n shards are the same bytes, so they share their memory.
            return [slot[:shard_length] for _ in range(n)], tree.root_of(slot[:shard_length]) * n
        self._erasure.encode(slot, redundancy, shard_length)
        shards = [slot[i * shard_length : (i + 1) * shard_length] for i in range(n)]
        return shards, tree.roots_of(shards)


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a shard at hand: `data` stands at `offset` of the shard."""

    offset: int
    data: memoryview


class Opener:
    """Opens chunks from shards that passed `tree.verify_shard` or `tree.verify_slice`.

    Unverified shards are no danger to the reader, since every record is authenticated, but then nobody knows
    whose fault it was.
    """

    def __init__(self, erasure: Erasure) -> None:
        self._erasure = erasure
        self._scratch: deque[mmap.mmap] = deque()

    def open(
        self,
        record: ChunkRecord,
        redundancy: Redundancy,
        shards: Mapping[int, memoryview],
        *,
        data_key: bytes,
        into: memoryview,
    ) -> int:
        """Writes the chunk's plain bytes to the start of `into`; returns their number, `record.plain_length`.

        `shards` (index to whole shard): the data shards that hold sealed bytes, or any k. Fastest with all
        data shards. Raises Trouble("chunk.lost") for too few, Trouble("metadata.forged") if they are not what
        was sealed, Refusal("format.newer" | "format.invalid") for a record that cannot be.
        """
        layout.check_record(record, redundancy)
        pieces = {index: Piece(0, shard) for index, shard in shards.items()}
        length = record.plain_length
        self.open_range(record, redundancy, pieces, start=0, stop=length, data_key=data_key, into=into)
        if checksum.crc64(into[:length]) != record.checksum:
            raise Trouble(
                "metadata.forged",
                f"The checksum kept for chunk {record.number} is not that of its bytes.",
                retry=False,
                advice="The bytes are authentic, the metadata is not: tell the operator.",
                number=record.number,
            )
        return length

    def open_range(
        self,
        record: ChunkRecord,
        redundancy: Redundancy,
        pieces: Mapping[int, Piece],
        *,
        start: int,
        stop: int,
        data_key: bytes,
        into: memoryview,
    ) -> int:
        """Writes plain bytes [start, stop) of the chunk to the start of `into`; returns stop - start.

        `pieces` cover `layout.slices_for_range(record, start, stop)`; where a slice is missing, k other
        shards cover the same offsets. Only the records of the range are decrypted, and of a compressed chunk
        those up to its end. Raises as `open` does, but does not check the chunk's checksum.
        """
        layout.check_record(record, redundancy)
        slices = layout.slices_for_range(record, start, stop)
        cipher = RecordCipher(
            data_key=data_key,
            chunk_id=record.chunk_id,
            number=record.number,
            plain_length=record.plain_length,
            packed_length=record.packed_length,
            compressed=record.compressed,
        )
        scratch = self._take_scratch(_missing_bytes(slices, pieces))
        try:
            extents = self._gather(redundancy, slices, pieces, memoryview(scratch))
            sealed = _Sealed(record, slices, extents)
            target = into[: stop - start]
            if record.compressed:
                source = _PackedRecords(cipher, sealed, record)
                packing.unpack(source, target, skip=start, last=stop == record.plain_length)
            else:
                _open_records(cipher, sealed, target, start, stop)
        finally:
            self._scratch.append(scratch)
        return stop - start

    def _gather(
        self,
        redundancy: Redundancy,
        slices: list[Slice],
        pieces: Mapping[int, Piece],
        scratch: memoryview,
    ) -> list[memoryview]:
        """The bytes of each slice, in order: those at hand, and the others rebuilt in `scratch`."""
        found: dict[int, memoryview] = {}
        missing: dict[tuple[int, int], dict[int, memoryview]] = {}
        for part in slices:
            piece = pieces.get(part.index)
            if piece is not None and _covers(piece, part):
                found[part.index] = _cut(piece, part)
            else:
                target, scratch = scratch[: part.length], scratch[part.length :]
                # Shards that miss the same offsets are rebuilt together: the sources are read once.
                missing.setdefault((part.offset, part.length), {})[part.index] = target
        for (offset, length), wanted in missing.items():
            window = Slice(0, offset, length)
            present = {i: _cut(piece, window) for i, piece in pieces.items() if _covers(piece, window)}
            self._erasure.rebuild(redundancy, present, wanted)
            found |= wanted
        return [found[part.index] for part in slices]

    def _take_scratch(self, size: int) -> mmap.mmap:
        """Memory of at least `size` bytes, used again where it is large enough: fresh pages are dear."""
        try:
            scratch = self._scratch.pop()
        except IndexError:
            return mmap.mmap(-1, max(size, 1))
        return scratch if len(scratch) >= size else mmap.mmap(-1, size)


def _covers(piece: Piece, part: Slice) -> bool:
    return piece.offset <= part.offset and part.offset + part.length <= piece.offset + len(piece.data)


def _cut(piece: Piece, part: Slice) -> memoryview:
    start = part.offset - piece.offset
    return piece.data[start : start + part.length]


def _missing_bytes(slices: list[Slice], pieces: Mapping[int, Piece]) -> int:
    return sum(
        part.length for part in slices if part.index not in pieces or not _covers(pieces[part.index], part)
    )


class _Sealed:
    """The sealed chunk, or part of it, as it lies in shards: extents that follow one another."""

    def __init__(self, record: ChunkRecord, slices: list[Slice], extents: list[memoryview]) -> None:
        self._end = record.sealed_length
        self._starts = [part.index * record.shard_length + part.offset for part in slices]
        self._extents = extents
        self._straddling: memoryview | None = None

    def record(self, index: int) -> memoryview:
        """Record `index` where it lies; if it runs over a shard's end, a copy until the next such call."""
        low = index * STRIDE_BYTES
        high = min(low + STRIDE_BYTES, self._end)
        position = bisect_right(self._starts, low) - 1
        start, extent = self._starts[position], self._extents[position]
        if high <= start + len(extent):
            return extent[low - start : high - start]
        if self._straddling is None:
            self._straddling = memoryview(bytearray(STRIDE_BYTES))
        filled = 0
        while low < high:
            start, extent = self._starts[position], self._extents[position]
            part = extent[low - start : high - start]
            self._straddling[filled : filled + len(part)] = part
            filled += len(part)
            low += len(part)
            position += 1
        return self._straddling[:filled]


class _PackedRecords:
    """The packed bytes of a compressed chunk, decrypted record by record as they are asked for."""

    def __init__(self, cipher: RecordCipher, sealed: _Sealed, record: ChunkRecord) -> None:
        self._cipher = cipher
        self._sealed = sealed
        self._length = record.packed_length
        self._next = 0
        self._buffer = memoryview(bytearray(min(RECORD_BYTES, record.packed_length)))

    def read(self, _size: int, /) -> memoryview:
        size = min(RECORD_BYTES, self._length - self._next * RECORD_BYTES)
        if size <= 0:
            return self._buffer[:0]
        target = self._buffer[:size]
        self._cipher.open_record(self._next, self._sealed.record(self._next), target)
        self._next += 1
        return target


def _open_records(cipher: RecordCipher, sealed: _Sealed, into: memoryview, start: int, stop: int) -> None:
    """Opens plain bytes [start, stop) of an uncompressed chunk; only records cut by its ends are copied."""
    for index in layout.records_of_range(start, stop):
        data = sealed.record(index)
        low = index * RECORD_BYTES
        high = low + len(data) - layout.TAG_BYTES
        if start <= low and high <= stop:
            cipher.open_record(index, data, into[low - start : high - start])
            continue
        plain = memoryview(bytearray(high - low))
        cipher.open_record(index, data, plain)
        first, end = max(low, start), min(high, stop)
        into[first - start : end - start] = plain[first - low : end - low]
