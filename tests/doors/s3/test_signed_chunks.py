"""AWS's own chunks: taken apart wherever the network cuts them, believed only with their signatures."""

from __future__ import annotations

import base64
import hashlib
import hmac
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.wire.signed_chunks import CHUNK_BYTES_MIN, ChunkDecoder, ChunkSigning
from holdfast.protocol.sigv4 import signing_key

STAMP, SCOPE = "20260101T000000Z", "20260101/us-east-1/s3/aws4_request"
KEY = signing_key("secret", "20260101", "us-east-1", "s3")
SEED = "ab" * 32
SIGNING = ChunkSigning(KEY, STAMP, SCOPE, SEED)
EMPTY = hashlib.sha256(b"").hexdigest()
CRC = "x-amz-checksum-crc32"


def crc_of(body: bytes) -> str:
    return base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()


def signed_by(text: str) -> str:
    return hmac.digest(KEY, text.encode(), "sha256").hex()


def framed(
    chunks: list[bytes], *, signed: bool, trailers: dict[str, str] | None, ending: bytes = b"\r\n"
) -> bytes:
    """The plainly right way to write such a body."""
    previous, out = SEED, b""
    for chunk in [*chunks, b""]:
        head = f"{len(chunk):x}"
        if signed:
            hashes = f"{EMPTY}\n{hashlib.sha256(chunk).hexdigest()}"
            previous = signed_by(f"AWS4-HMAC-SHA256-PAYLOAD\n{STAMP}\n{SCOPE}\n{previous}\n{hashes}")
            head += f";chunk-signature={previous}"
        out += head.encode() + b"\r\n" + chunk + (b"\r\n" if chunk else b"")
    for name, value in (trailers or {}).items():
        out += f"{name}:{value}\r\n".encode()
    if trailers is not None and signed:
        lines = "".join(f"{name}:{value}\n" for name, value in trailers.items())
        digest = hashlib.sha256(lines.encode()).hexdigest()
        signature = signed_by(f"AWS4-HMAC-SHA256-TRAILER\n{STAMP}\n{SCOPE}\n{previous}\n{digest}")
        out += f"x-amz-trailer-signature:{signature}\r\n".encode()
    return out + ending


def decoded(body: bytes, cuts: list[int], decoder: ChunkDecoder) -> tuple[bytes, dict[str, str]]:
    places = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    plain = b"".join(
        bytes(view) for start, stop in pairwise(places) for view in decoder.feed(body[start:stop])
    )
    return plain, decoder.ended()


big = st.integers(CHUNK_BYTES_MIN, CHUNK_BYTES_MIN + 3000).map(
    lambda size: bytes(range(256)) * (size // 256 + 1)
)
bodies = st.tuples(st.lists(big, max_size=2), st.binary(max_size=300)).map(
    lambda parts: [chunk for chunk in [*parts[0], parts[1]] if chunk]
)


@given(
    bodies,
    st.booleans(),
    st.booleans(),
    st.lists(st.integers(0, 1 << 20), max_size=12),
    st.sampled_from([b"\r\n", b""]),
)
def test_a_body_is_the_same_however_it_is_cut(chunks, signed, with_trailer, cuts, ending) -> None:
    plain = b"".join(chunks)
    trailers = {CRC: crc_of(plain)} if with_trailer else None
    body = framed(chunks, signed=signed, trailers=trailers, ending=ending)
    decoder = ChunkDecoder(
        len(plain), signing=SIGNING if signed else None, trailers=[CRC] if with_trailer else None
    )
    assert decoded(body, cuts, decoder) == (plain, trailers or {})


@given(st.binary(min_size=1, max_size=120), st.integers(0, 1 << 16), st.integers(1, 255), st.booleans())
def test_a_byte_changed_anywhere_is_noticed(plain: bytes, place: int, by: int, with_trailer: bool) -> None:
    trailers = {CRC: crc_of(plain)} if with_trailer else None
    body = bytearray(framed([plain], signed=True, trailers=trailers, ending=b""))
    place %= len(body)
    before = body[place]
    body[place] ^= by
    decoder = ChunkDecoder(len(plain), signing=SIGNING, trailers=[CRC] if with_trailer else None)
    try:
        found, told = decoded(bytes(body), [], decoder)
    except S3Error as error:
        assert error.status in {400, 403}  # noqa: PT017
    else:
        # What is not content may be written in two ways: a digit of a size or a name in capitals, blanks.
        assert (found, told) == (plain, trailers or {})
        assert chr(before).isalpha() or chr(before) in "\r\n \t"


@given(st.binary(max_size=400), st.booleans(), st.booleans())
def test_whatever_comes_ends_in_an_error_of_s3_or_in_a_body(
    body: bytes, signed: bool, trailing: bool
) -> None:
    decoder = ChunkDecoder(10, signing=SIGNING if signed else None, trailers=[CRC] if trailing else None)
    try:
        decoder.feed(body)
        decoder.ended()
    except S3Error as error:
        assert error.status in {400, 403}  # noqa: PT017


def fails(body: bytes, size: int, *, signed: bool = False, trailers: list[str] | None = None) -> str:
    decoder = ChunkDecoder(size, signing=SIGNING if signed else None, trailers=trailers)
    with pytest.raises(S3Error) as caught:
        decoded(body, [], decoder)
    return caught.value.code


@pytest.mark.parametrize("size", [4, 6])
def test_a_body_of_another_length_than_announced_is_incomplete(size: int) -> None:
    assert fails(b"5\r\nhello\r\n0\r\n\r\n", size) == "IncompleteBody"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"5\r\nhello", b"5\r\nhello\r\n", b"5\r\nhello0\r\n\r\n", b"0x5\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n", b" 5\r\nhello\r\n0\r\n\r\n", b"-5\r\nhello\r\n0\r\n\r\n",
        b"5_0\r\nhello\r\n0\r\n\r\n", b"5;chunk-signature=" + b"0" * 64 + b"\r\nhello\r\n0\r\n\r\n",
        b"5" * 2000, b"fffffffffffffff\r\nhello",
    ],
)  # fmt: skip
def test_what_is_not_framed_rightly_is_incomplete(body: bytes) -> None:
    assert fails(body, 5) == "IncompleteBody"


def test_chunks_without_signatures_are_refused_where_they_are_signed() -> None:
    assert fails(b"5\r\nhello\r\n0\r\n\r\n", 5, signed=True) == "IncompleteBody"


def test_only_the_last_signed_chunk_may_be_small() -> None:
    small = [b"a" * (CHUNK_BYTES_MIN - 1), b"b"]
    assert (
        fails(framed(small, signed=True, trailers=None), CHUNK_BYTES_MIN, signed=True)
        == "InvalidChunkSizeError"
    )
    unsigned = ChunkDecoder(CHUNK_BYTES_MIN, signing=None, trailers=None)
    assert decoded(framed(small, signed=False, trailers=None), [], unsigned)[0] == b"".join(small)


@pytest.mark.parametrize(
    ("behind", "announced"),
    [
        (b"\r\n", [CRC]),
        (CRC.encode() + b":AAAA\r\n\r\n", []),
        (CRC.encode() + b":AAAA\r\n\r\n", None),
        (CRC.encode() + b"\r\n\r\n", [CRC]),
        (b"\r\n" + CRC.encode() + b":AAAA\r\n", [CRC]),
        (CRC.encode() + b":AAAA\r\nx-amz-meta-more:1\r\n\r\n", [CRC]),
        (CRC.encode() + b":AAAA\r\nx-amz-trailer-signature:" + b"0" * 64 + b"\r\n\r\n", [CRC]),
        (CRC.encode() + b":" + b"A" * 9000, [CRC]),
    ],
)
def test_trailers_are_those_that_were_announced(behind: bytes, announced: list[str] | None) -> None:
    assert fails(b"5\r\nhello\r\n0\r\n" + behind, 5, trailers=announced) == "MalformedTrailerError"


def test_trailers_must_be_signed_where_chunks_are() -> None:
    body = framed([b"hello"], signed=True, trailers={CRC: crc_of(b"hello")})
    good, _, _ = body.partition(b"x-amz-trailer-signature")
    assert fails(good + b"\r\n", 5, signed=True, trailers=[CRC]) == "IncompleteBody"
    wrong = body.replace(crc_of(b"hello").encode(), b"AAAAAA==")
    assert fails(wrong, 5, signed=True, trailers=[CRC]) == "SignatureDoesNotMatch"


@pytest.mark.parametrize("ending", [b"", b"\r", b"\n"])
def test_trailers_end_with_the_end_of_a_line(ending: bytes) -> None:
    body = b"5\r\nhello\r\n0\r\n" + CRC.encode() + b":AAAA" + ending
    assert fails(body, 5, trailers=[CRC]) == "IncompleteBody"


def test_the_last_of_two_trailers_counts_and_nothing_behind_an_empty_line() -> None:
    named = CRC.encode()
    behind = named + b":AAAA\r\n" + named + b":BBBB\r\n\r\nbonus: trailer\r\n\xff"
    decoder = ChunkDecoder(5, signing=None, trailers=[CRC])
    assert decoded(b"5\r\nhello\r\n0\r\n" + behind, [], decoder) == (b"hello", {CRC: "BBBB"})


def test_spaces_may_stand_around_a_chunks_signature() -> None:
    body = framed([b"hello"], signed=True, trailers=None)
    body = body.replace(b";chunk-signature=", b" ; chunk-signature = ")
    assert decoded(body, [], ChunkDecoder(5, signing=SIGNING, trailers=None)) == (b"hello", {})


@pytest.mark.parametrize(("chunks", "provided"), [([b"hell", b"", b"o"], 4), ([b"hello" * 2], 10)])
def test_it_is_told_how_many_bytes_came_of_how_many_announced(chunks: list[bytes], provided: int) -> None:
    decoder = ChunkDecoder(5, signing=None, trailers=[])
    with pytest.raises(S3Error) as caught:
        decoded(b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in [*chunks, b""]), [], decoder)
    assert caught.value.code == "IncompleteBody"
    assert caught.value.fields == {"NumberBytesExpected": 5, "NumberBytesProvided": provided}


def test_an_empty_line_between_the_trailers_and_their_signature_is_borne() -> None:
    body = framed([b"hello"], signed=True, trailers={CRC: crc_of(b"hello")})
    body = body.replace(b"==\r\nx-amz-trailer", b"==\n\r\nx-amz-trailer")
    decoder = ChunkDecoder(5, signing=SIGNING, trailers=[CRC])
    assert decoded(body, [], decoder) == (b"hello", {CRC: crc_of(b"hello")})
