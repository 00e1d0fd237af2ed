"""ListObjects, ListObjectsV2, ListObjectVersions.

Pages of a thousand are the most frequent large answer, so an entry is one formatted string and is decoded
no further than it shows. Continuation tokens are the marker in base64: opaque, and still good after a
restart. Keys are ordered by their bytes of UTF-8, by the store.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

import msgspec

from holdfast.doors.s3.contents.reading import wanted_version
from holdfast.doors.s3.contents.showing import XML
from holdfast.doors.s3.contents.storage_classes import STANDARD
from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.request import S3Response
from holdfast.doors.s3.wire.xml_writing import HEAD, NAMESPACE, element, escape, optional, time_text, truth
from holdfast.files.attributes import Acl
from holdfast.tenants.names import canonical_id_of
from holdfast.world.errors import Refusal

if TYPE_CHECKING:
    from holdfast.doors.s3.door import Door
    from holdfast.doors.s3.request import Handler, S3Request
    from holdfast.files.records import Bucket, KeyPage, Listed, VersionPage

ROWS_MAX: Final = 1000
_INT_MAX: Final = 2**31 - 1
_TOKEN_MARK: Final = b"1"
"""Which form of token it is, should there ever be another."""

Encode = Callable[[str], str]


class Shown(msgspec.Struct, frozen=True):
    """The attributes that a listing shows; a version's others are skipped unread."""

    storage_class: str = ""
    checksum_algorithm: str = ""
    checksum_type: str = ""
    acl: Acl | None = None
    restored_until: int = 0
    restoring: bool = False


_decoder: Final = msgspec.msgpack.Decoder(Shown)
_NATIVE: Final = Shown(checksum_algorithm="CRC64NVME", checksum_type="FULL_OBJECT")
_MARKER: Final = Shown()


class Asked(NamedTuple):
    """What every listing is asked: `encode` writes names as the caller wants them."""

    prefix: str
    delimiter: str
    limit: int
    encode: Encode
    encoding: str

    @property
    def echo(self) -> str:
        """What is repeated of it in the answer."""
        return (
            f"<Prefix>{self.encode(self.prefix)}</Prefix>"
            + (f"<Delimiter>{self.encode(self.delimiter)}</Delimiter>" if self.delimiter else "")
            + (f"<EncodingType>{self.encoding}</EncodingType>" if self.encoding else "")
        )


def asked(request: S3Request, limit_name: str = "max-keys", rows_max: int = ROWS_MAX) -> Asked:
    """The parts of a query that all listings share; raises S3Error InvalidArgument."""
    query = request.query
    encoding = query.get("encoding-type", "")
    if encoding and encoding.lower() != "url":
        raise invalid("encoding-type", encoding, "Invalid Encoding Method specified in Request")
    return Asked(
        prefix=query.get("prefix", ""),
        delimiter=query.get("delimiter", ""),
        limit=min(asked_number(query.get(limit_name), limit_name, rows_max), rows_max),
        encode=url if encoding else escape,
        encoding=encoding.lower(),
    )


def asked_number(text: str | None, name: str, default: int) -> int:
    """A number of a query, `default` for none; raises S3Error InvalidArgument for no number from 0 up."""
    if text is None or text == "":
        return default
    digits = text[1:] if text[0] in "+-" else text
    if not (digits.isascii() and digits.isdigit()):
        raise invalid(name, text, f"Provided {name} not an integer or within integer range")
    number = int(text) if len(digits) < 12 else _INT_MAX + 1  # noqa: PLR2004 - more digits than an int has
    if not 0 <= number <= _INT_MAX:
        raise invalid(name, text, f"Argument {name} must be an integer between 0 and {_INT_MAX}")
    return number


def invalid(name: str, value: str, message: str) -> S3Error:
    """An argument of the query that cannot be."""
    return S3Error("InvalidArgument", message, ArgumentName=name, ArgumentValue=value)


def url(name: str) -> str:
    """A name in the encoding that `encoding-type=url` asks for: percent signs, the slash as it is."""
    return quote(name, "/", "utf-8", "surrogatepass")


def to_token(marker: str) -> str:
    """A continuation token that goes on after the marker."""
    return base64.urlsafe_b64encode(_TOKEN_MARK + marker.encode("utf-8", "surrogatepass")).decode()


def from_token(token: str) -> str:
    """The marker of a continuation token; raises S3Error InvalidArgument for what is none of ours."""
    try:
        decoded = base64.b64decode(token.encode(), b"-_", validate=True)
        if decoded.startswith(_TOKEN_MARK):
            return decoded[1:].decode("utf-8", "surrogatepass")
    except (binascii.Error, ValueError):
        pass
    raise invalid("continuation-token", token, "The continuation token provided is incorrect")


async def list_objects(door: Door, request: S3Request) -> S3Response:
    """GET of a bucket, the first form: paged by markers."""
    wish = asked(request)
    marker = request.query.get("marker", "")
    page: KeyPage = await door.histories.list(
        request.bucket, wish.prefix, wish.delimiter, marker or None, wish.limit
    )
    further = page.after is not None and wish.limit > 0
    told = [
        element("Name", request.bucket.name),
        f"<Marker>{wish.encode(marker)}</Marker>",
        element("MaxKeys", wish.limit),
        wish.echo,
        truth("IsTruncated", further),
    ]
    if further and wish.delimiter:
        told.append(f"<NextMarker>{wish.encode(page.after or '')}</NextMarker>")
    owner = owner_line(await owner_of(door, request), "Owner")
    told.append(contents(page.rows, wish.encode, owner, restores=_restores_asked(request)))
    told.append(common_prefixes(page.prefixes, wish.encode))
    return answer("ListBucketResult", told)


async def list_objects_v2(door: Door, request: S3Request) -> S3Response:
    """GET of a bucket, the second form: paged by opaque tokens."""
    wish, query = asked(request), request.query
    token, start = query.get("continuation-token"), query.get("start-after", "")
    if token == "":
        raise invalid("continuation-token", "", "The continuation token provided is incorrect")
    after = start if token is None else from_token(token)
    page: KeyPage = await door.histories.list(
        request.bucket, wish.prefix, wish.delimiter, after or None, wish.limit
    )
    further = page.after is not None and wish.limit > 0
    told = [
        element("Name", request.bucket.name),
        wish.echo,
        element("MaxKeys", wish.limit),
        element("KeyCount", len(page.rows) + len(page.prefixes)),
        truth("IsTruncated", further),
        "" if token is None else element("ContinuationToken", token),
        element("NextContinuationToken", to_token(page.after or "")) if further else "",
        f"<StartAfter>{wish.encode(start)}</StartAfter>" if start else "",
    ]
    owner = ""
    if query.get("fetch-owner", "").lower() == "true":
        owner = owner_line(await owner_of(door, request), "Owner")
    told.append(contents(page.rows, wish.encode, owner, restores=_restores_asked(request)))
    told.append(common_prefixes(page.prefixes, wish.encode))
    return answer("ListBucketResult", told)


async def list_object_versions(door: Door, request: S3Request) -> S3Response:
    """GET ?versions of a bucket: every version and delete marker, newest first within a key."""
    wish, query = asked(request), request.query
    key_marker, version_marker = query.get("key-marker", ""), query.get("version-id-marker")
    if version_marker is not None:
        wanted_version(version_marker)
        if not key_marker:
            raise invalid(
                "version-id-marker",
                version_marker,
                "A version-id marker cannot be specified without a key marker.",
            )
    page = await _versions_after(door, request.bucket, wish, key_marker, version_marker)
    further = page.next_key is not None and wish.limit > 0
    told = [
        element("Name", request.bucket.name),
        f"<KeyMarker>{wish.encode(key_marker)}</KeyMarker>",
        f"<VersionIdMarker>{escape(version_marker or '')}</VersionIdMarker>",
        element("MaxKeys", wish.limit),
        wish.echo,
        truth("IsTruncated", further),
    ]
    if further:
        told.append(f"<NextKeyMarker>{wish.encode(page.next_key or '')}</NextKeyMarker>")
        told.append(optional("NextVersionIdMarker", page.next_version))
    owner = owner_line(await owner_of(door, request), "Owner")
    told.append(versions(page.rows, wish.encode, owner, restores=_restores_asked(request)))
    told.append(common_prefixes(page.prefixes, wish.encode))
    return answer("ListVersionsResult", told)


async def _versions_after(
    door: Door, record: Bucket, wish: Asked, key_marker: str, version_marker: str | None
) -> VersionPage:
    """The page after a version; a version that the key never had stands for all of the key's."""
    asked_for = (record, wish.prefix, wish.delimiter, key_marker or None)
    try:
        page: VersionPage = await door.histories.list_versions(*asked_for, version_marker, wish.limit)
    except Refusal as refusal:
        if refusal.code != "request.invalid":
            raise
        page = await door.histories.list_versions(*asked_for, None, wish.limit)
    return page


def _restores_asked(request: S3Request) -> bool:
    return "RestoreStatus" in request.headers.get("x-amz-optional-object-attributes", "")


# --- entries -----------------------------------------------------------------------------------------------


def shown_of(row: Listed) -> Shown:
    """What a listing shows of a row's attributes."""
    if row.attributes:
        return _decoder.decode(row.attributes)
    return _MARKER if row.marker else _NATIVE


def contents(rows: Sequence[Listed], encode: Encode, owner: str, *, restores: bool = False) -> str:
    """`<Contents>` of each row; `owner` is the element to show, or nothing."""
    lines: list[str] = []
    for row in rows:
        shown = shown_of(row)
        lines.append(
            f"<Contents><Key>{encode(row.key.decode())}</Key>"
            f"<LastModified>{time_text(row.modified)}</LastModified>"
            f"<ETag>&quot;{row.etag}&quot;</ETag>{_checksum(shown)}"
            f"<Size>{row.size}</Size>"
            f"{_owner(shown, owner) if owner else ''}"
            f"<StorageClass>{shown.storage_class or STANDARD}</StorageClass>"
            f"{_restore(shown) if restores else ''}</Contents>"
        )
    return "".join(lines)


def versions(rows: Sequence[Listed], encode: Encode, owner: str, *, restores: bool = False) -> str:
    """`<Version>` or `<DeleteMarker>` of each row."""
    lines: list[str] = []
    for row in rows:
        shown = shown_of(row)
        name = "DeleteMarker" if row.marker else "Version"
        data = ""
        if not row.marker:
            data = (
                f"<ETag>&quot;{row.etag}&quot;</ETag>{_checksum(shown)}<Size>{row.size}</Size>"
                f"<StorageClass>{shown.storage_class or STANDARD}</StorageClass>"
                f"{_restore(shown) if restores else ''}"
            )
        lines.append(
            f"<{name}><Key>{encode(row.key.decode())}</Key><VersionId>{row.s3_version_id}</VersionId>"
            f"<IsLatest>{'true' if row.latest else 'false'}</IsLatest>"
            f"<LastModified>{time_text(row.modified)}</LastModified>"
            f"{data}{_owner(shown, owner)}</{name}>"
        )
    return "".join(lines)


def common_prefixes(prefixes: Sequence[str], encode: Encode) -> str:
    """`<CommonPrefixes>` of each."""
    return "".join(
        [f"<CommonPrefixes><Prefix>{encode(prefix)}</Prefix></CommonPrefixes>" for prefix in prefixes]
    )


def answer(root: str, told: Sequence[str]) -> S3Response:
    """The document."""
    text = f'{HEAD}<{root} xmlns="{NAMESPACE}">{"".join(told)}</{root}>'
    return S3Response(headers=[XML], content=text.encode("utf-8", "replace"))


def _checksum(shown: Shown) -> str:
    if not shown.checksum_algorithm:
        return ""
    return (
        f"<ChecksumAlgorithm>{shown.checksum_algorithm}</ChecksumAlgorithm>"
        f"<ChecksumType>{shown.checksum_type or 'FULL_OBJECT'}</ChecksumType>"
    )


def _restore(shown: Shown) -> str:
    if shown.restoring:
        return "<RestoreStatus><IsRestoreInProgress>true</IsRestoreInProgress></RestoreStatus>"
    if not shown.restored_until:
        return ""
    until = time_text(shown.restored_until)
    return (
        "<RestoreStatus><IsRestoreInProgress>false</IsRestoreInProgress>"
        f"<RestoreExpiryDate>{until}</RestoreExpiryDate></RestoreStatus>"
    )


def _owner(shown: Shown, bucket_owner: str) -> str:
    acl = shown.acl
    return bucket_owner if acl is None else owner_line((acl.owner_id, acl.owner_name), "Owner")


def owner_line(owner: tuple[str, str], name: str) -> str:
    """An `<Owner>` (or another name)."""
    canonical_id, display_name = owner
    return f"<{name}>{element('ID', canonical_id)}{optional('DisplayName', display_name)}</{name}>"


async def owner_of(door: Door, request: S3Request) -> tuple[str, str]:
    """Canonical id and display name of who owns the bucket, and every object that names no other owner."""
    record, identity = request.bucket, request.identity
    if identity.tenant_id == record.tenant and not identity.anonymous:
        return identity.canonical_id, identity.display_name
    return canonical_id_of(record.tenant), await display_name_of(door, record)


async def display_name_of(door: Door, record: Bucket) -> str:
    """How the bucket's owner is called."""
    acl = record.parsed.acl
    if acl is not None and acl.owner_name:
        return acl.owner_name
    return (await door.people.find(record.tenant)).display_name


HANDLERS: Final[dict[str, Handler]] = {
    "ListObjects": list_objects,
    "ListObjectsV2": list_objects_v2,
    "ListObjectVersions": list_object_versions,
}
