"""Which operations are served, by whom, and what each demands.

`RULES` is the law: an operation without a rule answers 501. "bucket" means that what the bucket tells
suffices to judge it, which is done before its handler runs; "handler", that the object matters too: its
handler demands the action when it knows the object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from holdfast.doors.s3.contents import (
    attributes_operation,
    buckets,
    copying,
    deleting,
    listings,
    multipart,
    objects,
    reading,
    restoring,
)
from holdfast.doors.s3.operation_table import OPERATIONS
from holdfast.doors.s3.rights import (
    acl_operations,
    ownership_operations,
    policy_operations,
    public_access_operations,
)
from holdfast.doors.s3.settings import (
    accelerate_operations,
    cors_operations,
    encryption_operations,
    lifecycle_operations,
    lock_operations,
    logging_operations,
    notification_operations,
    payment_operations,
    replication_operations,
    tagging,
    versioning_operations,
    website_operations,
)

if TYPE_CHECKING:
    from holdfast.doors.s3.request import Handler


class Rule(NamedTuple):
    """The action that an operation is, who judges it, and whether its bucket must be there."""

    action: str
    judged: Literal["bucket", "handler"] = "bucket"
    reads_bucket: bool = True


def _bucket(**actions: str) -> dict[str, Rule]:
    return {operation: Rule(f"s3:{action}") for operation, action in actions.items()}


def _handler(**actions: str) -> dict[str, Rule]:
    return {operation: Rule(f"s3:{action}", "handler") for operation, action in actions.items()}


RULES: Final[dict[str, Rule]] = {
    "ListBuckets": Rule("s3:ListAllMyBuckets", reads_bucket=False),
    "CreateBucket": Rule("s3:CreateBucket", "handler", reads_bucket=False),
    **_bucket(
        DeleteBucket="DeleteBucket",
        HeadBucket="ListBucket",
        GetBucketLocation="GetBucketLocation",
        ListObjects="ListBucket",
        ListObjectsV2="ListBucket",
        ListObjectVersions="ListBucketVersions",
        ListMultipartUploads="ListBucketMultipartUploads",
        GetBucketAccelerateConfiguration="GetAccelerateConfiguration",
        GetBucketAcl="GetBucketAcl",
        PutBucketAcl="PutBucketAcl",
        GetBucketCors="GetBucketCORS",
        PutBucketCors="PutBucketCORS",
        DeleteBucketCors="PutBucketCORS",
        GetBucketEncryption="GetEncryptionConfiguration",
        PutBucketEncryption="PutEncryptionConfiguration",
        DeleteBucketEncryption="PutEncryptionConfiguration",
        GetBucketLifecycleConfiguration="GetLifecycleConfiguration",
        PutBucketLifecycleConfiguration="PutLifecycleConfiguration",
        DeleteBucketLifecycle="PutLifecycleConfiguration",
        GetBucketLogging="GetBucketLogging",
        PutBucketLogging="PutBucketLogging",
        GetBucketNotificationConfiguration="GetBucketNotification",
        PutBucketNotificationConfiguration="PutBucketNotification",
        GetBucketOwnershipControls="GetBucketOwnershipControls",
        PutBucketOwnershipControls="PutBucketOwnershipControls",
        DeleteBucketOwnershipControls="PutBucketOwnershipControls",
        GetBucketPolicy="GetBucketPolicy",
        GetBucketPolicyStatus="GetBucketPolicyStatus",
        PutBucketPolicy="PutBucketPolicy",
        DeleteBucketPolicy="DeleteBucketPolicy",
        GetBucketReplication="GetReplicationConfiguration",
        PutBucketReplication="PutReplicationConfiguration",
        DeleteBucketReplication="PutReplicationConfiguration",
        GetBucketRequestPayment="GetBucketRequestPayment",
        PutBucketRequestPayment="PutBucketRequestPayment",
        GetBucketTagging="GetBucketTagging",
        PutBucketTagging="PutBucketTagging",
        DeleteBucketTagging="PutBucketTagging",
        GetBucketVersioning="GetBucketVersioning",
        PutBucketVersioning="PutBucketVersioning",
        GetBucketWebsite="GetBucketWebsite",
        PutBucketWebsite="PutBucketWebsite",
        DeleteBucketWebsite="DeleteBucketWebsite",
        GetObjectLockConfiguration="GetBucketObjectLockConfiguration",
        PutObjectLockConfiguration="PutBucketObjectLockConfiguration",
        GetPublicAccessBlock="GetBucketPublicAccessBlock",
        PutPublicAccessBlock="PutBucketPublicAccessBlock",
        DeletePublicAccessBlock="PutBucketPublicAccessBlock",
    ),
    **_handler(
        PutObject="PutObject",
        PostObject="PutObject",
        CopyObject="PutObject",
        RenameObject="PutObject",
        GetObject="GetObject",
        HeadObject="GetObject",
        DeleteObject="DeleteObject",
        DeleteObjects="DeleteObject",
        GetObjectAttributes="GetObjectAttributes",
        GetObjectAcl="GetObjectAcl",
        PutObjectAcl="PutObjectAcl",
        GetObjectTagging="GetObjectTagging",
        PutObjectTagging="PutObjectTagging",
        DeleteObjectTagging="DeleteObjectTagging",
        GetObjectRetention="GetObjectRetention",
        PutObjectRetention="PutObjectRetention",
        GetObjectLegalHold="GetObjectLegalHold",
        PutObjectLegalHold="PutObjectLegalHold",
        RestoreObject="RestoreObject",
        CreateMultipartUpload="PutObject",
        UploadPart="PutObject",
        UploadPartCopy="PutObject",
        CompleteMultipartUpload="PutObject",
        AbortMultipartUpload="AbortMultipartUpload",
        ListParts="ListMultipartUploadParts",
    ),
}

LISTINGS: Final = frozenset({"ListMultipartUploads", "ListObjectVersions", "ListObjects", "ListObjectsV2"})
"""Operations that tell keys: an access key for certain prefixes may only ask for those."""

STREAMING: Final = frozenset(operation.name for operation in OPERATIONS if operation.streams)
"""Operations whose body is an object's bytes."""

MODULES: Final = (
    accelerate_operations,
    acl_operations,
    attributes_operation,
    buckets,
    copying,
    cors_operations,
    deleting,
    encryption_operations,
    lifecycle_operations,
    listings,
    lock_operations,
    logging_operations,
    multipart,
    notification_operations,
    objects,
    ownership_operations,
    payment_operations,
    policy_operations,
    public_access_operations,
    reading,
    replication_operations,
    restoring,
    tagging,
    versioning_operations,
    website_operations,
)
"""Those that have handlers, each in its `HANDLERS` by S3's name of the operation."""

HANDLERS: Final[dict[str, Handler]] = {
    name: handler for module in MODULES for name, handler in module.HANDLERS.items() if name in RULES
}
"""Deprecated names, under which some modules answer too, are nobody's: the routes do not know them."""
