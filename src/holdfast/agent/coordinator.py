"""The way to the coordinator over HTTP: MessagePack bodies; failures come back as they were raised."""

from __future__ import annotations

import email.utils
import ipaddress
import socket
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp
import msgspec

from holdfast.protocol.failures import FailureReply, failure_of
from holdfast.protocol.fleet import Signed, SignedWelcome
from holdfast.world.clock import MICROSECONDS, Clock
from holdfast.world.errors import Failure, Refusal, Trouble
from holdfast.world.untrusted import UNREADABLE

CALL_SECONDS = 20.0
REPLY_BYTES_MAX = 8 << 20
"""A welcome with every deletion of a busy day stays far below this."""

_STATUS_OF_FAILURES = 400


class Probe(NamedTuple):
    """What a look at the endpoint showed."""

    round_trip: float
    """Seconds."""
    clock_offset: float | None
    """Coordinator's clock minus ours, in seconds, good to about one; None if it did not tell its time."""


class HttpCoordinator:
    """`protocol.fleet.Coordinator` over HTTP; one connection is kept open between heartbeats."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = checked_endpoint(endpoint)
        self._session: aiohttp.ClientSession | None = None

    async def register(self, signed: Signed) -> SignedWelcome:
        return await self._call("register", signed)

    async def heartbeat(self, signed: Signed) -> SignedWelcome:
        return await self._call("heartbeat", signed)

    async def probe(self, clock: Clock) -> Probe:
        """Whether anybody answers at the endpoint, and what time it is there.

        Raises Trouble("endpoint.unreachable").
        """
        began, began_wall = clock.monotonic(), clock.now()
        try:
            async with self._opened().get(f"{self._endpoint}/health") as response:
                await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(error) from error
        seconds = clock.monotonic() - began
        told = response.headers.get("Date")
        moment = email.utils.parsedate_to_datetime(told).timestamp() if told else None
        # The header names the second that had begun: half a second later is the best guess.
        offset = None if moment is None else moment + 0.5 - (began_wall / MICROSECONDS + seconds / 2)
        return Probe(seconds, offset)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=CALL_SECONDS),
                connector=aiohttp.TCPConnector(limit=2, keepalive_timeout=90),
                headers={"Content-Type": "application/msgpack", "Accept": "application/msgpack"},
                auto_decompress=False,
            )
        return self._session

    async def _call(self, what: str, signed: Signed) -> SignedWelcome:
        try:
            async with self._opened().post(
                f"{self._endpoint}/api/v1/fleet/{what}", data=msgspec.msgpack.encode(signed)
            ) as response:
                body = await _bounded(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(error) from error
        if response.status >= _STATUS_OF_FAILURES:
            raise failure_in(body, response.status, self._endpoint)
        try:
            return msgspec.msgpack.decode(body, type=SignedWelcome)
        except UNREADABLE as error:
            raise self._no_coordinator(f"it answered with something else ({error})") from error

    def _unreachable(self, error: BaseException) -> Trouble:
        return Trouble(
            "endpoint.unreachable",
            f"The coordinator at {self._endpoint} cannot be reached: {error or 'no answer in time'}.",
            advice="Check the network and the endpoint's URL; the node keeps trying.",
        )

    def _no_coordinator(self, why: str) -> Trouble:
        return Trouble(
            "endpoint.unreachable",
            f"What answers at {self._endpoint} is no coordinator: {why}.",
            advice="Check the endpoint's URL.",
        )


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > REPLY_BYTES_MAX:
            raise aiohttp.ClientPayloadError(f"an answer of more than {REPLY_BYTES_MAX} bytes")
    return bytes(body)


def failure_in(body: bytes, status: int, endpoint: str) -> Failure:
    """The failure as it was raised at the other end.

    A body that is none (a proxy's error page) becomes Trouble("endpoint.unreachable").
    """
    try:
        reply = msgspec.msgpack.decode(body, type=FailureReply)
    except UNREADABLE:
        return Trouble(
            "endpoint.unreachable",
            f"{endpoint} answered with HTTP status {status} and no reason.",
            advice="Check the endpoint's URL, and any proxy in between.",
            status=status,
        )
    return failure_of(reply)


def checked_endpoint(text: str) -> str:
    """The endpoint's URL without a trailing slash; raises Refusal("config.invalid")."""
    parts = urlsplit(text.strip())
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise Refusal(
            "config.invalid",
            f"'{text}' is not a coordinator's endpoint.",
            advice="Write it as https://coordinator.example or http://127.0.0.1:9000.",
        )
    return text.strip().rstrip("/")


def readable_on_the_wire(endpoint: str) -> bool:
    """Whether others on the network could read and change what is said to this endpoint."""
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    return parts.scheme == "http" and not loopback


def outward_host(endpoint: str) -> str:
    """This machine's address on the way to the endpoint, without sending anything.

    Raises Trouble("endpoint.unreachable").
    """
    parts = urlsplit(endpoint)
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_DGRAM)
        family, kind, number, _, there = found[0]
        with socket.socket(family, kind, number) as probe:
            probe.connect(there)
            return str(probe.getsockname()[0])
    except OSError as error:
        raise Trouble("endpoint.unreachable", f"There is no way from here to {endpoint}: {error}.") from error
