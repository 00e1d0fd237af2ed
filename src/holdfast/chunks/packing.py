"""Compression of chunks with zstd, where it pays: level 1 over the whole chunk as one frame.

A probe of the chunk's start decides: what does not shrink there is left alone, because trying costs as much
as all other sealing together. A chunk counts as compressed only if an eighth of it was saved.
"""

from __future__ import annotations

from collections import deque
from typing import IO, Protocol, cast

import zstandard

from holdfast.chunks.layout import CHUNK_BYTES_MAX, RECORD_BYTES
from holdfast.world.errors import Refusal

PROBE_BYTES = 65_536
LEVEL = 1


class Packer:
    """Compressors that are used again: making one costs a megabyte of tables. Safe from several threads."""

    def __init__(self) -> None:
        self._idle: deque[zstandard.ZstdCompressor] = deque()

    def pack(self, plain: memoryview) -> bytes | None:
        """The compressed chunk, or None where that does not pay."""
        try:
            # One thread at a time may use a compressor; popping a deque is atomic.
            compressor = self._idle.pop()
        except IndexError:
            compressor = zstandard.ZstdCompressor(level=LEVEL)
        try:
            probe = plain[:PROBE_BYTES]
            packed = compressor.compress(probe)
            if not _pays(len(packed), len(probe)):
                return None
            if len(plain) > len(probe):
                packed = compressor.compress(plain)
        finally:
            self._idle.append(compressor)
        return packed if _pays(len(packed), len(plain)) else None


class PackedSource(Protocol):
    """What hands out packed bytes in order."""

    def read(self, size: int, /) -> memoryview:
        """The next packed bytes, as many as suit; empty at the end. Valid until the next call."""
        ...


def unpack(source: PackedSource, into: memoryview, *, skip: int, last: bool) -> None:
    """Decompresses: leaves out `skip` bytes, then fills `into`, reading of `source` only what that takes.

    `last` promises that the chunk ends with `into`: then it must. Raises Refusal("format.invalid").
    """
    decompressor = zstandard.ZstdDecompressor(max_window_size=CHUNK_BYTES_MAX)
    try:
        # The library asks for a file's type, but calls `read` alone and takes any buffer.
        file = cast("IO[bytes]", source)
        with decompressor.stream_reader(file, read_size=RECORD_BYTES, closefd=False) as reader:
            waste = memoryview(bytearray(min(skip, RECORD_BYTES)))
            while skip:
                skip -= _fill(reader, waste[:skip])
            _fill(reader, into)
            if last and reader.readinto(memoryview(bytearray(1))):
                raise _damaged("it goes on behind its end")
    except zstandard.ZstdError as error:
        raise _damaged(str(error)) from error


def _fill(reader: zstandard.ZstdDecompressionReader, into: memoryview) -> int:
    """Fills all of `into`; returns its length."""
    filled = 0
    while filled < len(into):
        count = reader.readinto(into[filled:])
        if not count:
            raise _damaged("it ends too early")
        filled += count
    return filled


def _pays(packed_length: int, plain_length: int) -> bool:
    return packed_length * 8 <= plain_length * 7


def _damaged(reason: str) -> Refusal:
    # The bytes are authentic by now: whoever sealed them made them so.
    return Refusal(
        "format.invalid",
        f"A compressed chunk cannot be unpacked: {reason}.",
        advice="The program that wrote it is at fault; keep the object and report it.",
    )
