"""Access control lists of buckets and objects: shown, and replaced by headers or by a document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

import msgspec

from holdfast.doors.s3.contents.named_version import named_version, version_header
from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.request import S3Response
from holdfast.doors.s3.rights.access import lists_off
from holdfast.doors.s3.rights.acl_headers import (
    CANNED_HEADER,
    GRANT_HEADERS,
    URI_OF,
    Owner,
    bucket_owner,
    check_acl_allowed,
    grant_to,
    parse_acl_headers,
)
from holdfast.doors.s3.settings.settings_documents import done, shown
from holdfast.doors.s3.settings.telling import told
from holdfast.doors.s3.wire.xml_reading import Node, parse
from holdfast.doors.s3.wire.xml_writing import XSI, element, group, optional
from holdfast.files.attributes import Acl, Attributes, Grant
from holdfast.tenants import acls
from holdfast.tenants.acls import Permission

if TYPE_CHECKING:
    from holdfast.doors.s3.door import Door
    from holdfast.doors.s3.request import Handler, S3Request
    from holdfast.files.bucket_settings import BucketSettings
    from holdfast.files.records import Bucket
    from holdfast.tenants.people import People

DOCUMENT_BYTES_MAX: Final = 200 * 1024

_PERMISSIONS: Final[dict[str, Permission]] = {name: name for name in GRANT_HEADERS.values()}
_KIND_OF_TYPE: Final = {"CanonicalUser": "id", "Group": "uri", "AmazonCustomerByEmail": "emailaddress"}
_ELEMENT_OF_KIND: Final = {"id": "ID", "uri": "URI", "emailaddress": "EmailAddress"}


async def get_bucket_acl(door: Door, request: S3Request) -> S3Response:
    """GET ?acl of a bucket."""
    request.access.demand("s3:GetBucketAcl")
    owner = await bucket_owner(door.people, request)
    return _shown(request.bucket.parsed, request.bucket.parsed.acl, owner)


async def put_bucket_acl(door: Door, request: S3Request) -> S3Response:
    """PUT ?acl of a bucket."""
    request.access.demand("s3:PutBucketAcl")
    owner = await bucket_owner(door.people, request)
    acl = await _given(door.people, request, owner, owner.canonical_id)

    def change(_bucket: Bucket, settings: BucketSettings) -> BucketSettings:
        check_acl_allowed(settings, acl, owner.canonical_id)
        return settings if lists_off(settings) else msgspec.structs.replace(settings, acl=acl)

    await door.buckets.change(request.bucket.id, change)
    return done()


async def get_object_acl(door: Door, request: S3Request) -> S3Response:
    """GET ?acl of an object, or of one version of it."""
    version = await named_version(door, request, "s3:GetObjectAcl", "s3:GetObjectVersionAcl")
    owner = await bucket_owner(door.people, request)
    answer = _shown(request.bucket.parsed, version.parsed.acl, owner)
    answer.headers += version_header(request.bucket, version)
    return answer


async def put_object_acl(door: Door, request: S3Request) -> S3Response:
    """PUT ?acl of an object, or of one version of it."""
    version = await named_version(door, request, "s3:PutObjectAcl", "s3:PutObjectVersionAcl")
    settings = request.bucket.parsed
    of_bucket = await bucket_owner(door.people, request)
    held = version.parsed.acl
    owner = of_bucket if held is None or lists_off(settings) else Owner(held.owner_id, held.owner_name)
    acl = await _given(door.people, request, owner, of_bucket.canonical_id)
    check_acl_allowed(settings, acl, of_bucket.canonical_id)
    if not lists_off(settings):

        def change(attributes: Attributes) -> Attributes:
            return msgspec.structs.replace(attributes, acl=acl)

        event, who = told(request, "s3:ObjectAcl:Put")
        await door.histories.change(request.bucket, version, change, event=event, who=who)
    return S3Response(headers=version_header(request.bucket, version))


# --- shown -----------------------------------------------------------------------------------------------


def _shown(settings: BucketSettings, acl: Acl | None, bucket_owner: Owner) -> S3Response:
    """The list, or the one that everything has without a list: its owner may do everything."""
    if acl is None or lists_off(settings):
        full = Grant(permission="FULL_CONTROL", canonical_id=bucket_owner.canonical_id)
        acl = Acl(owner_id=bucket_owner.canonical_id, owner_name=bucket_owner.display_name, grants=(full,))
    grants = "".join([_grant_element(grant, acl) for grant in acl.grants])
    return shown(
        "AccessControlPolicy",
        group("Owner", element("ID", acl.owner_id), optional("DisplayName", acl.owner_name)),
        group("AccessControlList", grants),
    )


def _grant_element(grant: Grant, acl: Acl) -> str:
    if grant.group:
        kind, inside = "Group", element("URI", URI_OF[grant.group])
    else:
        name = acl.owner_name if grant.canonical_id == acl.owner_id else grant.display_name
        kind, inside = "CanonicalUser", element("ID", grant.canonical_id) + optional("DisplayName", name)
    grantee = f'<Grantee xmlns:xsi="{XSI}" xsi:type="{kind}">{inside}</Grantee>'
    return group("Grant", grantee, element("Permission", grant.permission))


# --- given -----------------------------------------------------------------------------------------------


async def _given(people: People, request: S3Request, owner: Owner, bucket_owner_id: str) -> Acl:
    """The list that the request gives to something of this owner, in headers or in a document."""
    body = await request.body.document(DOCUMENT_BYTES_MAX)
    headers = request.headers
    if CANNED_HEADER in headers or any(name in headers for name in GRANT_HEADERS):
        if body:
            raise S3Error("UnexpectedContent")
        return await parse_acl_headers(people, headers, owner, bucket_owner_id)
    if not body:
        raise S3Error("MissingSecurityHeader", MissingHeaderName=CANNED_HEADER)
    return await read_acl(people, body, owner)


async def read_acl(people: People, body: bytes, owner: Owner) -> Acl:
    """An `<AccessControlPolicy>` for something of this owner.

    Raises S3Error: MalformedACLError; AccessDenied for another owner; InvalidArgument and
    UnresolvableGrantByEmailAddress for a grantee that nobody is.
    """
    try:
        root = parse(body, "AccessControlPolicy", DOCUMENT_BYTES_MAX)
    except S3Error as error:
        raise S3Error("MalformedACLError") from error
    named = root.find("Owner")
    owner_id = "" if named is None else named.text_of("ID").strip()
    listed = root.find("AccessControlList")
    if not owner_id or listed is None or any(child.name != "Grant" for child in listed.children):
        _malformed()
    if owner_id != owner.canonical_id:
        if await people.with_canonical_id(owner_id) is None:
            raise S3Error(
                "InvalidArgument", "Invalid id", ArgumentName="CanonicalUser/ID", ArgumentValue=owner_id[:200]
            )
        raise S3Error("AccessDenied", "Access Denied: an owner cannot be exchanged.")
    if len(listed.children) > acls.GRANTS_MAX:
        _malformed()
    grants = [await _read_grant(people, node) for node in listed.children]
    return Acl(owner_id=owner.canonical_id, owner_name=owner.display_name, grants=tuple(grants))


async def _read_grant(people: People, node: Node) -> Grant:
    grantee = node.find("Grantee")
    permission = _PERMISSIONS.get(node.text_of("Permission").strip())
    if grantee is None or permission is None:
        _malformed()
    kind = _KIND_OF_TYPE.get(grantee.xsi_type.rpartition(":")[2])
    if kind is None and not grantee.xsi_type:
        kind = next((each for each, name in _ELEMENT_OF_KIND.items() if grantee.find(name)), None)
    if kind is None:
        _malformed()
    name = grantee.text_of(_ELEMENT_OF_KIND[kind]).strip()
    if not name:
        _malformed()
    return await grant_to(people, permission, kind, name)


def _malformed() -> NoReturn:
    raise S3Error("MalformedACLError")


HANDLERS: Final[dict[str, Handler]] = {
    "GetBucketAcl": get_bucket_acl,
    "GetObjectAcl": get_object_acl,
    "PutBucketAcl": put_bucket_acl,
    "PutObjectAcl": put_object_acl,
}
