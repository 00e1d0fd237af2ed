"""A network of simulated machines.

A machine dials and listens through its own view, `network.at(name)`; addresses name machines
(`tls://node-3:7000`), and loopback and wildcard addresses mean the machine itself. A TLS context is accepted
and ignored: bytes travel plain, and whoever relies on TLS to prove somebody's identity finds nobody proven.
Faults stack: delays, slow machines, cuts (also one-way), resets, refusals, crashes with or without a sign.
"""

from __future__ import annotations

import asyncio
import itertools
import ssl
from typing import Final, NoReturn, cast

from holdfast.world.errors import Trouble
from holdfast.world.network import DIAL_SECONDS, Address, Listener, Network, ProtocolFactory
from holdfast.world.simulated.chance import SimulatedChance
from holdfast.world.simulated.links import Lane, Road
from holdfast.world.simulated.streams import SimulatedTransport

_SELF: Final = frozenset({"", "0.0.0.0", "::", "localhost", "127.0.0.1", "::1"})  # noqa: S104 - names, not sockets
FIRST_FREE_PORT: Final = 40_000


class _OpenDoor:
    """A listener on a simulated machine."""

    def __init__(
        self, network: SimulatedNetwork, machine: str, address: Address, factory: ProtocolFactory
    ) -> None:
        self._network = network
        self.machine = machine
        self.address = address
        self.factory = factory

    async def close(self) -> None:
        self._network.shut(self)


class SimulatedNetwork:
    """All machines and all roads between them. Times are those of the running loop."""

    def __init__(self, chance: SimulatedChance) -> None:
        self._chance = chance
        self._doors: dict[tuple[str, int], _OpenDoor] = {}
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._road = Road()
        self._slowness: dict[str, float] = {}
        self._refusing: set[str] = set()
        self._ports = itertools.count(FIRST_FREE_PORT)
        self._ends: dict[str, list[SimulatedTransport]] = {}

    def at(self, machine: str) -> Network:
        """The network as the machine called `machine` sees it."""
        return _View(self, machine)

    # --- faults ------------------------------------------------------------------------------------------

    def pave(self, road: Road) -> None:
        """Makes all roads like this one."""
        self._road = road
        for lane in self._lanes.values():
            lane.road = road

    def lane(self, source: str, target: str) -> Lane:
        """The way from one machine to another; change its `road` to make it special."""
        lane = self._lanes.get((source, target))
        if lane is None:
            lane = Lane(self._chance.fork(f"{source} to {target}"))
            lane.road = self._road
            lane.slowness = self._slowness.get(source, 1.0) * self._slowness.get(target, 1.0)
            self._lanes[source, target] = lane
        return lane

    def slow(self, machine: str, times: float) -> None:
        """Makes everything to and from the machine take `times` as long; 1 ends it."""
        self._slowness[machine] = times
        for (source, target), lane in self._lanes.items():
            lane.slowness = self._slowness.get(source, 1.0) * self._slowness.get(target, 1.0)

    def cut(self, source: str, target: str) -> None:
        """Nothing gets from source to target any more (the other way it still does); nobody is told."""
        self.lane(source, target).cut = True

    def part(self, some: list[str], others: list[str]) -> None:
        """Cuts every way between the two groups, both ways."""
        for one in some:
            for other in others:
                self.cut(one, other)
                self.cut(other, one)

    def heal(self) -> None:
        """Ends all cuts; what was on its way arrives."""
        for lane in list(self._lanes.values()):
            lane.heal()

    def refuse(self, machine: str, *, refusing: bool = True) -> None:
        """Dials to the machine are refused while its connections go on."""
        (self._refusing.add if refusing else self._refusing.discard)(machine)

    def drop(self, machine: str) -> None:
        """Resets all connections of the machine; both ends are told."""
        for end in self._ends.get(machine, []):
            end.fail()

    def crash(self, machine: str, *, silently: bool = False) -> None:
        """The machine's programs die: nothing of theirs is called any more, and its doors are shut.

        The other ends are reset, or, `silently` as in a power cut, never hear of it. The caller ends the
        program's tasks.
        """
        for end in self._ends.pop(machine, []):
            if not silently:
                end.fail()
            end.silent = True
        for key in [key for key in self._doors if key[0] == machine]:
            del self._doors[key]

    # --- dialling and listening --------------------------------------------------------------------------

    def listen(self, machine: str, address: Address, factory: ProtocolFactory) -> Listener:
        """Opens a door of the machine."""
        if address.host not in _SELF and address.host != machine:
            _unreachable(
                f"Cannot listen on {address}: it is not an address of {machine}.", address, retry=False
            )
        port = address.port or next(self._ports)
        if (machine, port) in self._doors:
            _unreachable(f"Cannot listen on {address}: it is taken.", address, retry=False)
        door = _OpenDoor(self, machine, address._replace(port=port), factory)
        self._doors[machine, port] = door
        return door

    def shut(self, door: _OpenDoor) -> None:
        """Closes a door; who came in stays."""
        key = (door.machine, door.address.port)
        if self._doors.get(key) is door:
            del self._doors[key]

    async def dial(
        self, machine: str, address: Address, factory: ProtocolFactory
    ) -> tuple[asyncio.Transport, asyncio.BufferedProtocol]:
        """Connects the machine to a door."""
        target = machine if address.host in _SELF else address.host
        there, back = self.lane(machine, target), self.lane(target, machine)
        seconds = there.delay() + back.delay()
        if seconds > DIAL_SECONDS:
            await asyncio.sleep(DIAL_SECONDS)
            _unreachable(f"No connection to {address}: timed out.", address)
        await asyncio.sleep(seconds)
        if there.cut or back.cut:
            await asyncio.sleep(DIAL_SECONDS - seconds)
            _unreachable(f"No connection to {address}: timed out.", address)
        door = self._doors.get((target, address.port))
        if door is None or target in self._refusing or there.chance.happens(there.road.refusals):
            _unreachable(f"No connection to {address}: refused.", address)
        return self._connect(machine, door, factory)

    def _connect(
        self, machine: str, door: _OpenDoor, factory: ProtocolFactory
    ) -> tuple[asyncio.Transport, asyncio.BufferedProtocol]:
        loop = asyncio.get_running_loop()
        ours, theirs = (machine, next(self._ports)), (door.machine, door.address.port)
        protocol, answer = factory(), door.factory()
        near = SimulatedTransport(
            self.lane(machine, door.machine), {"sockname": ours, "peername": theirs}, protocol
        )
        far = SimulatedTransport(
            self.lane(door.machine, machine), {"sockname": theirs, "peername": ours}, answer
        )
        near.connect(far)
        far.connect(near)
        self._remember(machine, near)
        self._remember(door.machine, far)
        loop.call_soon(_greet, answer, far)
        transport = cast("asyncio.Transport", near)
        protocol.connection_made(transport)
        return transport, protocol

    def _remember(self, machine: str, end: SimulatedTransport) -> None:
        ends = self._ends.setdefault(machine, [])
        ends.append(end)
        if len(ends) % 64 == 0:
            self._ends[machine] = [end for end in ends if not end.over]


def _greet(protocol: asyncio.BufferedProtocol, transport: SimulatedTransport) -> None:
    if not transport.silent:
        protocol.connection_made(cast("asyncio.Transport", transport))


def _unreachable(words: str, address: Address, *, retry: bool = True) -> NoReturn:
    raise Trouble("node.unreachable", words, retry=retry, address=str(address))


class _View:
    """The network as one machine sees it."""

    def __init__(self, network: SimulatedNetwork, machine: str) -> None:
        self._network = network
        self._machine = machine

    async def listen(
        self, address: Address, factory: ProtocolFactory, *, tls: ssl.SSLContext | None = None
    ) -> Listener:
        assert tls is None or isinstance(tls, ssl.SSLContext), "tls is a context"
        return self._network.listen(self._machine, address, factory)

    async def dial(
        self, address: Address, factory: ProtocolFactory, *, tls: ssl.SSLContext | None = None
    ) -> tuple[asyncio.Transport, asyncio.BufferedProtocol]:
        assert tls is None or isinstance(tls, ssl.SSLContext), "tls is a context"
        return await self._network.dial(self._machine, address, factory)
