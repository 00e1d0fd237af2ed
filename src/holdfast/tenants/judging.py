"""The one judge of S3 requests: key permit, bucket policy, access control lists, public access block, owners.

Pure. In this order, as S3 has it:

    1. The access key's permit must allow the action: it only ever narrows.
    2. Without a bucket (listing one's buckets, making one) a signature is all that is needed.
    3. A policy statement that denies ends it, whoever asks; only the root of the bucket's owner can always
       see, replace and remove the policy, or nobody could mend a slip, unless it gave that up expressly.
    4. A policy statement that allows is enough, unless the policy is public and public policies are
       restricted to the owner's account, or the object is somebody else's.
    5. The owner may: of the bucket what concerns the bucket, writing and deleting in it included; of the
       object what concerns the object. Where lists are switched off the bucket's owner owns every object.
    6. A grant in the list of the bucket or the object, unless lists are off, or public grants ignored.
    7. Nothing else is allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from holdfast.tenants import acls
from holdfast.tenants.acls import AccessList
from holdfast.tenants.identity import Identity
from holdfast.tenants.permits import Verdict, allows_s3
from holdfast.tenants.policies import ALLOW, DENY, Policy

ROOT_ALWAYS: Final = frozenset({"s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"})
"""What no policy can take from the root of the bucket's owner."""

BUCKET_RULES: Final = frozenset(
    {
        "s3:AbortMultipartUpload",
        "s3:BypassGovernanceRetention",
        "s3:DeleteObject",
        "s3:DeleteObjectVersion",
        "s3:ListMultipartUploadParts",
        "s3:PutObject",
        "s3:ReplicateDelete",
        "s3:ReplicateObject",
        "s3:RestoreObject",
    }
)
"""Actions named after objects that are the bucket owner's to decide, whoever owns the object."""


class BucketFacts(NamedTuple):
    """What of a bucket matters here. `lists_off`: its owner owns every object, and lists do not count."""

    name: str
    tenant_id: str
    canonical_id: str
    account: str
    acl: AccessList | None = None
    policy: Policy | None = None
    policy_binds_root: bool = False
    lists_off: bool = False
    ignore_public_lists: bool = False
    restrict_public_policy: bool = False


class Asked(NamedTuple):
    """What is asked. `context` has the values of condition keys by lower-case name.

    `bucket` is None for actions about no bucket, or about one that is not there yet. `fresh` says that the
    object is the one that the request itself makes. `prefix` is what a listing is narrowed to, for access
    keys that may not see everything.
    """

    action: str
    bucket: BucketFacts | None
    bucket_name: str | None
    key: str | None
    object_acl: AccessList | None
    context: Mapping[str, str | list[str]]
    fresh: bool = False
    prefix: str | None = None


def judge(identity: Identity, asked: Asked) -> Verdict:
    """Whether the request is allowed, and why (not)."""
    bucket = asked.bucket
    named = asked.prefix if asked.key is None else asked.key
    narrowed = allows_s3(identity.permit, asked.action, asked.bucket_name, named)
    if not narrowed.allowed:
        return narrowed
    if bucket is None:
        if identity.anonymous:
            return Verdict(False, "the request is not signed")
        return Verdict(True, "the tenant's own")
    owner = not identity.anonymous and identity.tenant_id == bucket.tenant_id
    root = owner and not identity.user_name
    if root and asked.action in ROOT_ALWAYS and not bucket.policy_binds_root:
        return Verdict(True, "the bucket's owner always may")
    return _ruled(identity, asked, bucket, owner=owner)


def _ruled(identity: Identity, asked: Asked, bucket: BucketFacts, *, owner: bool) -> Verdict:
    """The rules from the policy on."""
    concerns_object = asked.key is not None and asked.action not in BUCKET_RULES
    object_owner = bucket.canonical_id
    if concerns_object and not bucket.lists_off and asked.object_acl is not None:
        object_owner = asked.object_acl.owner_id
    policy = bucket.policy
    if policy is not None:
        said = policy.judge(identity, asked.action, bucket.name, asked.key, bucket.account, asked.context)
        if said == DENY:
            return Verdict(False, "a statement of the bucket's policy denies it")
        restricted = not owner and bucket.restrict_public_policy and policy.is_public
        if said == ALLOW and not restricted and object_owner == bucket.canonical_id:
            return Verdict(True, "a statement of the bucket's policy allows it")
    if asked.fresh and asked.action == "s3:PutObjectAcl":
        # That it may be written at all is judged by itself; who writes an object gives it its first list.
        return Verdict(True, "the object will be the writer's")
    if concerns_object and object_owner != bucket.canonical_id:
        if not identity.anonymous and identity.canonical_id == object_owner:
            return Verdict(True, "the object's owner may")
    elif owner:
        return Verdict(True, "the owner may")
    return _granted(identity, asked, bucket, concerns_object=concerns_object)


def _granted(identity: Identity, asked: Asked, bucket: BucketFacts, *, concerns_object: bool) -> Verdict:
    """What the access control lists say."""
    if bucket.lists_off:
        return Verdict(False, "no policy allows it, and access control lists are switched off")
    if concerns_object:
        acl, permission = asked.object_acl, acls.ON_OBJECT.get(asked.action)
    else:
        acl, permission = bucket.acl, acls.ON_BUCKET.get(asked.action)
    if acl is None or permission is None:
        return Verdict(False, "neither a policy nor an access control list allows it")
    granted = acls.grants(
        acl,
        permission,
        identity.canonical_id,
        anonymous=identity.anonymous,
        ignore_public=bucket.ignore_public_lists,
    )
    if granted:
        return Verdict(True, "the access control list grants it")
    return Verdict(False, "neither a policy nor an access control list allows it")
