"""What requests claim of their bodies."""

from __future__ import annotations

import base64
import hashlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.doors.s3.contents import checksums
from holdfast.doors.s3.contents.checksums import Claimed
from holdfast.doors.s3.failures import S3Error

CRC = base64.b64encode(b"\1\2\3\4").decode()
SHA = base64.b64encode(b"s" * 32).decode()


def test_a_checksum_comes_in_a_header_or_in_an_announced_trailer() -> None:
    assert checksums.claimed({}) == Claimed()
    assert checksums.claimed({"x-amz-checksum-crc32": CRC}) == Claimed("CRC32", CRC)
    assert checksums.claimed({"x-amz-trailer": "x-amz-checksum-crc64nvme"}) == Claimed("CRC64NVME", "", True)
    both = {"x-amz-checksum-sha256": SHA, "x-amz-sdk-checksum-algorithm": "sha256"}
    assert checksums.claimed(both) == Claimed("SHA256", SHA)


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-checksum-crc32": CRC, "x-amz-checksum-sha256": SHA},
        {"x-amz-checksum-crc32": CRC, "x-amz-trailer": "x-amz-checksum-crc32c"},
        {"x-amz-checksum-crc32": SHA},
        {"x-amz-checksum-crc32": "not base64"},
        {"x-amz-checksum-crc32": ""},
        {"x-amz-checksum-crc32": "AQIDBB=="},
        {"x-amz-trailer": "x-amz-checksum-crc7"},
        {"x-amz-trailer": "content-md5"},
        {"x-amz-checksum-crc7": CRC},
        {"x-amz-sdk-checksum-algorithm": "CRC32"},
        {"x-amz-sdk-checksum-algorithm": "CRC7", "x-amz-checksum-crc32": CRC},
        {"x-amz-sdk-checksum-algorithm": "SHA256", "x-amz-checksum-crc32": CRC},
    ],
)
def test_two_checksums_or_one_that_is_none_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(S3Error) as caught:
        checksums.claimed(headers)
    assert (caught.value.code, caught.value.status) == ("InvalidRequest", 400)


def test_headers_that_are_no_checksums_are_not_taken_for_any() -> None:
    harmless = {
        "x-amz-checksum-mode": "ENABLED",
        "x-amz-checksum-algorithm": "CRC32",
        "x-amz-checksum-type": "COMPOSITE",
    }
    assert checksums.claimed(harmless) == Claimed()


def test_a_body_without_frames_has_no_trailer() -> None:
    with pytest.raises(S3Error, match="MalformedTrailerError"):
        checksums.claimed({"x-amz-trailer": "x-amz-checksum-crc32", "x-amz-content-sha256": "e3b0"})


@pytest.mark.parametrize("value", ["", "abc", CRC, "!" * 24])
def test_a_content_md5_is_sixteen_bytes_in_base64(value: str) -> None:
    with pytest.raises(S3Error, match="InvalidDigest"):
        checksums.claimed_md5({"content-md5": value})
    good = base64.b64encode(b"m" * 16).decode()
    assert (checksums.claimed_md5({"content-md5": good}), checksums.claimed_md5({})) == (good, "")


def test_an_upload_is_told_the_kind_of_checksum_that_its_algorithm_can_have() -> None:
    def plan(algorithm: str | None, kind: str | None) -> object:
        headers = {"x-amz-checksum-algorithm": algorithm, "x-amz-checksum-type": kind}
        try:
            return checksums.upload_plan({name: value for name, value in headers.items() if value})
        except S3Error as error:
            return error.code

    assert {(algorithm, kind): plan(algorithm, kind) for algorithm in [*checksums.LENGTHS, None] for kind in
            (None, "COMPOSITE", "FULL_OBJECT", "HALF")} == {
        ("CRC32", None): ("CRC32", "COMPOSITE"),
        ("CRC32", "COMPOSITE"): ("CRC32", "COMPOSITE"),
        ("CRC32", "FULL_OBJECT"): ("CRC32", "FULL_OBJECT"),
        ("CRC32", "HALF"): "InvalidRequest",
        ("CRC32C", None): ("CRC32C", "COMPOSITE"),
        ("CRC32C", "COMPOSITE"): ("CRC32C", "COMPOSITE"),
        ("CRC32C", "FULL_OBJECT"): ("CRC32C", "FULL_OBJECT"),
        ("CRC32C", "HALF"): "InvalidRequest",
        ("CRC64NVME", None): ("CRC64NVME", "FULL_OBJECT"),
        ("CRC64NVME", "COMPOSITE"): "InvalidRequest",
        ("CRC64NVME", "FULL_OBJECT"): ("CRC64NVME", "FULL_OBJECT"),
        ("CRC64NVME", "HALF"): "InvalidRequest",
        ("SHA1", None): ("SHA1", "COMPOSITE"),
        ("SHA1", "COMPOSITE"): ("SHA1", "COMPOSITE"),
        ("SHA1", "FULL_OBJECT"): "InvalidRequest",
        ("SHA1", "HALF"): "InvalidRequest",
        ("SHA256", None): ("SHA256", "COMPOSITE"),
        ("SHA256", "COMPOSITE"): ("SHA256", "COMPOSITE"),
        ("SHA256", "FULL_OBJECT"): "InvalidRequest",
        ("SHA256", "HALF"): "InvalidRequest",
        (None, None): ("", ""),
        (None, "COMPOSITE"): "InvalidRequest",
        (None, "FULL_OBJECT"): "InvalidRequest",
        (None, "HALF"): "InvalidRequest",
    }  # fmt: skip


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=6))
def test_checksums_of_parts_are_those_of_the_whole_or_of_the_checksums(pieces: list[bytes]) -> None:
    crcs = [base64.b64encode(zlib.crc32(piece).to_bytes(4, "big")).decode() for piece in pieces]
    whole = base64.b64encode(zlib.crc32(b"".join(pieces)).to_bytes(4, "big")).decode()
    sized = [(crc, len(piece)) for crc, piece in zip(crcs, pieces, strict=True)]
    assert checksums.of_parts("CRC32", "FULL_OBJECT", sized) == whole
    shas = [hashlib.sha256(piece).digest() for piece in pieces]
    composite = base64.b64encode(hashlib.sha256(b"".join(shas)).digest()).decode()
    given_parts = [(base64.b64encode(sha).decode(), 9) for sha in shas]
    assert checksums.of_parts("SHA256", "COMPOSITE", given_parts) == f"{composite}-{len(pieces)}"


def test_the_etag_of_parts_is_the_md5_of_their_md5s() -> None:
    md5s = [hashlib.md5(piece) for piece in (b"one", b"two")]
    joined = hashlib.md5(b"".join(one.digest() for one in md5s)).hexdigest()
    assert checksums.multipart_etag([one.hexdigest() for one in md5s]) == f"{joined}-2"
