"""Access control lists: what canned ones grant, which requests a grant covers, who counts as meant.

Pure. A list is any object with an owner and grants (`files.attributes.Acl`); a grant names one canonical id
or one group. An owner is not asked for a grant; that is the judge's affair (`judging`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, Protocol

Permission = Literal["FULL_CONTROL", "READ", "WRITE", "READ_ACP", "WRITE_ACP"]
Group = Literal["", "AllUsers", "AuthenticatedUsers", "LogDelivery"]

GRANTS_MAX: Final = 100


class Granted(Protocol):
    """One grant: a permission, and either a canonical id or a group."""

    @property
    def permission(self) -> str: ...
    @property
    def canonical_id(self) -> str: ...
    @property
    def group(self) -> str: ...


class AccessList(Protocol):
    """An access control list as the judge reads it."""

    @property
    def owner_id(self) -> str: ...
    @property
    def grants(self) -> Sequence[Granted]: ...


class Entry(NamedTuple):
    """A grant in the making."""

    permission: Permission
    canonical_id: str = ""
    group: Group = ""


CANNED: Final[dict[str, tuple[tuple[Permission, Group], ...]]] = {
    "private": (),
    "public-read": (("READ", "AllUsers"),),
    "public-read-write": (("READ", "AllUsers"), ("WRITE", "AllUsers")),
    "authenticated-read": (("READ", "AuthenticatedUsers"),),
    "bucket-owner-read": (),
    "bucket-owner-full-control": (),
    "log-delivery-write": (("WRITE", "LogDelivery"), ("READ_ACP", "LogDelivery")),
    "aws-exec-read": (),
}
"""The groups that a canned list grants something to, besides its owner, who has full control."""

BUCKET_OWNER_GETS: Final[dict[str, Permission]] = {
    "bucket-owner-read": "READ",
    "bucket-owner-full-control": "FULL_CONTROL",
}
"""What a canned list of an object grants to the owner of the bucket."""

PUBLIC_GROUPS: Final = frozenset({"AllUsers", "AuthenticatedUsers"})

ON_BUCKET: Final[dict[str, Permission]] = {
    "s3:ListBucket": "READ",
    "s3:ListBucketVersions": "READ",
    "s3:ListBucketMultipartUploads": "READ",
    "s3:PutObject": "WRITE",
    "s3:DeleteObject": "WRITE",
    "s3:AbortMultipartUpload": "WRITE",
    "s3:ListMultipartUploadParts": "WRITE",
    "s3:GetBucketAcl": "READ_ACP",
    "s3:PutBucketAcl": "WRITE_ACP",
}
"""The permission in a bucket's list that covers an action."""

ON_OBJECT: Final[dict[str, Permission]] = {
    "s3:GetObject": "READ",
    "s3:GetObjectVersion": "READ",
    "s3:GetObjectAttributes": "READ",
    "s3:GetObjectVersionAttributes": "READ",
    "s3:GetObjectAcl": "READ_ACP",
    "s3:GetObjectVersionAcl": "READ_ACP",
    "s3:PutObjectAcl": "WRITE_ACP",
    "s3:PutObjectVersionAcl": "WRITE_ACP",
}
"""The permission in an object's list that covers an action."""


def canned(name: str, owner_id: str, bucket_owner_id: str) -> tuple[Entry, ...] | None:
    """The grants of a canned list for something of this owner; None if there is no such list."""
    groups = CANNED.get(name)
    if groups is None:
        return None
    entries = [Entry("FULL_CONTROL", owner_id)]
    entries += [Entry(permission, "", group) for permission, group in groups]
    theirs = BUCKET_OWNER_GETS.get(name)
    if theirs is not None and bucket_owner_id != owner_id:
        entries.append(Entry(theirs, bucket_owner_id))
    return tuple(entries)


def grants(
    acl: AccessList, permission: str, canonical_id: str, *, anonymous: bool, ignore_public: bool = False
) -> bool:
    """Whether a grant of the list gives `permission` to whoever has this canonical id, or to nobody known.

    With `ignore_public`, grants to everybody and to everybody who signs count for nothing.
    """
    for grant in acl.grants:
        if grant.permission not in {permission, "FULL_CONTROL"}:
            continue
        group = grant.group
        if not group:
            if not anonymous and grant.canonical_id == canonical_id:
                return True
        elif not ignore_public and (group == "AllUsers" or (group == "AuthenticatedUsers" and not anonymous)):
            return True
    return False


def is_public(acl: AccessList | None) -> bool:
    """Whether the list grants anything to everybody, or to everybody who signs."""
    return acl is not None and any(grant.group in PUBLIC_GROUPS for grant in acl.grants)


def is_owners_alone(acl: AccessList, owner_id: str) -> bool:
    """Whether the list says no more than that this owner has full control: what it is without any list.

    Such a list may be given even where lists are switched off.
    """
    return all(
        grant.permission == "FULL_CONTROL" and not grant.group and grant.canonical_id == owner_id
        for grant in acl.grants
    )
