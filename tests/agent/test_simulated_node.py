"""A whole node in a simulated world: power cuts, a coordinator that comes and goes, a seed told again."""

import asyncio
import hashlib

from tests.agent.stand_in import ISSUER, TOKEN, StandIn

from holdfast.agent.home import Home, Settings
from holdfast.agent.program import run_agent
from holdfast.chunks import tree
from holdfast.links.peer import dial
from holdfast.protocol import grants
from holdfast.protocol.grants import LIFE_MAX, Action
from holdfast.protocol.messages import GetShard, PutShard, shard_id
from holdfast.protocol.nouns import NodeAddress
from holdfast.protocol.signing import SEED_BYTES, SigningKey
from holdfast.world.errors import Failure, Trouble
from holdfast.world.simulated.disk import SimulatedDisk
from holdfast.world.simulated.world import simulate

ADDRESS = "tcp://127.0.0.1:7420"
REACHED = "tls://node:7420"


class Story:
    """One node, a client, and a coordinator's stand-in, in one world."""

    def __init__(self, world):
        self.world = world
        self.machine = world.machine("node")
        self.client = world.machine("client")
        self.session = SigningKey(self.client.chance.bytes(SEED_BYTES))
        self.home_disk = SimulatedDisk(self.machine.chance.fork("home disk"))
        self.home = Home(self.home_disk)
        self.key = self.home.make_key(self.machine.chance)
        self.home.save_settings(
            Settings(endpoint="https://x", token=TOKEN, listen=ADDRESS, advertised=[REACHED], allocated=10**9)
        )
        self.party = StandIn(world.clock)
        self.kept = {}

    def start(self):
        self.stop = asyncio.Event()
        self.task = asyncio.create_task(
            run_agent(
                self.home,
                network=self.machine.network,
                vault_disk=self.machine.disk,
                clock=self.machine.clock,
                chance=self.machine.chance,
                offload=self.machine.offload(),
                coordinator=self.party,
                stop=self.stop,
                reserve=0,
            )
        )

    async def power_cut(self):
        self.task.cancel()
        self.world.crash("node")
        self.home_disk.crash()
        await asyncio.wait([self.task])

    async def dial(self):
        return await dial(
            self.client.network,
            NodeAddress(node_id=self.key.public, addresses=[REACHED]),
            session_key=self.session,
            clock=self.client.clock,
            chance=self.client.chance,
        )

    def grant(self, action, shard):
        now = self.client.clock.now()
        return grants.issue(
            ISSUER,
            action=action,
            serial=self.client.chance.bytes(16),
            node_id=self.key.public,
            session_key=self.session.public,
            shard_id=shard,
            max_bytes=1 << 20,
            created=now,
            expires=now + LIFE_MAX,
            account=bytes(32),
        )

    async def put(self, peer, number):
        body = number.to_bytes(4, "big") * 3000
        shard = shard_id(number.to_bytes(16, "big"), 0)
        request = PutShard(grant=self.grant(Action.PUT, shard), length=len(body), roots=tree.root_of(body))
        try:
            await peer.call(request, body=[body])
        except Failure:
            return
        self.kept[shard] = body

    async def check(self):
        """Everything that was acknowledged is there, byte for byte."""
        peer = await self.dial()
        for shard, body in self.kept.items():
            _, got = await peer.call(GetShard(grant=self.grant(Action.GET, shard)))
            assert bytes(got) == body
        await peer.close()


def live_through_power_cuts(seed):
    async def tell(world):
        story = Story(world)
        for turn in range(4):
            story.start()
            await asyncio.sleep(40)
            await story.check()
            if turn == 2:
                story.party.away = Trouble("endpoint.unreachable", "Away.")
            peer = await story.dial()
            puts = [asyncio.create_task(story.put(peer, turn * 50 + number)) for number in range(50)]
            await asyncio.sleep(world.chance.unit() * 0.03)
            await story.power_cut()
            await asyncio.wait(puts)
        story.party.away = None
        story.start()
        await asyncio.sleep(40)
        await story.check()
        story.stop.set()
        await story.task
        assert story.party.heard[-1].stopping
        sequences = [facts.sequence for facts in story.party.heard]
        assert sequences == sorted(set(sequences))
        digest = hashlib.sha256()
        for name in story.machine.disk.names():
            digest.update(name.encode() + story.machine.disk.read(name))
        return len(story.kept), digest.hexdigest(), world.loop.history

    return simulate(tell, seed)


def test_what_was_acknowledged_outlives_power_cuts():
    kept = [live_through_power_cuts(seed)[0] for seed in range(5)]
    assert any(0 < count < 200 for count in kept), f"no cut came in between: {kept}"


def test_the_same_seed_tells_the_same_story():
    assert live_through_power_cuts(7) == live_through_power_cuts(7)


def test_a_coordinator_that_is_away_does_not_keep_the_node_from_serving():
    async def tell(world):
        story = Story(world)
        story.start()
        await asyncio.sleep(40)
        story.party.away = Trouble("endpoint.unreachable", "Away.")
        await asyncio.sleep(3600)
        peer = await story.dial()
        await story.put(peer, 1)
        await story.check()
        story.stop.set()
        await story.task
        return len(story.kept)

    assert simulate(tell, 1) == 1


def test_damage_on_the_disk_is_found_by_the_node_itself_and_reported():
    async def tell(world):
        story = Story(world)
        story.start()
        await asyncio.sleep(40)
        peer = await story.dial()
        await asyncio.gather(*(story.put(peer, number) for number in range(30)))
        hurt = sorted(story.kept)[7]
        disk = story.machine.disk
        for name in disk.names():
            at = disk.read(name).find(story.kept[hurt])
            if at >= 0:
                disk.corrupt(name, at + 11)
        await asyncio.sleep(1000)
        assert [facts.lost for facts in story.party.heard if facts.lost] == [[hurt]]
        await story.put(await story.dial(), 7)
        await story.check()
        story.stop.set()
        await story.task

    simulate(tell, 1)
