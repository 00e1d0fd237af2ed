"""The body of a request: read piece by piece when somebody asks for it, never before, and checked.

The server says "100 Continue" when the first piece is asked for; so whoever refuses a request does it before
that. What of the body nobody read is drained or left lying when the answer is sent: see `application`.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from starlette.types import Message, Receive

from holdfast.doors.s3.contents import checksums
from holdfast.doors.s3.failures import S3Error, incomplete_body
from holdfast.doors.s3.in_time import in_time
from holdfast.gateway import digests
from holdfast.gateway.body import incomplete

IDLE_SECONDS: Final = 30.0
"""How long a client may send nothing in the middle of a body."""

BYTES_MAX: Final = 5 << 30
"""The most that one request may bring; a body that announces more is refused before it comes."""

_NOTHING: Final = memoryview(b"")
_HEXADECIMAL: Final = re.compile("[0-9a-f]{64}").fullmatch


class Decoder(Protocol):
    """Takes a framing off: `ChunkDecoder`, or that of a form's file."""

    def feed(self, data: bytes) -> list[memoryview]:
        """The plain bytes in what came."""
        ...

    def ended(self) -> dict[str, str]:
        """After everything was fed: the trailers."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a request says of its body before the first byte of it.

    `size`: plain bytes, None if it does not say. `sha256`: as it was sent, empty if the body is not signed as
    a whole. `empty`: there is no body at all.
    """

    size: int | None
    sha256: str = ""
    empty: bool = False
    expects_continue: bool = False


class RequestBody:
    """The gateway's `Body`, over ASGI. Read by one task, once."""

    __slots__ = (
        "_came", "_claims", "_decoder", "_headers", "_left", "_pieces", "_receive", "_sha256", "gone", "over",
        "size", "started", "trailers",
    )  # fmt: skip

    def __init__(
        self,
        receive: Receive,
        headers: Mapping[str, str],
        claims: Claims,
        decoder: Decoder | None = None,
    ) -> None:
        self.size: int | None = claims.size
        self.over = claims.empty
        """Whether the last byte has come."""
        self.started = False
        """Whether anything was asked for."""
        self.gone = False
        """Whether the client hung up."""
        self.trailers: dict[str, str] = {}
        """Checksums that came behind the body, by algorithm; known once it is over."""
        self._receive = receive
        self._headers = headers
        self._claims = claims
        self._decoder = decoder
        self._left = _NOTHING
        self._pieces: list[memoryview] = []
        self._came = 0
        self._sha256 = hashlib.sha256() if claims.sha256 else None

    @property
    def waits_for_continue(self) -> bool:
        """Whether the client holds its body back until it is told to send it."""
        return self._claims.expects_continue and not self.started

    def watch(self, came: Callable[[], None]) -> None:
        """Has `came` called after each message of the body."""
        unwatched = self._receive

        async def receive() -> Message:
            message = await unwatched()
            came()
            return message

        self._receive = receive

    async def receive(self) -> Message:
        """The next message as it came, for who reads the beginning of the body in another way."""
        self.started = True
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                message = await self._receive()
        except TimeoutError:
            raise S3Error("RequestTimeout") from None
        self.gone = message["type"] != "http.request"
        self.over = self.gone or not message.get("more_body", False)
        return message

    def take_sha256(self) -> str:
        """Hands the check of x-amz-content-sha256 over to the caller, who digests the bytes anyway.

        Returns what the SHA-256 must be in hexadecimal, or "" if nothing was claimed, or in another form.
        """
        assert not self.started
        claimed = self._claims.sha256
        if not _HEXADECIMAL(claimed):
            # What is refused is told as it was sent.
            return ""
        self._sha256 = None
        return claimed

    async def fill(self, into: memoryview) -> int:
        """Fills `into` with the next bytes; fewer than asked only at the end."""
        done, wanted = 0, len(into)
        while done < wanted:
            left = self._left
            if not left:
                if not await self._next():
                    break
                continue
            count = min(len(left), wanted - done)
            into[done : done + count] = left[:count]
            self._left = left[count:]
            done += count
        return done

    async def ended(self) -> dict[str, str]:
        """After the last byte: checksums that came behind it. Raises if anything claimed is not so."""
        if await self._next():
            announced = self._headers.get("content-length", "")
            provided = int(announced) if self._decoder is None and announced.isdecimal() else self._came
            raise incomplete_body(self.size or 0, provided)
        trailer = self._decoder.ended() if self._decoder else {}
        if self.size is not None and self._came != self.size:
            raise incomplete(self._came, self.size)
        if self._sha256 is not None:
            found = self._sha256.hexdigest()
            if found != self._claims.sha256.lower():
                raise S3Error(
                    "XAmzContentSHA256Mismatch",
                    ClientComputedContentSHA256=self._claims.sha256,
                    S3ComputedContentSHA256=found,
                )
        self.trailers = {
            checksums.ALGORITHM_OF[name]: value
            for name, value in trailer.items()
            if name in checksums.ALGORITHM_OF
        }
        return self.trailers

    async def read(self, limit: int) -> bytes:
        """All of a small body, its claims checked; raises S3Error EntityTooLarge past `limit`."""
        if self.size is not None and self.size > limit:
            raise S3Error("EntityTooLarge", ProposedSize=self.size, MaxSizeAllowed=limit)
        parts: list[memoryview] = []
        size = 0
        while await self._next():
            parts.append(self._left)
            size += len(self._left)
            if size > limit:
                raise S3Error("EntityTooLarge", MaxSizeAllowed=limit)
        self._left = _NOTHING
        content = b"".join(parts)
        trailer = await self.ended()
        self._check(content, trailer)
        return content

    async def document(self, limit: int) -> bytes:
        """`read` for a document: one that is too large is MalformedXML, as S3 has it."""
        try:
            return await self.read(limit)
        except S3Error as error:
            raise (S3Error("MalformedXML") if error.code == "EntityTooLarge" else error) from None

    async def drain(self, limit: int) -> bool:
        """Reads on, to the end or through `limit` bytes, and forgets it; whether the end came."""
        while not self.over and limit > 0:
            async with asyncio.timeout(IDLE_SECONDS):
                message = await self._receive()
            if message["type"] != "http.request":
                self.gone = True
                return False
            limit -= len(message.get("body", b"")) + 1
            self.over = not message.get("more_body", False)
        return self.over

    def _check(self, content: bytes, trailer: Mapping[str, str]) -> None:
        md5 = checksums.claimed_md5(self._headers)
        expected = {"MD5": md5} if md5 else {}
        claim = checksums.claimed(self._headers)
        if claim.algorithm:
            expected[claim.algorithm] = claim.value or trailer.get(claim.algorithm, "")
        for algorithm, value in expected.items():
            found = b64encode(digests.digest_of(algorithm, content)).decode()
            if not hmac.compare_digest(found, value):
                if algorithm == "MD5":
                    raise checksums.md5_mismatch(value, found)
                raise checksums.mismatch(algorithm)

    async def _next(self) -> bool:
        """Whether there is a next piece; then it is in `_left`."""
        while not self._pieces:
            if self.over:
                self._left = _NOTHING
                if self._decoder is not None and self._came != self.size:
                    # How the framing broke off says more than how many bytes are missing.
                    self._decoder.ended()
                return False
            self._pieces = await self._come()
            self._pieces.reverse()
        self._left = self._pieces.pop()
        return True

    async def _come(self) -> list[memoryview]:
        self.started = True
        try:
            message = await in_time(self._receive(), IDLE_SECONDS)
        except TimeoutError:
            raise S3Error("RequestTimeout") from None
        if message["type"] != "http.request":
            self.gone = True
            raise incomplete(self._came, self.size or 0)
        self.over = not message.get("more_body", False)
        data = message.get("body", b"")
        if not data:
            return []
        pieces = [memoryview(data)] if self._decoder is None else self._decoder.feed(data)
        for piece in pieces:
            self._came += len(piece)
            if self._sha256 is not None:
                self._sha256.update(piece)
        if self._came > BYTES_MAX:
            raise S3Error("EntityTooLarge", ProposedSize=self._came, MaxSizeAllowed=BYTES_MAX)
        return pieces
