"""The relay: carries node connections for clients that cannot reach nodes themselves.

A client says which node it wants and shows a valid grant for it; from then on the relay passes bytes both
ways and understands none of them. TLS and the session's proofs run from end to end inside. The bytes are
counted for the account that the grant names.

Where a node says it can be reached may be anything, also a service of the relay's own network that is no
node. So the relay first meets the node there itself, by the same handshake as any client, and passes bytes
on to that very place only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, cast

import msgspec
import structlog

from holdfast.links import peer as peers
from holdfast.links.tls import node_context
from holdfast.protocol import frames, grants
from holdfast.protocol.frames import HEADER_BYTES, HELLO_BYTES_MAX, SESSION_VERSION, Kind
from holdfast.protocol.nouns import NodeAddress
from holdfast.protocol.signing import SEED_BYTES, SigningKey
from holdfast.world.chance import Chance
from holdfast.world.clock import Clock
from holdfast.world.errors import Failure, Refusal, Trouble
from holdfast.world.network import Address, Listener, Network, parse_address

log = structlog.get_logger()

BUFFER_BYTES: Final = 128 << 10
SWEEP_SECONDS: Final = 5.0

MET_SECONDS: Final = 300.0
"""How long it is believed that a node still is where it was met."""
MET_MAX: Final = 10_000

Lookup = Callable[[bytes], Awaitable[Sequence[str]]]
"""Node id to addresses, best first; empty for an unknown node. They are what the node claims."""

Issuers = Callable[[], Mapping[bytes, bytes]]
"""Public keys by key id, of whom grants are believed now."""


class RelayLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a relay takes upon itself; memory is at most two buffers of BUFFER_BYTES per tunnel."""

    tunnels_max: int = 1024
    tunnels_per_account: int = 256
    greeting_seconds: float = 10.0
    idle_seconds: float = 300.0


class _Pipe(asyncio.BufferedProtocol):
    """One end of a tunnel: what arrives here leaves at `other`.

    There is one buffer, because reading pauses until all of it has left at the other end.
    """

    def __init__(self, tunnel: _Tunnel) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _Pipe | None = None
        self._tunnel = tunnel
        self._buffer = memoryview(b"")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        # TLS transports take a high-water mark of 0 for "always full"; they copy what they are given anyway.
        encrypted = self.transport.get_extra_info("ssl_object") is not None
        self.transport.set_write_buffer_limits(high=1 if encrypted else 0, low=0)

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        if not self._buffer:
            self._buffer = memoryview(bytearray(BUFFER_BYTES))
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._tunnel.bytes_carried += nbytes
        assert self.other is not None
        if self.other.transport is not None:
            self.other.transport.write(self._buffer[:nbytes])

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def eof_received(self) -> None:
        """Sessions end as a whole: the other end is closed with this one."""

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._tunnel.end()


class _Entrance(asyncio.BufferedProtocol):
    """A client that has not yet said where to."""

    def __init__(self, tunnel: _Tunnel) -> None:
        self._tunnel = tunnel
        self._buffer = memoryview(bytearray(HEADER_BYTES + HELLO_BYTES_MAX))
        self._filled = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._tunnel.joined(cast("asyncio.Transport", transport))

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        return self._buffer[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        if self._filled < HEADER_BYTES:
            return
        try:
            header = frames.unpack_header(self._buffer)
            if header.kind is not Kind.TUNNEL or self._filled > HEADER_BYTES + header.length:
                raise frames.broken("A client of a relay sends one TUNNEL frame, and waits.")
            if self._filled == HEADER_BYTES + header.length:
                payload = self._buffer[HEADER_BYTES : self._filled]
                self._tunnel.asked(frames.decode(payload, frames.TunnelRequest))
        except Failure as failure:
            self._tunnel.refuse(failure)

    def eof_received(self) -> None:
        """Nobody is there any more."""

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._tunnel.end()


class _Tunnel:
    """One client's stream, from its first frame to its end."""

    def __init__(self, relay: Relay) -> None:
        self.account: bytes | None = None
        self.bytes_carried = 0
        self.bytes_counted = 0
        self.near = _Pipe(self)
        self.far = _Pipe(self)
        self.near.other, self.far.other = self.far, self.near
        self._relay = relay
        self._client: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._over = False
        self._seen = (0, relay.clock.monotonic())

    def joined(self, client: asyncio.Transport) -> None:
        """The client's connection is there."""
        self._client = client
        if not self._relay.joined(self):
            self.refuse(Trouble("node.unreachable", "The relay carries as many tunnels as it can."))

    def asked(self, request: frames.TunnelRequest) -> None:
        """The client has said where to."""
        assert self._client is not None
        if self._task is None and not self._over:
            self._client.pause_reading()
            self._task = asyncio.get_running_loop().create_task(self._connect(request))

    def refuse(self, failure: Failure) -> None:
        """Says why not, and hangs up."""
        if self._client is not None and not self._over:
            farewell = frames.Farewell(code=failure.code, message=failure.message)
            self._client.write(frames.frame(Kind.GOAWAY, msgspec.msgpack.encode(farewell)))
        self.end()

    def end(self) -> None:
        """Hangs up at both ends, after what was already taken has been passed on."""
        if self._over:
            return
        self._over = True
        if self._task is not None:
            self._task.cancel()
        for transport in (self._client, self.far.transport):
            # asyncio's TLS transports of Python 3.11 cannot be aborted any more once they were closed twice.
            if transport is not None and not transport.is_closing():
                transport.close()
        self._relay.left(self)

    def abort(self) -> None:
        """Drops both ends at once."""
        self.end()
        for transport in (self._client, self.far.transport):
            if transport is not None:
                transport.abort()

    def check(self, now: float) -> None:
        """Ends a tunnel in which nothing has moved for long, or whose client never said where to."""
        limits = self._relay.limits
        moved, since = self._seen
        if self.bytes_carried != moved:
            self._seen = (self.bytes_carried, now)
        elif now - since >= (limits.greeting_seconds if self._task is None else limits.idle_seconds):
            self.abort()

    async def _connect(self, request: frames.TunnelRequest) -> None:
        try:
            self.account = self._relay.admit(request)
            address = await self._relay.dial(request.node_id, self.far)
        except Failure as failure:
            log.info("tunnel refused", code=failure.code, node=request.node_id.hex()[:16])
            self.refuse(failure)
            return
        except Exception:
            log.exception("tunnel broke", node=request.node_id.hex()[:16])
            self.refuse(Trouble("node.unreachable", "The relay met a fault of its own."))
            return
        client = self._client
        assert client is not None
        if self._over:
            self.abort()
            return
        client.set_protocol(self.near)
        self.near.connection_made(client)
        reply = frames.TunnelReply(version=SESSION_VERSION, scheme=address.scheme)
        client.write(frames.frame(Kind.TUNNEL, msgspec.msgpack.encode(reply)))
        client.resume_reading()


class Relay:
    """An open relay; made by `open_relay`."""

    def __init__(
        self,
        network: Network,
        *,
        issuers: Issuers,
        lookup: Lookup,
        clock: Clock,
        chance: Chance,
        limits: RelayLimits,
    ) -> None:
        self.limits = limits
        self.clock = clock
        self._chance = chance
        self._session_key = SigningKey(chance.bytes(SEED_BYTES))
        self._met: dict[tuple[bytes, str], tuple[Address, float]] = {}
        self._network = network
        self._issuers = issuers
        self._lookup = lookup
        self._listener: Listener | None = None
        self._tunnels: dict[_Tunnel, None] = {}
        self._per_account: dict[bytes, int] = {}
        self._usage: dict[bytes, int] = {}
        self._sweep: asyncio.TimerHandle | None = None
        # A relay does not use grants up, so it has none to remember.
        self._unused = grants.Serials()

    @property
    def address(self) -> Address:
        """Where the relay really listens."""
        assert self._listener is not None
        return self._listener.address

    @property
    def tunnels(self) -> int:
        """How many clients are connected."""
        return len(self._tunnels)

    def take_usage(self) -> dict[bytes, int]:
        """Bytes carried both ways since the last time, by the account tag of the grants."""
        for tunnel in self._tunnels:
            self._count(tunnel)
        usage, self._usage = self._usage, {}
        return usage

    async def close(self) -> None:
        """Stops accepting, and ends all tunnels."""
        if self._listener is not None:
            await self._listener.close()
        if self._sweep is not None:
            self._sweep.cancel()
        for tunnel in list(self._tunnels):
            tunnel.abort()

    # What a tunnel asks of its relay.

    def joined(self, tunnel: _Tunnel) -> bool:
        """Whether one more is carried."""
        self._tunnels[tunnel] = None
        return len(self._tunnels) <= self.limits.tunnels_max

    def left(self, tunnel: _Tunnel) -> None:
        """The tunnel is over."""
        self._tunnels.pop(tunnel, None)
        self._count(tunnel)
        if tunnel.account is not None:
            left = self._per_account.pop(tunnel.account, 1) - 1
            if left:
                self._per_account[tunnel.account] = left

    def admit(self, request: frames.TunnelRequest) -> bytes:
        """The account that pays for this tunnel; raises Refusal("grant.*" | "version.unsupported")."""
        if request.version != SESSION_VERSION:
            raise Refusal("version.unsupported", f"The relay speaks version {SESSION_VERSION}.")
        grant = grants.read(request.grant)
        grants.check_issued(
            grant,
            request.grant,
            node_id=request.node_id,
            now=self.clock.now(),
            issuers=self._issuers(),
            used=self._unused,
        )
        open_now = self._per_account.get(grant.account, 0)
        if open_now >= self.limits.tunnels_per_account:
            raise Trouble("node.unreachable", "The account has as many tunnels as it may.")
        self._per_account[grant.account] = open_now + 1
        return grant.account

    async def dial(self, node_id: bytes, far: _Pipe) -> Address:
        """Connects `far` to the node; TLS, if any, is spoken by the client inside."""
        for text in await self._lookup(node_id):
            try:
                address = await self._meet(node_id, text)
                await self._network.dial(address, lambda: far)
            except Failure as failure:
                # Why exactly is for our log: to a stranger it would tell what there is in our network.
                self._met.pop((node_id, text), None)
                log.info("node not reached", node=node_id.hex()[:16], address=text, why=failure.message)
            else:
                return address
        raise Trouble("node.unreachable", "The relay reaches the node at none of its addresses.")

    async def _meet(self, node_id: bytes, text: str) -> Address:
        """Where the node was met that claims this address; raises Trouble or Refusal if it is not there."""
        now = self.clock.monotonic()
        place, until = self._met.get((node_id, text), (None, 0.0))
        if place is not None and now < until:
            return place
        peer = await peers.dial(
            self._network,
            NodeAddress(node_id=node_id, addresses=[text]),
            session_key=self._session_key,
            clock=self.clock,
            chance=self._chance,
        )
        place = parse_address(text)
        if peer.remote is not None:
            # Not the name again: it might lead elsewhere the next time.
            place = Address(place.scheme, *peer.remote)
        await peer.close()
        if len(self._met) >= MET_MAX:
            self._met.clear()
        self._met[node_id, text] = (place, now + MET_SECONDS)
        return place

    def _count(self, tunnel: _Tunnel) -> None:
        if tunnel.account is not None and tunnel.bytes_carried > tunnel.bytes_counted:
            carried = tunnel.bytes_carried - tunnel.bytes_counted
            self._usage[tunnel.account] = self._usage.get(tunnel.account, 0) + carried
            tunnel.bytes_counted = tunnel.bytes_carried

    async def open(self, address: Address, *, key: SigningKey | None, chance: Chance) -> None:
        """Starts to listen."""
        tls = None
        if address.scheme == "tls":
            assert key is not None, "a relay that speaks TLS has a key"
            tls = node_context(key, chance)
        self._listener = await self._network.listen(address, lambda: _Entrance(_Tunnel(self)), tls=tls)
        self._sweep_later()

    def _sweep_later(self) -> None:
        self._sweep = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep_once)

    def _sweep_once(self) -> None:
        now = self.clock.monotonic()
        for tunnel in list(self._tunnels):
            tunnel.check(now)
        self._sweep_later()


async def open_relay(
    network: Network,
    address: Address,
    *,
    issuers: Issuers,
    lookup: Lookup,
    clock: Clock,
    chance: Chance,
    key: SigningKey | None = None,
    limits: RelayLimits | None = None,
) -> Relay:
    """A relay listening at `address`; `key` is what its own TLS is made of, for a tls:// address.

    Raises:
        Trouble: "node.unreachable" if the address is taken.
    """
    relay = Relay(
        network, issuers=issuers, lookup=lookup, clock=clock, chance=chance, limits=limits or RelayLimits()
    )
    await relay.open(address, key=key, chance=chance)
    return relay
