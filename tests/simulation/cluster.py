"""A whole Holdfast in one process: a coordinator, nodes and a client on simulated machines.

Everything is the real thing but the world: rooms, door, agents, vaults, links and the SDK. Only HTTP is left
out: requests cross a wire that takes time, and loses requests and answers on demand.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Any, TypeVar

from holdfast.agent.home import Home, Settings
from holdfast.agent.program import run_agent
from holdfast.agent.vault import Vault
from holdfast.app.rooms import Outside, Rooms
from holdfast.app.settings import CoordinatorSettings
from holdfast.chunks.keys import TenantKey
from holdfast.client.session import AsyncSession
from holdfast.doors.rest.control import Caller, DirectControl
from holdfast.files.tending.mending import Mending
from holdfast.nodes.journal import journal_deletions
from holdfast.protocol.control import Operation, UploadRecord
from holdfast.protocol.fleet import Signed, SignedWelcome
from holdfast.protocol.messages import shard_id
from holdfast.protocol.signing import SEED_BYTES, SigningKey
from holdfast.tenants.master import MASTER_BYTES, Master
from holdfast.tenants.permits import Permit
from holdfast.upkeep.passes import Loop, run_round
from holdfast.world.errors import Trouble
from holdfast.world.simulated.chance import SimulatedChance
from holdfast.world.simulated.database import SimulatedDatabase
from holdfast.world.simulated.disk import SimulatedDisk
from holdfast.world.simulated.world import Machine, World

STORAGE_CLASS = "small"
NODES = 14
HEARTBEAT_SECONDS = 30
CONTAINMENT_SECONDS = 150

T = TypeVar("T")


@dataclass
class Wire:
    """Where HTTP would be: every call takes a while, and may be lost on its way there or back."""

    chance: SimulatedChance
    loss: float = 0.0

    async def there(self) -> None:
        await asyncio.sleep(self.chance.between(0.0005, 0.01))
        if self.chance.happens(self.loss):
            raise Trouble("endpoint.unreachable", "The request was lost.")

    async def back(self) -> None:
        if self.chance.happens(self.loss):
            raise Trouble("endpoint.unreachable", "The answer was lost: what was asked is done.")
        await asyncio.sleep(self.chance.between(0.0005, 0.01))


@dataclass
class WiredControl:
    """`Control` over a wire to whichever rooms serve now."""

    cluster: Cluster
    wire: Wire

    async def call(self, request: Operation) -> Any:
        await self.wire.there()
        caller = Caller(self.cluster.tenant_id, Permit())
        reply = await self.cluster.serve(lambda rooms: DirectControl(rooms.control, caller).call(request))
        if isinstance(request, UploadRecord):
            self.cluster.note_recorded(request)
        await self.wire.back()
        return reply

    async def close(self) -> None:
        pass


@dataclass
class WiredFleet:
    """`protocol.fleet.Coordinator` over a wire to whichever rooms serve now."""

    cluster: Cluster
    wire: Wire

    async def register(self, signed: Signed) -> SignedWelcome:
        await self.wire.there()
        welcome = await self.cluster.serve(lambda rooms: rooms.roster.register(signed))
        await self.wire.back()
        return welcome

    async def heartbeat(self, signed: Signed) -> SignedWelcome:
        await self.wire.there()
        welcome = await self.cluster.serve(lambda rooms: rooms.roster.heartbeat(signed))
        await self.wire.back()
        return welcome

    async def close(self) -> None:
        pass


@dataclass
class Node:
    """One agent on its machine; its disks outlive it."""

    name: str
    machine: Machine
    home_disk: SimulatedDisk
    wire: Wire
    key: SigningKey
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    ahead: float = 0.0
    """Seconds that its clock is ahead of the world's."""

    @property
    def running(self) -> bool:
        return self.task is not None and not self.task.done()


class Cluster:
    """Made by `start`; its machines are called coordinator, client and node-00 onward."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.coordinator = world.machine("coordinator")
        self.client = world.machine("client")
        self.database = SimulatedDatabase(self.coordinator.chance.fork("database"))
        self.master = Master({"m1": self.coordinator.chance.bytes(MASTER_BYTES)}, "m1")
        self.issuer_key = SigningKey(self.coordinator.chance.bytes(SEED_BYTES))
        self.tenant_key = TenantKey(self.client.chance.bytes(32))
        self.control_wire = Wire(self.client.chance.fork("wire"))
        self.nodes: list[Node] = []
        self.tenant_id = ""
        self._serving: dict[asyncio.Task[Any], None] = {}
        self._loops: list[Loop] = []
        self._recorded: dict[tuple[bytes, bytes], None] = {}
        self.up = False
        self.rooms: Rooms
        self.session: AsyncSession

    async def start(self) -> None:
        """A coordinator, a tenant, NODES nodes online and a session."""
        await self.open_rooms()
        self.tenant_id = (await self.rooms.people.create("tenant")).tenant_id
        for number in range(NODES):
            await self._add_node(f"node-{number:02}")
        self.session = self.new_session()
        await asyncio.sleep(HEARTBEAT_SECONDS)

    async def open_rooms(self) -> None:
        """A coordinator process begins, on the database there is."""
        machine = self.coordinator
        outside = Outside(
            clock=machine.clock,
            chance=machine.chance,
            network=machine.network,
            offload=machine.offload(),
            database=self.database,
        )
        settings = CoordinatorSettings(
            relay_listen="",
            default_class=STORAGE_CLASS,
            heartbeat_seconds=HEARTBEAT_SECONDS,
            containment_seconds=CONTAINMENT_SECONDS,
            repair_grace_seconds=60,
            trash_seconds=60,
            upload_idle_seconds=600,
            pass_seconds=20,
        )
        rooms = Rooms(settings, outside, master=self.master, issuer_key=self.issuer_key)
        while True:
            try:
                await rooms.fleet.load()
                break
            except Trouble:
                # Its database is away: whoever runs it starts it again.
                await asyncio.sleep(1)
        self.rooms = rooms
        self._loops = rooms.loops()
        for loop in self._loops:
            loop.start()
        self.up = True

    async def serve(self, work: Callable[[Rooms], Awaitable[T]]) -> T:
        """Has the coordinator do something for somebody, as far as it lives to do it."""
        if not self.up:
            raise Trouble("endpoint.unreachable", "Nobody listens there.")
        task = asyncio.ensure_future(work(self.rooms))
        self._serving[task] = None
        task.add_done_callback(self._served)
        # Who asked may go away: it is done all the same.
        await asyncio.wait([task])
        if task.cancelled():
            raise Trouble("endpoint.unreachable", "The coordinator died before it answered.")
        return task.result()

    def _served(self, task: asyncio.Task[Any]) -> None:
        del self._serving[task]
        if not task.cancelled():
            task.exception()

    async def restart_coordinator(self, seconds: float = 0.0) -> None:
        """The process dies with all its memory, amid whatever it does; what it committed is there later.

        To be killed at an await is to be cancelled there and never heard of again.
        """
        self.up = False
        self.world.network.crash("coordinator")
        for loop in self._loops:
            await loop.stop()
        for task in list(self._serving):
            task.cancel()
        if self._serving:
            await asyncio.wait(list(self._serving))
        await asyncio.sleep(seconds)
        await self.open_rooms()

    def new_session(self) -> AsyncSession:
        """A client process of the tenant."""
        return AsyncSession(
            WiredControl(self, self.control_wire),
            network=self.client.network,
            clock=self.client.clock,
            chance=self.client.chance,
            offload=self.client.offload(),
            key=self.tenant_key,
            route="never",
        )

    async def _add_node(self, name: str) -> None:
        machine = self.world.machine(name)
        home_disk = SimulatedDisk(machine.chance.fork("home"))
        home = Home(home_disk)
        invitation = await self.rooms.roster.invite(self.tenant_id)
        node = Node(
            name, machine, home_disk, Wire(machine.chance.fork("wire")), home.make_key(machine.chance)
        )
        home.save_settings(
            Settings(
                endpoint="https://coordinator",
                token=invitation.token,
                node_name=name,
                listen="tcp://127.0.0.1:7420",
                advertised=[f"tls://{name}:7420"],
                allocated=1 << 30,
            )
        )
        self.nodes.append(node)
        self.boot(node)

    # --- what can happen ---------------------------------------------------------------------------------

    def boot(self, node: Node) -> None:
        """Power comes on."""
        node.stop = asyncio.Event()
        node.task = asyncio.create_task(self._run_node(node), name=node.name)

    async def _run_node(self, node: Node) -> None:
        try:
            await run_agent(
                Home(node.home_disk),
                network=node.machine.network,
                vault_disk=node.machine.disk,
                clock=node.machine.clock,
                chance=node.machine.chance,
                offload=node.machine.offload(),
                coordinator=WiredFleet(self, node.wire),
                stop=node.stop,
                reserve=0,
            )
        except Trouble as trouble:
            # A disk that fails at the start ends the program; it is started again when power comes back.
            assert trouble.code.startswith("disk."), repr(trouble)

    async def power_cut(self, node: Node) -> None:
        """Everything not synced is gone."""
        assert node.task is not None
        node.task.cancel()
        self.world.crash(node.name)
        node.home_disk.crash()
        await asyncio.wait([node.task])

    def flip_bits(self, node: Node, count: int) -> None:
        """Bytes of its vault change behind its back."""
        disk = node.machine.disk
        for name in disk.names():
            size = disk.size_of(name)
            for _ in range(count if size else 0):
                disk.corrupt(name, self.world.chance.below(size))

    async def repair(self, rounds: int) -> None:
        """Lets the repair pass go round."""
        for _ in range(rounds):
            await run_round(self.rooms.repair())
            await asyncio.sleep(HEARTBEAT_SECONDS)

    def note_recorded(self, request: UploadRecord) -> None:
        """The coordinator has taken note of these shards: from now on it answers for their going, too."""
        for done in request.chunks:
            for shard in done.stored:
                self._recorded[shard.node_id, shard_id(done.chunk.chunk_id, shard.index)] = None

    async def inventory(self, spoilt: Collection[str]) -> tuple[list[str], list[str]]:
        """What is wrong with the nodes' shards, but for those of spoilt nodes, when everybody has stopped.

        Those that are placed on a node which does not have them, and those that were recorded once and are
        still on their node though no placement says so.
        """
        mending = Mending(database=self.database, journal=journal_deletions, clock=self.coordinator.clock)
        chunks, after = await mending.page((0, -1), 100_000)
        assert after is None
        missing, left = [], []
        for node in self.nodes:
            alias = self.rooms.fleet.alias_of(node.key.public)
            machine = node.machine
            vault = await Vault.open(
                machine.disk, allocated=1 << 30, reserve=0, offload=machine.offload(), clock=machine.clock,
                chance=machine.chance,
            )  # fmt: skip
            placed = {
                shard_id(chunk.record.chunk_id, index)
                for chunk in chunks
                for index, holder in enumerate(chunk.aliases)
                if holder == alias
            }
            recorded = {one for node_id, one in self._recorded if node_id == node.key.public}
            if node.name not in spoilt:
                missing += [f"{one.hex()} on {node.name}" for one in sorted(placed) if not vault.holds(one)]
                left += [
                    f"{one.hex()} on {node.name}" for one in sorted(recorded - placed) if vault.holds(one)
                ]
            await vault.close()
        return missing, left

    async def calm_down(self) -> None:
        """Upkeep rests, and nodes have time to hear and do what it decided last."""
        for loop in self._loops:
            await loop.stop()
        await asyncio.sleep(3 * HEARTBEAT_SECONDS)

    async def close(self) -> None:
        """Everybody stops in good order."""
        await self.session.close()
        for node in self.nodes:
            node.stop.set()
        for node in self.nodes:
            if node.task is not None:
                with contextlib.suppress(asyncio.CancelledError):
                    await node.task
        await self.rooms.close()
