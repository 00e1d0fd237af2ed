"""Nodes that keep real shards in memory, and the carrier that reaches them."""

from __future__ import annotations

from tests.files.cloud import REDUNDANCY, Cloud, real_root

from holdfast.chunks import tree
from holdfast.chunks.erasure import best_erasure
from holdfast.protocol import control, grants
from holdfast.protocol.messages import shard_id
from holdfast.protocol.nouns import ChunkDone, Source, Target, VersionInfo
from holdfast.protocol.signing import SigningKey
from holdfast.world.errors import Refusal, Trouble


class Warehouse:
    """Every node's shards by (node id, shard id), with the roots that came along. Passes for a `Carrier`."""

    def __init__(self) -> None:
        self.session_key = SigningKey(b"c" * 32).public
        self.shards: dict[tuple[bytes, bytes], tuple[bytes, bytes]] = {}
        self.down: set[bytes] = set()
        self.full: set[bytes] = set()
        self.fetched = 0
        self.stored = 0

    async def fetch(self, source: Source, length: int, into: memoryview) -> bytes:
        grant = grants.read(source.grant)
        assert (grant[0], grant.session_key) == (grants.Action.GET, self.session_key)
        self._reach(source.node.node_id)
        if (source.node.node_id, grant.shard_id) not in self.shards:
            raise Refusal("shard.unknown", "No such shard.")
        shard, roots = self.shards[source.node.node_id, grant.shard_id]
        assert len(shard) == length
        into[:] = shard
        self.fetched += 1
        return roots

    async def store(self, target: Target, chunk_id: bytes, shard: memoryview, roots: bytes) -> bytes:
        grant = grants.read(target.grant)
        assert (grant[0], grant.session_key) == (grants.Action.PUT, self.session_key)
        assert grant.shard_id == shard_id(chunk_id, target.index)
        self._reach(target.node.node_id)
        if target.node.node_id in self.full:
            raise Refusal("node.full", "No room.")
        assert tree.root_of(shard) == tree.root_at(roots, target.index)
        self.shards[target.node.node_id, grant.shard_id] = (bytes(shard), roots)
        self.stored += 1
        return b"a receipt"

    def _reach(self, node_id: bytes) -> None:
        if node_id in self.down:
            raise Trouble("node.unreachable", "It does not answer.")

    async def put(
        self, cloud: Cloud, key: str = "cat", *, indexes: range = range(5), coded: bool = True
    ) -> VersionInfo:
        """Uploads an object of one chunk whose shards really are what its root stands over.

        Unless `coded`, they are no code word: the parity is made up.
        """
        upload_id = await cloud.begin(key)
        record = cloud.chunk()
        length = record.shard_length
        slot = bytearray(cloud.chance.bytes(2 * length).ljust(5 * length, b"\0"))
        if coded:
            best_erasure().encode(memoryview(slot), REDUNDANCY, length)
        shards = [bytes(slot[index * length : (index + 1) * length]) for index in range(5)]
        roots = tree.roots_of(shards)
        fields = {name: getattr(record, name) for name in record.__struct_fields__}
        record = type(record)(**(fields | {"root": real_root(shards, record)}))
        [plan] = await cloud.plan(upload_id, record)
        stored = []
        for index in indexes:
            target = plan.targets[index]
            self.shards[target.node.node_id, shard_id(record.chunk_id, index)] = (shards[index], roots)
            stored.append(cloud.store(target, roots=roots))
        done = ChunkDone(chunk=record, stored=stored, roots=roots)
        await cloud.ask(control.UploadRecord(upload_id=upload_id, chunks=[done]))
        return await cloud.commit(upload_id, [record])

    def corrupt(self, node_id: bytes, shard: bytes) -> None:
        """Flips a bit."""
        held, roots = self.shards[node_id, shard]
        self.shards[node_id, shard] = (bytes([held[0] ^ 1]) + held[1:], roots)
