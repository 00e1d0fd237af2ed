"""A body is read when somebody asks for it, believed when all its claims hold, and never half."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import zlib
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.wire.announcing import body_of
from holdfast.doors.s3.wire.authentication import STREAMING_SIGNED, STREAMING_UNSIGNED, Authenticated
from holdfast.doors.s3.wire.body import Claims, RequestBody
from holdfast.tenants.identity import ANONYMOUS
from holdfast.world.errors import Refusal
from holdfast.world.simulated.world import World, simulate


class Client:
    """Sends its pieces when asked; then, if `gone`, hangs up instead of ending."""

    def __init__(self, pieces: list[bytes], *, gone: bool = False) -> None:
        self.messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        self.messages.append(
            {"type": "http.disconnect"} if gone else {"type": "http.request", "body": b"", "more_body": False}
        )
        self.asked = 0

    async def __call__(self) -> dict:
        self.asked += 1
        return self.messages.pop(0)


def md5_of(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body).digest()).decode()


def crc_of(body: bytes) -> str:
    return base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()


def body_from(client: Client, headers: Mapping[str, str] | None = None, **claims) -> RequestBody:
    return RequestBody(client, headers or {}, Claims(**{"size": None, **claims}))


async def everything(body: RequestBody, step: int) -> bytes:
    found = b""
    while True:
        into = bytearray(step)
        count = await body.fill(memoryview(into))
        found += into[:count]
        if count < step:
            return found


@given(st.lists(st.binary(max_size=20), max_size=6), st.integers(1, 50))
async def test_a_body_fills_whatever_it_is_poured_into(pieces: list[bytes], step: int) -> None:
    whole = b"".join(pieces)
    client = Client(pieces)
    body = body_from(client, size=len(whole), sha256=hashlib.sha256(whole).hexdigest())
    assert client.asked == 0
    assert await everything(body, step) == whole
    assert await body.ended() == {}
    assert (body.over, body.gone) == (True, False)


async def test_a_hash_that_does_not_match_is_told() -> None:
    body = body_from(Client([b"hello"]), size=5, sha256="0" * 64)
    assert await everything(body, 9) == b"hello"
    with pytest.raises(S3Error) as caught:
        await body.ended()
    assert caught.value.code == "XAmzContentSHA256Mismatch"
    assert caught.value.fields["S3ComputedContentSHA256"] == hashlib.sha256(b"hello").hexdigest()


async def test_who_takes_the_hash_over_checks_it() -> None:
    body = body_from(Client([b"hello"]), size=5, sha256="0" * 64)
    assert body.take_sha256() == "0" * 64
    assert await everything(body, 9) == b"hello"
    assert await body.ended() == {}


@pytest.mark.parametrize(("size", "gone"), [(6, False), (5, True), (6, True)])
async def test_a_body_that_was_cut_is_incomplete(size: int, gone: bool) -> None:
    body = body_from(Client([b"hello"], gone=gone), size=size)

    async def to_the_end() -> None:
        await everything(body, 4)
        await body.ended()

    with pytest.raises(Refusal) as caught:
        await to_the_end()
    assert caught.value.code == "request.incomplete"
    assert body.gone == gone


async def test_more_than_was_announced_is_refused() -> None:
    body = body_from(Client([b"hel", b"lo"]), size=3)
    assert await body.fill(memoryview(bytearray(3))) == 3
    with pytest.raises(S3Error, match="IncompleteBody"):
        await body.ended()


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, None),
        ({"content-md5": md5_of(b"hello")}, None),
        ({"content-md5": md5_of(b"other")}, "BadDigest"),
        ({"content-md5": "nonsense"}, "InvalidDigest"),
        ({"x-amz-checksum-crc32": crc_of(b"hello")}, None),
        ({"x-amz-checksum-crc32": crc_of(b"other")}, "BadDigest"),
        ({"x-amz-checksum-crc32": "nonsense"}, "InvalidRequest"),
        ({"x-amz-checksum-crc32": crc_of(b"hello"), "x-amz-checksum-sha1": "x"}, "InvalidRequest"),
    ],
)
async def test_a_documents_digests_are_compared_before_it_is_parsed(headers, code) -> None:
    body = body_from(Client([b"hel", b"lo"]), headers, size=5)
    if code is None:
        assert await body.document(100) == b"hello"
    else:
        with pytest.raises(S3Error) as caught:
            await body.document(100)
        assert caught.value.code == code


@pytest.mark.parametrize("size", [11, None])
async def test_a_document_past_its_limit_is_malformed_and_not_read_to_its_end(size: int | None) -> None:
    client = Client([b"hello", b"world", b"!", *[b"more"] * 50])
    with pytest.raises(S3Error, match="MalformedXML"):
        await body_from(client, size=size).document(10)
    assert client.asked <= 3
    with pytest.raises(S3Error, match="EntityTooLarge"):
        await body_from(Client([b"hello", b"world", b"!"]), size=size).read(10)


async def test_an_unwanted_body_is_drained_up_to_a_limit() -> None:
    body = body_from(Client([b"x" * 100] * 3))
    assert not await body.drain(150)
    assert await body.drain(1000)
    assert body.over
    gone = body_from(Client([b"x"], gone=True))
    assert (await gone.drain(1000), gone.gone) == (False, True)


# --- what headers announce -------------------------------------------------------------------------------


def announced(headers: Mapping[str, str], payload: str = "", *, needs_length: bool = True) -> RequestBody:
    who = Authenticated(ANONYMOUS, payload)
    return body_of(Client([b""]), headers, who, needs_length=needs_length)


@pytest.mark.parametrize(
    ("headers", "payload", "code"),
    [
        ({}, "", "MissingContentLength"),
        ({"content-length": "9"}, STREAMING_UNSIGNED, "MissingContentLength"),
        (
            {"content-length": "9", "x-amz-decoded-content-length": "-1"},
            STREAMING_UNSIGNED,
            "MissingContentLength",
        ),
        (
            {"content-length": "9", "x-amz-decoded-content-length": "1" * 30},
            STREAMING_UNSIGNED,
            "MissingContentLength",
        ),
        (
            {
                "content-length": "9",
                "x-amz-decoded-content-length": "1",
                "x-amz-trailer": "x-amz-checksum-crc32",
            },
            STREAMING_SIGNED,
            "InvalidRequest",
        ),
    ],
)
def test_announcements_that_cannot_be_are_refused(headers, payload, code) -> None:
    with pytest.raises(S3Error) as caught:
        announced(headers, payload)
    assert caught.value.code == code


def test_the_length_of_a_body_in_chunks_is_the_decoded_one() -> None:
    headers = {"content-length": "99", "x-amz-decoded-content-length": "10"}
    assert announced(headers, STREAMING_UNSIGNED).size == 10
    assert announced({"content-length": "99"}, "UNSIGNED-PAYLOAD").size == 99
    assert announced({"transfer-encoding": "chunked"}, "UNSIGNED-PAYLOAD").size is None


def test_a_request_without_a_body_is_over_before_it_is_read() -> None:
    for body in (announced({}, needs_length=False), announced({"content-length": "0"})):
        assert (body.over, body.size, body.waits_for_continue) == (True, 0, False)
    waiting = announced({"content-length": "9", "expect": "100-Continue"})
    assert (waiting.over, waiting.waits_for_continue) == (False, True)


async def test_trailers_are_told_by_algorithm() -> None:
    headers = {
        "content-length": "99",
        "x-amz-decoded-content-length": "5",
        "x-amz-trailer": "x-amz-checksum-crc32",
    }
    framed = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:" + crc_of(b"hello").encode() + b"\r\n\r\n"
    body = body_of(Client([framed]), headers, Authenticated(ANONYMOUS, STREAMING_UNSIGNED), needs_length=True)
    assert await everything(body, 8) == b"hello"
    assert await body.ended() == {"CRC32": crc_of(b"hello")}
    again = body_of(
        Client([framed]), headers, Authenticated(ANONYMOUS, STREAMING_UNSIGNED), needs_length=True
    )
    assert await again.document(100) == b"hello"


async def test_a_body_that_does_not_say_its_size_is_bounded_too() -> None:
    piece = bytes(64 << 20)
    into = memoryview(bytearray(len(piece)))
    body = body_from(Client([piece] * 81))
    for _ in range(80):
        assert await body.fill(into) == len(piece)
    with pytest.raises(S3Error, match="EntityTooLarge"):
        await body.fill(into)


def test_a_client_that_sends_nothing_is_not_waited_for() -> None:
    async def never() -> dict:
        await asyncio.sleep(3600)
        return {}

    async def story(_world: World) -> None:
        with pytest.raises(S3Error, match="RequestTimeout"):
            await body_from(never).receive()
        with pytest.raises(S3Error, match="RequestTimeout"):
            await body_from(never).fill(memoryview(bytearray(1)))

    simulate(story, 1)
