"""What a node does when it is asked: every request is held against its grant, offline, before anything else.

The grant is the caller's whole right. What is stored beside a shard is `roots` (the n shard roots of its
chunk) and then the hashes of its own leaves, so that any slice can be proven without reading the rest.
"""

from __future__ import annotations

import asyncio

from holdfast.agent.vault import Vault
from holdfast.chunks import tree
from holdfast.chunks.layout import leaf_count
from holdfast.chunks.redundancy import SHARDS_MAX
from holdfast.links.bodies import PooledBodies
from holdfast.links.serving import Incoming, Outgoing
from holdfast.protocol import grants
from holdfast.protocol.grants import Action, Grant, Serials
from holdfast.protocol.messages import (
    CHUNK_ID_BYTES,
    SHARD_BYTES_MAX,
    DeleteShard,
    Fetched,
    Finished,
    GetShard,
    Ping,
    PutShard,
    Stored,
)
from holdfast.protocol.receipts import sign_receipt
from holdfast.protocol.signing import SigningKey
from holdfast.world.clock import Clock
from holdfast.world.errors import Refusal
from holdfast.world.offload import Offload

HASH_INLINE_BYTES = 2 << 20
"""Up to here, a third of a millisecond, hashing keeps nobody waiting for long, and handing it to a thread and
back costs as much processor time again: each leaf then passes the interpreter lock to and fro."""
READS_MAX = 64
SLOTS_IDLE_BYTES = 16 << 20
"""Memory for replies that is kept for later when nothing needs it now."""


class Answer:
    """The handler for `links`: answers under grants, from one vault.

    Args:
        vault: where shards are kept.
        key: the node's; its public half is who grants must name, and it signs receipts.
        clock: for the grants' times.
        offload: for hashing.
    """

    def __init__(self, vault: Vault, key: SigningKey, clock: Clock, offload: Offload) -> None:
        self._vault = vault
        self._key = key
        self._clock = clock
        self._offload = offload
        self._issuers: dict[bytes, bytes] = {}
        self._used = Serials()
        self._reads = asyncio.Semaphore(READS_MAX)
        self._slots = PooledBodies(SLOTS_IDLE_BYTES)

    def learn(self, issuers: list[bytes]) -> None:
        """From now on the grants of these public keys are accepted, and of no others."""
        self._issuers = grants.issuers_by_id(issuers)

    async def __call__(self, incoming: Incoming) -> Outgoing:
        """The answer; raises the Refusal or Trouble to be told."""
        match incoming.request:
            case PutShard() as request:
                return await self._put(request, incoming)
            case GetShard() as request:
                return await self._get(request, incoming)
            case DeleteShard() as request:
                grant = self._believe(request.grant, Action.DELETE, incoming, 0)
                await self._vault.delete(grant.shard_id)
                return Outgoing(Finished())
            case Ping():
                return Outgoing(Finished())

    async def _put(self, request: PutShard, incoming: Incoming) -> Outgoing:
        body = incoming.body
        length = len(body)
        _check_shape(request, length)
        grant = self._believe(request.grant, Action.PUT, incoming, length)
        root = tree.root_at(request.roots, _index(grant.shard_id))
        if not root:
            raise Refusal("request.invalid", "The shard's index lies outside the roots that came with it.")
        if length <= HASH_INLINE_BYTES:
            leaves = tree.leaf_hashes(body)
        else:
            leaves = await self._offload.run(tree.leaf_hashes, body)
        if tree.shard_root(leaves, length) != root:
            raise Refusal(
                "request.invalid",
                "The shard's bytes do not hash to its root.",
                advice="Send it again; if that fails too, seal the chunk again.",
            )
        # Put again with other roots beside it, it would be another shard: what was receipted stays as it was.
        stored = await self._vault.put(
            grant.shard_id, request.roots + leaves, [body], root=tree.roots_digest(request.roots)
        )
        receipt = sign_receipt(
            self._key,
            serial=grant.serial,
            shard_id=grant.shard_id,
            roots=request.roots,
            size=length,
            time=stored.written,
        )
        return Outgoing(Stored(receipt=receipt))

    async def _get(self, request: GetShard, incoming: Incoming) -> Outgoing:
        if request.offset < 0 or request.length < 0:
            raise Refusal("request.invalid", "A slice begins and ends inside its shard.")
        if request.length > incoming.room:
            raise Refusal("request.too_large", "The caller has no room for the reply.")
        grant = self._believe(request.grant, Action.GET, incoming, request.length)
        async with self._reads:
            slot = self._slots.take(request.length or min(grant.max_bytes, incoming.room, SHARD_BYTES_MAX))
            try:
                held = await self._vault.get(
                    grant.shard_id, request.offset, request.length or None, into=slot
                )
                _check_fits(held.body_length - request.offset if not request.length else 0, slot, grant)
            except BaseException:
                self._slots.give(slot)
                raise
        # The roots come first; what is left of the meta is one hash for each leaf.
        split = len(held.meta) - leaf_count(held.body_length) * tree.HASH_BYTES
        fetched = Fetched(
            shard_length=held.body_length,
            leaves=bytes(held.meta[split:]),
            roots=bytes(held.meta[:split]),
        )
        return Outgoing(fetched, [held.body], lambda: self._slots.give(slot))

    def _believe(self, sealed: bytes, action: Action, incoming: Incoming, size: int) -> Grant:
        return grants.check(
            sealed,
            action=action,
            node_id=self._key.public,
            session_key=incoming.session_key,
            shard_id=None,
            size=size,
            now=self._clock.now(),
            issuers=self._issuers,
            used=self._used,
        )


def _index(shard_id: bytes) -> int:
    return int.from_bytes(shard_id[CHUNK_ID_BYTES:], "big")


def _check_shape(request: PutShard, length: int) -> None:
    if request.length != length:
        raise Refusal("request.invalid", f"{request.length} bytes were announced, {length} came.")
    if not 0 < length <= SHARD_BYTES_MAX:
        raise Refusal("request.too_large", f"A shard has 1 to {SHARD_BYTES_MAX} bytes, not {length}.")
    count, rest = divmod(len(request.roots), tree.HASH_BYTES)
    if rest or not 1 <= count <= SHARDS_MAX:
        raise Refusal("request.invalid", f"The roots of a chunk are 1 to {SHARDS_MAX}, 32 bytes each.")


def _check_fits(length: int, slot: memoryview, grant: Grant) -> None:
    """Whether a shard asked for as a whole was taken as a whole."""
    if length > grant.max_bytes:
        raise Refusal(
            "grant.oversized",
            f"The grant allows {grant.max_bytes} bytes; the shard has {length}.",
            allowed=grant.max_bytes,
            asked=length,
        )
    if length > len(slot):
        raise Refusal("request.too_large", "The caller has no room for the reply.")
