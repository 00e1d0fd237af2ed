"""Repair with real vaults and links in a simulated world: nodes die, one forgets, the object lives on."""

from __future__ import annotations

import pytest
from tests.files.cloud import REDUNDANCY, Cloud, real_root

from holdfast.agent.answer import Answer
from holdfast.agent.vault import Vault
from holdfast.chunks import tree
from holdfast.chunks.erasure import best_erasure
from holdfast.files.tending.mending import ChunkState, Mending
from holdfast.links.serving import serve
from holdfast.protocol import control
from holdfast.protocol.messages import shard_id
from holdfast.protocol.nouns import ChunkDone, ChunkWish, StoredShard
from holdfast.upkeep.carrier import NodeCarrier
from holdfast.upkeep.passes import run_round
from holdfast.upkeep.repair import Repair
from holdfast.world.network import parse_address
from holdfast.world.simulated.database import SimulatedDatabase
from holdfast.world.simulated.world import World, simulate

DAY = 86400


class Story:
    """Nine nodes with vaults, and the coordinator."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.here = world.machine("coordinator")
        self.cloud = Cloud(SimulatedDatabase(self.here.chance.fork("database")), world.clock)
        self.cloud.offload = self.here.offload()
        self.vaults: dict[int, Vault] = {}
        self.carrier = NodeCarrier(network=self.here.network, clock=self.here.clock, chance=self.here.chance)
        self.mending = Mending(
            database=self.cloud.database, journal=self.cloud.journal, clock=self.here.clock
        )
        self.repair = Repair(
            mending=self.mending,
            places=self.cloud.places,
            carrier=self.carrier,
            erasure=best_erasure(),
            clock=self.here.clock,
            offload=self.cloud.offload,
        )

    async def open(self) -> None:
        await self.cloud.add_nodes(9)
        await self.cloud.make_bucket()
        for alias, row in self.cloud.rows.items():
            machine = self.world.machine(row.node_name)
            vault = await Vault.open(
                machine.disk, allocated=1 << 30, offload=machine.offload(), clock=machine.clock,
                chance=machine.chance, reserve=0,
            )  # fmt: skip
            key = self.cloud.keys[row.node_id]
            answer = Answer(vault, key, machine.clock, machine.offload())
            answer.learn(self.cloud.issuer.publics())
            await serve(
                machine.network, parse_address(f"tls://{row.node_name}:7000"), node_key=key, handler=answer,
                clock=machine.clock, chance=machine.chance,
            )  # fmt: skip
            self.vaults[alias] = vault

    async def put(self) -> list[bytes]:
        """One chunk; its shards."""
        upload_id = await self.cloud.begin()
        record = self.cloud.chunk()
        length = record.shard_length
        slot = bytearray(self.cloud.chance.bytes(2 * length).ljust(5 * length, b"\0"))
        best_erasure().encode(memoryview(slot), REDUNDANCY, length)
        shards = [bytes(slot[index * length : (index + 1) * length]) for index in range(5)]
        fields = {name: getattr(record, name) for name in record.__struct_fields__}
        record = type(record)(**(fields | {"root": real_root(shards, record)}))
        wish = ChunkWish(number=0, chunk_id=record.chunk_id, shard_length=length)
        asked = control.UploadPlan(upload_id=upload_id, session_key=self.carrier.session_key, chunks=[wish])
        [plan] = (await self.cloud.ask(asked)).plans
        roots, stored = tree.roots_of(shards), []
        for target in plan.targets:
            shard = memoryview(shards[target.index])
            receipt = await self.carrier.store(target, record.chunk_id, shard, roots)
            stored.append(StoredShard(index=target.index, node_id=target.node.node_id, receipt=receipt))
        done = ChunkDone(chunk=record, stored=stored, roots=roots)
        await self.cloud.ask(control.UploadRecord(upload_id=upload_id, chunks=[done]))
        await self.cloud.commit(upload_id, [record])
        return shards

    async def chunk(self) -> ChunkState:
        [state], _ = await self.mending.page((0, -1), 10)
        return state

    async def held(self) -> list[bytes]:
        """What the placement's nodes really hold."""
        state = await self.chunk()
        found = []
        for index, alias in enumerate(state.aliases):
            into = memoryview(bytearray(state.record.shard_length))
            await self.vaults[alias].get(shard_id(state.record.chunk_id, index), 0, len(into), into=into)
            found.append(bytes(into))
        return found


async def story(world: World) -> tuple[int, ...]:
    told = Story(world)
    await told.open()
    shards = await told.put()
    before = (await told.chunk()).aliases
    for alias in before[:2]:
        world.crash(told.cloud.rows[alias].node_name)
    # One more node forgot its shard, and nobody knows yet.
    chunk_id = (await told.chunk()).record.chunk_id
    await told.vaults[before[2]].delete(shard_id(chunk_id, 2))
    told.here.clock.jump(DAY)
    for name in (row.node_name for row in told.cloud.rows.values()):
        world.machine(name).clock.jump(DAY)
    world.clock.jump(DAY)
    told.cloud.beat(silent=before[:2])
    assert await run_round(told.repair) == 1
    after = (await told.chunk()).aliases
    assert after[3:] == before[3:]
    assert len(set(after)) == 5
    assert not set(after[:3]) & {0, *before}
    assert await told.held() == shards
    shown = await told.cloud.ask(control.ObjectStat(bucket="photos", key="cat"))
    assert shown.survives == 3
    assert await run_round(told.repair) == 0
    await told.carrier.close()
    return after


@pytest.mark.parametrize("seed", range(3))
def test_an_object_survives_dead_and_forgetful_nodes(seed: int) -> None:
    assert simulate(story, seed) == simulate(story, seed)
