"""Bodies in AWS's own chunks (`aws-chunked`): signed chunk by chunk, with checksums behind them, or both.

    10000;chunk-signature=SIGNATURE CRLF  65536 bytes CRLF      the signature only where chunks are signed
    0;chunk-signature=SIGNATURE CRLF                            the last one
    x-amz-checksum-crc32:VALUE CRLF                             trailers, where the request announced them
    x-amz-trailer-signature:SIGNATURE CRLF                      where chunks are signed
    CRLF

Sans-IO: `feed` takes what came and gives the plain bytes in it as views, `ended` says whether all was well. A
view is given out before the signature of its chunk can be checked: nothing may be believed before `ended`.
(AWS, "Signature Calculations for the Authorization Header: Transferring Payload in Multiple Chunks".)
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from holdfast.doors.s3.failures import S3Error, incomplete_body

CHUNK_BYTES_MIN: Final = 8 << 10
"""Of a signed chunk that is not the last one."""
LINE_BYTES_MAX: Final = 1 << 10
TRAILER_BYTES_MAX: Final = 8 << 10
TRAILER_SIGNATURE: Final = "x-amz-trailer-signature"

_HEAD: Final = re.compile(
    rb"([0-9a-fA-F]{1,15})(?:[ \t]*;[ \t]*chunk-signature[ \t]*=[ \t]*([!-:<-~]{1,256})[ \t]*)?\r"
)
_EMPTY_SHA256: Final = hashlib.sha256(b"").hexdigest()
_AT_HEAD, _IN_DATA, _AFTER_DATA, _BEHIND = range(4)


@dataclass(frozen=True, slots=True)
class ChunkSigning:
    """What the chunks' signatures hang on: the day's key and the request's own signature."""

    key: bytes = field(repr=False)
    stamp: str
    scope: str
    seed: str = field(repr=False)
    access: str = ""


class ChunkDecoder:
    """Takes one body apart. Raises S3Error for whatever does not follow the format."""

    __slots__ = (
        "_announced", "_behind", "_came", "_digest", "_left", "_line", "_number", "_previous", "_short",
        "_signature", "_signing", "_size", "_state",
    )  # fmt: skip

    def __init__(self, size: int, *, signing: ChunkSigning | None, trailers: Collection[str] | None) -> None:
        """A decoder.

        Args:
            size: how many plain bytes were announced.
            signing: what the chunks are signed with; None if they are not.
            trailers: lower-case names of the trailers announced; None if the form of the body has none.
        """
        self._size = size
        self._signing = signing
        self._announced = trailers
        self._state = _AT_HEAD
        self._line = bytearray()
        self._behind = bytearray()
        self._left = 0
        self._came = 0
        self._number = 0
        self._short = 0
        self._signature = b""
        self._previous = signing.seed if signing else ""
        self._digest = hashlib.sha256()

    def feed(self, data: bytes) -> list[memoryview]:
        """The plain bytes in what came, as views of it."""
        pieces: list[memoryview] = []
        view, at, end = memoryview(data), 0, len(data)
        while at < end:
            state = self._state
            if state == _IN_DATA:
                piece = view[at : at + self._left]
                at += len(piece)
                self._take(piece)
                pieces.append(piece)
            elif state == _BEHIND:
                self._behind += view[at:]
                at = end
                if len(self._behind) > TRAILER_BYTES_MAX:
                    raise _malformed_trailer()
            else:
                at = self._take_line(data, at)
        return pieces

    def ended(self) -> dict[str, str]:
        """After everything was fed: the trailers by lower-case name, without their signature."""
        if self._state != _BEHIND:
            raise _cut()
        found = self._trailers()
        if self._came != self._size and (self._announced is None or self._signing is None):
            raise incomplete_body(self._size, self._came)
        if self._announced is None:
            if found:
                raise _malformed_trailer()
            return found
        signature = found.pop(TRAILER_SIGNATURE, None)
        if self._signing is not None and (signature is None or not found or self._came != self._size):
            raise _cut()
        if set(found) != set(self._announced):
            raise _malformed_trailer()
        self._check_trailer(found, signature)
        return found

    def _trailers(self) -> dict[str, str]:
        """What stands behind the last chunk, up to an empty line: whatever follows that is nothing to S3."""
        found: dict[str, str] = {}
        lines = bytes(self._behind).split(b"\r\n")
        # Some programs end the trailers with an empty line, some do not; one ends each with a line feed more.
        for line in lines[:-1]:
            text = line.strip(b" \t\n")
            if not text:
                return found
            name, colon, value = text.decode("latin-1").partition(":")
            if not colon:
                raise _malformed_trailer()
            found[name.strip().lower()] = value.strip()
        if lines[-1]:
            raise _cut()
        return found

    def _take(self, piece: memoryview) -> None:
        self._left -= len(piece)
        self._came += len(piece)
        if self._signing is not None:
            self._digest.update(piece)
        if not self._left:
            self._state = _AFTER_DATA

    def _take_line(self, data: bytes, at: int) -> int:
        """Goes on to the end of the line, if it came; returns where to go on."""
        stop = data.find(b"\n", at, at + LINE_BYTES_MAX)
        if stop < 0:
            self._line += data[at : at + LINE_BYTES_MAX]
            if len(self._line) >= LINE_BYTES_MAX:
                raise _cut()
            return len(data)
        line = bytes(self._line) + data[at:stop] if self._line else data[at:stop]
        self._line.clear()
        if self._state == _AT_HEAD:
            self._begin_chunk(line)
        elif line == b"\r":
            self._end_chunk()
            self._state = _AT_HEAD
        else:
            raise _cut()
        return stop + 1

    def _begin_chunk(self, line: bytes) -> None:
        head = _HEAD.fullmatch(line)
        if head is None or (head[2] is None) != (self._signing is None):
            raise _cut()
        size = int(head[1], 16)
        self._number += 1
        if size and self._short:
            # S3 tells the number of the chunk that shows it, and the size of the one before.
            raise S3Error("InvalidChunkSizeError", Chunk=self._number, BadChunkSize=self._short)
        if self._came + size > self._size:
            raise incomplete_body(self._size, self._came + size)
        self._left = size
        self._signature = head[2] or b""
        self._state = _IN_DATA
        if self._signing is not None:
            self._short = size if size < CHUNK_BYTES_MIN else 0
            self._digest = hashlib.sha256()
        if not size:
            self._end_chunk()
            self._state = _BEHIND

    def _end_chunk(self) -> None:
        if self._signing is not None:
            hashes = f"{_EMPTY_SHA256}\n{self._digest.hexdigest()}"
            self._check("AWS4-HMAC-SHA256-PAYLOAD", hashes, self._signature.decode())

    def _check_trailer(self, found: dict[str, str], signature: str | None) -> None:
        if (signature is None) != (self._signing is None):
            raise _malformed_trailer()
        if signature is not None:
            lines = "".join(f"{name}:{value}\n" for name, value in found.items())
            self._check(
                "AWS4-HMAC-SHA256-TRAILER", hashlib.sha256(lines.encode("latin-1")).hexdigest(), signature
            )

    def _check(self, algorithm: str, hashes: str, signature: str) -> None:
        signing = self._signing
        assert signing is not None
        text = f"{algorithm}\n{signing.stamp}\n{signing.scope}\n{self._previous}\n{hashes}"
        expected = hmac.digest(signing.key, text.encode(), "sha256").hex()
        if not hmac.compare_digest(expected.encode(), signature.encode("latin-1")):
            raise S3Error(
                "SignatureDoesNotMatch",
                AWSAccessKeyId=signing.access,
                StringToSign=text,
                SignatureProvided=signature,
                StringToSignBytes=text.encode().hex(" "),
            )
        self._previous = expected


def _cut() -> S3Error:
    return S3Error("IncompleteBody", "The request body terminated unexpectedly")


def _malformed_trailer() -> S3Error:
    return S3Error("MalformedTrailerError")
