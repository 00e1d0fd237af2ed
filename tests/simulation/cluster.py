"""A whole Holdfast in one process: a coordinator, nodes and a client on simulated machines.

Everything is the real thing but the world: rooms, door, agents, vaults, links and the SDK. Only HTTP is left
out: requests cross a wire that takes time, and loses requests and answers on demand.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Any

from holdfast.agent.home import Home, Settings
from holdfast.agent.program import run_agent
from holdfast.app.rooms import Outside, Rooms
from holdfast.app.settings import CoordinatorSettings
from holdfast.chunks.keys import TenantKey
from holdfast.client.session import AsyncSession
from holdfast.doors.rest.control import Caller, DirectControl
from holdfast.protocol.control import Operation
from holdfast.protocol.fleet import Signed, SignedWelcome
from holdfast.protocol.signing import SEED_BYTES, SigningKey
from holdfast.tenants.master import MASTER_BYTES, Master
from holdfast.tenants.permits import Permit
from holdfast.upkeep.passes import run_round
from holdfast.world.errors import Trouble
from holdfast.world.simulated.chance import SimulatedChance
from holdfast.world.simulated.database import SimulatedDatabase
from holdfast.world.simulated.disk import SimulatedDisk
from holdfast.world.simulated.world import Machine, World

STORAGE_CLASS = "small"
NODES = 14
HEARTBEAT_SECONDS = 30


@dataclass
class Wire:
    """Where HTTP would be: every call takes a while, and may be lost on its way there or back."""

    chance: SimulatedChance
    loss: float = 0.0
    down: bool = False
    lost: int = 0
    """Answers that got lost."""

    async def there(self) -> None:
        await asyncio.sleep(self.chance.between(0.0005, 0.01))
        if self.down or self.chance.happens(self.loss):
            raise Trouble("endpoint.unreachable", "The request was lost.")

    async def back(self) -> None:
        if self.down or self.chance.happens(self.loss):
            self.lost += 1
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
        reply = await DirectControl(self.cluster.rooms.control, caller).call(request)
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
        welcome = await self.cluster.rooms.roster.register(signed)
        await self.wire.back()
        return welcome

    async def heartbeat(self, signed: Signed) -> SignedWelcome:
        await self.wire.there()
        welcome = await self.cluster.rooms.roster.heartbeat(signed)
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
            containment_seconds=600,
        )
        self.rooms = Rooms(settings, outside, master=self.master, issuer_key=self.issuer_key)
        await self.rooms.fleet.load()

    async def restart_coordinator(self) -> None:
        """The process dies with all its memory; what it had committed is there for the next."""
        self.world.network.crash("coordinator")
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
        node.task = asyncio.create_task(
            run_agent(
                Home(node.home_disk),
                network=node.machine.network,
                vault_disk=node.machine.disk,
                clock=node.machine.clock,
                chance=node.machine.chance,
                offload=node.machine.offload(),
                coordinator=WiredFleet(self, node.wire),
                stop=node.stop,
                reserve=0,
            ),
            name=node.name,
        )

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
