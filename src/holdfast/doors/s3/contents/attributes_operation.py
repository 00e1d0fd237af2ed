"""GetObjectAttributes: what is known of an object, in a document, without its bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from holdfast.doors.s3.contents import checksums, encryption, listings, showing
from holdfast.doors.s3.contents.reading import find_version, wanted_version
from holdfast.doors.s3.contents.storage_classes import STANDARD
from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.request import S3Response
from holdfast.doors.s3.wire.xml_writing import document, element, escape, group, http_date, optional, truth

if TYPE_CHECKING:
    from holdfast.doors.s3.door import Door
    from holdfast.doors.s3.request import Handler, S3Request
    from holdfast.files.attributes import Attributes

HEADER: Final = "x-amz-object-attributes"
NAMES: Final = ("ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize")
PARTS_MAX: Final = 1000


async def get_object_attributes(door: Door, request: S3Request) -> S3Response:
    """GET ?attributes of an object."""
    wanted = asked_names(request.headers.get(HEADER))
    version_id = wanted_version(request.query.get("versionId"))
    versioned = "" if version_id is None else "Version"
    key = request.object_key
    version, attributes = await find_version(
        door, request.bucket, request.access, key, version_id, f"s3:GetObject{versioned}", request.method
    )
    request.access.demand(f"s3:GetObject{versioned}Attributes", key, acl=attributes.acl, tags=attributes.tags)
    encryption.key_to_read(attributes, request.headers, secure=request.secure, remote=request.remote)
    parts = _parts(request, attributes) if "ObjectParts" in wanted else ""
    content = document(
        "GetObjectAttributesResponse",
        f"<ETag>{escape(version.etag)}</ETag>" if "ETag" in wanted else "",
        _checksum(attributes) if "Checksum" in wanted else "",
        parts,
        element("StorageClass", attributes.storage_class or STANDARD) if "StorageClass" in wanted else "",
        element("ObjectSize", version.size) if "ObjectSize" in wanted else "",
    )
    headers = [showing.XML, ("last-modified", http_date(version.modified))]
    headers += showing.version_id_headers(request.bucket, version)
    return S3Response(headers=headers, content=content)


def asked_names(header: str | None) -> frozenset[str]:
    """The attributes that are asked for; raises S3Error InvalidArgument for none, or one there is not."""
    names = [name.strip() for name in (header or "").split(",") if name.strip()]
    if not names:
        raise S3Error(
            "InvalidRequest",
            "The x-amz-object-attributes header specifying the attributes to be retrieved "
            "is either missing or empty",
        )
    for name in names:
        if name not in NAMES:
            raise listings.invalid(HEADER, name, "Invalid attribute name specified.")
    return frozenset(names)


def _checksum(attributes: Attributes) -> str:
    name = checksums.ELEMENTS.get(attributes.checksum_algorithm)
    if name is None or not attributes.checksum_value:
        return ""
    # The number of parts after a composite checksum is told elsewhere.
    return group(
        "Checksum",
        element(name, attributes.checksum_value.partition("-")[0]),
        element("ChecksumType", checksums.shown_type(attributes)),
    )


def _parts(request: S3Request, attributes: Attributes) -> str:
    """`<ObjectParts>`; its parts one by one only where they have checksums."""
    if not attributes.parts:
        return ""
    headers = request.headers
    limit = min(
        listings.asked_number(headers.get("x-amz-max-parts"), "x-amz-max-parts", PARTS_MAX), PARTS_MAX
    )
    marker = listings.asked_number(headers.get("x-amz-part-number-marker"), "x-amz-part-number-marker", 0)
    total = element("PartsCount", len(attributes.parts))
    name = checksums.ELEMENTS.get(attributes.checksum_algorithm, "")
    if not any(part.checksum for part in attributes.parts):
        return group("ObjectParts", total)
    left = [part for part in attributes.parts if part.number > marker]
    shown, further = left[:limit], len(left) > limit
    lines = [
        group(
            "Part",
            optional(name, part.checksum),
            element("PartNumber", part.number),
            element("Size", part.size),
        )
        for part in shown
    ]
    return group(
        "ObjectParts",
        truth("IsTruncated", further),
        element("MaxParts", limit),
        element("NextPartNumberMarker", shown[-1].number if shown else 0),
        element("PartNumberMarker", marker),
        "".join(lines),
        total,
    )


HANDLERS: Final[dict[str, Handler]] = {"GetObjectAttributes": get_object_attributes}
