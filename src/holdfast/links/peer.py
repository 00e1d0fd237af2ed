"""Both ends of a node connection: `dial` a node and `call` it; `serve` calls with a handler.

At the client a `Peer` is one proven connection with many calls on it at a time. At the node a handler gets
each request whole, its body in memory that is used again once the handler is done.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec

from holdfast.links.bodies import FreshBodies
from holdfast.links.tls import client_context, presented_key
from holdfast.links.tunnel import open_tunnel
from holdfast.links.wire import Wire
from holdfast.protocol.frames import NONCE_BYTES
from holdfast.protocol.messages import Failed, NodeReply, NodeRequest
from holdfast.protocol.nouns import NodeAddress
from holdfast.protocol.session import Session
from holdfast.protocol.signing import SigningKey
from holdfast.protocol.states import Buffer, Event, Left, Opened, Replied, State
from holdfast.world.chance import Chance
from holdfast.world.clock import Clock
from holdfast.world.errors import CODES, Failure, Refusal, Trouble
from holdfast.world.network import Address, Network, parse_address
from holdfast.world.untrusted import UNREADABLE

GREETING_SECONDS: Final = 10.0
SIGN_OF_LIFE_SECONDS: Final = 15.0
"""After so long without a byte while calls are under way, the node is pinged."""
SILENCE_SECONDS: Final = 60.0
"""After so long without a byte while calls are under way, the node is taken for gone."""
ROOM_BYTES: Final = 8 << 20
"""How long a reply's body may be where the caller hands in no memory for it."""

_REPLY: Final[msgspec.msgpack.Decoder[NodeReply]] = msgspec.msgpack.Decoder(NodeReply)
_ENCODER: Final = msgspec.msgpack.Encoder()

_Answer = tuple[Buffer, memoryview]


class _ClientWire(Wire):
    """The client's end: futures for the calls under way."""

    def __init__(self, session: Session, clock: Clock, node_id: bytes) -> None:
        super().__init__(session)
        self.opened: asyncio.Future[None] = self._loop.create_future()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self.calls: dict[int, asyncio.Future[_Answer]] = {}
        self.waiting: deque[asyncio.Future[None]] = deque()
        self._clock = clock
        self._name = node_id.hex()[:16]
        self._why: Failure | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._heard = (0, 0.0)

    def unreachable(self) -> Trouble:
        """What a call on this connection meets once it is over."""
        words = (
            f"Node {self._name} hung up." if self._why is None else f"Node {self._name}: {self._why.message}"
        )
        return Trouble("node.unreachable", words, node=self._name)

    def take(self, event: Event) -> None:
        match event:
            case Replied(stream, message, body):
                future = self.calls.pop(stream, None)
                if future is not None and not future.done():
                    future.set_result((message, body))
                self.wake()
            case Opened():
                self._heard = (self.bytes_in, self._clock.monotonic())
                self._look_again()
                if not self.opened.done():
                    self.opened.set_result(None)
            case Left(code, message):
                if code:
                    kind = Refusal if code == "version.unsupported" else Trouble
                    self._why = kind(code if code in CODES else "internal", message)
                if self.session.state is State.CLOSED:
                    self.hang_up()
                else:
                    self._leave_when_done()
            case _:
                pass

    def sent(self, streams: list[int]) -> None:
        """Only replies are told of."""

    def wake(self) -> None:
        """Lets the next caller in who waits for a free stream."""
        while self.waiting:
            future = self.waiting.popleft()
            if not future.done():
                future.set_result(None)
                return

    def broken(self, failure: Failure) -> None:
        self._why = failure
        super().broken(failure)

    def ended(self, reason: Exception | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
        if self._why is None and reason is not None:
            self._why = Trouble("node.unreachable", f"{reason or type(reason).__name__}.")
        if not self.opened.done():
            self.opened.set_exception(self._why or self.unreachable())
            # Nobody may be waiting any more.
            self.opened.exception()
        for future in self.calls.values():
            if not future.done():
                future.set_exception(self.unreachable())
        self.calls.clear()
        while self.waiting:
            self.wake()
        if not self.gone.done():
            self.gone.set_result(None)

    def done_with(self, stream: int) -> None:
        """The caller of this stream has gone."""
        if self.calls.pop(stream, None) is not None:
            self.session.cancel(stream)
            self.schedule()
            self.wake()

    def _leave_when_done(self) -> None:
        if not self.calls:
            self.hang_up()
        else:
            self._loop.call_later(1.0, self._leave_when_done)

    def _look_again(self) -> None:
        self._watch = self._loop.call_later(SIGN_OF_LIFE_SECONDS, self._look)

    def _look(self) -> None:
        """Asks for a sign of life, and gives up on who gives none."""
        now = self._clock.monotonic()
        if self.bytes_in != self._heard[0] or not self.calls:
            self._heard = (self.bytes_in, now)
        elif now - self._heard[1] >= SILENCE_SECONDS:
            self._why = Trouble("node.unreachable", f"nothing was heard for {SILENCE_SECONDS:.0f} seconds.")
            self.abort()
            return
        else:
            self.session.ping()
            self.schedule()
        self._look_again()


class Peer:
    """One proven connection to a node. Safe for many calls at a time, from one event loop."""

    def __init__(self, wire: _ClientWire, node_id: bytes) -> None:
        self.node_id = node_id
        self._wire = wire

    @property
    def remote(self) -> tuple[str, int] | None:
        """Host and port that the stream really leads to; None where streams have no such thing."""
        return self._wire.remote

    @property
    def closed(self) -> bool:
        """Whether no more calls can be made: dial again."""
        return self._wire.lost or self._wire.session.state is not State.CLIENT_OPEN

    async def call(
        self, request: NodeRequest, *, body: Sequence[Buffer] = (), into: memoryview | None = None
    ) -> tuple[NodeReply, memoryview]:
        """Asks, and waits for the answer.

        Args:
            request: what is asked.
            body: the parts of its body. They stay as they are until the call is over. (After a cancelled
                call a few of their bytes may still be on their way out; the node does not use them.)
            into: where the reply's body goes; a longer one is refused by the node. Without it, the body is
                in fresh memory, at most ROOM_BYTES long.

        Returns:
            The reply (never `Failed`) and its body.

        Raises:
            Refusal, Trouble: what the node answered with; Trouble("internal") for a code not known here.
            Trouble: "node.unreachable" when the connection breaks.
            Refusal: "request.too_large" for a body that the node says it won't take.
        """
        wire = self._wire
        session = wire.session
        while not self.closed and session.streams_open >= session.limits.streams_max:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            wire.waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    wire.wake()
                raise
        if self.closed:
            raise wire.unreachable()
        stream = session.request(_ENCODER.encode(request), body, room=ROOM_BYTES, into=into)
        answer = wire.calls[stream] = asyncio.get_running_loop().create_future()
        wire.schedule()
        try:
            message, got = await answer
        finally:
            wire.done_with(stream)
        return _believe(message), got

    async def close(self) -> None:
        """Hangs up; calls under way fail."""
        self._wire.hang_up()
        await asyncio.wait([self._wire.gone], timeout=1.0)
        self._wire.abort()


async def dial(
    network: Network,
    node: NodeAddress,
    *,
    session_key: SigningKey,
    clock: Clock,
    chance: Chance,
    relay: str | None = None,
    grant: bytes = b"",
) -> Peer:
    """A proven connection to the node: at the first of its addresses that answers, or through a relay.

    Args:
        network: where it is.
        node: its id and addresses.
        session_key: the key that the caller's grants are bound to.
        clock: for signs of life.
        chance: for the handshake's nonce.
        relay: the address of a relay to go through instead of dialling the node.
        grant: any valid grant for this node, which a relay wants to see.

    Raises:
        Trouble: "node.unreachable"; `retry` is false where another node answers in its place.
        Refusal: "version.unsupported", or what the relay has against the grant.
    """
    failure = Trouble("node.unreachable", f"Node {node.node_id.hex()[:16]} has no address.")
    for text in [relay] if relay else node.addresses:
        session = Session.client(
            key=session_key, nonce=chance.bytes(NONCE_BYTES), node_id=node.node_id, bodies=FreshBodies()
        )
        wire = _ClientWire(session, clock, node.node_id)
        try:
            if relay:
                await _through_relay(network, relay, node, grant, wire)
            else:
                await _straight(network, parse_address(text), node.node_id, wire)
            await _greet(wire)
        except Trouble as trouble:
            wire.abort()
            failure = trouble
        except BaseException:
            wire.abort()
            raise
        else:
            return Peer(wire, node.node_id)
    raise failure


async def _straight(network: Network, address: Address, node_id: bytes, wire: _ClientWire) -> None:
    tls = client_context() if address.scheme == "tls" else None
    transport, _ = await network.dial(address, lambda: wire, tls=tls)
    _check_pin(transport, node_id)


async def _through_relay(
    network: Network, relay: str, node: NodeAddress, grant: bytes, wire: _ClientWire
) -> None:
    plain_allowed = any(text.startswith("tcp://") for text in node.addresses)
    transport, tls = await open_tunnel(network, relay, node.node_id, grant, plain_allowed=plain_allowed)
    # A simulated stream has no socket beneath it, and TLS is left out there as it is on the direct way.
    if tls and transport.get_extra_info("socket") is not None:
        try:
            async with asyncio.timeout(GREETING_SECONDS):
                inner = await asyncio.get_running_loop().start_tls(
                    transport, wire, client_context(), server_hostname=""
                )
        except (OSError, TimeoutError) as error:
            transport.abort()
            raise Trouble("node.unreachable", f"No TLS with the node through the relay: {error}.") from error
        assert inner is not None
        transport = inner
    else:
        transport.set_protocol(wire)
    wire.connection_made(transport)
    _check_pin(transport, node.node_id)


def _check_pin(transport: asyncio.BaseTransport, node_id: bytes) -> None:
    presented = presented_key(transport)
    if presented is not None and presented != node_id:
        raise _impostor(node_id)


async def _greet(wire: _ClientWire) -> None:
    try:
        async with asyncio.timeout(GREETING_SECONDS):
            await wire.opened
    except TimeoutError as error:
        raise Trouble("node.unreachable", "The node did not finish the handshake in time.") from error
    except Refusal as refusal:
        if refusal.code == "version.unsupported":
            raise
        raise Trouble("node.unreachable", refusal.message, retry=False, advice=refusal.advice) from refusal


def _impostor(node_id: bytes) -> Trouble:
    return Trouble(
        "node.unreachable",
        f"Another node answers in place of {node_id.hex()[:16]}.",
        retry=False,
        node=node_id.hex()[:16],
    )


def _believe(message: Buffer) -> NodeReply:
    """The reply in `message`; raises what it reports."""
    try:
        reply = _REPLY.decode(message)
    except UNREADABLE as error:
        raise Trouble("internal", f"The node's reply cannot be read: {error}.", retry=False) from error
    if not isinstance(reply, Failed):
        return reply
    if reply.code not in CODES:
        raise Trouble("internal", f"{reply.message} ({reply.code[:64]})", retry=reply.retry)
    if reply.kind == "refusal":
        raise Refusal(reply.code, reply.message, advice=reply.advice)
    raise Trouble(reply.code, reply.message, retry=reply.retry, advice=reply.advice)
