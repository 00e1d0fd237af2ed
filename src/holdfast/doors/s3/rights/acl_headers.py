"""Access control lists as request headers give them: a canned list, or grants one by one.

Used wherever something is made (buckets, objects, copies, multipart uploads) and where a list is replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, cast

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.rights.access import lists_off
from holdfast.files.attributes import Acl, Grant
from holdfast.files.bucket_settings import BucketSettings
from holdfast.tenants import acls
from holdfast.tenants.acls import Group, Permission
from holdfast.tenants.names import canonical_id_of

if TYPE_CHECKING:
    from holdfast.doors.s3.door import Door
    from holdfast.doors.s3.request import S3Request
    from holdfast.tenants.people import People

CANNED_HEADER: Final = "x-amz-acl"
OWNERSHIP_HEADER: Final = "x-amz-object-ownership"

GRANT_HEADERS: Final[dict[str, Permission]] = {
    "x-amz-grant-full-control": "FULL_CONTROL",
    "x-amz-grant-read": "READ",
    "x-amz-grant-read-acp": "READ_ACP",
    "x-amz-grant-write": "WRITE",
    "x-amz-grant-write-acp": "WRITE_ACP",
}

GROUP_URIS: Final[dict[str, Group]] = {
    "http://acs.amazonaws.com/groups/global/AllUsers": "AllUsers",
    "http://acs.amazonaws.com/groups/global/AuthenticatedUsers": "AuthenticatedUsers",
    "http://acs.amazonaws.com/groups/s3/LogDelivery": "LogDelivery",
}
URI_OF: Final = {group: uri for uri, group in GROUP_URIS.items()}


Ownership = Literal["", "BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"]
OWNERSHIPS: Final = frozenset({"BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"})


class Owner(NamedTuple):
    """Who owns a bucket or an object."""

    canonical_id: str
    display_name: str


async def acl_from_headers(door: Door, request: S3Request, *, bucket: bool = False) -> Acl | None:
    """The list that something new gets, by the headers of the request; None: its owner alone, the bucket's.

    For objects (the default) the bucket's ownership setting decides who owns what is written, and whether
    lists may be given at all; giving one needs the right to. For a new bucket (`bucket`), the ownership
    header of the same request does.

    Raises:
        S3Error: InvalidRequest, InvalidArgument, UnresolvableGrantByEmailAddress,
            AccessControlListNotSupported, InvalidBucketAclWithObjectOwnership, or AccessDenied for public
            lists where they are blocked.
    """
    if bucket:
        return await _of_new_bucket(door, request)
    record = request.bucket
    settings = record.parsed
    headers = request.headers
    given = CANNED_HEADER in headers or any(name in headers for name in GRANT_HEADERS)
    owns = not request.identity.anonymous and request.identity.tenant_id == record.tenant
    if not given and (owns or lists_off(settings)):
        return None
    owner = await _owner_of_written(door.people, request, settings)
    bucket_owner = canonical_id_of(record.tenant)
    if not given:
        return None if owner.canonical_id == bucket_owner else _of(owner, [_full(owner)])
    request.access.demand("s3:PutObjectAcl", request.key, fresh=True)
    acl = await parse_acl_headers(door.people, headers, owner, bucket_owner)
    check_acl_allowed(settings, acl, bucket_owner)
    return None if _says_nothing(acl, bucket_owner) else acl


async def _of_new_bucket(door: Door, request: S3Request) -> Acl | None:
    headers = request.headers
    if CANNED_HEADER not in headers and not any(name in headers for name in GRANT_HEADERS):
        return None
    request.access.demand("s3:PutBucketAcl")
    owner = owner_of_request(request)
    acl = await parse_acl_headers(door.people, headers, owner, owner.canonical_id)
    if acls.is_owners_alone(acl, owner.canonical_id):
        return None
    if ownership_of_new_bucket(door, headers) == "BucketOwnerEnforced":
        raise S3Error("InvalidBucketAclWithObjectOwnership")
    return acl


def ownership_of_new_bucket(door: Door, headers: Mapping[str, str]) -> Ownership:
    """What a new bucket's ownership setting is; empty for ObjectWriter, unless that is asked for.

    Raises S3Error("InvalidArgument").
    """
    asked = headers.get(OWNERSHIP_HEADER)
    if asked is None:
        default = door.default_ownership
        return cast("Ownership", "" if default == "ObjectWriter" else default)
    if asked not in OWNERSHIPS:
        raise S3Error(
            "InvalidArgument",
            "Invalid x-amz-object-ownership header: " + asked[:80],
            ArgumentName=OWNERSHIP_HEADER,
            ArgumentValue=asked[:80],
        )
    return cast("Ownership", asked)


def owner_of_request(request: S3Request) -> Owner:
    """The one who asks, as an owner."""
    return Owner(request.identity.canonical_id, request.identity.display_name)


async def bucket_owner(people: People, request: S3Request) -> Owner:
    """The owner of the request's bucket."""
    tenant_id = request.bucket.tenant
    if request.identity.tenant_id == tenant_id:
        return owner_of_request(request)
    tenant = await people.remembered(tenant_id)
    return Owner(tenant.canonical_id, tenant.display_name)


async def _owner_of_written(people: People, request: S3Request, settings: BucketSettings) -> Owner:
    """Who will own the object that the request writes; what nobody signed for is the bucket owner's."""
    preferred = (
        settings.ownership == "BucketOwnerPreferred"
        and request.headers.get(CANNED_HEADER) == "bucket-owner-full-control"
    )
    if request.identity.anonymous or preferred or lists_off(settings):
        return await bucket_owner(people, request)
    return owner_of_request(request)


async def parse_acl_headers(
    people: People, headers: Mapping[str, str], owner: Owner, bucket_owner_id: str
) -> Acl:
    """The list that the headers give to something of this owner; with none of them, the private one.

    Raises S3Error: InvalidRequest, InvalidArgument, UnresolvableGrantByEmailAddress.
    """
    name = headers.get(CANNED_HEADER)
    given = [header for header in GRANT_HEADERS if header in headers]
    if name is not None:
        if given:
            raise S3Error("InvalidRequest", "Specifying both Canned ACLs and Header Grants is not allowed")
        entries = acls.canned(name, owner.canonical_id, bucket_owner_id)
        if entries is None:
            raise S3Error("InvalidArgument", ArgumentName=CANNED_HEADER, ArgumentValue=name[:80])
        return await _of_entries(people, owner, entries)
    if not given:
        return _of(owner, [_full(owner)])
    grants: list[Grant] = []
    for header in given:
        grants += await _granted_by(people, header, headers[header])
    if len(grants) > acls.GRANTS_MAX:
        raise S3Error("InvalidRequest", f"An access control list has at most {acls.GRANTS_MAX} grants.")
    return _of(owner, grants)


async def _of_entries(people: People, owner: Owner, entries: tuple[acls.Entry, ...]) -> Acl:
    grants = []
    for entry in entries:
        shown = owner.display_name if entry.canonical_id == owner.canonical_id else ""
        if entry.canonical_id and not shown:
            found = await people.with_canonical_id(entry.canonical_id)
            shown = found.display_name if found else ""
        grants.append(
            Grant(
                permission=entry.permission,
                canonical_id=entry.canonical_id,
                display_name=shown,
                group=entry.group,
            )
        )
    return _of(owner, grants)


async def _granted_by(people: People, header: str, value: str) -> list[Grant]:
    """The grants of one header: `id="...", uri="...", emailAddress="..."`, in any order and number."""
    grants = []
    for part in value.split(","):
        kind, equals, name = part.strip().partition("=")
        name = name.strip().strip("\"'")
        if not equals or not name:
            raise S3Error("InvalidArgument", "Argument format not recognized", ArgumentName=header)
        grants.append(await grant_to(people, GRANT_HEADERS[header], kind.strip().lower(), name))
    return grants


async def grant_to(people: People, permission: Permission, kind: str, name: str) -> Grant:
    """A grant to an "id", a "uri" or an "emailaddress"; raises S3Error if nobody is called that."""
    if kind == "uri":
        group = GROUP_URIS.get(name)
        if group is None:
            raise S3Error(
                "InvalidArgument", "Invalid group uri", ArgumentName="uri", ArgumentValue=name[:200]
            )
        return Grant(permission=permission, group=group)
    if kind == "id":
        found = await people.with_canonical_id(name)
        if found is None:
            raise S3Error(
                "InvalidArgument", "Invalid id", ArgumentName="CanonicalUser/ID", ArgumentValue=name[:200]
            )
    elif kind == "emailaddress":
        having = await people.with_email(name)
        if len(having) != 1:
            code = "AmbiguousGrantByEmailAddress" if having else "UnresolvableGrantByEmailAddress"
            raise S3Error(code, ArgumentName="emailAddress", ArgumentValue=name[:200])
        found = having[0]
    else:
        raise S3Error("InvalidArgument", "Argument format not recognized", ArgumentName=kind[:80])
    return Grant(permission=permission, canonical_id=found.canonical_id, display_name=found.display_name)


def _nobody(message: str, argument: str, value: str) -> S3Error:
    return S3Error("InvalidArgument", message, ArgumentName=argument, ArgumentValue=value[:200])


def check_acl_allowed(settings: BucketSettings, acl: Acl, bucket_owner_id: str) -> None:
    """Raises S3Error where the bucket's settings forbid giving this list to it or to an object in it."""
    if lists_off(settings):
        if not acls.is_owners_alone(acl, bucket_owner_id):
            raise S3Error("AccessControlListNotSupported")
        return
    block = settings.public_access_block
    if block is not None and block.block_acls and acls.is_public(acl):
        raise S3Error("AccessDenied", "Access Denied: public access control lists are blocked.")


def _full(owner: Owner) -> Grant:
    return Grant(permission="FULL_CONTROL", canonical_id=owner.canonical_id, display_name=owner.display_name)


def _of(owner: Owner, grants: list[Grant]) -> Acl:
    return Acl(owner_id=owner.canonical_id, owner_name=owner.display_name, grants=tuple(grants))


def _says_nothing(acl: Acl, bucket_owner_id: str) -> bool:
    """Whether the list is what an object of the bucket's owner has without one."""
    return (
        acl.owner_id == bucket_owner_id and len(acl.grants) > 0 and acls.is_owners_alone(acl, bucket_owner_id)
    )
