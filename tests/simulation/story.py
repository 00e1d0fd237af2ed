"""What happens to a cluster from one seed: work and faults, stacked; and what must hold in the end.

The law: bytes that come back are bytes that were stored; what was acknowledged is there when the world has
healed; what was never acknowledged is there whole or not at all. While nodes are away a read may fail, but
it may not lie.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.simulation.cluster import HEARTBEAT_SECONDS, NODES, Cluster, Node

from holdfast.world.errors import Failure, Refusal, Trouble
from holdfast.world.simulated.world import World

BUCKET = "bucket"
CHUNK = 64 << 10
STEPS = 45
KEYS = 8
DAMAGED_MAX = 2
"""Nodes whose bytes are spoilt: acknowledged chunks have at least 10 shards on disk, and 8 reopen them."""
DOWN_MAX = 3


@dataclass
class Outcome:
    """How a story ended; equal for equal seeds."""

    digest: str
    stored: int
    removed: int
    in_doubt: int
    failed_reads: int
    faults: dict[str, int]


@dataclass
class Story:
    """The state of the telling: what may be found under each key, None standing for nothing."""

    cluster: Cluster
    world: World
    possible: dict[str, set[bytes | None]] = field(default_factory=dict)
    stored: int = 0
    removed: int = 0
    in_doubt: int = 0
    failed_reads: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)
    busy: set[str] = field(default_factory=set)

    # --- work --------------------------------------------------------------------------------------------

    def _pick_key(self) -> str | None:
        """A key that nobody works on now: two writers at once are another story."""
        free = [key for key in (f"key-{number}" for number in range(KEYS)) if key not in self.busy]
        return free[self.world.chance.below(len(free))] if free else None

    def _content(self) -> bytes:
        chance = self.world.chance
        size = [0, 1, chance.below(5000), CHUNK, chance.below(4 * CHUNK)][chance.below(5)]
        return chance.bytes(size) if chance.happens(0.7) else bytes(size)

    async def put(self, key: str) -> None:
        content = self._content()
        before = self.possible.get(key, {None})
        self.possible[key] = before | {content}
        try:
            await self.cluster.session.put(content, BUCKET, key, chunk_size=CHUNK)
        except Failure as failure:
            assert failure.code != "internal", repr(failure)
            self.in_doubt += 1
            return
        self.possible[key] = {content}
        self.stored += 1

    async def remove(self, key: str) -> None:
        before = self.possible.get(key, {None})
        self.possible[key] = before | {None}
        try:
            await self.cluster.session.remove(BUCKET, key)
        except Refusal as refusal:
            assert refusal.code == "object.unknown", repr(refusal)
            assert None in before, f"{key} was acknowledged and is unknown"
            self.possible[key] = {None}
        except Trouble:
            self.in_doubt += 1
        else:
            self.possible[key] = {None}
            self.removed += 1

    async def get(self, key: str, *, healed: bool = False) -> bytes | None:
        """What is there now; the law is checked here."""
        possible = self.possible.get(key, {None})
        found: bytes | None
        try:
            found = await self.cluster.session.read(BUCKET, key)
        except Refusal as refusal:
            assert refusal.code == "object.unknown", repr(refusal)
            found = None
        except Trouble as trouble:
            assert not healed, f"{key} cannot be read in a healed world: {trouble!r}"
            self.failed_reads += 1
            return None
        told = None if found is None else f"{len(found)} bytes"
        assert found in possible, f"{key}: found {told}, which nobody stored there"
        return found

    # --- faults ------------------------------------------------------------------------------------------

    def _down(self) -> list[Node]:
        return [node for node in self.cluster.nodes if not node.running]

    def _up(self) -> list[Node]:
        return [node for node in self.cluster.nodes if node.running]

    def _any_up(self) -> Node:
        up = self._up()
        return up[self.world.chance.below(len(up))]

    async def power_cut(self) -> None:
        if len(self._down()) < DOWN_MAX:
            await self.cluster.power_cut(self._any_up())

    async def power_back(self) -> None:
        for node in self._down()[:1]:
            self.cluster.boot(node)

    async def slow_node(self) -> None:
        self.world.network.slow(self._any_up().name, self.world.chance.between(2, 50))

    async def cut_off(self) -> None:
        self.world.network.part(["client"], [self._any_up().name])

    async def hang_up(self) -> None:
        self.world.network.drop(self._any_up().name)

    async def heal_network(self) -> None:
        self.world.network.heal()

    async def spoil(self) -> None:
        node = self._any_up()
        if node.name in self.damaged or len(self.damaged) < DAMAGED_MAX:
            self.damaged.add(node.name)
            self.cluster.flip_bits(node, 1 + self.world.chance.below(4))

    async def coordinator_dies(self) -> None:
        await self.cluster.restart_coordinator()

    async def lossy_wire(self) -> None:
        self.cluster.control_wire.loss = 0.08 if self.cluster.control_wire.loss == 0 else 0.0

    async def cause_fault(self) -> None:
        kinds: list[Callable[[], Awaitable[None]]] = [
            self.power_cut, self.power_cut, self.power_back, self.slow_node, self.cut_off, self.hang_up,
            self.heal_network, self.spoil, self.coordinator_dies, self.lossy_wire,
        ]  # fmt: skip
        kind = kinds[self.world.chance.below(len(kinds))]
        self.faults[kind.__name__] = self.faults.get(kind.__name__, 0) + 1
        await kind()

    # --- the telling -------------------------------------------------------------------------------------

    async def step(self) -> None:
        """One piece of work on a key of its own."""
        key = self._pick_key()
        if key is None:
            return
        self.busy.add(key)
        try:
            kind = self.world.chance.below(10)
            if kind < 5:
                await self.put(key)
            elif kind < 6:
                await self.remove(key)
            else:
                await self.get(key)
        finally:
            self.busy.discard(key)

    async def tell(self) -> None:
        """Work goes on while faults happen."""
        working: set[asyncio.Task[None]] = set()
        for _ in range(STEPS):
            task = asyncio.create_task(self.step())
            working.add(task)
            task.add_done_callback(working.discard)
            await asyncio.sleep(self.world.chance.between(0.0, 4.0))
            if self.world.chance.happens(0.3):
                await self.cause_fault()
        while working:
            await next(iter(sorted(working, key=lambda task: task.get_name())))

    async def heal(self) -> None:
        """All that can be mended without repair is mended."""
        self.world.network.heal()
        self.cluster.control_wire.loss = 0.0
        for node in self._down():
            self.cluster.boot(node)
        await asyncio.sleep(4 * HEARTBEAT_SECONDS)

    async def settle(self) -> str:
        """Reads all, repairs, reads again with two healthy nodes gone; the digest of what there is."""
        await self.cluster.session.close()
        self.cluster.session = self.cluster.new_session()
        digest = hashlib.sha256()
        first = {key: await self.get(key, healed=True) for key in sorted(self.possible)}
        await asyncio.sleep(900)
        await self.cluster.repair(rounds=3)
        for node in self.cluster.nodes:
            if node.name not in self.damaged and len(self._down()) < NODES - 12:
                await self.cluster.power_cut(node)
        for key in sorted(self.possible):
            again = await self.get(key, healed=True)
            assert again == first[key], f"{key} changed without anybody writing"
            digest.update(key.encode() + b"\0" + (b"-" if again is None else again) + b"\0")
        listing = await self.cluster.session.list(BUCKET)
        assert [info.key for info in listing.objects] == [
            key for key in sorted(first) if first[key] is not None
        ]
        for info in listing.objects:
            digest.update(f"{info.key} {info.version_id} {info.size} {info.created}\n".encode())
        for node in self.cluster.nodes:
            for name in node.machine.disk.names():
                digest.update(f"{node.name}/{name} {node.machine.disk.size_of(name)}\n".encode())
        return digest.hexdigest()


async def tell(world: World) -> Outcome:
    """The whole story of one world."""
    cluster = Cluster(world)
    await cluster.start()
    await cluster.session.make_bucket(BUCKET)
    story = Story(cluster, world)
    await story.tell()
    await story.heal()
    digest = await story.settle()
    await cluster.close()
    return Outcome(
        digest,
        story.stored,
        story.removed,
        story.in_doubt,
        story.failed_reads,
        dict(sorted(story.faults.items())),
    )
