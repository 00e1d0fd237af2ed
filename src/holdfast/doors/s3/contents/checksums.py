"""Checksums as S3 programs announce, ask for and are shown them.

The law: a request names at most one checksum of its body, in a header, or in a trailer that a header
announces. What is kept is what was named; CRC64NVME if nothing was. A multipart object has a *composite* one
(the checksum of its parts' checksums, `-N` after it) or one of the *full object* combined from its parts':
only the CRCs can be combined. Content-MD5 and the hash in x-amz-content-sha256 are claims of another kind:
compared, never kept.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

from holdfast.doors.s3.failures import S3Error
from holdfast.files.attributes import Attributes
from holdfast.gateway import digests

Type = Literal["", "FULL_OBJECT", "COMPOSITE"]

LENGTHS: Final[dict[str, int]] = {"CRC32": 4, "CRC32C": 4, "CRC64NVME": 8, "SHA1": 20, "SHA256": 32}
"""The algorithms served, each with the bytes of its value."""
KEPT_UNASKED: Final = "CRC64NVME"
HEADERS: Final[dict[str, str]] = {name: f"x-amz-checksum-{name.lower()}" for name in LENGTHS}
ALGORITHM_OF: Final[dict[str, str]] = {header: name for name, header in HEADERS.items()}
ELEMENTS: Final[dict[str, str]] = {name: f"Checksum{name}" for name in LENGTHS}
UNSUPPORTED: Final = frozenset({"SHA512", "MD5", "XXHASH64", "XXHASH3", "XXHASH128"})
"""What the service model names besides."""
_NO_VALUES: Final = frozenset({"x-amz-checksum-algorithm", "x-amz-checksum-type", "x-amz-checksum-mode"})
_TYPES: Final[dict[str, tuple[Type, ...]]] = {
    # The first is what an upload gets that asks for none.
    "CRC32": ("COMPOSITE", "FULL_OBJECT"),
    "CRC32C": ("COMPOSITE", "FULL_OBJECT"),
    "CRC64NVME": ("FULL_OBJECT",),
    "SHA1": ("COMPOSITE",),
    "SHA256": ("COMPOSITE",),
}
_ONE_ONLY: Final = "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
_STREAMING: Final = "STREAMING-"
_MD5_BYTES: Final = 16


class Claimed(NamedTuple):
    """What a request claims of its body.

    `algorithm` is "" if it names no checksum, `value` is "" if the trailer will tell it.
    """

    algorithm: str = ""
    value: str = ""
    trailing: bool = False


def claimed(headers: Mapping[str, str]) -> Claimed:
    """The one checksum that a request names; raises S3Error InvalidRequest for two or for nonsense."""
    found = Claimed()
    for name, value in headers.items():
        if name.startswith("x-amz-checksum-") and name not in _NO_VALUES:
            found = _one_more(found, name, value)
    trailers = headers.get("x-amz-trailer")
    if trailers is not None:
        found = _announced(found, trailers)
        if not headers.get("x-amz-content-sha256", _STREAMING).startswith(_STREAMING):
            # Only framed bodies have trailers.
            raise S3Error("MalformedTrailerError")
    wanted = headers.get("x-amz-sdk-checksum-algorithm")
    if wanted is not None:
        _check_wanted(supported(wanted), found)
    return found


def _one_more(found: Claimed, header: str, value: str) -> Claimed:
    algorithm = ALGORITHM_OF.get(header)
    if algorithm is None:
        named = header.removeprefix("x-amz-checksum-").upper()
        if named in UNSUPPORTED:
            raise _not_served(named)
        raise S3Error(
            "InvalidRequest", "The algorithm type you specified in x-amz-checksum- header is invalid."
        )
    if found.algorithm:
        raise S3Error("InvalidRequest", _ONE_ONLY)
    check_value(algorithm, value, header)
    return Claimed(algorithm, value)


def _announced(found: Claimed, trailers: str) -> Claimed:
    """The checksum that is going to come behind the body."""
    named = [trailer.strip() for trailer in trailers.lower().strip().rstrip(",").split(",")]
    if any(trailer not in ALGORITHM_OF for trailer in named):
        raise S3Error("InvalidRequest", "The value specified in the x-amz-trailer header is not supported")
    if len(named) > 1:
        raise S3Error("InvalidRequest", _ONE_ONLY)
    if found.algorithm:
        raise S3Error("InvalidRequest", "Expecting a single x-amz-checksum- header")
    return Claimed(ALGORITHM_OF[named[0]], "", trailing=True)


def _check_wanted(wanted: str, found: Claimed) -> None:
    if not found.algorithm:
        raise S3Error(
            "InvalidRequest",
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer "
            "headers were found.",
        )
    if wanted != found.algorithm:
        raise S3Error("InvalidRequest", "Value for x-amz-sdk-checksum-algorithm header is invalid.")


def supported(algorithm: str) -> str:
    """The algorithm in capitals; raises S3Error InvalidRequest for one that is not served."""
    wanted = algorithm.upper()
    if wanted not in LENGTHS:
        raise _not_served(wanted)
    return wanted


def _not_served(algorithm: str) -> S3Error:
    if algorithm in UNSUPPORTED:
        return S3Error("NotImplemented", f"The checksum algorithm {algorithm} is not implemented.")
    return S3Error(
        "InvalidRequest",
        "Checksum algorithm provided is unsupported. Please try again with any of the valid types: "
        f"[{', '.join(LENGTHS)}]",
    )


def check_value(algorithm: str, value: str, where: str) -> None:
    """Raises S3Error InvalidRequest unless the text is base64 of as many bytes as the algorithm has."""
    if decoded(value) is None or len(decoded(value) or b"") != LENGTHS[algorithm]:
        raise S3Error("InvalidRequest", f"Value for {where} header is invalid.")


def decoded(value: str) -> bytes | None:
    """What base64 stands for; None for what is no base64."""
    try:
        bits = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
    # Base64 of fewer bytes than its signs could say has one right form.
    return bits if base64.b64encode(bits) == value.encode() else None


def claimed_md5(headers: Mapping[str, str]) -> str:
    """Content-MD5 in base64, "" if there is none; raises S3Error InvalidDigest for what cannot be one."""
    value = headers.get("content-md5")
    if value is None:
        return ""
    if len(decoded(value) or b"") != _MD5_BYTES:
        raise S3Error("InvalidDigest")
    return value


def md5_mismatch(expected: str, found: str) -> S3Error:
    """What is said of a body that has not the Content-MD5 it came with."""
    return S3Error(
        "BadDigest",
        "The Content-MD5 you specified did not match what we received.",
        ExpectedDigest=expected,
        CalculatedDigest=found,
    )


def mismatch(algorithm: str) -> S3Error:
    """What is said of a body, or an object, that has not the checksum it came with."""
    return S3Error("BadDigest", f"The {algorithm} you specified did not match the calculated checksum.")


# --- multipart uploads --------------------------------------------------------------------------------


def upload_plan(headers: Mapping[str, str]) -> tuple[str, Type]:
    """The algorithm and type that a new multipart upload asks for, ("", "") if none.

    Raises S3Error InvalidRequest for a type that the algorithm has not.
    """
    algorithm = headers.get("x-amz-checksum-algorithm") or headers.get("x-amz-sdk-checksum-algorithm")
    asked = headers.get("x-amz-checksum-type")
    if not algorithm:
        if asked is not None:
            raise S3Error(
                "InvalidRequest",
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
            )
        return "", ""
    algorithm = supported(algorithm)
    if asked is None:
        return algorithm, _TYPES[algorithm][0]
    for possible in _TYPES[algorithm]:
        if possible == asked.upper():
            return algorithm, possible
    if asked.upper() not in {"COMPOSITE", "FULL_OBJECT"}:
        raise S3Error("InvalidRequest", "Value for x-amz-checksum-type header is invalid.")
    raise S3Error(
        "InvalidRequest",
        f"The {asked.upper()} checksum type cannot be used with the {algorithm.lower()} checksum algorithm.",
    )


def of_parts(algorithm: str, kind: str, parts: Sequence[tuple[str, int]]) -> str:
    """The checksum of an object of parts, from (checksum, size) of each, as S3 writes it."""
    if kind == "COMPOSITE":
        return f"{digests.composite(algorithm, [value for value, _ in parts])}-{len(parts)}"
    return digests.combine_all(algorithm, parts)


def multipart_etag(etags: Sequence[str]) -> str:
    """The ETag of an object of parts: MD5 of the parts' MD5s, `-N` after it."""
    return f"{hashlib.md5(_joined(etags), usedforsecurity=False).hexdigest()}-{len(etags)}"


def _joined(etags: Sequence[str]) -> bytes:
    try:
        return bytes.fromhex("".join(etags))
    except ValueError:
        # Parts under a customer's key may have tags that are no digests.
        return "".join(etags).encode()


# --- answers ------------------------------------------------------------------------------------------


def answer_headers(attributes: Attributes) -> list[tuple[str, str]]:
    """The headers that show a checksum."""
    header = HEADERS.get(attributes.checksum_algorithm)
    if header is None or not attributes.checksum_value:
        return []
    return [(header, attributes.checksum_value), ("x-amz-checksum-type", shown_type(attributes))]


def shown_type(attributes: Attributes) -> str:
    """FULL_OBJECT or COMPOSITE."""
    return attributes.checksum_type or "FULL_OBJECT"
