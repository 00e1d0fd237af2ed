"""Bucket policies: put, shown, removed, and whether the bucket is public."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.request import S3Response
from holdfast.doors.s3.rights.access import lists_off
from holdfast.doors.s3.settings.settings_documents import gone, save, shown
from holdfast.doors.s3.wire.xml_writing import truth
from holdfast.tenants import acls
from holdfast.tenants.policies import BYTES_MAX, Policy, policy_of, read_policy
from holdfast.world.errors import Refusal

if TYPE_CHECKING:
    from holdfast.doors.s3.door import Door
    from holdfast.doors.s3.request import Handler, S3Request
    from holdfast.files.bucket_settings import BucketSettings
    from holdfast.files.records import Bucket

CONFIRM_HEADER: Final = "x-amz-confirm-remove-self-bucket-access"

_BODY_BYTES_MAX: Final = 2 * BYTES_MAX


async def get_bucket_policy(_door: Door, request: S3Request) -> S3Response:
    """GET ?policy: the text as it was put."""
    _demand(request, "s3:GetBucketPolicy")
    policy = request.bucket.parsed.policy
    if not policy:
        raise S3Error("NoSuchBucketPolicy", BucketName=request.bucket.name)
    return S3Response(headers=[("Content-Type", "application/json")], content=policy.encode())


async def put_bucket_policy(door: Door, request: S3Request) -> S3Response:
    """PUT ?policy. A caller who confirms it may take the right to change the policy from itself, for good."""
    _demand(request, "s3:PutBucketPolicy")
    body = await request.body.document(_BODY_BYTES_MAX)
    policy = _read(body, request.bucket.name)
    text = body.decode()
    binds_root = request.headers.get(CONFIRM_HEADER, "").lower() == "true"

    def change(_bucket: Bucket, settings: BucketSettings) -> BucketSettings:
        block = settings.public_access_block
        if block is not None and block.block_policy and policy.is_public:
            raise S3Error("AccessDenied", "Access Denied: public policies are blocked.")
        return msgspec.structs.replace(settings, policy=text, policy_binds_root=binds_root)

    await door.buckets.change(request.bucket.id, change)
    return S3Response(status=204)


def _demand(request: S3Request, action: str) -> None:
    """Policies are the affair of the bucket owner's account, whatever they allow to others."""
    request.access.demand(action)
    if not request.access.is_owner:
        raise S3Error("MethodNotAllowed", Method=request.method, ResourceType="BUCKETPOLICY")


def _read(body: bytes, bucket: str) -> Policy:
    try:
        return read_policy(body, bucket)
    except Refusal as refusal:
        raise S3Error("MalformedPolicy", refusal.message) from refusal


async def delete_bucket_policy(door: Door, request: S3Request) -> S3Response:
    """DELETE ?policy."""
    _demand(request, "s3:DeleteBucketPolicy")
    if request.bucket.parsed.policy:
        await save(door, request, policy="", policy_binds_root=False)
    return gone()


async def get_bucket_policy_status(_door: Door, request: S3Request) -> S3Response:
    """GET ?policyStatus: whether the bucket is public, by its policy or by its access control list."""
    request.access.demand("s3:GetBucketPolicyStatus")
    return shown("PolicyStatus", truth("IsPublic", _is_public(request.bucket.parsed)))


def _is_public(settings: BucketSettings) -> bool:
    block = settings.public_access_block
    by_policy = (
        bool(settings.policy)
        and not (block is not None and block.restrict)
        and policy_of(settings.policy).is_public
    )
    ignored = lists_off(settings) or (block is not None and block.ignore_acls)
    return by_policy or (not ignored and acls.is_public(settings.acl))


HANDLERS: Final[dict[str, Handler]] = {
    "DeleteBucketPolicy": delete_bucket_policy,
    "GetBucketPolicy": get_bucket_policy,
    "GetBucketPolicyStatus": get_bucket_policy_status,
    "PutBucketPolicy": put_bucket_policy,
}
