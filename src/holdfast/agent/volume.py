"""One append-only file of records: its name, its first bytes, and the ways to read through it.

All calls block; they run off the event loop. A volume begins with its own header, which holds the key of its
records' checks. The last record of a finished volume is its contents: the heads of all records before it, so
that a start needs one read a volume instead of one a record. Layout: docs/formats/volume.md.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from hashlib import blake2b
from typing import Final, NamedTuple

from holdfast.agent import record
from holdfast.agent.record import HEAD_BYTES, Header, Kind
from holdfast.chunks.checksum import crc64
from holdfast.world.disk import Buffer, DiskFile
from holdfast.world.errors import Refusal

_MAGIC: Final = b"HFVOLUME"
_OPENING: Final = struct.Struct(">8sHIQ16s18x")
OPENING_BYTES: Final = _OPENING.size + 8
NOWHERE: Final = bytes(record.ID_BYTES)
NO_ROOT: Final = bytes(record.ROOT_BYTES)

_NAME: Final = re.compile(r"volume-(\d{8})\.holdfast")
# A window of this size is read where records follow closely; else only what may hold the next head.
_WINDOW_BYTES: Final = 256 << 10
_NEAR_BYTES: Final = 32 << 10
_STEP_BYTES: Final = 4096
_PIECE_BYTES: Final = 1 << 20


class Opening(NamedTuple):
    """The first bytes of a volume. `key` keys the checks of its records; `created` in microseconds."""

    number: int
    created: int
    key: bytes


def name_of(number: int) -> str:
    """The file name of a volume."""
    return f"volume-{number:08d}.holdfast"


def number_of(name: str) -> int | None:
    """The number of the volume with this file name; None if it is not a volume's."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else None


def encode_opening(opening: Opening) -> bytes:
    """The first 64 bytes of a volume."""
    packed = _OPENING.pack(_MAGIC, record.VERSION, *opening)
    return packed + blake2b(packed, digest_size=8).digest()


def decode_opening(data: Buffer) -> Opening | None:
    """What the first 64 bytes say; None if damaged. Raises Refusal("format.newer")."""
    if len(data) != OPENING_BYTES or data[: len(_MAGIC)] != _MAGIC:
        return None
    if data[_OPENING.size :] != blake2b(data[: _OPENING.size], digest_size=8).digest():
        return None
    _, version, number, created, key = _OPENING.unpack_from(data)
    if version != record.VERSION:
        raise Refusal(
            "format.newer",
            f"The vault's volume {number} has format {version}; this program reads {record.VERSION}.",
            advice="Run the newer release that wrote it.",
        )
    return Opening(number, created, key)


def read_opening(file: DiskFile) -> Opening | None:
    """How the volume begins; None if damaged. Raises Refusal("format.newer")."""
    data = read_exactly(file, 0, OPENING_BYTES)
    return decode_opening(data) if data else None


def read_exactly(file: DiskFile, offset: int, length: int) -> bytearray | None:
    """That many bytes; None if the file ends before."""
    data = bytearray(length)
    return data if file.read_into(offset, memoryview(data)) == length else None


def read_header(file: DiskFile, offset: int, record_bytes: int, key: bytes) -> Header | None:
    """The facts of the record at `offset`: from its head or, where that is damaged, from its tail."""
    data = read_exactly(file, offset, HEAD_BYTES)
    header = record.decode_head(data, key) if data else None
    if header is None:
        data = read_exactly(file, offset + record_bytes - HEAD_BYTES, HEAD_BYTES)
        header = record.decode_tail(data, key) if data else None
    return header


def content_is_good(file: DiskFile, offset: int, header: Header) -> bool:
    """Whether meta and body of the record at `offset` are as they were written. Reads them once."""
    remaining = header.meta_length + header.body_length
    position = offset + HEAD_BYTES
    piece = memoryview(bytearray(min(remaining, _PIECE_BYTES)))
    crc = 0
    while remaining > 0:
        want = piece[: min(remaining, _PIECE_BYTES)]
        if file.read_into(position, want) != len(want):
            return False
        crc = crc64(want, crc)
        position += len(want)
        remaining -= len(want)
    return crc == header.content


def read_contents(file: DiskFile, key: bytes) -> tuple[bytes, int] | None:
    """The heads of all records before the contents, and where those begin; None if the volume has none.

    Believed only if it is whole and describes the volume from its first record to its last without a gap.
    What it says of a record is checked again, on the record itself, whenever that is read.
    """
    size = file.size()
    if size < OPENING_BYTES + record.RECORD_EXTRA_BYTES:
        return None
    last = read_exactly(file, size - HEAD_BYTES, HEAD_BYTES)
    header = record.decode_tail(last, key) if last else None
    if header is None or header.kind != Kind.CONTENTS:
        return None
    start = size - header.record_bytes
    heads = read_exactly(file, start + HEAD_BYTES, header.body_length)
    if heads is None or crc64(heads) != header.content or len(heads) % HEAD_BYTES:
        return None
    return bytes(heads), start


class Found(NamedTuple):
    """A record met on the way through a volume."""

    header: Header
    offset: int


class Walk:
    """One pass over all records of a volume, in order; bodies are skipped, except behind a damaged head.

    After the pass: `end` is where the last whole record ends, `size` where the file does; between them lies a
    torn record or nothing. `gaps` are byte ranges before `end` in which no record could be recognised.
    `mended` counts records known by their tail alone. `synced` is the highest offset that a record calls
    durable. `heads` are the heads passed; `contents_at` is where contents begin that spared the walk.
    """

    def __init__(self, file: DiskFile, key: bytes, *, trust_contents: bool = True) -> None:
        self._file = file
        self._key = key
        self._trust_contents = trust_contents
        self._window = bytearray()
        self._window_start = 0
        self.size = file.size()
        self.end = min(OPENING_BYTES, self.size)
        self.synced = self.end
        self.gaps: list[tuple[int, int]] = []
        self.mended = 0
        self.heads = bytearray()
        self.contents_at: int | None = None

    def __iter__(self) -> Iterator[Found]:
        contents = read_contents(self._file, self._key) if self._trust_contents else None
        if contents is not None:
            listed = list(_listed(contents[0]))
            last = listed[-1].offset + listed[-1].header.record_bytes if listed else OPENING_BYTES
            if last == contents[1]:
                self.contents_at = contents[1]
                self.end = self.synced = self.size
                yield from listed
                return
        yield from self._walk()

    def _walk(self) -> Iterator[Found]:
        offset = self.end
        while offset < self.size:
            head = self._peek(offset)
            header = record.decode_head(head, self._key)
            if header is not None and offset + header.record_bytes <= self.size:
                found = Found(header, offset)
                self.heads += head
            elif (resumed := self._resume(offset)) is not None:
                found = resumed
            else:
                return
            self.end = offset = found.offset + found.header.record_bytes
            self.synced = max(self.synced, found.header.synced)
            yield found

    def _resume(self, damaged: int) -> Found | None:
        """The next record that can be recognised after a damaged head, by its head or its tail."""
        for position in self._candidates(damaged + 1):
            data = read_exactly(self._file, position, HEAD_BYTES)
            if data is None:
                break
            header, start = record.decode_head(data, self._key), position
            if header is None:
                header = record.decode_tail(data, self._key)
                if header is None:
                    continue
                start = position + HEAD_BYTES - header.record_bytes
                if start < damaged:
                    continue
                self.mended += 1
            elif start + header.record_bytes > self.size:
                continue
            if start > damaged:
                self.gaps.append((damaged, start))
            return Found(header, start)
        return None

    def _candidates(self, start: int) -> Iterator[int]:
        """Offsets from `start` on at which a head or a tail may begin."""
        common = record.HEAD_MAGIC[:-1]
        piece = memoryview(bytearray(_PIECE_BYTES))
        while start < self.size:
            count = self._file.read_into(start, piece)
            data = bytes(piece[:count])
            at = data.find(common)
            while at >= 0:
                if data[at + 3 : at + 4] in (b"", record.HEAD_MAGIC[-1:], record.TAIL_MAGIC[-1:]):
                    yield start + at
                at = data.find(common, at + 1)
            if count < len(piece):
                return
            start += count - len(common)

    def _peek(self, offset: int) -> memoryview:
        """The bytes of a head at `offset` (fewer at the end), out of a window."""
        skipped = offset - self._window_start - len(self._window)
        if skipped + HEAD_BYTES > 0 or offset < self._window_start:
            near = skipped < _NEAR_BYTES
            data = bytearray(_WINDOW_BYTES if near else _STEP_BYTES)
            count = self._file.read_into(offset, memoryview(data))
            self._window, self._window_start = data[:count], offset
        at = offset - self._window_start
        return memoryview(self._window)[at : at + HEAD_BYTES]


def _listed(heads: bytes) -> Iterator[Found]:
    offset = OPENING_BYTES
    for at in range(0, len(heads), HEAD_BYTES):
        header = record.read_trusted_head(memoryview(heads)[at : at + HEAD_BYTES])
        yield Found(header, offset)
        offset += header.record_bytes
