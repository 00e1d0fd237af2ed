"""Shards between repair and the nodes, over links of the coordinator's own session."""

from __future__ import annotations

from holdfast.chunks import tree
from holdfast.client.gather import fetch
from holdfast.client.peers import Peers
from holdfast.protocol.messages import PutShard, Stored, shard_id
from holdfast.protocol.nouns import Source, Target
from holdfast.protocol.receipts import check_receipt
from holdfast.world.clock import Clock
from holdfast.world.errors import Trouble


class PeerCarrier:
    """`upkeep.repair.Carrier` over real links; `session_key` is public, and the same as the peers'."""

    def __init__(self, peers: Peers, session_key: bytes, clock: Clock) -> None:
        self._peers = peers
        self._clock = clock
        self.session_key = session_key

    async def fetch(self, source: Source, length: int, into: memoryview) -> bytes:
        return (await fetch(self._peers, source, 0, into[:length])).roots

    async def store(self, target: Target, chunk_id: bytes, shard: memoryview, roots: bytes) -> None:
        request = PutShard(grant=target.grant, length=len(shard), roots=roots)
        reply, _ = await self._peers.call(target.node, request, body=(shard,))
        if not isinstance(reply, Stored):
            raise Trouble("node.corrupt", f"The node answered a put with {type(reply).__name__}.")
        check_receipt(
            reply.receipt,
            node_id=target.node.node_id,
            shard_id=shard_id(chunk_id, target.index),
            root=roots[target.index * tree.HASH_BYTES : (target.index + 1) * tree.HASH_BYTES],
            size=len(shard),
            now=self._clock.now(),
        )
