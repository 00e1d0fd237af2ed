"""What comes before a request is whole has a length and a time."""

from __future__ import annotations

import asyncio

import uvicorn
from uvicorn.server import ServerState

from holdfast.doors.http_limits import HEAD_BYTES_MAX, BoundedProtocol


class Impatient(BoundedProtocol):
    head_seconds = 0.05


class Line(asyncio.Transport):
    """The server's end of a connection, whose other end nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.said = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.said += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        """Nothing comes by itself."""

    def resume_reading(self) -> None:
        """Nothing comes by itself."""


async def echo(scope, receive, send) -> None:
    """Answers with how many bytes came, and the names of the headers."""
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    names = b",".join(name for name, _ in scope["headers"])
    content = b"%d %s" % (size, names)
    headers = [(b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def connected(kind: type[BoundedProtocol] = BoundedProtocol) -> tuple[BoundedProtocol, Line]:
    config = uvicorn.Config(echo, http=kind, ws="none", lifespan="off", log_config=None, access_log=False)
    config.load()
    protocol, line = kind(config, ServerState(), {}), Line()
    protocol.connection_made(line)
    return protocol, line


async def test_a_head_that_does_not_end_is_refused() -> None:
    for beginning in (b"GET /", b"GET / HTTP/1.1\r\nhost: a\r\na: ", b"GET / HTTP/1.1\r\na: b\r\n"):
        protocol, line = connected()
        protocol.data_received(beginning)
        for _ in range(HEAD_BYTES_MAX // 4096 + 1):
            if not line.closed:
                protocol.data_received(b"a" * 4094 + (b"\r\n" if b"a: b" in beginning else b"aa"))
        assert line.closed
        assert line.said.startswith(b"HTTP/1.1 400 ")


async def test_many_headers_are_refused_too() -> None:
    protocol, line = connected()
    protocol.data_received(b"GET / HTTP/1.1\r\n")
    for number in range(5000):
        if not line.closed:
            protocol.data_received(b"header-%d: value\r\n" % number)
    assert line.closed


async def test_a_long_body_is_none_of_the_heads_business() -> None:
    protocol, line = connected()
    protocol.data_received(b"PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n")
    for _ in range(100):
        protocol.data_received(b"x" * 10_000)
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    assert line.said.endswith(b"1000000 host,content-length")
    protocol.data_received(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    await asyncio.sleep(0.01)
    assert line.said.endswith(b"0 host")
    assert not line.closed
    protocol.connection_lost(None)


async def test_trailers_are_passed_over_and_chunks_have_no_endless_extensions() -> None:
    protocol, line = connected()
    head = b"PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    protocol.data_received(head + b"3\r\nabc\r\n0\r\nx-amz-acl: public-read\r\n\r\n")
    await asyncio.sleep(0.01)
    assert line.said.endswith(b"3 host,transfer-encoding")
    protocol.data_received(head + b"3;")
    for _ in range(HEAD_BYTES_MAX // 4096 + 1):
        if not line.closed:
            protocol.data_received(b"a" * 4096)
    assert line.closed
    protocol.connection_lost(None)


async def test_a_head_that_comes_too_slowly_ends_the_connection() -> None:
    for beginning in (b"", b"GET / HTTP/1.1\r\n"):
        protocol, line = connected(Impatient)
        if beginning:
            protocol.data_received(beginning)
        await asyncio.sleep(0.1)
        assert (line.closed, line.said) == (True, b"")
    protocol, line = connected(Impatient)
    protocol.data_received(b"PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\n")
    await asyncio.sleep(0.1)
    assert not line.closed
    protocol.data_received(b"x")
    await asyncio.sleep(0.01)
    protocol.data_received(b"GET")
    await asyncio.sleep(0.1)
    assert line.closed


async def test_a_request_of_two_lengths_is_none() -> None:
    protocol, line = connected()
    protocol.data_received(
        b"PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
    )
    await asyncio.sleep(0.01)
    assert line.said.startswith(b"HTTP/1.1 400 ")
    assert line.closed
