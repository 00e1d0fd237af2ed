"""What can go wrong in a simulated cluster, one thing after another, stacked; and how all is healed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tests.simulation.cluster import HEARTBEAT_SECONDS, Cluster, Node

from holdfast.world.simulated.disk import CAPACITY
from holdfast.world.simulated.world import World

DAMAGED_MAX = 2
"""Nodes whose bytes are spoilt: acknowledged chunks have at least 10 shards on disk, and 8 reopen them."""
DOWN_MAX = 3
SKEW_SECONDS = 150
"""A minute is too much for the protocol; so clocks are off by more and by less than that."""


class Faults:
    """Causes faults by chance, counts them by name, and ends them all."""

    def __init__(self, cluster: Cluster, world: World) -> None:
        self._cluster = cluster
        self._world = world
        self._chance = world.chance.fork("faults")
        self.counts: dict[str, int] = {}
        self.damaged: set[str] = set()
        self._kinds: list[Callable[[], Awaitable[None]]] = [
            self.power_cut, self.power_cut, self.power_back, self.slow_node, self.cut_off, self.hang_up,
            self.heal_network, self.spoil, self.coordinator_dies, self.coordinator_dies, self.lossy_wire,
            self.full_disk, self.failing_disk, self.full_home, self.database_away, self.database_moody,
            self.skewed_clock, self.client_clock, self.lost_heartbeats, self.disks_mended,
        ]  # fmt: skip

    async def cause(self) -> None:
        """One fault, or the end of one."""
        kind = self._kinds[self._chance.below(len(self._kinds))]
        self.counts[kind.__name__] = self.counts.get(kind.__name__, 0) + 1
        await kind()

    async def heal(self) -> None:
        """All that can be mended without repair is mended."""
        self._world.network.heal()
        self._cluster.control_wire.loss = 0.0
        self._set_database(gone=False, busy=0.0, silences=0.0)
        await self.disks_mended()
        for node in self._cluster.nodes:
            self._world.network.slow(node.name, 1)
            node.wire.loss = 0.0
            self._skew(node, 0.0)
        for node in self._down():
            self._cluster.boot(node)
        await asyncio.sleep(4 * HEARTBEAT_SECONDS)
        assert not self._down(), "a node does not come up in a healed world"

    # --- machines ----------------------------------------------------------------------------------------

    def _down(self) -> list[Node]:
        return [node for node in self._cluster.nodes if not node.running]

    def _any_up(self) -> Node:
        up = [node for node in self._cluster.nodes if node.running]
        return up[self._chance.below(len(up))]

    async def power_cut(self) -> None:
        if len(self._down()) < DOWN_MAX:
            await self._cluster.power_cut(self._any_up())

    async def power_back(self) -> None:
        for node in self._down()[:1]:
            self._cluster.boot(node)

    async def coordinator_dies(self) -> None:
        await self._cluster.restart_coordinator(self._chance.between(0, 5))

    async def skewed_clock(self) -> None:
        self._skew(self._any_up(), self._chance.between(-SKEW_SECONDS, SKEW_SECONDS))

    async def client_clock(self) -> None:
        # Whoever signs requests by it is refused; here it is to show that nothing else goes by it.
        self._cluster.client.clock.jump(self._chance.between(-1200, 1200))

    def _skew(self, node: Node, ahead: float) -> None:
        node.machine.clock.jump(ahead - node.ahead)
        node.ahead = ahead

    # --- the network -------------------------------------------------------------------------------------

    async def slow_node(self) -> None:
        self._world.network.slow(self._any_up().name, self._chance.between(2, 50))

    async def cut_off(self) -> None:
        self._world.network.part(["client"], [self._any_up().name])

    async def hang_up(self) -> None:
        self._world.network.drop(self._any_up().name)

    async def heal_network(self) -> None:
        self._world.network.heal()

    async def lossy_wire(self) -> None:
        wire = self._cluster.control_wire
        wire.loss = 0.08 if wire.loss == 0 else 0.0

    async def lost_heartbeats(self) -> None:
        wire = self._any_up().wire
        wire.loss = 0.8 if wire.loss == 0 else 0.0

    # --- disks -------------------------------------------------------------------------------------------

    async def spoil(self) -> None:
        node = self._any_up()
        if node.name in self.damaged or len(self.damaged) < DAMAGED_MAX:
            self.damaged.add(node.name)
            self._cluster.flip_bits(node, 1 + self._chance.below(4))

    async def full_disk(self) -> None:
        disk = self._any_up().machine.disk
        disk.capacity = CAPACITY - disk.free() + self._chance.below(40_000)

    async def failing_disk(self) -> None:
        disk = self._any_up().machine.disk
        disk.failing_syncs = self._chance.between(0, 0.5)
        disk.failing_writes = self._chance.between(0, 0.3)
        disk.failing_reads = self._chance.between(0, 0.3)

    async def full_home(self) -> None:
        disk = self._any_up().home_disk
        disk.capacity = CAPACITY - disk.free()
        disk.failing_writes = 0.2

    async def disks_mended(self) -> None:
        for node in self._cluster.nodes:
            for disk in (node.machine.disk, node.home_disk):
                disk.capacity = CAPACITY
                disk.failing_syncs = disk.failing_writes = disk.failing_reads = 0.0

    # --- the database ------------------------------------------------------------------------------------

    def _set_database(self, *, gone: bool, busy: float, silences: float) -> None:
        database = self._cluster.database
        database.gone, database.busy, database.silences = gone, busy, silences

    async def database_away(self) -> None:
        database = self._cluster.database
        database.gone = True
        await asyncio.sleep(self._chance.between(0, 8))
        database.gone = False

    async def database_moody(self) -> None:
        moody = self._cluster.database.busy > 0
        self._set_database(gone=False, busy=0.0 if moody else 0.1, silences=0.0 if moody else 0.05)
