"""CopyObject, UploadPartCopy and RenameObject: new objects and parts out of what is stored.

The source is an object of its own right: it is found, allowed and judged (its own conditions, its own key,
its archive) by itself, whoever's bucket it is in. Only then the target's headers are looked at. Whether bytes
have to move is the gateway's affair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote_to_bytes

import msgspec

from holdfast.doors.s3.contents import checksums, conditions, encryption, reading, showing
from holdfast.doors.s3.contents.metadata_headers import REDIRECT
from holdfast.doors.s3.contents.multipart import key_of_upload, no_such_upload, open_upload, part_wish
from holdfast.doors.s3.contents.new_object import (
    OBJECT_BYTES_MAX,
    NewObject,
    etag_kind,
    new_object,
    write_conditions,
)
from holdfast.doors.s3.contents.ranges import Span, part_number, source_span
from holdfast.doors.s3.contents.storage_classes import is_archived
from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.request import S3Response
from holdfast.doors.s3.rights.access import EXPECTED_SOURCE_OWNER, Access, check_expected_owner
from holdfast.doors.s3.settings.tagging import tag_context
from holdfast.doors.s3.settings.telling import told
from holdfast.doors.s3.wire.xml_writing import document, element, etag, time_text
from holdfast.files.attributes import Attributes, Conditions
from holdfast.gateway.wish import PutWish
from holdfast.world.errors import Refusal

if TYPE_CHECKING:
    from holdfast.doors.s3.door import Door
    from holdfast.doors.s3.request import Handler, S3Request
    from holdfast.files.records import Bucket, Part, Version

SOURCE: Final = "x-amz-copy-source"
RENAME_SOURCE: Final = "x-amz-rename-source"
_METADATA: Final = "x-amz-metadata-directive"
_TAGGING: Final = "x-amz-tagging-directive"
_ILLEGAL: Final = (
    "This copy request is illegal because it is trying to copy an object to itself without changing the "
    "object's metadata, storage class, website redirect location or encryption attributes."
)


class Named(NamedTuple):
    """What a copy source header names."""

    bucket: str
    key: str
    version_id: str | None = None


class Source(NamedTuple):
    """A version that the caller may read, and the key that opens it, if it is under a customer's."""

    named: Named
    record: Bucket
    access: Access
    version: Version
    attributes: Attributes
    customer_key: bytes | None


def read_source(header: str, name: str = SOURCE) -> Named:
    """Bucket, key and version of a copy source, percent-encoded, with or without a slash before it.

    Raises:
        S3Error: InvalidArgument.
    """
    path, _, version_id = header.partition("?versionId=")
    try:
        decoded = unquote_to_bytes(path.encode("latin-1")).decode()
    except UnicodeError:
        raise _bad_source(header, name) from None
    bucket, slash, key = decoded.removeprefix("/").partition("/")
    if not bucket or not slash or not key or bucket.startswith("arn:"):
        raise _bad_source(header, name)
    if "?versionId=" in header and not version_id:
        raise S3Error(
            "InvalidArgument",
            "Version id cannot be the empty string",
            ArgumentName="versionId",
            ArgumentValue="",
        )
    return Named(bucket, key, version_id or None)


def _bad_source(header: str, name: str) -> S3Error:
    return S3Error(
        "InvalidArgument",
        "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
        ArgumentName=name,
        ArgumentValue=header[:200],
    )


async def find_source(door: Door, request: S3Request) -> Source:
    """The source of a copy, once all that it requires by itself is met."""
    headers = request.headers
    named = read_source(headers[SOURCE])
    record, access = await _bucket_of(door, request, named.bucket)
    check_expected_owner(headers, record, header=EXPECTED_SOURCE_OWNER)
    action = "s3:GetObject" if named.version_id is None else "s3:GetObjectVersion"
    wanted = reading.wanted_version(named.version_id)
    try:
        version, attributes = await reading.find_version(
            door, record, access, named.key, wanted, action, request.method
        )
    except S3Error as error:
        if error.code != "MethodNotAllowed":
            raise
        raise S3Error(
            "InvalidRequest",
            "The source of a copy request may not specifically refer to a delete marker by version id.",
        ) from error
    conditions.demand_source(headers, version.etag, version.modified, "x-amz-copy-source-")
    customer_key = encryption.key_to_read(
        attributes, headers, encryption.SOURCE_CUSTOMER, secure=request.secure, remote=request.remote
    )
    if is_archived(attributes, request.now):
        raise S3Error(
            "InvalidObjectState",
            "Operation is not valid for the source object's storage class",
            StorageClass=attributes.storage_class,
        )
    return Source(named, record, access, version, attributes, customer_key)


async def _bucket_of(door: Door, request: S3Request, name: str) -> tuple[Bucket, Access]:
    if name == request.bucket.name:
        return request.bucket, request.access
    try:
        record: Bucket = await door.buckets.find(name)
    except Refusal as refusal:
        if refusal.code != "bucket.unknown":
            raise
        raise S3Error("NoSuchBucket", BucketName=name) from refusal
    return record, request.access.for_bucket(record)


async def copy_object(door: Door, request: S3Request) -> S3Response:
    """PUT with a copy source."""
    headers = request.headers
    if request.identity.anonymous:
        raise S3Error("AccessDenied", "Anonymous users cannot copy objects.  Please authenticate.")
    replaces_metadata = _replaces(headers.get(_METADATA), "metadata")
    replaces_tags = _replaces(headers.get(_TAGGING), "tagging")
    source = await find_source(door, request)
    if source.version.size > OBJECT_BYTES_MAX:
        raise S3Error(
            "InvalidRequest",
            "The specified copy source is larger than the maximum allowable size for a copy source: "
            f"{OBJECT_BYTES_MAX}",
        )
    wanted = await new_object(door, request)
    _demand_change(request, source, wanted, replaces_metadata=replaces_metadata)
    attributes = wanted.attributes
    if not replaces_metadata:
        attributes = msgspec.structs.replace(
            attributes,
            headers=source.attributes.headers,
            metadata=source.attributes.metadata,
            metadata_lost=source.attributes.metadata_lost,
        )
    if not replaces_tags:
        attributes = msgspec.structs.replace(attributes, tags=_copied_tags(request, source))
    version = await _copy(door, request, source, wanted, attributes)
    shown = version.parsed
    told_of = [showing.XML, *showing.written_headers(door, request.bucket, version, shown)]
    if source.record.versioning != "off":
        told_of.append(("x-amz-copy-source-version-id", source.version.s3_version_id))
    content = document("CopyObjectResult", *_result(version.etag, version.modified), checksum_elements(shown))
    return S3Response(headers=told_of, content=content, object_size=version.size)


async def _copy(
    door: Door, request: S3Request, source: Source, wanted: NewObject, attributes: Attributes
) -> Version:
    asked = request.headers.get("x-amz-checksum-algorithm")
    algorithm = checksums.supported(asked) if asked else source.attributes.checksum_algorithm
    event, who = told(request, "s3:ObjectCreated:Copy")
    wish = PutWish(
        attributes=attributes,
        storage_class=wanted.storage_class,
        conditions=write_conditions(request),
        checksum=algorithm,
        customer_key=wanted.sealing.customer_key,
        etag=etag_kind(wanted.sealing),
        event=event,
        who=who,
    )
    try:
        version: Version = await door.gateway.copy(
            source.version, source.record, request.bucket, request.object_key, wish, source.customer_key
        )
    except Refusal as refusal:
        if refusal.code == "object.unknown":
            raise S3Error("NoSuchKey") from refusal
        raise
    return version


def _replaces(directive: str | None, what: str) -> bool:
    if directive is None or directive == "COPY":
        return False
    if directive == "REPLACE":
        return True
    raise S3Error(
        "InvalidArgument",
        f"Unknown {what} directive.",
        ArgumentName=f"x-amz-{what}-directive",
        ArgumentValue=directive,
    )


def _demand_change(request: S3Request, source: Source, wanted: NewObject, *, replaces_metadata: bool) -> None:
    """An object may be copied onto itself only to change something of it, or to bring a version back."""
    named, headers = source.named, request.headers
    if (named.bucket, named.key) != (request.bucket.name, request.object_key) or named.version_id is not None:
        return
    changes = (
        replaces_metadata,
        "x-amz-storage-class" in headers
        and wanted.attributes.storage_class != source.attributes.storage_class,
        REDIRECT in headers and wanted.attributes.website_redirect != source.attributes.website_redirect,
        wanted.sealing.asked,
        source.attributes.sse == "customer",
        "x-amz-checksum-algorithm" in headers,
        headers.get(_TAGGING) == "REPLACE",
    )
    if not any(changes):
        raise S3Error("InvalidRequest", _ILLEGAL)


def _copied_tags(request: S3Request, source: Source) -> dict[str, str]:
    tags = source.attributes.tags
    if tags:
        acl = source.attributes.acl
        action = "s3:GetObjectTagging" if source.named.version_id is None else "s3:GetObjectVersionTagging"
        source.access.demand(action, source.named.key, acl=acl, tags=tags)
        request.access.demand("s3:PutObjectTagging", request.object_key, context=tag_context(tags))
    return tags


def _result(tag: str, modified: int) -> tuple[str, str]:
    return element("LastModified", time_text(modified)), etag(tag)


def checksum_elements(attributes: Attributes) -> str:
    """The checksum of a version as elements of an answer."""
    name = checksums.ELEMENTS.get(attributes.checksum_algorithm)
    if name is None or not attributes.checksum_value:
        return ""
    return element("ChecksumType", checksums.shown_type(attributes)) + element(
        name, attributes.checksum_value
    )


async def upload_part_copy(door: Door, request: S3Request) -> S3Response:
    """PUT of a part with a copy source."""
    headers = request.headers
    number = part_number(request.query.get("partNumber", ""))
    request.access.demand("s3:PutObject", request.object_key)
    multipart = await open_upload(door, request)
    attributes = multipart.parsed
    customer_key = key_of_upload(request, attributes)
    source = await find_source(door, request)
    size = source.version.size
    asked = headers.get("x-amz-copy-source-range")
    span = Span(0, size) if asked is None else source_span(asked, size)
    if span.stop - span.start > OBJECT_BYTES_MAX:
        raise S3Error(
            "InvalidRequest",
            "The specified copy source is larger than the maximum allowable size for a copy source: "
            f"{OBJECT_BYTES_MAX}",
        )
    wish = part_wish(door, request, attributes, customer_key)
    try:
        part: Part = await door.gateway.copy_part(
            multipart, number, source.version, span.start, span.stop, wish, source.customer_key
        )
    except Refusal as refusal:
        if refusal.code == "multipart.unknown":
            raise no_such_upload(request) from refusal
        raise
    told_of = [showing.XML, *showing.sealing_headers(door, request.bucket, attributes)]
    if source.record.versioning != "off":
        told_of.append(("x-amz-copy-source-version-id", source.version.s3_version_id))
    algorithm = attributes.checksum_algorithm
    checksum = (
        element(checksums.ELEMENTS[algorithm], part.checksum_value)
        if algorithm and part.checksum_value
        else ""
    )
    content = document("CopyPartResult", *_result(part.etag, part.modified), checksum)
    return S3Response(headers=told_of, content=content)


async def rename_object(door: Door, request: S3Request) -> S3Response:
    """PUT ?renameObject: the object under another key of the same bucket, its bytes where they are."""
    headers, record = request.headers, request.bucket
    named = _rename_source(headers.get(RENAME_SOURCE), record.name)
    if named == request.object_key:
        raise S3Error("InvalidRequest", "An object cannot be renamed to its own name.")
    request.access.demand("s3:PutObject", request.object_key)
    request.access.demand("s3:DeleteObject", named)
    version, _ = await reading.find_version(
        door, record, request.access, named, None, "s3:GetObject", request.method
    )
    prefix = "x-amz-rename-source-"
    conditions.demand_source(headers, version.etag, version.modified, prefix)
    await _demand_target(door, request)
    try:
        await door.histories.rename(
            record,
            named,
            request.object_key,
            source=Conditions(if_match=version.etag),
            target=write_conditions(request),
        )
    except Refusal as refusal:
        if refusal.code == "object.unknown":
            raise S3Error("NoSuchKey", Key=named) from refusal
        raise
    return S3Response()


def _rename_source(header: str | None, bucket: str) -> str:
    """The key that a rename begins from: with or without the bucket before it."""
    if not header:
        raise S3Error("InvalidArgument", "Missing rename source.", ArgumentName=RENAME_SOURCE)
    try:
        decoded = unquote_to_bytes(header.encode("latin-1")).decode()
    except UnicodeError:
        raise _bad_source(header, RENAME_SOURCE) from None
    key = decoded.removeprefix("/").removeprefix(f"{bucket}/")
    if not key:
        raise _bad_source(header, RENAME_SOURCE)
    return key


async def _demand_target(door: Door, request: S3Request) -> None:
    """The conditions on the target that are about times; those about ETags are judged when it is replaced."""
    headers = request.headers
    if "if-modified-since" not in headers and "if-unmodified-since" not in headers:
        return
    try:
        version: Version = await door.histories.find(request.bucket, request.object_key)
    except Refusal as refusal:
        if refusal.code != "object.unknown":
            raise
        return
    conditions.demand_source(headers, version.etag, version.modified, "")


HANDLERS: Final[dict[str, Handler]] = {
    "CopyObject": copy_object,
    "UploadPartCopy": upload_part_copy,
    "RenameObject": rename_object,
}
