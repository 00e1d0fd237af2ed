"""A gateway over a whole simulated cluster: real rooms, agents, vaults and links; only the world is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from tests.simulation.cluster import Cluster

from holdfast.agent.vault import Vault
from holdfast.files.bucket_records import BucketRecords
from holdfast.files.histories import Histories
from holdfast.files.multiparts import Multiparts
from holdfast.files.operations import file_operations
from holdfast.files.records import Bucket, Version
from holdfast.files.tending.endings import StreamUploads
from holdfast.gateway.body import BytesBody, incomplete
from holdfast.gateway.objects import Gateway
from holdfast.gateway.wish import PutWish
from holdfast.nodes.journal import journal_deletions
from holdfast.upkeep.packing import Compaction, Packing, packing_passes
from holdfast.upkeep.passes import run_round
from holdfast.world.simulated.world import World, simulate


class GatewayCloud:
    """The cluster of the simulation tests with a gateway on its coordinator's machine."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.cluster = Cluster(world)
        self.bucket: Bucket
        self.gateway: Gateway

    async def start(self, *, memory_bytes: int = 64 << 20) -> GatewayCloud:
        await self.cluster.start()
        rooms, machine = self.cluster.rooms, self.cluster.coordinator
        database, clock, chance = self.cluster.database, machine.clock, machine.chance
        self.seams: dict[str, Any] = {
            "database": database, "places": rooms.places, "journal": journal_deletions, "clock": clock,
            "chance": chance, "offload": machine.offload(),
        }  # fmt: skip
        self.buckets = BucketRecords(database, clock)
        self.histories = Histories(database, clock, chance)
        self.multiparts = Multiparts(database, clock, chance)
        self.uploads = StreamUploads(**self.seams)
        self.gateway = Gateway(
            database=database, handlers=file_operations(**self.seams), places=rooms.places,
            histories=self.histories, multiparts=self.multiparts, uploads=self.uploads,
            keys=rooms.keys, people=rooms.people,
            network=machine.network, clock=clock, chance=chance, offload=machine.offload(),
            memory_bytes=memory_bytes,
        )  # fmt: skip
        self.bucket = await self.buckets.create(self.cluster.tenant_id, "photos", "small")
        return self

    async def put(self, key: str, content: bytes, **changes: Any) -> Version:
        return await self.gateway.put(self.bucket, key, BytesBody(content), PutWish(**changes))

    async def get(
        self, version: Version, start: int = 0, stop: int | None = None, customer_key: bytes | None = None
    ) -> bytes:
        stop = version.size if stop is None else stop
        return await joined(self.gateway.read(version, start, stop, customer_key))

    async def world_turns(self, seconds: float) -> None:
        """Time in which the passes of the cluster do their work."""
        await asyncio.sleep(seconds)

    async def packing(self) -> int:
        """A round of the pass that packs; how many steps it planned."""
        await asyncio.sleep(6)
        packing, _ = self._passes()
        return await run_round(packing)

    async def compaction(self) -> int:
        """A round of the pass that compacts, when packs have settled."""
        await asyncio.sleep(61)
        _, compaction = self._passes()
        return await run_round(compaction)

    def _passes(self) -> tuple[Packing, Compaction]:
        return packing_passes(self.gateway, self.cluster.rooms.classes, self.cluster.coordinator.clock)

    async def shards(self) -> int:
        """How many shards lie on all nodes when all that was decided is done; nothing runs afterwards."""
        await self.gateway.close()
        await asyncio.sleep(100)
        await self.cluster.calm_down()
        await self.cluster.close()
        count = 0
        for node in self.cluster.nodes:
            machine = node.machine
            vault = await Vault.open(
                machine.disk, allocated=1 << 30, reserve=0, offload=machine.offload(), clock=machine.clock,
                chance=machine.chance,
            )  # fmt: skip
            count += vault.shard_count
            await vault.close()
        return count


class AnyBody:
    """A body that does as it is told: of unknown size, slow, with a trailer, or cut after `cut` bytes."""

    def __init__(
        self,
        content: bytes,
        *,
        sized: bool = True,
        pause: float = 0.0,
        piece: int = 1 << 20,
        cut: int | None = None,
        trailer: dict[str, str] | None = None,
    ) -> None:
        self.size = len(content) if sized else None
        self._content, self._at = content, 0
        self._pause, self._piece, self._cut = pause, piece, cut
        self._trailer = trailer or {}

    async def fill(self, into: memoryview) -> int:
        done = 0
        while done < len(into) and self._at < len(self._content):
            if self._pause:
                await asyncio.sleep(self._pause)
            count = min(len(into) - done, len(self._content) - self._at, self._piece)
            if self._cut is not None and self._at + count > self._cut:
                raise incomplete(self._cut, len(self._content))
            into[done : done + count] = self._content[self._at : self._at + count]
            self._at += count
            done += count
        return done

    async def ended(self) -> dict[str, str]:
        return self._trailer


async def joined(pieces: AsyncGenerator[memoryview]) -> bytes:
    """All of it, copied while each piece was valid."""
    into = bytearray()
    async with aclosing(pieces):
        async for piece in pieces:
            into += piece
    return bytes(into)


def told(story: Callable[[GatewayCloud], Awaitable[Any]], *, seed: int = 1, **changes: Any) -> Any:
    """What the story returns that is told of a fresh cloud."""

    async def tell(world: World) -> Any:
        return await story(await GatewayCloud(world).start(**changes))

    return simulate(tell, seed)
