"""The coordinator's operations over HTTP: MessagePack bodies, signed with Signature Version 4.

`POST {endpoint}/api/v1/control/{operation}`; a reply of 200 is the operation's own, any other carries a
FailureReply. One connection pool for the whole session.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec

from holdfast.protocol import sigv4
from holdfast.protocol.control import Operation
from holdfast.protocol.failures import FailureReply, failure_of
from holdfast.world.clock import Clock
from holdfast.world.errors import Failure, Refusal, Trouble
from holdfast.world.untrusted import UNREADABLE

MEDIA_TYPE = "application/vnd.holdfast.v1+msgpack"
SERVICE = "holdfast"
CONNECT_SECONDS = 5.0
REPLY_SECONDS = 60.0
CONNECTIONS_MAX = 16
REPLY_BYTES_MAX = 64 << 20
"""The largest answer there is, ten thousand chunk ids or a thousand chunks of a wide class, is far below."""
OK = 200
SERVER_FAULT = 500

_encode = msgspec.msgpack.Encoder().encode


class HttpControl:
    """One endpoint and access key. Needs a running event loop; `close` it in the same."""

    def __init__(
        self, endpoint: str, *, access_key: str, secret_key: str, clock: Clock, region: str = "us-east-1"
    ) -> None:
        self._url = endpoint.rstrip("/") + "/api/v1/control/"
        self._endpoint = endpoint
        self._host = urlsplit(endpoint).netloc
        self._path = urlsplit(self._url).path
        self._access_key = access_key
        self._secret_key = secret_key
        self._region = region
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    async def call(self, request: Operation) -> Any:
        body = _encode(request)
        headers = self._signed(request.name, body)
        try:
            async with self._open().post(self._url + request.name, data=body, headers=headers) as reply:
                content = await _bounded(reply)
                status = reply.status
                media_type = reply.headers.get("Content-Type", "")
        except aiohttp.ClientConnectorError as error:
            number = error.os_error.errno
            why = os.strerror(number) if number else str(error.os_error)
            raise self._unreachable(f"no connection ({why})") from error
        except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise self._unreachable(f"it hung up or fell silent ({error!r})") from error
        if status != OK:
            raise failure_in(content, status, media_type)
        try:
            return msgspec.msgpack.decode(content, type=request.Reply)
        except UNREADABLE as error:
            raise Refusal(
                "format.invalid",
                f"The answer to {request.name} does not follow the protocol: {error}.",
                advice=f"Is {self._endpoint} a Holdfast endpoint, of this version?",
            ) from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX, keepalive_timeout=30),
                timeout=aiohttp.ClientTimeout(total=REPLY_SECONDS, sock_connect=CONNECT_SECONDS),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _signed(self, name: str, body: bytes) -> dict[str, str]:
        headers = {"Host": self._host, "Content-Type": MEDIA_TYPE}
        request = sigv4.Request("POST", self._path + name, "", list(headers.items()))
        headers |= sigv4.sign(
            request,
            access=self._access_key,
            secret=self._secret_key,
            region=self._region,
            service=SERVICE,
            now=self._clock.now(),
            payload_hash=hashlib.sha256(body).hexdigest(),
        )
        return headers

    def _unreachable(self, why: str) -> Trouble:
        return Trouble(
            "endpoint.unreachable",
            f"The coordinator at {self._endpoint} cannot be reached: {why}.",
            advice="Is `holdfast up` running there? HOLDFAST_ENDPOINT or the profile says where to look.",
        )


async def _bounded(reply: aiohttp.ClientResponse) -> bytes:
    """The body, unless it is longer than any answer; whoever answers must not fill our memory."""
    if reply.content_length is not None and reply.content_length <= REPLY_BYTES_MAX:
        return await reply.read()
    body = bytearray()
    async for piece in reply.content.iter_any():
        body += piece
        if len(body) > REPLY_BYTES_MAX:
            raise aiohttp.ClientPayloadError(f"an answer of more than {REPLY_BYTES_MAX} bytes")
    return bytes(body)


def failure_in(content: bytes, status: int, media_type: str) -> Failure:
    """The Refusal or Trouble that a reply other than 200 carries; a stranger's reply becomes one too."""
    kind = msgspec.json if "json" in media_type else msgspec.msgpack
    try:
        return failure_of(kind.decode(content, type=FailureReply))
    except UNREADABLE:
        return Trouble(
            "endpoint.unreachable",
            f"The endpoint answered HTTP {status}, and not as Holdfast does.",
            retry=status >= SERVER_FAULT,
            advice="Check the endpoint's address, and what stands between it and this program.",
        )
