"""Manifests: everything needed to reopen one object without the coordinator, but for the tenant's key.

    manifest = "HFMF", version (1 byte), length of the body (8 bytes), BLAKE3 of the body (32 bytes), body

The body is MessagePack with named fields, so that it can be read without this program too. The hash finds
damage; forgery is found when the object is opened: by the closing, the records and the hash tree. Byte by
byte: docs/formats/manifest.md.
"""

from __future__ import annotations

import struct

import msgspec
from blake3 import blake3

from holdfast.chunks import checksum, layout, tree
from holdfast.chunks.metadata import ChunkRecord, Closing, Envelope
from holdfast.chunks.redundancy import Redundancy
from holdfast.world.errors import Refusal
from holdfast.world.untrusted import UNREADABLE

MANIFEST_VERSION = 1
_MAGIC = b"HFMF"
_HEAD = struct.Struct(">4sBQ32s")
_NODE_ID_BYTES = 32


class ManifestNode(msgspec.Struct, frozen=True, kw_only=True):
    """A node that holds shards of the object, and where it answered when the manifest was made."""

    node_id: bytes
    addresses: list[str]


class ManifestChunk(msgspec.Struct, frozen=True, kw_only=True):
    """One chunk: its record, its n shard roots, and where its shards lie."""

    record: ChunkRecord
    roots: bytes
    """32 bytes for each of n shards, in order."""
    places: list[int | None]
    """For each shard, in order, the position of its node in `Manifest.nodes`; None where it has none."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """One version of one object. Sizes in bytes, times in microseconds since the epoch."""

    tenant_id: str
    bucket: str
    key: str
    version_id: str
    size: int
    created: int
    storage_class: str
    checksum: str
    chunk_size: int
    """Plain bytes in every chunk but the last."""
    k: int
    n: int
    repair_at: int
    envelope: Envelope
    closing: Closing
    nodes: list[ManifestNode]
    chunks: list[ManifestChunk]
    metadata: dict[str, str] = {}

    @property
    def redundancy(self) -> Redundancy:
        """As a value that can be used; raises Refusal("config.invalid")."""
        return Redundancy(k=self.k, n=self.n, repair_at=self.repair_at)

    @property
    def chunk_ids(self) -> bytes:
        """All chunk ids in order, joined: what the closing is checked against."""
        return b"".join([chunk.record.chunk_id for chunk in self.chunks])


_ENCODER = msgspec.msgpack.Encoder(order="deterministic")
_DECODER = msgspec.msgpack.Decoder(Manifest)


def encode(manifest: Manifest) -> bytes:
    """The bytes of a manifest; the same manifest always gives the same bytes."""
    _check(manifest)
    body = _ENCODER.encode(manifest)
    return _HEAD.pack(_MAGIC, MANIFEST_VERSION, len(body), blake3(body).digest()) + body


def decode(data: bytes) -> Manifest:
    """The manifest in `data`, whose parts fit together.

    Raises Refusal("format.newer") for a later version, Refusal("format.invalid") for damage or anything else.
    """
    if len(data) < _HEAD.size or data[:4] != _MAGIC:
        raise _invalid("it does not begin like one")
    _, version, length, digest = _HEAD.unpack_from(data)
    if version > MANIFEST_VERSION:
        raise Refusal(
            "format.newer",
            f"The manifest is of version {version}; this program knows up to {MANIFEST_VERSION}.",
            advice="Update Holdfast.",
            format=version,
            known=MANIFEST_VERSION,
        )
    body = data[_HEAD.size :]
    if version < 1 or len(body) != length or blake3(body).digest() != digest:
        raise _invalid("it is cut short or damaged")
    try:
        manifest = _DECODER.decode(body)
    except UNREADABLE as error:
        raise _invalid(str(error)) from error
    _check(manifest)
    return manifest


def _check(manifest: Manifest) -> None:
    """Refuses a manifest whose parts contradict one another, before anybody relies on it."""
    try:
        redundancy = manifest.redundancy
    except Refusal as refusal:
        raise _invalid(refusal.message) from None
    checksum.parse(manifest.checksum)
    if any(len(node.node_id) != _NODE_ID_BYTES for node in manifest.nodes):
        raise _invalid("a node id is not 32 bytes")
    for number, chunk in enumerate(manifest.chunks):
        layout.check_record(chunk.record, redundancy)
        if chunk.record.number != number:
            raise _invalid(f"chunk {number} is out of order")
        if len(chunk.places) != redundancy.n:
            raise _invalid(f"chunk {number} does not name a place for each shard")
        if any(place is not None and not 0 <= place < len(manifest.nodes) for place in chunk.places):
            raise _invalid(f"chunk {number} names a node that is not listed")
        if not tree.roots_match(chunk.roots, chunk.record, redundancy):
            raise _invalid(f"the roots of chunk {number} do not match its record")
    lengths = [chunk.record.plain_length for chunk in manifest.chunks]
    if sum(lengths) != manifest.size or any(length != manifest.chunk_size for length in lengths[:-1]):
        raise _invalid("its chunks do not make up its size")


def _invalid(reason: str) -> Refusal:
    return Refusal("format.invalid", f"This is not a usable manifest: {reason}.", advice="Take another copy.")
