"""Links to nodes, dialled when first needed and shared by every transfer of a session.

Of each node we remember how fast it answers and whether it failed lately. A node that failed or lagged
*rests*: uploads go elsewhere, downloads ask it last. Where a node cannot be reached directly, the same bytes
go through the gateway's relay.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from holdfast.client.profile import RelayChoice
from holdfast.links.peer import Peer, dial
from holdfast.protocol.messages import NodeReply, NodeRequest, Ping
from holdfast.protocol.nouns import NodeAddress, Source
from holdfast.protocol.signing import SigningKey
from holdfast.world.chance import Chance
from holdfast.world.clock import Clock
from holdfast.world.disk import Buffer
from holdfast.world.errors import Trouble
from holdfast.world.network import Network

REST_SECONDS = 1.0
REST_SECONDS_MAX = 60.0
DIRECT_SECONDS = 2.0
"""How long a node may take to answer directly where there is a relay: a firewall that drops answers never."""
RELAY_SECONDS = 300.0
"""How long a node that could be reached only through the relay is asked there first."""
PACE_WEIGHT = 0.25
"""Share of the newest observation in the moving average."""
OVERHEAD_BYTES = 128 << 10
"""A request costs about as much as moving this many bytes, so that small and big ones can be compared."""


@dataclass(slots=True)
class _Standing:
    """What we know of one node. Times are of the monotonic clock."""

    peer: Peer | None = None
    dialling: asyncio.Lock = field(default_factory=asyncio.Lock)
    pace: float = 0.0
    failures: int = 0
    rests_until: float = 0.0
    relayed_until: float = 0.0

    def linked(self) -> Peer | None:
        """The link, if there is a live one now: it may come and go at every await."""
        return self.peer if self.peer is not None and not self.peer.closed else None


class Peers:
    """The links of one session; `close` hangs them all up."""

    def __init__(
        self,
        network: Network,
        *,
        session_key: SigningKey,
        clock: Clock,
        chance: Chance,
        relay: str = "",
        route: RelayChoice = "auto",
    ) -> None:
        self._network = network
        self._session_key = session_key
        self._clock = clock
        self._chance = chance
        self._relay = relay
        self._route = route
        self._nodes: dict[bytes, _Standing] = {}

    async def call(
        self,
        node: NodeAddress,
        request: NodeRequest,
        *,
        body: Sequence[Buffer] = (),
        into: memoryview | None = None,
    ) -> tuple[NodeReply, memoryview]:
        """Asks one node. Raises Trouble("node.unreachable"), or what the node refused with.

        A link that turns out to be dead is dialled anew once: the node may just have been restarted.
        """
        standing = self._standing(node.node_id)
        begun = self._clock.monotonic()
        grant = b"" if isinstance(request, Ping) else request.grant
        fresh = standing.linked() is None
        peer = await self._peer(node, standing, grant)
        try:
            try:
                reply, got = await peer.call(request, body=body, into=into)
            except Trouble as trouble:
                if trouble.code != "node.unreachable":
                    raise
                await self._hang_up(standing, peer)
                if fresh:
                    raise
                peer = await self._peer(node, standing, grant)
                reply, got = await peer.call(request, body=body, into=into)
        except Trouble as trouble:
            if trouble.code == "node.unreachable":
                self.rest(node.node_id)
                await self._hang_up(standing, peer)
            raise
        standing.failures = 0
        self._observe(standing, self._clock.monotonic() - begun, len(got) + sum(map(len, body)))
        return reply, got

    def resting(self, node_id: bytes) -> bool:
        """Whether the node failed or lagged so lately that others should be asked first."""
        standing = self._nodes.get(node_id)
        return standing is not None and standing.rests_until > self._clock.monotonic()

    def rest(self, node_id: bytes) -> None:
        """Notes a failure: the node rests, twice as long each time in a row."""
        standing = self._standing(node_id)
        standing.failures += 1
        seconds = min(REST_SECONDS_MAX, REST_SECONDS * 2.0 ** (standing.failures - 1))
        standing.rests_until = self._clock.monotonic() + seconds * (0.75 + self._chance.unit() / 2)

    def lagged(self, node_id: bytes, seconds: float, size: int) -> None:
        """Notes that a request for `size` bytes was not done after `seconds`, and was given up."""
        self._observe(self._standing(node_id), 2 * seconds, size)
        self.rest(node_id)

    def expected(self, node_id: bytes, size: int) -> float:
        """Seconds that a request moving `size` bytes takes at this node; 0.0 where nothing is known yet."""
        standing = self._nodes.get(node_id)
        return 0.0 if standing is None else standing.pace * (size + OVERHEAD_BYTES)

    def fastest_first(self, sources: Sequence[Source]) -> list[Source]:
        """The sources in the order to ask them: nodes at rest last, slower ones after faster ones.

        Slower means in steps of four times the pace, so that the noise between equally good nodes does not
        choose among them: the coordinator's order does. What is not known yet is taken for fast.
        """
        paces = [standing.pace for standing in self._nodes.values() if standing.pace]
        fastest = min(paces, default=1.0)

        def rank(source: Source) -> tuple[bool, int]:
            standing = self._nodes.get(source.node.node_id)
            if standing is None or not standing.pace:
                return self.resting(source.node.node_id), 0
            return self.resting(source.node.node_id), round(math.log(standing.pace / fastest, 4))

        return sorted(sources, key=rank)

    async def close(self) -> None:
        """Hangs up."""
        for standing in self._nodes.values():
            if standing.peer is not None:
                peer, standing.peer = standing.peer, None
                await peer.close()

    def _standing(self, node_id: bytes) -> _Standing:
        standing = self._nodes.get(node_id)
        if standing is None:
            standing = self._nodes[node_id] = _Standing()
        return standing

    def _observe(self, standing: _Standing, seconds: float, size: int) -> None:
        pace = seconds / (size + OVERHEAD_BYTES)
        standing.pace = pace if not standing.pace else standing.pace + PACE_WEIGHT * (pace - standing.pace)

    async def _peer(self, node: NodeAddress, standing: _Standing, grant: bytes) -> Peer:
        if (linked := standing.linked()) is not None:
            return linked
        failures = standing.failures
        async with standing.dialling:
            if (linked := standing.linked()) is not None:
                return linked
            if standing.failures != failures:
                raise Trouble(
                    "node.unreachable",
                    f"Node {node.node_id.hex()[:16]} could not be reached a moment ago.",
                    node=node.node_id.hex()[:16],
                )
            try:
                peer = await self._dial(node, standing, grant)
            except Trouble:
                self.rest(node.node_id)
                raise
            standing.peer = peer
            return peer

    async def _dial(self, node: NodeAddress, standing: _Standing, grant: bytes) -> Peer:
        now = self._clock.monotonic()
        through_relay = self._relay and self._route != "never"
        direct_first = self._route != "always" and standing.relayed_until <= now and node.addresses
        if direct_first or not through_relay:
            try:
                async with asyncio.timeout(DIRECT_SECONDS if through_relay else None):
                    return await self._dial_one(node, None, grant)
            except (Trouble, TimeoutError):
                if not through_relay:
                    raise
        peer = await self._dial_one(node, self._relay, grant)
        standing.relayed_until = self._clock.monotonic() + RELAY_SECONDS
        return peer

    async def _dial_one(self, node: NodeAddress, relay: str | None, grant: bytes) -> Peer:
        return await dial(
            self._network,
            node,
            session_key=self._session_key,
            clock=self._clock,
            chance=self._chance,
            relay=relay,
            grant=grant,
        )

    async def _hang_up(self, standing: _Standing, peer: Peer) -> None:
        if standing.peer is peer:
            standing.peer = None
        await peer.close()
