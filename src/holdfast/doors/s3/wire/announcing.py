"""What a request's headers announce of its body: how long, how framed, how signed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.wire.authentication import STREAMING, STREAMING_SIGNED, Authenticated
from holdfast.doors.s3.wire.body import Claims, RequestBody
from holdfast.doors.s3.wire.signed_chunks import ChunkDecoder
from holdfast.protocol.sigv4 import UNSIGNED_PAYLOAD

if TYPE_CHECKING:
    from starlette.types import Receive

DECODED_LENGTH: Final = "x-amz-decoded-content-length"
TRAILER: Final = "x-amz-trailer"
_LENGTH_DIGITS_MAX: Final = 15


def body_of(
    receive: Receive, headers: Mapping[str, str], who: Authenticated, *, needs_length: bool
) -> RequestBody:
    """The body, nothing of it read; raises S3Error for announcements that cannot be."""
    announced = headers.get("content-length")
    chunked = "transfer-encoding" in headers
    if announced is None and not chunked and needs_length:
        raise S3Error("MissingContentLength")
    empty, continues = _comes(headers)
    if who.payload in STREAMING:
        size = _decoded_length(headers)
        if who.kind == "QueryString":
            # As S3 has it: a presigned body has no framing, so the word stands for a hash that no body has.
            claims = Claims(size=size, sha256=who.payload, empty=empty, expects_continue=continues)
            return RequestBody(receive, headers, claims)
        decoder = ChunkDecoder(size, signing=who.chunks, trailers=_trailers(headers, who.payload))
        claims = Claims(size=size, empty=empty, expects_continue=continues)
        return RequestBody(receive, headers, claims, decoder)
    hashed = "" if who.payload == UNSIGNED_PAYLOAD else who.payload
    size_known = None if chunked else _length(announced or "0")
    claims = Claims(size=size_known, sha256=hashed, empty=empty, expects_continue=continues)
    return RequestBody(receive, headers, claims)


def unjudged(receive: Receive, headers: Mapping[str, str]) -> RequestBody:
    """The body of a request that was refused before anybody looked at it: something to drain or to leave."""
    empty, continues = _comes(headers)
    return RequestBody(receive, headers, Claims(size=None, empty=empty, expects_continue=continues))


def _comes(headers: Mapping[str, str]) -> tuple[bool, bool]:
    """Whether there is no body at all, and whether the client holds it back until it is told to send it."""
    empty = "transfer-encoding" not in headers and headers.get("content-length") in {None, "0"}
    return empty, headers.get("expect", "").lower() == "100-continue"


def _length(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > _LENGTH_DIGITS_MAX:
        raise S3Error("InvalidArgument", "A length must be a whole number.", ArgumentValue=text[:40])
    return int(text)


def _decoded_length(headers: Mapping[str, str]) -> int:
    text = headers.get(DECODED_LENGTH, "")
    if not text.isascii() or not text.isdecimal() or len(text) > _LENGTH_DIGITS_MAX:
        raise S3Error("MissingContentLength")
    return int(text)


def _trailers(headers: Mapping[str, str], payload: str) -> tuple[str, ...] | None:
    named = headers.get(TRAILER)
    if payload == STREAMING_SIGNED:
        if named is not None:
            raise S3Error("InvalidRequest", f"{TRAILER} was sent, but the body's form has no trailers.")
        return None
    return tuple(name.strip().lower() for name in (named or "").split(",") if name.strip())
