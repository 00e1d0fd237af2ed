"""Multipart uploads: begun, given parts, listed, completed, aborted.

An upload carries from its beginning everything that the object is going to be. Completing one is one
transaction, whose outcome is the same however often it is asked for: the upload remembers what it became.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from holdfast.doors.s3.contents import checksums, conditions, encryption, listings, showing, storage_classes
from holdfast.doors.s3.contents.new_object import (
    Announced,
    announced,
    demand_size,
    new_object,
    write_conditions,
)
from holdfast.doors.s3.contents.ranges import PARTS_MAX, number, part_number
from holdfast.doors.s3.contents.storage_classes import STANDARD
from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.request import S3Response
from holdfast.doors.s3.settings.settings_documents import leaf, need_leaf
from holdfast.doors.s3.settings.telling import told
from holdfast.doors.s3.wire.hosts import Hosts
from holdfast.doors.s3.wire.xml_reading import Node, parse
from holdfast.doors.s3.wire.xml_writing import (
    document,
    element,
    etag,
    group,
    http_date,
    optional,
    time_text,
    truth,
)
from holdfast.files import locking
from holdfast.files.attributes import Attributes, PartInfo
from holdfast.gateway import digests
from holdfast.gateway.wish import PutWish
from holdfast.upkeep.plans.lifecycle import DAY, due_at
from holdfast.world.clock import MICROSECONDS
from holdfast.world.errors import Refusal

if TYPE_CHECKING:
    from holdfast.doors.s3.door import Door
    from holdfast.doors.s3.request import Handler, S3Request
    from holdfast.files.records import Multipart, MultipartPage, Part, Version

PART_BYTES_MIN: Final = 5 << 20
"""All parts but the last have at least so much."""
BODY_BYTES_MAX: Final = 8 << 20
"""Ten thousand parts, each with its tag and its checksum."""
ELEMENTS_MAX: Final = 10 * PARTS_MAX
LIST_MAX: Final = 1000
_NO_PART: Final = (
    "One or more of the specified parts could not be found.  The part may not have been uploaded, or the "
    "specified entity tag may not match the part's entity tag."
)
_NOTHING: Final[Mapping[str, str]] = {}
_CREATED: Final = "s3:ObjectCreated:CompleteMultipartUpload"


class Chosen(NamedTuple):
    """A part as the completion names it; `checksums` by algorithm."""

    number: int
    etag: str
    checksums: dict[str, str]


# --- beginning and parts -----------------------------------------------------------------------------------


async def create_multipart_upload(door: Door, request: S3Request) -> S3Response:
    """POST ?uploads."""
    if request.identity.anonymous:
        # Whoever has no name could neither list the upload as its own nor be charged for what it leaves.
        raise S3Error(
            "AccessDenied", "Anonymous users cannot initiate multipart uploads.  Please authenticate."
        )
    wanted = await new_object(door, request)
    algorithm, kind = checksums.upload_plan(request.headers)
    attributes = msgspec.structs.replace(wanted.attributes, checksum_algorithm=algorithm, checksum_type=kind)
    multipart: Multipart = await door.multiparts.create(
        request.bucket,
        request.object_key,
        wanted.storage_class,
        attributes,
        (request.identity.canonical_id, request.identity.display_name),
    )
    headers = [showing.XML, *showing.sealing_headers(door, request.bucket, attributes)]
    headers += encryption.context_header(attributes)
    if algorithm:
        headers += [("x-amz-checksum-algorithm", algorithm), ("x-amz-checksum-type", kind)]
    headers += _abort_headers(request, multipart)
    content = document(
        "InitiateMultipartUploadResult",
        element("Bucket", request.bucket.name),
        element("Key", request.object_key),
        element("UploadId", multipart.upload_id),
    )
    return S3Response(headers=headers, content=content)


async def upload_part(door: Door, request: S3Request) -> S3Response:
    """PUT of one part's bytes."""
    wanted_number = part_number(request.query.get("partNumber", ""))
    demand_size(request.body.size)
    request.access.demand("s3:PutObject", request.object_key)
    multipart = await open_upload(door, request)
    attributes = multipart.parsed
    customer_key = key_of_upload(request, attributes)
    claims = announced(request)
    wish = part_wish(door, request, attributes, customer_key, claims.checksum, claims.expected)
    try:
        part: Part = await door.gateway.put_part(multipart, wanted_number, request.body, wish)
    except Refusal as refusal:
        raise claims.in_s3(refusal) from refusal
    headers = [("etag", f'"{part.etag}"'), *_part_checksum(request, wish, claims, part)]
    headers += showing.sealing_headers(door, request.bucket, attributes)
    return S3Response(headers=headers, object_size=part.size)


def _part_checksum(request: S3Request, wish: PutWish, claims: Announced, part: Part) -> list[tuple[str, str]]:
    """The checksum that the part came with, else the one that is kept of it."""
    named = claims.checksum
    if named and named != wish.checksum:
        value = claims.expected.get(named) or request.body.trailers.get(named, "")
        return [(checksums.HEADERS[named], value)] if value else []
    if not part.checksum_value:
        return []
    return [(checksums.HEADERS[wish.checksum or checksums.KEPT_UNASKED], part.checksum_value)]


def part_wish(
    door: Door,
    request: S3Request,
    attributes: Attributes,
    customer_key: bytes | None,
    named: str = "",
    expected: Mapping[str, str] = _NOTHING,
) -> PutWish:
    """How a part of an upload is to be stored; `named` is the checksum that its request names.

    Its redundancy is the one that the fleet can give now, not when the upload began.

    Raises:
        S3Error: InvalidRequest if the upload keeps another kind of checksum.
    """
    kept = attributes.checksum_algorithm
    if named and kept and named != kept:
        raise S3Error(
            "InvalidRequest",
            f"Checksum Type mismatch occurred, expected checksum Type: {kept.lower()}, actual checksum Type: "
            f"{named.lower()}",
        )
    # A checksum that the upload did not announce is compared; what is kept is what can be combined.
    compared = frozenset({named} if named else ())
    return PutWish(
        attributes=attributes,
        storage_class=storage_classes.redundancy_now(door, request.bucket, attributes.storage_class),
        digests=compared,
        expected=expected,
        checksum=kept,
        customer_key=customer_key,
        etag="md5" if attributes.sse in {"", "AES256"} else "opaque",
    )


async def open_upload(door: Door, request: S3Request) -> Multipart:
    """The upload that the request names; raises S3Error NoSuchUpload for one that is none or is over."""
    multipart = await _known_upload(door, request)
    if multipart.state != "open":
        raise no_such_upload(request)
    return multipart


async def _known_upload(door: Door, request: S3Request) -> Multipart:
    try:
        multipart: Multipart = await door.multiparts.find_any(
            request.bucket, request.object_key, request.query.get("uploadId", "")
        )
    except Refusal as refusal:
        if refusal.code == "multipart.unknown":
            raise no_such_upload(request) from refusal
        raise
    return multipart


def no_such_upload(request: S3Request) -> S3Error:
    """The upload is none, or it is over."""
    return S3Error("NoSuchUpload", UploadId=request.query.get("uploadId", ""))


def key_of_upload(request: S3Request, attributes: Attributes) -> bytes | None:
    """The customer's key that a part is sealed with, None for a managed one.

    Raises:
        S3Error: InvalidRequest unless the part comes with the key that the upload began with.
    """
    given = encryption.customer_key(request.headers, secure=request.secure, remote=request.remote)
    if attributes.sse != "customer":
        if given is not None:
            raise S3Error("InvalidRequest", "The multipart upload initiate did not request encryption.")
        return None
    if given is None:
        raise S3Error(
            "InvalidRequest",
            "The multipart upload initiate requested encryption. Subsequent part requests must include the "
            "appropriate encryption parameters.",
        )
    if given.md5 != attributes.customer_key_md5:
        raise S3Error(
            "InvalidRequest",
            "The provided encryption parameters did not match the ones used originally.",
        )
    return given.key


def _abort_headers(request: S3Request, multipart: Multipart) -> showing.Headers:
    """When a lifecycle rule is going to end the upload, told in real days like every such time."""
    ends = [
        (due_at(multipart.created, rule.abort_days, DAY), rule.rule_id)
        for rule in request.bucket.parsed.lifecycle
        if rule.enabled
        and rule.abort_days is not None
        and not rule.filter.tags
        and rule.filter.size_over is None
        and rule.filter.size_under is None
        and multipart.name.startswith(rule.filter.prefix)
    ]
    if not ends:
        return []
    when, rule_id = min(ends)
    return [("x-amz-abort-date", http_date(when)), ("x-amz-abort-rule-id", rule_id)]


# --- listings ----------------------------------------------------------------------------------------------


async def list_parts(door: Door, request: S3Request) -> S3Response:
    """GET ?uploadId."""
    request.access.demand("s3:ListMultipartUploadParts", request.object_key)
    query = request.query
    limit = min(listings.asked_number(query.get("max-parts"), "max-parts", LIST_MAX), LIST_MAX)
    marker = listings.asked_number(query.get("part-number-marker"), "part-number-marker", 0)
    multipart = await open_upload(door, request)
    attributes = multipart.parsed
    rows: list[Part] = await door.multiparts.parts(multipart, after=marker, limit=limit + 1)
    shown, further = rows[:limit], len(rows) > limit
    algorithm = attributes.checksum_algorithm or checksums.KEPT_UNASKED
    content = document(
        "ListPartsResult",
        element("Bucket", request.bucket.name),
        element("Key", request.object_key),
        element("UploadId", multipart.upload_id),
        listings.owner_line((multipart.initiator, multipart.initiator_name), "Initiator"),
        listings.owner_line(await _owner_of_upload(door, request, attributes), "Owner"),
        element("StorageClass", attributes.storage_class or STANDARD),
        element("PartNumberMarker", marker),
        element("NextPartNumberMarker", shown[-1].number if shown else 0),
        element("MaxParts", limit),
        truth("IsTruncated", further and limit > 0),
        optional("ChecksumAlgorithm", attributes.checksum_algorithm),
        optional("ChecksumType", attributes.checksum_type),
        "".join([_part_line(part, algorithm) for part in shown]),
    )
    headers = [showing.XML, *_abort_headers(request, multipart)]
    return S3Response(headers=headers, content=content)


def _part_line(part: Part, algorithm: str) -> str:
    return (
        f"<Part><PartNumber>{part.number}</PartNumber>"
        f"<LastModified>{time_text(part.modified)}</LastModified>"
        f"<ETag>&quot;{part.etag}&quot;</ETag><Size>{part.size}</Size>"
        f"{optional(checksums.ELEMENTS[algorithm], part.checksum_value)}</Part>"
    )


async def _owner_of_upload(door: Door, request: S3Request, attributes: Attributes) -> tuple[str, str]:
    acl = attributes.acl
    return await listings.owner_of(door, request) if acl is None else (acl.owner_id, acl.owner_name)


async def list_multipart_uploads(door: Door, request: S3Request) -> S3Response:
    """GET ?uploads of a bucket."""
    request.access.demand("s3:ListBucketMultipartUploads")
    wish = listings.asked(request, "max-uploads")
    query = request.query
    key_marker = query.get("key-marker", "")
    # Without a key marker an upload id marker says nothing, and is passed over.
    upload_marker = query.get("upload-id-marker", "") if key_marker else ""
    page: MultipartPage = await door.multiparts.list(
        request.bucket, wish.prefix, wish.delimiter, key_marker or None, upload_marker or None, wish.limit
    )
    further = page.next_key is not None and wish.limit > 0
    owner = await listings.owner_of(door, request)
    told = [
        element("Bucket", request.bucket.name),
        f"<KeyMarker>{wish.encode(key_marker)}</KeyMarker>",
        element("UploadIdMarker", upload_marker),
        f"<NextKeyMarker>{wish.encode(page.next_key or '')}</NextKeyMarker>" if further else "",
        element("NextUploadIdMarker", page.next_upload or "") if further else "",
        element("MaxUploads", wish.limit),
        wish.echo,
        truth("IsTruncated", further),
        "".join([_upload_line(multipart, wish.encode, owner) for multipart in page.rows]),
        listings.common_prefixes(page.prefixes, wish.encode),
    ]
    return listings.answer("ListMultipartUploadsResult", told)


def _upload_line(multipart: Multipart, encode: listings.Encode, owner: tuple[str, str]) -> str:
    attributes = multipart.parsed
    acl = attributes.acl
    return group(
        "Upload",
        f"<Key>{encode(multipart.name)}</Key>",
        element("UploadId", multipart.upload_id),
        listings.owner_line((multipart.initiator, multipart.initiator_name), "Initiator"),
        listings.owner_line(owner if acl is None else (acl.owner_id, acl.owner_name), "Owner"),
        element("StorageClass", attributes.storage_class or STANDARD),
        element("Initiated", time_text(multipart.created)),
        optional("ChecksumAlgorithm", attributes.checksum_algorithm),
        optional("ChecksumType", attributes.checksum_type),
    )


# --- endings -----------------------------------------------------------------------------------------------


async def abort_multipart_upload(door: Door, request: S3Request) -> S3Response:
    """DELETE ?uploadId."""
    request.access.demand("s3:AbortMultipartUpload", request.object_key)
    multipart = await open_upload(door, request)
    if_initiated = request.headers.get("x-amz-if-match-initiated-time")
    if if_initiated is not None:
        wanted = conditions.parse_time(if_initiated)
        if wanted is None or wanted // MICROSECONDS != multipart.created // MICROSECONDS:
            raise S3Error("PreconditionFailed", Condition="x-amz-if-match-initiated-time")
    try:
        await door.multiparts.abort(multipart)
    except Refusal as refusal:
        if refusal.code == "multipart.unknown":
            raise no_such_upload(request) from refusal
        raise
    return S3Response(status=204)


async def complete_multipart_upload(door: Door, request: S3Request) -> S3Response:
    """POST ?uploadId: the parts become an object."""
    request.access.demand("s3:PutObject", request.object_key)
    multipart = await _known_upload(door, request)
    body = await _document(request)
    chosen = read_chosen(parse(body, "CompleteMultipartUpload", BODY_BYTES_MAX, ELEMENTS_MAX))
    if multipart.state != "open":
        return await _completed_before(door, request, multipart, chosen)
    attributes = multipart.parsed
    if attributes.sse == "customer":
        encryption.customer_key(request.headers, secure=request.secure, remote=request.remote)
    parts = match(chosen, await door.multiparts.all_parts(multipart), attributes, multipart.upload_id)
    _demand_object_size(request, parts)
    attributes = _finished(request, attributes, parts)
    event, who = told(request, _CREATED)
    tag = checksums.multipart_etag([part.etag for part in parts])
    try:
        version: Version = await door.multiparts.complete(
            request.bucket,
            multipart,
            parts,
            tag,
            attributes,
            write_conditions(request),
            event=event,
            who=dict(who),
        )
    except Refusal as refusal:
        raise _completion_error(request, refusal) from refusal
    return _completed(door, request, version)


async def _document(request: S3Request) -> bytes:
    """The body, its signed hash and MD5 compared; checksums in headers are not of it, but of the object."""
    size = request.body.size
    if size is not None and size > BODY_BYTES_MAX:
        raise S3Error("MalformedXML")
    buffer = bytearray(BODY_BYTES_MAX + 1 if size is None else size + 1)
    count = await request.body.fill(memoryview(buffer))
    await request.body.ended()
    document = bytes(buffer[:count])
    if not document:
        raise S3Error("InvalidRequest", "You must specify at least one part")
    md5 = checksums.claimed_md5(request.headers)
    found = digests.base64_of(digests.digest_of("MD5", document)) if md5 else ""
    if found != md5:
        raise checksums.md5_mismatch(md5, found)
    return document


def read_chosen(root: Node) -> list[Chosen]:
    """The parts that a `<CompleteMultipartUpload>` names.

    Raises:
        S3Error: MalformedXML, also for no part or too many; InvalidPartOrder; InvalidArgument for a number
            that no part can have.
    """
    nodes = root.all("Part")
    if not nodes or len(nodes) > PARTS_MAX or len(nodes) != len(root.children):
        raise S3Error("MalformedXML")
    chosen = [_chosen(node) for node in nodes]
    for before, after in pairwise(chosen):
        if after.number <= before.number:
            raise S3Error("InvalidPartOrder")
    return chosen


def _chosen(node: Node) -> Chosen:
    text = need_leaf(node, "PartNumber").strip()
    parsed = number(text.removeprefix("-"))
    if parsed is None:
        raise S3Error("MalformedXML")
    if text.startswith("-") or not 1 <= parsed <= PARTS_MAX:
        raise S3Error(
            "InvalidArgument",
            f"PartNumber must be >= 1 and <= {PARTS_MAX}",
            ArgumentName="partNumber",
            ArgumentValue=text,
        )
    values = {name: leaf(node, tag) for name, tag in checksums.ELEMENTS.items()}
    named = {name: value for name, value in values.items() if value}
    return Chosen(parsed, conditions.bare(need_leaf(node, "ETag")), named)


def match(
    chosen: Sequence[Chosen], stored: Sequence[Part], attributes: Attributes, upload_id: str
) -> list[Part]:
    """The stored parts that were chosen.

    Raises:
        S3Error: InvalidPart for one that is not there or is another, EntityTooSmall for one too small to
            stand before another, InvalidRequest if an upload of composite checksums goes without them.
    """
    by_number = {part.number: part for part in stored}
    parts: list[Part] = []
    for one in chosen:
        part = by_number.get(one.number)
        if part is None or part.etag != one.etag:
            raise _invalid_part(one, upload_id)
        _demand_part_checksum(one, part, attributes, upload_id)
        parts.append(part)
    for part in parts[:-1]:
        if part.size < PART_BYTES_MIN:
            raise S3Error(
                "EntityTooSmall",
                ProposedSize=part.size,
                MinSizeAllowed=PART_BYTES_MIN,
                PartNumber=part.number,
                ETag=part.etag,
            )
    return parts


def _demand_part_checksum(one: Chosen, part: Part, attributes: Attributes, upload_id: str) -> None:
    """What the completion says of a part's checksum must be so; composite ones must be said."""
    kept = attributes.checksum_algorithm
    value = one.checksums.get(kept)
    if value is not None and value != part.checksum_value:
        raise _invalid_part(one, upload_id)
    if value is None and attributes.checksum_type == "COMPOSITE":
        raise S3Error(
            "InvalidRequest",
            f"The upload was created using a {kept.lower()} checksum. The complete request must include the "
            f"checksum for each part. It was missing for part {one.number} in the request.",
        )


def _invalid_part(one: Chosen, upload_id: str) -> S3Error:
    return S3Error("InvalidPart", _NO_PART, UploadId=upload_id, PartNumber=one.number, ETag=one.etag)


def _demand_object_size(request: S3Request, parts: Sequence[Part]) -> None:
    text = request.headers.get("x-amz-mp-object-size")
    if text is None:
        return
    wanted, size = number(text.strip()), sum(part.size for part in parts)
    if wanted is None:
        raise listings.invalid("x-amz-mp-object-size", text, "Value for x-amz-mp-object-size is invalid.")
    if wanted != size:
        raise S3Error(
            "InvalidRequest",
            f"The provided 'x-amz-mp-object-size' header value {wanted} does not match what was computed: "
            f"{size}",
        )


def _finished(request: S3Request, attributes: Attributes, parts: Sequence[Part]) -> Attributes:
    """The object's attributes, with its checksum and those of its parts."""
    algorithm = attributes.checksum_algorithm or checksums.KEPT_UNASKED
    kind = attributes.checksum_type or "FULL_OBJECT"
    values = [(part.checksum_value, part.size) for part in parts]
    value = ""
    if all(one for one, _ in values):
        value = checksums.of_parts(algorithm, kind, values)
    _demand_checksum(request, algorithm, kind, value)
    settings = request.bucket.parsed
    retention = attributes.retention or locking.default_retention(settings, request.now)
    return msgspec.structs.replace(
        attributes,
        checksum_algorithm=algorithm if value else "",
        checksum_value=value,
        checksum_type=kind if value else "",
        retention=retention,
        # Part checksums are shown only for an upload that asked for checksums.
        parts=tuple(
            PartInfo(part.number, part.size, part.checksum_value if attributes.checksum_algorithm else "")
            for part in parts
        ),
    )


def _demand_checksum(request: S3Request, algorithm: str, kind: str, value: str) -> None:
    """Compares what the completion says of the whole object's checksum."""
    headers = request.headers
    asked = headers.get("x-amz-checksum-type")
    if asked is not None and asked.upper() != kind:
        raise S3Error(
            "InvalidRequest",
            f"The upload was created using the {kind} checksum mode. The complete request must use the same "
            "checksum mode.",
        )
    given = headers.get(checksums.HEADERS[algorithm])
    if given is None or not value:
        return
    if given.partition("-")[0] != value.partition("-")[0]:
        raise checksums.mismatch(algorithm.lower())


def _completion_error(request: S3Request, refusal: Refusal) -> S3Error | Refusal:
    if refusal.code == "multipart.unknown":
        return no_such_upload(request)
    if refusal.code == "part.unknown":
        return S3Error("InvalidPart", _NO_PART)
    if refusal.code == "object.unknown":
        return S3Error("NoSuchKey", Key=request.object_key)
    return refusal


async def _completed_before(
    door: Door, request: S3Request, multipart: Multipart, chosen: Sequence[Chosen]
) -> S3Response:
    """Completed already: the same answer to the same parts, as long as what they became is there."""
    try:
        version: Version | None = await door.multiparts.completed(multipart)
    except Refusal as refusal:
        raise _completion_error(request, refusal) from refusal
    same = version is not None and version.etag == checksums.multipart_etag([one.etag for one in chosen])
    if version is None or not same or version.state == "trashed":
        raise no_such_upload(request)
    return _completed(door, request, version)


def _completed(door: Door, request: S3Request, version: Version) -> S3Response:
    attributes = version.parsed
    name, key = request.bucket.name, request.object_key
    scheme = "https" if request.secure else "http"
    folder = f"/{name}" if Hosts(door.domains).place(request.host).bucket is None else ""
    location = f"{scheme}://{request.host}{folder}/{listings.url(key)}"
    checksum = ""
    if attributes.checksum_value:
        checksum = element(
            checksums.ELEMENTS[attributes.checksum_algorithm], attributes.checksum_value
        ) + element("ChecksumType", checksums.shown_type(attributes))
    content = document(
        "CompleteMultipartUploadResult",
        element("Location", location),
        element("Bucket", name),
        element("Key", key),
        etag(version.etag),
        checksum,
    )
    headers = [showing.XML, *showing.written_headers(door, request.bucket, version, attributes)]
    return S3Response(headers=headers, content=content, object_size=version.size)


HANDLERS: Final[dict[str, Handler]] = {
    "CreateMultipartUpload": create_multipart_upload,
    "UploadPart": upload_part,
    "ListParts": list_parts,
    "ListMultipartUploads": list_multipart_uploads,
    "CompleteMultipartUpload": complete_multipart_upload,
    "AbortMultipartUpload": abort_multipart_upload,
}
