"""What is asked of a node over a session, and what it answers. Bodies travel beside it as raw bytes.

A shard id is 18 bytes: the chunk's 16-byte id, then the shard's index as a big-endian unsigned 16-bit number.
"""

from __future__ import annotations

import msgspec

CHUNK_ID_BYTES = 16
SHARD_ID_BYTES = CHUNK_ID_BYTES + 2
SHARD_BYTES_MAX = 64 << 20


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", forbid_unknown_fields=False):
    """Base of node requests and replies; the tag names the kind."""


class PutShard(Message, frozen=True, kw_only=True, tag="put"):
    """Store the body (exactly `length` bytes) as the granted shard.

    `roots` holds the n shard roots, 32 bytes each: the shard's path to the chunk root. The node checks that
    the body hashes to its own entry, keeps `roots` beside the shard, and answers Stored after fsync.
    Storing the same shard again answers as the first time.
    """

    grant: bytes
    length: int
    roots: bytes


class Stored(Message, frozen=True, kw_only=True, tag="stored"):
    """The shard is durable; `receipt` is signed by the node."""

    receipt: bytes


class GetShard(Message, frozen=True, kw_only=True, tag="get"):
    """Send `length` bytes from `offset`, both widened by the caller to leaf boundaries; length 0: all."""

    grant: bytes
    offset: int = 0
    length: int = 0


class Fetched(Message, frozen=True, kw_only=True, tag="fetched"):
    """The body holds the bytes. `leaves`: the shard's leaf hashes; `roots`: all shard roots of its chunk."""

    shard_length: int
    leaves: bytes
    roots: bytes


class DeleteShard(Message, frozen=True, kw_only=True, tag="delete"):
    """Forget the granted shard. Done is answered when that is durable; a missing shard is Done too."""

    grant: bytes


class Finished(Message, frozen=True, kw_only=True, tag="finished"):
    """It is done."""


class Ping(Message, frozen=True, kw_only=True, tag="ping"):
    """Are you there?"""


class Failed(Message, frozen=True, kw_only=True, tag="failed"):
    """The request failed: a code of world/errors.py, words, and whether again may help.

    `kind` is "refusal" (the caller can mend it) or "trouble" (the world failed).
    """

    code: str
    message: str
    retry: bool = False
    kind: str = "trouble"
    advice: str = ""


NodeRequest = PutShard | GetShard | DeleteShard | Ping
NodeReply = Stored | Fetched | Finished | Failed


def shard_id(chunk_id: bytes, index: int) -> bytes:
    """The id of shard `index` of a chunk."""
    assert len(chunk_id) == CHUNK_ID_BYTES, "a chunk id is 16 bytes"
    return chunk_id + index.to_bytes(2, "big")
