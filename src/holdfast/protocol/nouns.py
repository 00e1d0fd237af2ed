"""The things that control operations speak of: buckets, versions, chunks, and where their shards go.

Sizes are bytes, times are microseconds since the epoch, ids of chunks are 16 raw bytes, node ids 32 raw
bytes. The operations themselves are in `control`.
"""

from __future__ import annotations

import msgspec

from holdfast.chunks import metadata

# Described in the room that makes and checks them; the protocol only carries them.
ChunkRecord = metadata.ChunkRecord
Envelope = metadata.Envelope
Closing = metadata.Closing


class Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """Base of everything said: immutable, by keyword; unknown fields are ignored, so fields may be added."""


class RedundancyInfo(Struct, frozen=True, kw_only=True):
    """`k of n, repair at r`."""

    k: int
    n: int
    repair_at: int


class ClassInfo(Struct, frozen=True, kw_only=True):
    """A storage class: its redundancy, how many fsynced shards acknowledge a chunk, its chunk size."""

    class_name: str
    redundancy: RedundancyInfo
    ack_at: int
    chunk_size: int
    usable: bool = True
    """Whether the fleet has nodes enough for it now."""
    missing_nodes: int = 0


class BucketInfo(Struct, frozen=True, kw_only=True):
    """A bucket as its owner sees it."""

    bucket: str
    created: int
    storage_class: str


class VersionInfo(Struct, frozen=True, kw_only=True):
    """A committed version."""

    bucket: str
    key: str
    version_id: str
    size: int
    created: int
    storage_class: str
    checksum: str
    """`crc64nvme:` and 16 hexadecimal digits, over the plain bytes of the whole object."""
    chunk_count: int
    metadata: dict[str, str] = msgspec.field(default_factory=dict)


class NodeAddress(Struct, frozen=True, kw_only=True):
    """Where a node answers."""

    node_id: bytes
    addresses: list[str]


class Target(Struct, frozen=True, kw_only=True):
    """One shard's place in an upload: send shard `index` to this node with this grant."""

    index: int
    node: NodeAddress
    grant: bytes


class ChunkWish(Struct, frozen=True, kw_only=True):
    """A chunk the client wants to place."""

    number: int
    chunk_id: bytes
    shard_length: int


class ChunkPlan(Struct, frozen=True, kw_only=True):
    """Where the n shards of one chunk go."""

    number: int
    chunk_id: bytes
    targets: list[Target]


class StoredShard(Struct, frozen=True, kw_only=True):
    """One shard that a node has acknowledged, with its receipt."""

    index: int
    node_id: bytes
    receipt: bytes


class ChunkDone(Struct, frozen=True, kw_only=True):
    """A chunk that reached its acknowledgement rule. May be sent again with more shards: they are added.

    `roots` holds the n shard roots, 32 bytes each, in order: what the chunk's root stands over, and what
    every receipt names. A chunk without them is refused.
    """

    chunk: ChunkRecord
    stored: list[StoredShard]
    roots: bytes = b""


class Source(Struct, frozen=True, kw_only=True):
    """Where one shard can be read."""

    index: int
    node: NodeAddress
    grant: bytes


class ChunkSources(Struct, frozen=True, kw_only=True):
    """A chunk and the shards that are believed live, best nodes first."""

    chunk: ChunkRecord
    sources: list[Source]


class ShardPlace(Struct, frozen=True, kw_only=True):
    """For `stat`: where one shard lies and what is known of it."""

    index: int
    node_id: bytes
    node_name: str
    state: str
    """live | missing (never stored) | unreachable (heartbeats missed) | lost (proven lost or corrupt)"""


class ChunkHealth(Struct, frozen=True, kw_only=True):
    """For `stat`: one chunk's shards."""

    number: int
    live: int
    shards: list[ShardPlace]
