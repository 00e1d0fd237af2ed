"""The client's way through a gateway's relay.

One frame says which node and shows a grant for it; after the relay's answer the stream is as good as one to
the node itself. TLS and the session's handshake run from end to end inside, so the relay can cut the line,
but neither read nor change what is said.
"""

from __future__ import annotations

import asyncio
from typing import Final, cast

import msgspec

from holdfast.links.tls import client_context
from holdfast.protocol import frames
from holdfast.protocol.frames import HEADER_BYTES, HELLO_BYTES_MAX, Kind
from holdfast.world.errors import CODES, Failure, Refusal, Trouble
from holdfast.world.network import Network, parse_address

ANSWER_SECONDS: Final = 15.0
"""The relay dials the node before it answers."""


class _Entry(asyncio.BufferedProtocol):
    """Says where to, and reads the one frame that answers."""

    def __init__(self, request: bytes) -> None:
        self.answered: asyncio.Future[frames.TunnelReply] = asyncio.get_running_loop().create_future()
        self._request = request
        self._buffer = memoryview(bytearray(HEADER_BYTES + HELLO_BYTES_MAX))
        self._filled = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(self._request)

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        return self._buffer[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        if self._filled < HEADER_BYTES or self.answered.done():
            return
        try:
            header = frames.unpack_header(self._buffer)
            if self._filled >= HEADER_BYTES + header.length:
                payload = bytes(self._buffer[HEADER_BYTES : HEADER_BYTES + header.length])
                self.answered.set_result(_read_answer(header, payload))
        except Failure as failure:
            self._refuse(failure)

    def eof_received(self) -> None:
        self.connection_lost(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answered.done():
            self._refuse(Trouble("node.unreachable", f"The relay hung up: {exc or 'no reason given'}."))

    def _refuse(self, failure: Failure) -> None:
        self.answered.set_exception(failure)
        # Nobody may be waiting any more: whoever dialled may have been cancelled.
        self.answered.exception()


async def open_tunnel(
    network: Network, relay: str, node_id: bytes, grant: bytes, *, plain_allowed: bool
) -> tuple[asyncio.Transport, bool]:
    """A stream to the node through the relay at address `relay`, and whether TLS must be spoken on it.

    Args:
        network: where the relay is dialled.
        relay: its address.
        node_id: the node to reach.
        grant: any valid grant for that node: the relay's reason to carry the bytes.
        plain_allowed: whether the node is known to have an address without TLS (loopback only).

    Raises:
        Trouble: "node.unreachable".
        Refusal: what the relay has against the grant.
    """
    address = parse_address(relay)
    request = msgspec.msgpack.encode(
        frames.TunnelRequest(version=frames.SESSION_VERSION, node_id=node_id, grant=grant)
    )
    entry = _Entry(frames.frame(Kind.TUNNEL, request))
    outer = client_context() if address.scheme == "tls" else None
    transport, _ = await network.dial(address, lambda: entry, tls=outer)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reply = await entry.answered
    except TimeoutError as error:
        transport.abort()
        raise Trouble("node.unreachable", "The relay did not answer in time.", relay=relay) from error
    except BaseException:
        transport.abort()
        raise
    tls = reply.scheme == "tls"
    if not tls and not plain_allowed:
        transport.abort()
        raise Trouble("node.unreachable", "The relay offers a plain stream to a node that speaks TLS.")
    return transport, tls


def _read_answer(header: frames.Header, payload: bytes) -> frames.TunnelReply:
    if header.kind is Kind.TUNNEL:
        return frames.decode(payload, frames.TunnelReply)
    if header.kind is not Kind.GOAWAY:
        raise frames.broken("This is not a relay.")
    farewell = frames.decode(payload, frames.Farewell)
    if farewell.code.startswith(("grant.", "format.", "version.")) and farewell.code in CODES:
        raise Refusal(farewell.code, farewell.message)
    raise Trouble("node.unreachable", f"The relay cannot reach the node: {farewell.message}")
