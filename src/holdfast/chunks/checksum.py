"""CRC-64/NVME of plain bytes: the checksum of a chunk and, combined by arithmetic, of the whole object.

The same checksum that S3 calls CRC64NVME, so a gateway can answer it without reading the bytes again. It
finds accidents only; malice is found by encryption and the hash tree.
"""

from __future__ import annotations

import re
from typing import cast

from awscrt import checksums

from holdfast.world.errors import Refusal

_TEXT = re.compile(r"crc64nvme:([0-9a-f]{16})")


def crc64(data: bytes | bytearray | memoryview, previous: int = 0) -> int:
    """The CRC of `data`, going on from `previous` (0: from the start). Releases the GIL."""
    return cast("int", checksums.crc64nvme(data, previous))


def combine(first: int, second: int, second_length: int) -> int:
    """The CRC of two byte strings in a row, from the CRC of each and the length of the second."""
    return cast("int", checksums.combine_crc64nvme(first, second, second_length))


def text(crc: int) -> str:
    """As it is written in metadata: "crc64nvme:" and 16 hexadecimal digits."""
    return f"crc64nvme:{crc:016x}"


def parse(written: str) -> int:
    """The CRC that `text` wrote; raises Refusal("format.invalid")."""
    match = _TEXT.fullmatch(written)
    if match is None:
        raise Refusal(
            "format.invalid",
            f"{written!r} is not a checksum.",
            advice="A checksum is written crc64nvme: and 16 hexadecimal digits.",
        )
    return int(match[1], 16)
