"""Byte streams between parties. The seam is asyncio's own: a transport and a BufferedProtocol.

An address is `tcp://host:port` (only ever to a loopback address: the bytes are readable on the wire) or
`tls://host:port` (TLS 1.3; who is at the other end is proven above, by the node's key).

What every implementation has in common, and a protocol may rely on, is less than asyncio's documents suggest:
a buffer given to `write` must not change until it was sent (uvloop keeps no copy; an empty write buffer with
`set_write_buffer_limits(0)` tells), and transports do not all inherit from `asyncio.Transport`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Callable
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from holdfast.world.errors import Refusal, Trouble

ProtocolFactory = Callable[[], asyncio.BufferedProtocol]

DIAL_SECONDS = 5.0


class Address(NamedTuple):
    """Where a party listens. Port 0 asks the system for a free one (listening only)."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether bytes to this address stay on this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def parse_address(text: str) -> Address:
    """Reads `tcp://host:port` or `tls://host:port`; raises Refusal("config.invalid")."""
    try:
        parts = urlsplit(text)
        address = Address(parts.scheme, parts.hostname or "", -1 if parts.port is None else parts.port)
    except ValueError as error:
        raise Refusal("config.invalid", f"'{text}' is not an address: {error}.") from error
    if address.scheme not in {"tcp", "tls"} or not address.host or address.port < 0:
        raise Refusal("config.invalid", f"'{text}' is not an address.", advice="Write tls://host:port.")
    if address.scheme == "tcp" and not address.loopback:
        raise Refusal(
            "config.invalid",
            f"'{text}' would send shards unprotected over a network.",
            advice="Use tls://; tcp:// is for loopback addresses only.",
        )
    return address


class Listener(Protocol):
    """An open door: `address` is where it really listens."""

    address: Address

    async def close(self) -> None:
        """Stops accepting; connections already made go on."""
        ...


class Network(Protocol):
    """Dials and listens."""

    async def listen(
        self, address: Address, factory: ProtocolFactory, *, tls: ssl.SSLContext | None = None
    ) -> Listener:
        """Accepts streams at `address`; raises Trouble("node.unreachable") if the address is taken."""
        ...

    async def dial(
        self, address: Address, factory: ProtocolFactory, *, tls: ssl.SSLContext | None = None
    ) -> tuple[asyncio.Transport, asyncio.BufferedProtocol]:
        """Opens a stream; raises Trouble("node.unreachable") within DIAL_SECONDS."""
        ...


class _SystemListener:
    def __init__(self, server: asyncio.Server, address: Address) -> None:
        self._server = server
        self.address = address

    async def close(self) -> None:
        self._server.close()


class SystemNetwork:
    """TCP of this machine."""

    async def listen(
        self, address: Address, factory: ProtocolFactory, *, tls: ssl.SSLContext | None = None
    ) -> Listener:
        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(
                factory, address.host, address.port, ssl=tls, reuse_address=True
            )
        except OSError as error:
            raise Trouble(
                "node.unreachable", f"Cannot listen on {address}: {error}.", retry=False, address=str(address)
            ) from error
        return _SystemListener(server, address._replace(port=server.sockets[0].getsockname()[1]))

    async def dial(
        self, address: Address, factory: ProtocolFactory, *, tls: ssl.SSLContext | None = None
    ) -> tuple[asyncio.Transport, asyncio.BufferedProtocol]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                transport, protocol = await loop.create_connection(
                    factory, address.host, address.port, ssl=tls, server_hostname="" if tls else None
                )
        except (OSError, TimeoutError, ssl.SSLError) as error:
            raise Trouble(
                "node.unreachable",
                f"No connection to {address}: {error or 'timed out'}.",
                address=str(address),
            ) from error
        return transport, protocol
