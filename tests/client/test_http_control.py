"""The control seam over HTTP, against whoever answers at the endpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from aiohttp import web

from holdfast.client.http_control import MEDIA_TYPE, REPLY_BYTES_MAX, HttpControl
from holdfast.protocol.control import BucketList, Buckets
from holdfast.world.clock import SystemClock
from holdfast.world.errors import Failure, Trouble

EMPTY = msgspec.msgpack.encode(Buckets(buckets=[]))


@asynccontextmanager
async def answering(body: bytes, *, pieces: int = 0, status: int = 200) -> AsyncIterator[HttpControl]:
    """An endpoint that answers everything with `body`; with `pieces`, that often and without a length."""

    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        if not pieces:
            return web.Response(status=status, body=body, content_type=MEDIA_TYPE)
        response = web.StreamResponse(status=status)
        await response.prepare(request)
        for _ in range(pieces):
            await response.write(body)
        return response

    application = web.Application()
    application.router.add_post("/{tail:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    control = HttpControl(
        f"http://127.0.0.1:{runner.addresses[0][1]}", access_key="A", secret_key="s", clock=SystemClock()
    )
    try:
        yield control
    finally:
        await control.close()
        await runner.cleanup()


@pytest.mark.parametrize("pieces", [0, 1])
async def test_an_answer_is_read_with_a_length_or_without(pieces: int) -> None:
    async with answering(EMPTY, pieces=pieces) as control:
        assert await control.call(BucketList()) == Buckets(buckets=[])


async def test_an_answer_without_end_is_cut_off() -> None:
    piece = bytes(1 << 20)
    async with answering(piece, pieces=2 * REPLY_BYTES_MAX // len(piece)) as control:
        with pytest.raises(Trouble) as caught:
            await control.call(BucketList())
    assert caught.value.code == "endpoint.unreachable"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"<html>", 200, "format.invalid"),
        (b"\x81\xa5after\xa3\xed\xa0\x80", 200, "format.invalid"),
        (b"<html>", 502, "endpoint.unreachable"),
        (b"\x81\xa4kind\xa3\xed\xa0\x80", 400, "endpoint.unreachable"),
    ],
)
async def test_a_stranger_at_the_endpoint_is_told_as_that(body: bytes, status: int, code: str) -> None:
    async with answering(body, status=status) as control:
        with pytest.raises(Failure) as caught:
            await control.call(BucketList())
    assert caught.value.code == code
