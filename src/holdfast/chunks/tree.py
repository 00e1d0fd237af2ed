"""The two-level hash tree: leaves of a shard under a shard root, the n shard roots under the chunk root.

    leaf        = H(64 KiB of the shard, the last one fewer)
    shard root  = H(tag, version, algorithm, shard length, all leaf hashes in order)
    chunk root  = H(tag, version, algorithm, k, n, shard length, sealed length, all shard roots in order)

H is BLAKE3 with 32 bytes. The coordinator keeps the chunk root; every node keeps the n shard roots beside
its shard, which is the shard's whole path. So a reader that trusts only the chunk root can check a node's
roots, then a leaf list, then any leaf-aligned slice, before a byte of it is used. Byte by byte:
docs/formats/chunk.md.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from blake3 import blake3

from holdfast.chunks import layout
from holdfast.chunks.layout import LEAF_BYTES
from holdfast.chunks.metadata import ROOT_BYTES, ChunkRecord
from holdfast.chunks.redundancy import Redundancy
from holdfast.world.errors import Trouble

HASH_BYTES = 32
TREE_VERSION = 1
ALGORITHM_BLAKE3 = 1

_SHARD_TAG = b"holdfast shard root\0"
_CHUNK_TAG = b"holdfast chunk root\0"
_ROOTS_TAG = b"holdfast shard roots\0"
_SHARD_HEAD = struct.Struct(">20sBBQ")
_CHUNK_HEAD = struct.Struct(">20sBBBBQQ")

Bytes = bytes | bytearray | memoryview


def leaf_hashes(data: Bytes) -> bytes:
    """The hashes of the leaves of `data`, 32 bytes each, in order."""
    view = memoryview(data)
    return b"".join(
        [blake3(view[start : start + LEAF_BYTES]).digest() for start in range(0, len(view), LEAF_BYTES)]
    )


def shard_root(leaves: bytes, length: int) -> bytes:
    """The root of a shard of `length` bytes over its leaf hashes."""
    head = _SHARD_HEAD.pack(_SHARD_TAG, TREE_VERSION, ALGORITHM_BLAKE3, length)
    return blake3(head + leaves).digest()


def root_of(shard: Bytes) -> bytes:
    """The root of a whole shard at hand."""
    return shard_root(leaf_hashes(shard), len(shard))


def chunk_root(roots: bytes, redundancy: Redundancy, *, shard_length: int, sealed_length: int) -> bytes:
    """The root of a chunk over its n shard roots."""
    assert len(roots) == redundancy.n * HASH_BYTES, "one root for each of n shards"
    head = _CHUNK_HEAD.pack(
        _CHUNK_TAG, TREE_VERSION, ALGORITHM_BLAKE3, redundancy.k, redundancy.n, shard_length, sealed_length
    )
    return blake3(head + roots).digest()


def roots_digest(roots: bytes) -> bytes:
    """32 bytes that stand for the n shard roots of a chunk where its lengths are not known: in receipts."""
    return blake3(_ROOTS_TAG + roots).digest()


def root_at(roots: bytes, index: int) -> bytes:
    """Shard `index`'s root among the n."""
    return roots[index * ROOT_BYTES : (index + 1) * ROOT_BYTES]


def roots_match(roots: bytes, record: ChunkRecord, redundancy: Redundancy) -> bool:
    """Whether these are the n shard roots that the record's chunk root stands over."""
    if len(roots) != redundancy.n * ROOT_BYTES:
        return False
    lengths = {"shard_length": record.shard_length, "sealed_length": record.sealed_length}
    return chunk_root(roots, redundancy, **lengths) == record.root


def slice_matches(data: Bytes, offset: int, *, leaves: bytes, root: bytes, shard_length: int) -> bool:
    """Whether `data` is what stands at `offset` of the shard with this root.

    `offset` is leaf-aligned, and `data` ends at a leaf's or the shard's end. `leaves` may come from whoever
    sent the data: it is believed only if it hashes to `root`.
    """
    end = offset + len(data)
    aligned = offset % LEAF_BYTES == 0 and (end % LEAF_BYTES == 0 or end == shard_length)
    if not aligned or not 0 <= offset < end <= shard_length:
        return False
    if (
        len(leaves) != layout.leaf_count(shard_length) * HASH_BYTES
        or shard_root(leaves, shard_length) != root
    ):
        return False
    first = offset // LEAF_BYTES * HASH_BYTES
    return leaves[first : first + layout.leaf_count(len(data)) * HASH_BYTES] == leaf_hashes(data)


def verify_shard(
    shard: Bytes, index: int, *, roots: bytes, record: ChunkRecord, redundancy: Redundancy
) -> None:
    """Believes a whole shard only if the record's root says so; raises Trouble("node.corrupt").

    `roots` may come from the node that sent the shard.
    """
    if not roots_match(roots, record, redundancy):
        raise _corrupt(record, index, "roots")
    if len(shard) != record.shard_length or root_of(shard) != root_at(roots, index):
        raise _corrupt(record, index, "shard")


def verify_slice(
    data: Bytes,
    index: int,
    offset: int,
    *,
    leaves: bytes,
    roots: bytes,
    record: ChunkRecord,
    redundancy: Redundancy,
) -> None:
    """Believes a leaf-aligned slice of a shard only if the record's root says so.

    Raises Trouble("node.corrupt"). `leaves` and `roots` may come from the node that sent the slice.
    """
    if not roots_match(roots, record, redundancy):
        raise _corrupt(record, index, "roots")
    root = root_at(roots, index)
    if not slice_matches(data, offset, leaves=leaves, root=root, shard_length=record.shard_length):
        raise _corrupt(record, index, "slice")


def roots_of(shards: Sequence[Bytes]) -> bytes:
    """The roots of these shards, joined in order."""
    return b"".join([root_of(shard) for shard in shards])


def _corrupt(record: ChunkRecord, index: int, what: str) -> Trouble:
    return Trouble(
        "node.corrupt",
        f"The {what} that came for shard {index} of chunk {record.number} does not match its hash.",
        advice="Read another shard; report this one.",
        number=record.number,
        index=index,
    )
