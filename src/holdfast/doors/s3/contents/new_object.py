"""What a request asks a new object to be: the same headers for a Put, a Copy, a multipart upload, a form.

Nothing is read or written here but accounts that an access control list names. Each thing that is asked for
beside the bytes (tags, locks, a list) needs a right of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from holdfast.doors.s3.contents import checksums, conditions, encryption, storage_classes
from holdfast.doors.s3.contents.encryption import Sealing
from holdfast.doors.s3.contents.metadata_headers import redirect_location, stored_headers
from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.rights.acl_headers import acl_from_headers
from holdfast.doors.s3.settings import tagging
from holdfast.doors.s3.settings.lock_operations import (
    HOLD_HEADER,
    MODE_HEADER,
    UNTIL_HEADER,
    lock_from_headers,
)
from holdfast.doors.s3.wire.body import BYTES_MAX
from holdfast.files import locking
from holdfast.files.attributes import Attributes, Conditions, Retention
from holdfast.files.notifying import first_status
from holdfast.world.errors import Refusal

if TYPE_CHECKING:
    from holdfast.doors.s3.door import Door
    from holdfast.doors.s3.request import S3Request

OBJECT_BYTES_MAX: Final = BYTES_MAX
"""The most that one request may bring."""
_NO_TAGS: Final[dict[str, str]] = {}
_REFUSED: Final = (
    "x-amz-write-offset-bytes",
    "x-amz-object-lock-event-hold",
    "x-amz-object-lock-event-hold-duration-days",
    "x-amz-object-lock-event-hold-duration-years",
)
"""Headers whose neglect would break a promise."""


class NewObject(NamedTuple):
    """What a request asks for. `attributes` are without a checksum; `storage_class` is Holdfast's."""

    attributes: Attributes
    storage_class: str
    sealing: Sealing


async def new_object(door: Door, request: S3Request) -> NewObject:
    """Reads all headers that say what a new object shall be.

    Raises:
        S3Error: AccessDenied for what needs a right, and each header's own error.
    """
    headers, record, key = request.headers, request.bucket, request.object_key
    settings = record.parsed
    for name in _REFUSED:
        if name in headers:
            raise S3Error("NotImplemented", Header=name)
    content, metadata = stored_headers(headers)
    tags = demand_tags(request, headers.get(tagging.HEADER))
    sealing = encryption.wanted_sealing(
        headers, settings.encryption, secure=request.secure, remote=request.remote
    )
    retention, hold = demand_locks(request)
    if retention is None and settings.object_lock is not None:
        retention = locking.default_retention(settings, request.now)
    shown_class = storage_classes.named_class(headers.get("x-amz-storage-class"), door.classes)
    attributes = Attributes(
        storage_class=shown_class,
        headers=content,
        metadata=metadata,
        tags=tags,
        acl=await acl_from_headers(door, request),
        sse=sealing.sse,
        kms_key_id=sealing.kms_key_id,
        kms_context=sealing.kms_context,
        bucket_key=sealing.bucket_key,
        customer_key_md5=sealing.customer_key_md5,
        retention=retention,
        legal_hold=hold,
        legal_hold_ended=headers.get(HOLD_HEADER) == "OFF",
        replication_status="" if settings.replication is None else first_status(settings, key, tags),
        website_redirect=redirect_location(headers),
    )
    redundancy = storage_classes.redundancy_now(door, record, shown_class)
    request.access.demand("s3:PutObject", key, context=tagging.tag_context(tags))
    return NewObject(attributes, redundancy, sealing)


def demand_tags(request: S3Request, header: str | None) -> dict[str, str]:
    """The tags that a header gives the new object, if the caller may give any."""
    if not header:
        return _NO_TAGS
    tags = tagging.parse_header(header)
    tagging.check(tags, tagging.OBJECT_TAGS_MAX)
    request.access.demand("s3:PutObjectTagging", request.key, context=tagging.tag_context(tags))
    return tags


def demand_locks(request: S3Request) -> tuple[Retention | None, bool]:
    """The locks that headers put on the new object, if the caller may put any."""
    headers = request.headers
    if MODE_HEADER not in headers and UNTIL_HEADER not in headers and HOLD_HEADER not in headers:
        return None, False
    retention, hold = lock_from_headers(request, request.bucket.parsed, request.now)
    if retention is not None:
        request.access.demand("s3:PutObjectRetention", request.key)
    if HOLD_HEADER in headers:
        request.access.demand("s3:PutObjectLegalHold", request.key)
    return retention, hold


def demand_size(size: int | None) -> None:
    """Raises S3Error EntityTooLarge for a body that no single request may bring."""
    if size is not None and size > OBJECT_BYTES_MAX:
        raise S3Error("EntityTooLarge", ProposedSize=size, MaxSizeAllowed=OBJECT_BYTES_MAX)


class Announced(NamedTuple):
    """What a request says of its body: `checksum` is the algorithm to keep, `expected` what must be so."""

    checksum: str
    expected: dict[str, str]
    payload_sha256: bool

    def in_s3(self, refusal: Refusal) -> S3Error | Refusal:
        """What is said of a body that was refused; refusals about anything else stay as they are."""
        if refusal.code == "object.unknown":
            # A write requires an object, by its ETag, where there is none.
            return S3Error("NoSuchKey")
        if refusal.code != "digest.wrong":
            return refusal
        algorithm = str(refusal.facts.get("algorithm", ""))
        expected, found = (str(refusal.facts.get(name, "")) for name in ("expected", "calculated"))
        if algorithm == "SHA256" and self.payload_sha256:
            return S3Error(
                "XAmzContentSHA256Mismatch",
                ClientComputedContentSHA256=expected,
                S3ComputedContentSHA256=(checksums.decoded(found) or b"").hex(),
            )
        if algorithm == "MD5":
            # S3 shows the one in hexadecimal, the other in base64.
            return checksums.md5_mismatch((checksums.decoded(expected) or b"").hex(), found)
        if len(checksums.decoded(expected) or b"") != checksums.LENGTHS[algorithm]:
            # What came before the body was looked at then: this came behind it.
            header = checksums.HEADERS[algorithm]
            return S3Error("InvalidRequest", f"Value for {header} trailing header is invalid.")
        return checksums.mismatch(algorithm)


def announced(request: S3Request) -> Announced:
    """What the headers claim of the body, whose signed hash is then compared with all else, not by itself.

    Raises:
        S3Error: InvalidRequest or InvalidDigest for claims that are none.
    """
    claimed = checksums.claimed(request.headers)
    md5 = checksums.claimed_md5(request.headers)
    # Where there are two claims of the same digest the body compares the signed one itself.
    signed = "" if claimed.algorithm == "SHA256" else request.body.take_sha256()
    expected = {"SHA256": signed} if signed else {}
    if md5:
        expected["MD5"] = md5
    if claimed.value:
        expected[claimed.algorithm] = claimed.value
    return Announced(claimed.algorithm, expected, payload_sha256=bool(signed))


def write_conditions(request: S3Request) -> Conditions:
    """What the write requires of what is there; raises S3Error AccessDenied where only readers may ask."""
    wanted = conditions.for_write(request.headers)
    demand_insight(request, request.object_key, wanted)
    return wanted


def demand_insight(request: S3Request, key: str, wanted: Conditions) -> None:
    """Who requires an ETag is told whether it is the object's: as S3 has it, that is a reader's right."""
    if wanted.if_match not in {None, conditions.ANY} or wanted.if_none_match is not None:
        request.access.demand("s3:GetObject", key)


def etag_kind(sealing: Sealing) -> Literal["md5", "opaque"]:
    """Whether the ETag is the MD5 of the bytes: not where S3's is not, which saves taking it."""
    return "md5" if sealing.sse in {"", "AES256"} else "opaque"
