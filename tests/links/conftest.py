"""Ways from a client to a node: every kind of stream and event loop that a session must run on alike."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
import uvloop

from holdfast.doors.hub.relay import Relay, open_relay
from holdfast.links.peer import Peer, dial
from holdfast.links.serving import Handler, NodeListener, ServeLimits, serve
from holdfast.protocol.grants import Action, issue, issuers_by_id
from holdfast.protocol.nouns import NodeAddress
from holdfast.protocol.signing import SigningKey
from holdfast.world.chance import Chance, SystemChance
from holdfast.world.clock import Clock, SystemClock
from holdfast.world.network import Network, SystemNetwork, parse_address
from holdfast.world.simulated.chance import SimulatedChance
from holdfast.world.simulated.clock import SimulatedClock
from holdfast.world.simulated.loop import run
from holdfast.world.simulated.network import SimulatedNetwork

NODE, CLIENT, ISSUER = SigningKey(b"n" * 32), SigningKey(b"c" * 32), SigningKey(b"i" * 32)
ACCOUNT = b"a" * 32
PATIENCE = 20.0


@dataclass
class Way:
    """One client, one node, and what is between them."""

    network: Network
    clock: Clock
    chance: Chance
    scheme: str
    relay_scheme: str = ""
    node_key: SigningKey = NODE
    relay: Relay | None = None
    listener: NodeListener | None = None
    addresses: list[str] = field(default_factory=list)

    async def open(self, handler: Handler, limits: ServeLimits | None = None) -> NodeListener:
        """Starts the node, and the relay if there is to be one."""
        self.listener = await serve(
            self.network, parse_address(f"{self.scheme}://127.0.0.1:0"), node_key=self.node_key,
            handler=handler, clock=self.clock, chance=self.chance, limits=limits,
        )  # fmt: skip
        self.addresses = [str(self.listener.address)]
        if self.relay_scheme:
            self.relay = await open_relay(
                self.network, parse_address(f"{self.relay_scheme}://127.0.0.1:0"), key=SigningKey(b"r" * 32),
                issuers=lambda: issuers_by_id([ISSUER.public]), lookup=self.lookup,
                clock=self.clock, chance=self.chance,
            )  # fmt: skip
        return self.listener

    async def lookup(self, node_id: bytes) -> list[str]:
        return self.addresses

    def grant(self, node_id: bytes = NODE.public, issuer: SigningKey = ISSUER) -> bytes:
        now = self.clock.now()
        return issue(
            issuer, action=Action.GET, serial=b"s" * 16, node_id=node_id, session_key=CLIENT.public,
            shard_id=b"h" * 18, max_bytes=1, created=now, expires=now + 1_000_000, account=ACCOUNT,
        )  # fmt: skip

    async def dial(self, *, node_id: bytes = NODE.public, grant: bytes | None = None) -> Peer:
        return await dial(
            self.network, NodeAddress(node_id=node_id, addresses=self.addresses), session_key=CLIENT,
            clock=self.clock, chance=self.chance, relay=str(self.relay.address) if self.relay else None,
            grant=self.grant(node_id) if grant is None else grant,
        )  # fmt: skip

    async def close(self) -> None:
        if self.relay is not None:
            await self.relay.close()
        if self.listener is not None:
            await self.listener.close(grace_seconds=0)


Story = Callable[[Way], Awaitable[None]]
Play = Callable[[Story], None]

WAYS = {
    "asyncio-tcp": ("tcp", ""),
    "asyncio-tls": ("tls", ""),
    "asyncio-tls-tunnel-tls": ("tls", "tls"),
    "uvloop-tcp": ("tcp", ""),
    "uvloop-tls": ("tls", ""),
    "uvloop-tcp-tunnel-tcp": ("tcp", "tcp"),
    "uvloop-tls-tunnel-tcp": ("tls", "tcp"),
    "uvloop-tls-tunnel-tls": ("tls", "tls"),
    "simulated-tcp-1": ("tcp", ""),
    "simulated-tcp-2": ("tcp", ""),
    "simulated-tls-tunnel-tls-3": ("tls", "tls"),
}


async def told(story: Story, way: Way) -> None:
    try:
        async with asyncio.timeout(PATIENCE if isinstance(way.network, SystemNetwork) else None):
            await story(way)
    finally:
        await way.close()


def play_on(name: str) -> Play:
    loop, *_ = name.split("-")
    schemes = WAYS[name]

    def play(story: Story) -> None:
        if loop == "simulated":
            simulate(story, name[-1], *schemes)
            return
        runner = asyncio.run if loop == "asyncio" else uvloop.run
        runner(told(story, Way(SystemNetwork(), SystemClock(), SystemChance(), *schemes)))

    return play


def simulate(story: Story, seed: str, *schemes: str) -> None:
    """Plays a story in simulated time."""
    chance = SimulatedChance(int(seed))

    async def main(loop: asyncio.AbstractEventLoop) -> None:
        network = SimulatedNetwork(chance).at("harbour")
        await told(story, Way(network, SimulatedClock(loop.time), chance, *schemes))

    run(main)


@pytest.fixture(params=list(WAYS))
def play(request: pytest.FixtureRequest) -> Play:
    """Plays a story on each way."""
    return play_on(request.param)


@pytest.fixture
def play_simulated() -> Play:
    """Plays a story in simulated time, where waiting costs nothing."""
    return lambda story: simulate(story, "1", "tcp", "")
