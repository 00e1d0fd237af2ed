"""What is kept and sent about chunks and keys: records, envelopes, closings.

Plain frozen structs without code, so that whoever speaks the protocol need not load the codecs. Sizes are
bytes. The formats are written down in docs/formats (chunk.md, key.md).
"""

from __future__ import annotations

import msgspec

CHUNK_ID_BYTES = 16
ROOT_BYTES = 32
KEY_BYTES = 32
"""A tenant's root key, a version's data key."""
KEY_ID_BYTES = 8
NONCE_BYTES = 16
"""The chance that an envelope or a closing needs, new each time."""


class ChunkRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One row per chunk: all that is needed to fetch and open it, but for the key."""

    number: int
    chunk_id: bytes
    plain_length: int
    packed_length: int
    """Length after compression; equal to `plain_length` where compression did not pay."""
    compressed: bool
    sealed_length: int
    shard_length: int
    root: bytes
    """32 bytes: the tree over the shard roots."""
    checksum: int
    """CRC-64/NVME of the chunk's plain bytes."""
    format: int = 1


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """How a version's random data key travels: wrapped, with the id of the key that unwraps it.

    `mode` is "client" (only the tenant holds the key) or "gateway" (managed key).
    """

    mode: str
    key_id: bytes
    wrapped: bytes


class Closing(msgspec.Struct, frozen=True, kw_only=True):
    """Sealed under the data key: size, chunk count and the order of chunk ids, so that a coordinator that
    drops, swaps or adds chunks is found out. Made and checked by `chunks.keys`.
    """

    sealed: bytes
