"""The actions of S3, by the names that policies and permits have for them, and what each is in the house.

An action is one that is judged; S3 knows more of them (those of access points, of batches, of storage lens),
which a policy may name, but nobody asks for here.
"""

from __future__ import annotations

from typing import Final

_OF_THE_HOUSE: Final[dict[str, tuple[str, ...]]] = {
    "bucket.list": ("ListAllMyBuckets",),
    "bucket.make": ("CreateBucket",),
    "bucket.remove": ("DeleteBucket",),
    "bucket.show": (
        "GetAccelerateConfiguration",
        "GetBucketAcl",
        "GetBucketCORS",
        "GetBucketLocation",
        "GetBucketLogging",
        "GetBucketNotification",
        "GetBucketObjectLockConfiguration",
        "GetBucketOwnershipControls",
        "GetBucketPolicy",
        "GetBucketPolicyStatus",
        "GetBucketPublicAccessBlock",
        "GetBucketRequestPayment",
        "GetBucketTagging",
        "GetBucketVersioning",
        "GetBucketWebsite",
        "GetEncryptionConfiguration",
        "GetLifecycleConfiguration",
        "GetReplicationConfiguration",
    ),
    "bucket.change": (
        "DeleteBucketPolicy",
        "DeleteBucketWebsite",
        "PutAccelerateConfiguration",
        "PutBucketAcl",
        "PutBucketCORS",
        "PutBucketLogging",
        "PutBucketNotification",
        "PutBucketObjectLockConfiguration",
        "PutBucketOwnershipControls",
        "PutBucketPolicy",
        "PutBucketPublicAccessBlock",
        "PutBucketRequestPayment",
        "PutBucketTagging",
        "PutBucketVersioning",
        "PutBucketWebsite",
        "PutEncryptionConfiguration",
        "PutLifecycleConfiguration",
        "PutReplicationConfiguration",
    ),
    "object.list": (
        "ListBucket",
        "ListBucketMultipartUploads",
        "ListBucketVersions",
        "ListMultipartUploadParts",
    ),
    "object.read": (
        "GetObject",
        "GetObjectAcl",
        "GetObjectAttributes",
        "GetObjectLegalHold",
        "GetObjectRetention",
        "GetObjectTagging",
        "GetObjectTorrent",
        "GetObjectVersion",
        "GetObjectVersionAcl",
        "GetObjectVersionAttributes",
        "GetObjectVersionForReplication",
        "GetObjectVersionTagging",
        "GetObjectVersionTorrent",
    ),
    "object.write": (
        "AbortMultipartUpload",
        "DeleteObjectTagging",
        "DeleteObjectVersionTagging",
        "PutObject",
        "PutObjectAcl",
        "PutObjectLegalHold",
        "PutObjectRetention",
        "PutObjectTagging",
        "PutObjectVersionAcl",
        "PutObjectVersionTagging",
        "ReplicateObject",
        "ReplicateTags",
        "RestoreObject",
    ),
    "object.remove": (
        "BypassGovernanceRetention",
        "DeleteObject",
        "DeleteObjectVersion",
        "ReplicateDelete",
    ),
}

HOUSE_ACTION: Final[dict[str, str]] = {
    f"s3:{name}": ours for ours, names in _OF_THE_HOUSE.items() for name in names
}
"""What each action of S3 is in the house."""

S3_ACTIONS: Final = tuple(HOUSE_ACTION)

ON_OBJECTS: Final = frozenset(
    action
    for action, ours in HOUSE_ACTION.items()
    if ours in {"object.read", "object.write", "object.remove"} or action == "s3:ListMultipartUploadParts"
)
"""The actions whose resource is an object; all others are about buckets."""

NAMED_ONLY: Final = frozenset(
    f"s3:{name}"
    for name in (
        "DeleteBucket",
        "DeleteBucketOwnershipControls",
        "DeleteBucketPublicAccessBlock",
        "GetAnalyticsConfiguration",
        "GetBucketMetadataTableConfiguration",
        "GetIntelligentTieringConfiguration",
        "GetInventoryConfiguration",
        "GetMetricsConfiguration",
        "InitiateReplication",
        "ObjectOwnerOverrideToBucketOwner",
        "PutAnalyticsConfiguration",
        "PutIntelligentTieringConfiguration",
        "PutInventoryConfiguration",
        "PutMetricsConfiguration",
        "UpdateBucketMetadataInventoryTableConfiguration",
        "UpdateBucketMetadataJournalTableConfiguration",
    )
)
"""Further actions that a bucket's policy may name."""
