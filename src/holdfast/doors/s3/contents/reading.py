"""GetObject and HeadObject.

One read of the database, one pass over what it gave. The order in which things are found wrong is S3's: who
may not, learns nothing; then what is not there; then conditions, keys, archives, ranges.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from holdfast.doors.s3.contents import conditions, encryption, ranges, showing
from holdfast.doors.s3.contents.metadata_headers import OVERRIDES
from holdfast.doors.s3.contents.ranges import Span
from holdfast.doors.s3.contents.storage_classes import is_archived
from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.request import S3Response
from holdfast.doors.s3.wire.xml_writing import http_date
from holdfast.files.attributes import Attributes
from holdfast.files.records import NULL
from holdfast.world.errors import Refusal

if TYPE_CHECKING:
    from holdfast.doors.s3.door import Door
    from holdfast.doors.s3.request import Handler, S3Request
    from holdfast.doors.s3.rights.access import Access
    from holdfast.files.records import Bucket, Version

_VERSION_ID: Final = re.compile("[0-9a-f]{32}")
_NO_OVERRIDES: Final[dict[str, str]] = {}
_KEPT_WITH_304: Final = frozenset({"cache-control", "expires"})


class Found(NamedTuple):
    """A version that the caller may read."""

    version: Version
    attributes: Attributes


class Window(NamedTuple):
    """The bytes of a version that go out; `status` 206 if they were asked for by themselves."""

    span: Span
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    part: int | None = None


async def get_object(door: Door, request: S3Request) -> S3Response:
    """GET of an object's bytes."""
    return await _read(door, request, with_body=True)


async def head_object(door: Door, request: S3Request) -> S3Response:
    """GET without the bytes."""
    return await _read(door, request, with_body=False)


async def _read(door: Door, request: S3Request, *, with_body: bool) -> S3Response:
    headers, record = request.headers, request.bucket
    overrides = _overrides(request)
    version, attributes = await find_readable(door, request)
    if conditions.conditional(headers):
        unchanged = _judge(headers, record, version, attributes)
        if unchanged is not None:
            return unchanged
    encryption.refuse_on_read(headers)
    customer_key = encryption.key_to_read(attributes, headers, secure=request.secure, remote=request.remote)
    if with_body and attributes.storage_class and is_archived(attributes, request.now):
        raise archived(attributes)
    window = _window(request, version, attributes)
    shown = showing.read_headers(door, record, version, attributes, overrides)
    if attributes.tags or attributes.retention or attributes.legal_hold or attributes.legal_hold_ended:
        shown = shown + showing.permitted_headers(request.access, request.object_key, attributes)
    if headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
        shown = shown + _checksum(attributes, window)
    shown = [*shown, *window.headers]
    start, stop = window.span
    if not with_body or start == stop:
        return S3Response(status=window.status, headers=shown, length=stop - start, object_size=version.size)
    if version.small is not None:
        return S3Response(
            status=window.status,
            headers=shown,
            content=await door.gateway.read_small(version, start, stop, customer_key),
            object_size=version.size,
        )
    return S3Response(
        status=window.status,
        headers=shown,
        stream=door.gateway.read(version, start, stop, customer_key),
        length=stop - start,
        object_size=version.size,
    )


async def find_readable(door: Door, request: S3Request) -> Found:
    """The version that the request names, once the caller is allowed to read it.

    Raises:
        S3Error: NoSuchKey, NoSuchVersion, MethodNotAllowed for a delete marker named by its id,
            InvalidArgument, AccessDenied.
    """
    version_id = wanted_version(request.query.get("versionId"))
    action = "s3:GetObject" if version_id is None else "s3:GetObjectVersion"
    return await find_version(
        door, request.bucket, request.access, request.object_key, version_id, action, request.method
    )


async def find_version(
    door: Door, record: Bucket, access: Access, key: str, version_id: str | None, action: str, method: str
) -> Found:
    """The same for any bucket, key and version id."""
    try:
        version: Version = await door.histories.find(record, key, version_id)
    except Refusal as refusal:
        if refusal.code != "object.unknown":
            raise
        raise unknown(access, key, version_id, refusal) from refusal
    attributes = version.parsed
    access.demand(action, key, acl=attributes.acl, tags=attributes.tags)
    if version.marker:
        raise S3Error(
            "MethodNotAllowed",
            headers=(
                ("x-amz-delete-marker", "true"),
                ("x-amz-version-id", version.s3_version_id),
                ("last-modified", http_date(version.modified)),
                ("allow", "DELETE"),
            ),
            Method=method,
            ResourceType="DeleteMarker",
        )
    return Found(version, attributes)


def wanted_version(version_id: str | None) -> str | None:
    """The version id of a request; raises S3Error InvalidArgument for what never was one."""
    if version_id is None or version_id == NULL:
        return version_id
    if _VERSION_ID.fullmatch(version_id) is None:
        raise S3Error(
            "InvalidArgument",
            "Invalid version id specified" if version_id else "Version id cannot be the empty string",
            ArgumentName="versionId",
            ArgumentValue=version_id,
        )
    return version_id


def unknown(access: Access, key: str, version_id: str | None, refusal: Refusal) -> S3Error:
    """What is said of an object that is not there: only to those who could have listed that it is not."""
    if not access.allows("s3:ListBucket", prefix=key):
        return S3Error("AccessDenied")
    if version_id is not None:
        return S3Error("NoSuchVersion", Key=key, VersionId=version_id)
    if not refusal.facts.get("marker"):
        return S3Error("NoSuchKey", Key=key)
    marker = str(refusal.facts.get("version_id") or "")
    headers = [("x-amz-delete-marker", "true")]
    return S3Error(
        "NoSuchKey", headers=[*headers, ("x-amz-version-id", marker)] if marker else headers, Key=key
    )


def archived(attributes: Attributes) -> S3Error:
    """What is said of an object that must be restored before it can be read."""
    return S3Error(
        "InvalidObjectState",
        "The operation is not valid for the object's storage class",
        StorageClass=attributes.storage_class,
    )


def _judge(
    headers: Mapping[str, str], record: Bucket, version: Version, attributes: Attributes
) -> S3Response | None:
    verdict, condition = conditions.judge(headers, version.etag, version.modified)
    if verdict is conditions.Verdict.GO_ON:
        return None
    if verdict is conditions.Verdict.FAILED:
        raise S3Error("PreconditionFailed", Condition=condition)
    kept = [(name, value) for name, value in attributes.headers.items() if name in _KEPT_WITH_304]
    return S3Response(status=304, headers=[*showing.validators(record, version), *kept])


def _window(request: S3Request, version: Version, attributes: Attributes) -> Window:
    size = version.size
    header, part_text = request.headers.get("range"), request.query.get("partNumber")
    if part_text is not None:
        if header is not None:
            raise S3Error("InvalidRequest", "Cannot specify both Range header and partNumber query parameter")
        return _part_window(part_text, size, attributes)
    if header is None or not _range_applies(request.headers.get("if-range"), version):
        return Window(Span(0, size))
    span = ranges.asked_span(header, size)
    return Window(Span(0, size)) if span is None else Window(span, 206, (_content_range(span, size),))


def _part_window(text: str, size: int, attributes: Attributes) -> Window:
    number = ranges.part_number(text)
    span = ranges.part_span(attributes.parts, number, size)
    told = (("x-amz-mp-parts-count", str(len(attributes.parts))),) if attributes.parts else ()
    if span.start == span.stop:
        return Window(span, 200, told, number)
    return Window(span, 206, (_content_range(span, size), *told), number)


def _content_range(span: Span, size: int) -> tuple[str, str]:
    return "content-range", f"bytes {span.start}-{span.stop - 1}/{size}"


def _range_applies(if_range: str | None, version: Version) -> bool:
    """Whether the caller's idea of the object is still right (If-Range): else it wants all of it."""
    if if_range is None:
        return True
    since = conditions.parse_time(if_range)
    if since is None:
        return conditions.names(if_range, version.etag)
    return version.modified // 1_000_000 * 1_000_000 <= since


def _checksum(attributes: Attributes, window: Window) -> showing.Headers:
    """The checksum of exactly the bytes that go out, if there is one: clients compare."""
    if window.part is not None and attributes.parts:
        value = attributes.parts[window.part - 1].checksum
        return showing.part_checksum_headers(attributes, value)
    if window.status == 206 and window.part is None:  # noqa: PLR2004 - the HTTP status
        return []
    return showing.checksum_headers(attributes)


def _overrides(request: S3Request) -> Mapping[str, str]:
    """Content headers that the query replaces; raises S3Error InvalidRequest for strangers' ones."""
    query = request.query
    if not query:
        return _NO_OVERRIDES
    found = {header: query[name] for name, header in OVERRIDES.items() if name in query}
    if found and request.identity.anonymous:
        raise S3Error(
            "InvalidRequest",
            "Request specific response headers cannot be used for anonymous GET requests.",
        )
    for header, value in found.items():
        if not value.isprintable() or max(map(ord, value), default=0) > 0xFF:  # noqa: PLR2004 - Latin-1 ends
            raise S3Error(
                "InvalidArgument",
                "Header value cannot be represented using ISO-8859-1.",
                ArgumentName=f"response-{header}",
            )
    return found


HANDLERS: Final[dict[str, Handler]] = {"GetObject": get_object, "HeadObject": head_object}
