"""Answers onto the wire: headers, bodies or none, and what is left of the request's body.

A connection goes on only if the request's body is over. A little that is left is read and forgotten; where
the client still waits for "100 Continue", or much is left, the connection is closed after the answer, and
what comes meanwhile is read for a while, so that the client sees the answer and not a reset.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.in_time import in_time
from holdfast.doors.s3.request import S3Response
from holdfast.doors.s3.wire.xml_writing import error_document

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.types import Message, Receive, Send

    from holdfast.doors.s3.exchange import Exchange
    from holdfast.doors.s3.wire.body import RequestBody

DRAIN_BYTES_MAX: Final = 256 << 10
"""Of a body nobody wants, to keep its connection."""
LINGER_BYTES_MAX: Final = 64 << 20
LINGER_SECONDS: Final = 10.0
"""How much and how long is read after an answer that ends its connection."""
SEND_IDLE_SECONDS: Final = 120.0
"""How long a client may take nothing of an answer."""
BODILESS: Final = frozenset({204, 304})
CLOSE: Final = (b"connection", b"close")

_ONE_LINE: Final = bytes.maketrans(b"\r\n\0", b"   ")

Raw = list[tuple[bytes, bytes]]
"""Headers as they go out."""


class Cut(Exception):  # noqa: N818 - what is done, not what went wrong
    """An answer failed after its head was sent: the connection must end, so that the client notices."""


def error_response(error: S3Error, exchange: Exchange, host_id: str) -> S3Response:
    """The answer that says an error."""
    fields: dict[str, str | int] = dict(error.fields)
    if exchange.key is not None and error.code == "NoSuchKey":
        fields.setdefault("Key", exchange.key)
    elif exchange.bucket_name is not None and error.code.startswith("NoSuchBucket"):
        fields.setdefault("BucketName", exchange.bucket_name)
    content = b""
    if exchange.method != "HEAD" and error.status not in BODILESS:
        content = error_document(error.code, error.message, fields.items(), exchange.request_id, host_id)
    return S3Response(status=error.status, headers=list(error.headers), content=content)


async def send_response(
    exchange: Exchange, response: S3Response, extra: Raw, receive: Receive, send: Send
) -> None:
    """Sends it all; raises `Cut` if it could not be sent to the end."""
    body = exchange.body
    leave = False
    if body is not None and not body.over:
        leave = body.gone or body.waits_for_continue or not await _drained(body, DRAIN_BYTES_MAX)
        if leave:
            extra = [*extra, CLOSE]
    start = _start(response, extra)
    if response.stream is not None and exchange.method != "HEAD":
        await _send_stream(exchange, start, response.stream, response.length, receive, send)
        return
    exchange.status = response.status
    await send(start)
    content = b"" if exchange.method == "HEAD" or response.status in BODILESS else response.content
    exchange.sent = len(content)
    if leave and body is not None and not body.gone and not body.waits_for_continue:
        await send({"type": "http.response.body", "body": content, "more_body": True})
        await _drained(body, LINGER_BYTES_MAX)
        content = b""
    await send({"type": "http.response.body", "body": content})


def line(value: str) -> bytes:
    """A header's value as it goes out: what came in a document may have several lines, a header has one."""
    encoded = value.encode("latin-1", "replace")
    if b"\n" in encoded or b"\r" in encoded or b"\0" in encoded:
        encoded = encoded.translate(_ONE_LINE)
    return encoded


def _start(response: S3Response, extra: Raw) -> Message:
    raw = list(extra)
    length = response.status not in BODILESS
    typed = not response.content
    for name, value in response.headers:
        encoded = name.lower().encode("latin-1")
        raw.append((encoded, line(value)))
        if encoded == b"content-length":
            length = False
        elif encoded == b"content-type":
            typed = True
    if length:
        size = response.length if response.length is not None else len(response.content)
        raw.append((b"content-length", b"%d" % size))
    if not typed:
        raw.append((b"content-type", b"application/xml"))
    return {"type": "http.response.start", "status": response.status, "headers": raw}


async def _send_stream(
    exchange: Exchange,
    start: Message,
    stream: AsyncGenerator[memoryview],
    length: int | None,
    receive: Receive,
    send: Send,
) -> None:
    """Sends a stream piece by piece; what fails before its first piece can still be said in words."""
    try:
        piece: memoryview | None = await anext(stream, None)
        exchange.status = start["status"]
        await send(start)
        watch: asyncio.Task[Any] | None = None
        try:
            while piece is not None:
                exchange.sent += len(piece)
                more = length is None or exchange.sent < length
                # The server may hold what it is given for a while, and the view is only good until the next.
                await _send_in_time(
                    send, {"type": "http.response.body", "body": bytes(piece), "more_body": more}
                )
                if not more:
                    return
                if watch is None:
                    watch = asyncio.ensure_future(_hang_up(receive))
                piece = await _next_for(watch, stream)
        except Cut:
            raise
        except Exception as error:
            raise Cut(f"{type(error).__name__}: {error}") from error
        finally:
            if watch is not None:
                watch.cancel()
        if length is not None and exchange.sent != length:
            raise Cut(f"{exchange.sent} bytes of {length} were read")
        await send({"type": "http.response.body", "body": b""})
    finally:
        await stream.aclose()


async def _hang_up(receive: Receive) -> None:
    """Returns when the client is gone; the end of a body that nobody asked for comes first."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _next_for(watch: asyncio.Task[Any], stream: AsyncGenerator[memoryview]) -> memoryview | None:
    """The stream's next piece, if the client is still there to have it."""
    if watch.done():
        raise Cut("the client hung up")
    return await anext(stream, None)


async def _send_in_time(send: Send, message: Message) -> None:
    try:
        await in_time(send(message), SEND_IDLE_SECONDS)
    except TimeoutError:
        raise Cut("the client takes nothing") from None


async def _drained(body: RequestBody, most: int) -> bool:
    """Whether the rest of the body came, as far and as long as it is waited for."""
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            return await body.drain(most)
    except TimeoutError:
        return False
