"""Ownership controls of a bucket: who owns what others write into it, and whether lists count at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import msgspec

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.rights.acl_headers import OWNERSHIPS, Ownership
from holdfast.doors.s3.settings.settings_documents import (
    choice,
    done,
    expect,
    gone,
    need_leaf,
    save,
    sent,
    shown,
)
from holdfast.doors.s3.wire.xml_reading import Node
from holdfast.doors.s3.wire.xml_writing import element, group
from holdfast.tenants import acls
from holdfast.tenants.names import canonical_id_of

if TYPE_CHECKING:
    from holdfast.doors.s3.door import Door
    from holdfast.doors.s3.request import Handler, S3Request, S3Response
    from holdfast.files.bucket_settings import BucketSettings
    from holdfast.files.records import Bucket


def read_ownership(root: Node) -> Ownership:
    """The setting of an `<OwnershipControls>`, which has exactly one rule."""
    expect(root, one="Rule")
    rule = root.need("Rule")
    expect(rule, one="ObjectOwnership")
    return cast("Ownership", choice(need_leaf(rule, "ObjectOwnership"), *sorted(OWNERSHIPS)))


async def get_bucket_ownership_controls(_door: Door, request: S3Request) -> S3Response:
    """GET ?ownershipControls."""
    request.access.demand("s3:GetBucketOwnershipControls")
    ownership = request.bucket.parsed.ownership
    if not ownership:
        raise S3Error("OwnershipControlsNotFoundError", BucketName=request.bucket.name)
    return shown("OwnershipControls", group("Rule", element("ObjectOwnership", ownership)))


async def put_bucket_ownership_controls(door: Door, request: S3Request) -> S3Response:
    """PUT ?ownershipControls. Lists are only switched off while the bucket's own shares nothing."""
    request.access.demand("s3:PutBucketOwnershipControls")
    ownership = read_ownership(await sent(request, "OwnershipControls"))

    def change(bucket: Bucket, settings: BucketSettings) -> BucketSettings:
        acl = settings.acl
        shared = acl is not None and not acls.is_owners_alone(acl, canonical_id_of(bucket.tenant))
        if ownership == "BucketOwnerEnforced" and shared:
            raise S3Error("InvalidBucketAclWithObjectOwnership")
        return msgspec.structs.replace(settings, ownership=ownership)

    await door.buckets.change(request.bucket.id, change)
    return done()


async def delete_bucket_ownership_controls(door: Door, request: S3Request) -> S3Response:
    """DELETE ?ownershipControls."""
    request.access.demand("s3:PutBucketOwnershipControls")
    if request.bucket.parsed.ownership:
        await save(door, request, ownership="")
    return gone()


HANDLERS: Final[dict[str, Handler]] = {
    "DeleteBucketOwnershipControls": delete_bucket_ownership_controls,
    "GetBucketOwnershipControls": get_bucket_ownership_controls,
    "PutBucketOwnershipControls": put_bucket_ownership_controls,
}
