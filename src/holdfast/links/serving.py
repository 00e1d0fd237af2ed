"""The node's end: `serve` answers calls with a handler, within limits that hold whatever clients do.

A handler gets each request whole; its body lies in memory that is used again once the handler is done. A
handler is never cancelled because its caller went away: it may be half-way through a write.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

import msgspec
import structlog

from holdfast.links.bodies import PooledBodies
from holdfast.links.tls import node_context
from holdfast.links.wire import Wire
from holdfast.protocol.frames import NONCE_BYTES
from holdfast.protocol.messages import SHARD_BYTES_MAX, Failed, NodeReply, NodeRequest
from holdfast.protocol.session import Session
from holdfast.protocol.signing import SigningKey
from holdfast.protocol.states import Asked, Buffer, Cancelled, Event, Left, Limits, Opened, Requested, State
from holdfast.world.chance import Chance
from holdfast.world.clock import Clock
from holdfast.world.errors import Failure, Refusal, Trouble
from holdfast.world.network import Address, Listener, Network
from holdfast.world.untrusted import UNREADABLE

log = structlog.get_logger()

SWEEP_SECONDS: Final = 5.0
IDLE_BYTES_MAX: Final = 64 << 20
"""How much memory for bodies is kept for later when nothing needs it now."""

_REQUEST: Final[msgspec.msgpack.Decoder[NodeRequest]] = msgspec.msgpack.Decoder(NodeRequest)
_ENCODER: Final = msgspec.msgpack.Encoder()


class ServeLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a node takes upon itself. Bodies take at most `bytes_max`, and `eager` per connection."""

    connections_max: int = 1024
    streams_max: int = 64
    """Calls at a time on one connection."""
    calls_max: int = 1024
    """Handlers at a time over all connections."""
    body_max: int = SHARD_BYTES_MAX
    bytes_max: int = 256 << 20
    """Bytes of bodies at a time, arriving, in handlers' hands and leaving. One body may always pass."""
    eager: int = 1 << 20
    """Body bytes a connection may send before they are admitted."""
    greeting_seconds: float = 10.0
    idle_seconds: float = 300.0
    stall_seconds: float = 30.0
    """For so long a client may owe bytes, or leave ours lying, without moving `stall_bytes`."""
    stall_bytes: int = 64 << 10


class Incoming(NamedTuple):
    """One call. `body` is only to be used until the handler returns."""

    request: NodeRequest
    body: memoryview
    session_key: bytes
    """What the caller proved; grants are bound to it."""
    room: int
    """How long the reply's body may be."""


class Outgoing(NamedTuple):
    """An answer. `body` stays as it is until `release` is called: once, when it was sent or given up."""

    reply: NodeReply
    body: Sequence[Buffer] = ()
    release: Callable[[], None] | None = None


Handler = Callable[[Incoming], Awaitable[Outgoing]]


class NodeListener:
    """A node's open door and the connections through it."""

    def __init__(
        self, key: SigningKey, handler: Handler, clock: Clock, chance: Chance, limits: ServeLimits
    ) -> None:
        self.limits = limits
        self.handler = handler
        self.clock = clock
        self.bodies = PooledBodies(min(limits.bytes_max, IDLE_BYTES_MAX))
        self.bytes_held = 0
        """Bytes of bodies admitted and not yet given back."""
        self.calls = 0
        """Handlers at work."""
        self._key = key
        self._chance = chance
        self._listener: Listener | None = None
        # Dicts, not sets: their order shows, and must be the same in every run.
        self._wires: dict[_NodeWire, None] = {}
        self._hungry: deque[_NodeWire] = deque()
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._sweep: asyncio.TimerHandle | None = None

    async def open(self, network: Network, address: Address) -> None:
        """Starts to listen."""
        tls = node_context(self._key, self._chance) if address.scheme == "tls" else None
        self._listener = await network.listen(address, self._wire, tls=tls)
        self._sweep_later()

    @property
    def address(self) -> Address:
        """Where the node really listens."""
        assert self._listener is not None
        return self._listener.address

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._wires)

    async def close(self, *, grace_seconds: float = 5.0) -> None:
        """Takes no more calls, lets those under way finish for a while, then hangs up.

        Returns when no handler is at work any more, so that what they use may be closed.
        """
        if self._listener is not None:
            await self._listener.close()
        if self._sweep is not None:
            self._sweep.cancel()
        for wire in list(self._wires):
            wire.session.leave()
            wire.schedule()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_seconds)
        for wire in list(self._wires):
            wire.hang_up()
        if self._tasks:
            await asyncio.wait(self._tasks)
        # What could not be sent by now will not be.
        await asyncio.sleep(0)
        for wire in list(self._wires):
            wire.abort()

    # What a connection asks of its listener.

    def joined(self, wire: _NodeWire) -> bool:
        """Whether one more connection is taken."""
        self._wires[wire] = None
        return len(self._wires) <= self.limits.connections_max

    def left(self, wire: _NodeWire) -> None:
        """The connection is gone."""
        self._wires.pop(wire, None)

    def ask(self, wire: _NodeWire) -> None:
        """The connection has a request that waits to be admitted."""
        self._hungry.append(wire)
        self.feed()

    def feed(self) -> None:
        """Admits what fits, a request of each connection in turn."""
        while self._hungry:
            if self.calls >= self.limits.calls_max:
                return
            wire = self._hungry.popleft()
            if not wire.asked:
                continue
            if wire.busy:
                # It comes back when one of its own calls is done.
                wire.starved = True
                continue
            length = wire.asked[0].length
            if self.bytes_held and self.bytes_held + length > self.limits.bytes_max:
                self._hungry.appendleft(wire)
                return
            asked = wire.asked.popleft()
            if wire.asked:
                self._hungry.append(wire)
            self.calls += 1
            self.bytes_held += length
            wire.admit(asked)

    def settle(self, length: int, *, calls: int = 0) -> None:
        """Bytes, and maybe a call, are done with."""
        self.bytes_held -= length
        self.calls -= calls
        if self._hungry:
            self.feed()

    def start(self, work: Awaitable[None]) -> None:
        """Runs a call."""
        task = asyncio.ensure_future(work)
        self._tasks[task] = None
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        if not task.cancelled() and task.exception() is not None:
            log.error("call broke", exc_info=task.exception())

    def _wire(self) -> _NodeWire:
        limits = self.limits
        session = Session.node(
            key=self._key,
            nonce=self._chance.bytes(NONCE_BYTES),
            limits=Limits(streams_max=limits.streams_max, body_max=limits.body_max, eager=limits.eager),
            bodies=self.bodies,
        )
        return _NodeWire(self, session)

    def _sweep_later(self) -> None:
        self._sweep = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep_once)

    def _sweep_once(self) -> None:
        now = self.clock.monotonic()
        for wire in list(self._wires):
            wire.check(now)
        self._sweep_later()


class _NodeWire(Wire):
    """One client's connection."""

    def __init__(self, listener: NodeListener, session: Session) -> None:
        super().__init__(session)
        self.asked: deque[Asked] = deque()
        """Requests that wait to be admitted, in their order."""
        self.starved = False
        self._listener = listener
        self._session_key = b""
        self._arriving: dict[int, int] = {}
        """Admitted requests that are not yet complete, and their bodies' lengths."""
        self._running = 0
        self._leaving: dict[int, tuple[int, Callable[[], None] | None]] = {}
        """Replies on their way out: their lengths and what to call when they have left."""
        self._born = self._active = listener.clock.monotonic()
        self._moved = (0, self._born)
        """Bytes that came and went by some moment, and that moment."""
        self._seen = 0

    @property
    def busy(self) -> bool:
        """Whether this connection has as many calls under way as it may, cancelled ones included."""
        return self._running + len(self._arriving) >= self._listener.limits.streams_max

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if not self._listener.joined(self):
            self.fail(Trouble("node.unreachable", "The node has as many connections as it takes."))

    def take(self, event: Event) -> None:
        match event:
            case Asked():
                self.asked.append(event)
                if len(self.asked) == 1 or self.starved:
                    self.starved = False
                    self._listener.ask(self)
                if self.asked and self.asked[-1] is event:
                    self.session.defer(event.stream)
            case Requested(stream):
                self._arriving.pop(stream)
                self._start(event)
            case Cancelled(stream):
                self._gave_up(stream)
            case Opened(key):
                self._session_key = key
            case Left():
                self.hang_up()
            case _:
                pass

    def admit(self, asked: Asked) -> None:
        """There is memory for this request's body, and a place for its call."""
        self._arriving[asked.stream] = asked.length
        requested = self.session.admit(asked.stream)
        if requested is not None:
            del self._arriving[asked.stream]
            self._start(requested)
        elif self.session.has_output:
            self.schedule()

    def check(self, now: float) -> None:
        """Hangs up on who does not greet, stalls, or has nothing to say for long."""
        limits, session = self._listener.limits, self.session
        moved, since = self._moved
        unsent = self.unsent
        owing = session.owed or unsent > 0
        now_moved = self.bytes_in + self.bytes_out - unsent
        if now_moved - moved >= limits.stall_bytes or not owing:
            self._moved = (now_moved, now)
        if session.streams_open or owing or self._running or now_moved != self._seen:
            self._active = now
        self._seen = now_moved
        if session.state in (State.NODE_NEW, State.NODE_GREETING):
            if now - self._born >= limits.greeting_seconds:
                self.abort()
        elif owing and now - since >= limits.stall_seconds:
            log.info("hung up on a stalled client", unsent=unsent)
            self.abort()
        elif now - self._active >= limits.idle_seconds:
            self.hang_up()

    def sent(self, streams: list[int]) -> None:
        for stream in streams:
            self._has_left(stream)

    def ended(self, reason: Exception | None) -> None:
        del reason
        for stream in list(self._arriving):
            self._gave_up(stream)
        for stream in list(self._leaving):
            self._has_left(stream)
        self.asked.clear()
        self._listener.left(self)

    def _gave_up(self, stream: int) -> None:
        """The caller no longer wants an answer, or is gone."""
        length = self._arriving.pop(stream, None)
        if length is not None:
            self._listener.settle(length, calls=1)
            self._hungry_again()
        elif stream in self._leaving:
            self._has_left(stream)
        else:
            self.asked = deque(asked for asked in self.asked if asked.stream != stream)

    def _has_left(self, stream: int) -> None:
        length, release = self._leaving.pop(stream, (0, None))
        if release is not None:
            release()
        if length:
            self._listener.settle(length)

    def _hungry_again(self) -> None:
        if self.starved and self.asked:
            self.starved = False
            self._listener.ask(self)

    def _start(self, requested: Requested) -> None:
        self._running += 1
        self._listener.start(self._run(requested))

    async def _run(self, requested: Requested) -> None:
        listener = self._listener
        length = len(requested.body)
        try:
            outgoing = await self._handle(requested)
        finally:
            listener.bodies.give(requested.body)
            self._running -= 1
            listener.settle(length, calls=1)
            self._hungry_again()
        self._answer(requested.stream, outgoing)

    async def _handle(self, requested: Requested) -> Outgoing:
        """The handler's answer, or what became of it, as one that can be sent."""
        try:
            request = _REQUEST.decode(requested.message)
        except UNREADABLE as error:
            return _failed(Refusal("request.invalid", f"The request cannot be read: {error}."))
        try:
            outgoing = await self._listener.handler(
                Incoming(request, requested.body, self._session_key, requested.room)
            )
        except Failure as failure:
            return _failed(failure)
        except Exception:
            log.exception("handler broke", request=type(request).__name__)
            return _failed(Trouble("internal", "The node met a fault of its own.", retry=False))
        if sum(map(len, outgoing.body)) > requested.room:
            if outgoing.release is not None:
                outgoing.release()
            return _failed(Refusal("request.too_large", "The caller has no room for the reply."))
        return outgoing

    def _answer(self, stream: int, outgoing: Outgoing) -> None:
        if not self.session.reply(stream, _ENCODER.encode(outgoing.reply), outgoing.body):
            if outgoing.release is not None:
                outgoing.release()
            return
        length = sum(map(len, outgoing.body))
        self._listener.bytes_held += length
        self._leaving[stream] = (length, outgoing.release)
        self.schedule()


async def serve(
    network: Network,
    address: Address,
    *,
    node_key: SigningKey,
    handler: Handler,
    clock: Clock,
    chance: Chance,
    limits: ServeLimits | None = None,
) -> NodeListener:
    """Answers calls at `address` as the node whose key this is.

    Raises:
        Trouble: "node.unreachable" if the address is taken.
    """
    listener = NodeListener(node_key, handler, clock, chance, limits or ServeLimits())
    await listener.open(network, address)
    return listener


def _failed(failure: Failure) -> Outgoing:
    return Outgoing(
        Failed(
            code=failure.code,
            message=failure.message,
            advice=failure.advice,
            retry=isinstance(failure, Trouble) and failure.retry,
            kind="trouble" if isinstance(failure, Trouble) else "refusal",
        )
    )
