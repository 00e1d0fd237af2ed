"""One record of a volume, byte by byte: head, meta, body, tail. Pure.

    head 104 | meta | body | tail 104

The tail repeats the head under another magic, so that one flipped bit costs neither the record nor the name
of what was lost. Both end in a check keyed with the volume's secret key: whoever sends a body cannot hide
records in it that a search through a damaged volume would believe. Layout: docs/formats/volume.md.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum
from hashlib import blake2b
from typing import Final, NamedTuple

from holdfast.chunks.checksum import crc64
from holdfast.world.disk import Buffer
from holdfast.world.errors import Refusal

VERSION: Final = 1
ID_BYTES: Final = 18
ROOT_BYTES: Final = 32
KEY_BYTES: Final = 16
HEAD_MAGIC: Final = b"\x89HF["
TAIL_MAGIC: Final = b"\x89HF]"

_CHECK_BYTES: Final = 8
_FACTS: Final = struct.Struct(f">BB{ID_BYTES}sIIQQQQ{ROOT_BYTES}s")
_LAYOUT: Final = struct.Struct(f">{len(HEAD_MAGIC)}s{_FACTS.format[1:]}")
HEAD_BYTES: Final = _LAYOUT.size + _CHECK_BYTES
RECORD_EXTRA_BYTES: Final = 2 * HEAD_BYTES
"""What a record takes beyond its meta and body."""


class Kind(IntEnum):
    """What a record says."""

    PUT = 1
    DELETE = 2
    CONTENTS = 3


class Header(NamedTuple):
    """The facts of a record. `sequence` orders all records of a vault: the highest one about an id holds.

    `written`: microseconds since the epoch. `synced`: all bytes of the volume before this offset were durable
    before the record was written. `content`: CRC-64/NVME over meta and body.
    """

    kind: Kind
    shard_id: bytes
    meta_length: int
    body_length: int
    sequence: int
    written: int
    synced: int
    content: int
    root: bytes

    @property
    def record_bytes(self) -> int:
        """Length of the whole record."""
        return RECORD_EXTRA_BYTES + self.meta_length + self.body_length


def encode(header: Header, key: bytes) -> tuple[bytes, bytes]:
    """The head and the tail of a record."""
    facts = _FACTS.pack(VERSION, *header)
    return _sealed(HEAD_MAGIC + facts, key), _sealed(TAIL_MAGIC + facts, key)


def decode_head(data: Buffer, key: bytes) -> Header | None:
    """What a head says; None if these bytes are not a good head. Raises Refusal("format.newer")."""
    return _unpack(HEAD_MAGIC, data, key)


def decode_tail(data: Buffer, key: bytes) -> Header | None:
    """What a tail says; None if these bytes are not a good tail. Raises Refusal("format.newer")."""
    return _unpack(TAIL_MAGIC, data, key)


def read_trusted_head(data: Buffer) -> Header:
    """What a head says whose bytes another check has vouched for."""
    return _header(_LAYOUT.unpack_from(data))


def content_check(meta: Buffer, parts: Sequence[Buffer]) -> int:
    """The checksum over meta and the parts of a body."""
    crc = crc64(meta)
    for part in parts:
        crc = crc64(part, crc)
    return crc


def _sealed(packed: bytes, key: bytes) -> bytes:
    return packed + blake2b(packed, digest_size=_CHECK_BYTES, key=key).digest()


def _unpack(magic: bytes, data: Buffer, key: bytes) -> Header | None:
    view = memoryview(data)
    if view.nbytes < HEAD_BYTES or view[: len(magic)] != magic:
        return None
    check = blake2b(view[: _LAYOUT.size], digest_size=_CHECK_BYTES, key=key).digest()
    if view[_LAYOUT.size : HEAD_BYTES] != check:
        return None
    if view[4] != VERSION:
        raise Refusal(
            "format.newer",
            f"A record of the vault has format {view[4]}; this program reads up to {VERSION}.",
            advice="Run the newer release that wrote it.",
        )
    return _header(_LAYOUT.unpack_from(view))


def _header(fields: tuple[bytes, int, int, bytes, int, int, int, int, int, int, bytes]) -> Header:
    return Header(Kind(fields[2]), *fields[3:])
