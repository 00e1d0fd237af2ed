"""Shards carried to and from nodes by the coordinator itself, in one session of its own."""

from __future__ import annotations

import asyncio

from holdfast.client.peers import Peers
from holdfast.protocol.messages import Fetched, GetShard, NodeReply, PutShard, Stored, shard_id
from holdfast.protocol.nouns import NodeAddress, Source, Target
from holdfast.protocol.receipts import check_receipt
from holdfast.protocol.signing import SEED_BYTES, SigningKey
from holdfast.world.chance import Chance
from holdfast.world.clock import Clock
from holdfast.world.errors import Trouble
from holdfast.world.network import Network

CALL_SECONDS = 60.0


class NodeCarrier:
    """The `Carrier` of repairs: links to nodes as clients have them, and a session key."""

    def __init__(self, *, network: Network, clock: Clock, chance: Chance) -> None:
        key = SigningKey(chance.bytes(SEED_BYTES))
        self.session_key = key.public
        self._clock = clock
        self._peers = Peers(network, session_key=key, clock=clock, chance=chance)

    async def fetch(self, source: Source, length: int, into: memoryview) -> bytes:
        """Reads a whole shard, unverified; the roots that came with it."""
        reply, body = await self._call(source.node, GetShard(grant=source.grant), into=into)
        if not isinstance(reply, Fetched) or len(body) != length:
            raise Trouble(
                "node.corrupt", f"The node answered {len(body)} bytes of a shard that has {length}."
            )
        return reply.roots

    async def store(self, target: Target, chunk_id: bytes, shard: memoryview, roots: bytes) -> bytes:
        """Stores a shard; the receipt that the node signed for it."""
        asked = PutShard(grant=target.grant, length=len(shard), roots=roots)
        reply, _ = await self._call(target.node, asked, body=shard)
        if not isinstance(reply, Stored):
            raise Trouble("node.corrupt", "The node did not answer with a receipt.")
        check_receipt(
            reply.receipt,
            node_id=target.node.node_id,
            shard_id=shard_id(chunk_id, target.index),
            roots=roots,
            size=len(shard),
            now=self._clock.now(),
        )
        return reply.receipt

    async def close(self) -> None:
        """Hangs up everywhere."""
        await self._peers.close()

    async def _call(
        self,
        node: NodeAddress,
        request: GetShard | PutShard,
        *,
        body: memoryview | None = None,
        into: memoryview | None = None,
    ) -> tuple[NodeReply, memoryview]:
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await self._peers.call(node, request, body=() if body is None else (body,), into=into)
        except TimeoutError as error:
            raise Trouble("node.unreachable", f"No answer within {CALL_SECONDS:.0f} seconds.") from error
