"""S3's operations, written by scripts/s3_operations.py from the public service model.

Which of them are served, and what they demand, is said in `operations`.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Operation(NamedTuple):
    """One operation of the model.

    `level`: "service", "bucket" or "object". `selector`: the query key that selects it, or "". `query` and
    `header`: names that it requires besides. `streams`: its body is an object's bytes, not a document.
    """

    name: str
    method: str
    level: str
    selector: str = ""
    query: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    streams: bool = False


OPERATIONS: Final = (
    Operation("AbortMultipartUpload", "DELETE", "object", query=("uploadId",)),
    Operation("CompleteMultipartUpload", "POST", "object", query=("uploadId",)),
    Operation("CopyObject", "PUT", "object", header=("x-amz-copy-source",)),
    Operation("CreateBucket", "PUT", "bucket"),
    Operation("CreateBucketMetadataConfiguration", "POST", "bucket", selector="metadataConfiguration"),
    Operation("CreateBucketMetadataTableConfiguration", "POST", "bucket", selector="metadataTable"),
    Operation("CreateMultipartUpload", "POST", "object", selector="uploads"),
    Operation("CreateSession", "GET", "bucket", selector="session"),
    Operation("DeleteBucket", "DELETE", "bucket"),
    Operation("DeleteBucketAnalyticsConfiguration", "DELETE", "bucket", selector="analytics", query=("id",)),
    Operation("DeleteBucketCors", "DELETE", "bucket", selector="cors"),
    Operation("DeleteBucketEncryption", "DELETE", "bucket", selector="encryption"),
    Operation(
        "DeleteBucketIntelligentTieringConfiguration",
        "DELETE",
        "bucket",
        selector="intelligent-tiering",
        query=("id",),
    ),
    Operation("DeleteBucketInventoryConfiguration", "DELETE", "bucket", selector="inventory", query=("id",)),
    Operation("DeleteBucketLifecycle", "DELETE", "bucket", selector="lifecycle"),
    Operation("DeleteBucketMetadataConfiguration", "DELETE", "bucket", selector="metadataConfiguration"),
    Operation("DeleteBucketMetadataTableConfiguration", "DELETE", "bucket", selector="metadataTable"),
    Operation("DeleteBucketMetricsConfiguration", "DELETE", "bucket", selector="metrics", query=("id",)),
    Operation("DeleteBucketOwnershipControls", "DELETE", "bucket", selector="ownershipControls"),
    Operation("DeleteBucketPolicy", "DELETE", "bucket", selector="policy"),
    Operation("DeleteBucketReplication", "DELETE", "bucket", selector="replication"),
    Operation("DeleteBucketTagging", "DELETE", "bucket", selector="tagging"),
    Operation("DeleteBucketWebsite", "DELETE", "bucket", selector="website"),
    Operation("DeleteObject", "DELETE", "object"),
    Operation("DeleteObjectAnnotation", "DELETE", "object", selector="annotation", query=("annotationName",)),
    Operation("DeleteObjectTagging", "DELETE", "object", selector="tagging"),
    Operation("DeleteObjects", "POST", "bucket", selector="delete"),
    Operation("DeletePublicAccessBlock", "DELETE", "bucket", selector="publicAccessBlock"),
    Operation("GetBucketAbac", "GET", "bucket", selector="abac"),
    Operation("GetBucketAccelerateConfiguration", "GET", "bucket", selector="accelerate"),
    Operation("GetBucketAcl", "GET", "bucket", selector="acl"),
    Operation("GetBucketAnalyticsConfiguration", "GET", "bucket", selector="analytics", query=("id",)),
    Operation("GetBucketCors", "GET", "bucket", selector="cors"),
    Operation("GetBucketEncryption", "GET", "bucket", selector="encryption"),
    Operation(
        "GetBucketIntelligentTieringConfiguration",
        "GET",
        "bucket",
        selector="intelligent-tiering",
        query=("id",),
    ),
    Operation("GetBucketInventoryConfiguration", "GET", "bucket", selector="inventory", query=("id",)),
    Operation("GetBucketLifecycleConfiguration", "GET", "bucket", selector="lifecycle"),
    Operation("GetBucketLocation", "GET", "bucket", selector="location"),
    Operation("GetBucketLogging", "GET", "bucket", selector="logging"),
    Operation("GetBucketMetadataConfiguration", "GET", "bucket", selector="metadataConfiguration"),
    Operation("GetBucketMetadataTableConfiguration", "GET", "bucket", selector="metadataTable"),
    Operation("GetBucketMetricsConfiguration", "GET", "bucket", selector="metrics", query=("id",)),
    Operation("GetBucketNotificationConfiguration", "GET", "bucket", selector="notification"),
    Operation("GetBucketOwnershipControls", "GET", "bucket", selector="ownershipControls"),
    Operation("GetBucketPolicy", "GET", "bucket", selector="policy"),
    Operation("GetBucketPolicyStatus", "GET", "bucket", selector="policyStatus"),
    Operation("GetBucketReplication", "GET", "bucket", selector="replication"),
    Operation("GetBucketRequestPayment", "GET", "bucket", selector="requestPayment"),
    Operation("GetBucketTagging", "GET", "bucket", selector="tagging"),
    Operation("GetBucketVersioning", "GET", "bucket", selector="versioning"),
    Operation("GetBucketWebsite", "GET", "bucket", selector="website"),
    Operation("GetObject", "GET", "object"),
    Operation("GetObjectAcl", "GET", "object", selector="acl"),
    Operation("GetObjectAnnotation", "GET", "object", selector="annotation", query=("annotationName",)),
    Operation(
        "GetObjectAttributes", "GET", "object", selector="attributes", header=("x-amz-object-attributes",)
    ),
    Operation("GetObjectLegalHold", "GET", "object", selector="legal-hold"),
    Operation("GetObjectLockConfiguration", "GET", "bucket", selector="object-lock"),
    Operation("GetObjectRetention", "GET", "object", selector="retention"),
    Operation("GetObjectTagging", "GET", "object", selector="tagging"),
    Operation("GetObjectTorrent", "GET", "object", selector="torrent"),
    Operation("GetPublicAccessBlock", "GET", "bucket", selector="publicAccessBlock"),
    Operation("HeadBucket", "HEAD", "bucket"),
    Operation("HeadObject", "HEAD", "object"),
    Operation("ListBucketAnalyticsConfigurations", "GET", "bucket", selector="analytics"),
    Operation("ListBucketIntelligentTieringConfigurations", "GET", "bucket", selector="intelligent-tiering"),
    Operation("ListBucketInventoryConfigurations", "GET", "bucket", selector="inventory"),
    Operation("ListBucketMetricsConfigurations", "GET", "bucket", selector="metrics"),
    Operation("ListBuckets", "GET", "service"),
    Operation("ListDirectoryBuckets", "GET", "service"),
    Operation("ListMultipartUploads", "GET", "bucket", selector="uploads"),
    Operation("ListObjectAnnotations", "GET", "object", selector="annotation"),
    Operation("ListObjectVersions", "GET", "bucket", selector="versions"),
    Operation("ListObjects", "GET", "bucket"),
    Operation("ListObjectsV2", "GET", "bucket", selector="list-type"),
    Operation("ListParts", "GET", "object", query=("uploadId",)),
    Operation("PutBucketAbac", "PUT", "bucket", selector="abac"),
    Operation("PutBucketAccelerateConfiguration", "PUT", "bucket", selector="accelerate"),
    Operation("PutBucketAcl", "PUT", "bucket", selector="acl"),
    Operation("PutBucketAnalyticsConfiguration", "PUT", "bucket", selector="analytics", query=("id",)),
    Operation("PutBucketCors", "PUT", "bucket", selector="cors"),
    Operation("PutBucketEncryption", "PUT", "bucket", selector="encryption"),
    Operation(
        "PutBucketIntelligentTieringConfiguration",
        "PUT",
        "bucket",
        selector="intelligent-tiering",
        query=("id",),
    ),
    Operation("PutBucketInventoryConfiguration", "PUT", "bucket", selector="inventory", query=("id",)),
    Operation("PutBucketLifecycleConfiguration", "PUT", "bucket", selector="lifecycle"),
    Operation("PutBucketLogging", "PUT", "bucket", selector="logging"),
    Operation("PutBucketMetricsConfiguration", "PUT", "bucket", selector="metrics", query=("id",)),
    Operation("PutBucketNotificationConfiguration", "PUT", "bucket", selector="notification"),
    Operation("PutBucketOwnershipControls", "PUT", "bucket", selector="ownershipControls"),
    Operation("PutBucketPolicy", "PUT", "bucket", selector="policy"),
    Operation("PutBucketReplication", "PUT", "bucket", selector="replication"),
    Operation("PutBucketRequestPayment", "PUT", "bucket", selector="requestPayment"),
    Operation("PutBucketTagging", "PUT", "bucket", selector="tagging"),
    Operation("PutBucketVersioning", "PUT", "bucket", selector="versioning"),
    Operation("PutBucketWebsite", "PUT", "bucket", selector="website"),
    Operation("PutObject", "PUT", "object", streams=True),
    Operation("PutObjectAcl", "PUT", "object", selector="acl"),
    Operation(
        "PutObjectAnnotation", "PUT", "object", selector="annotation", query=("annotationName",), streams=True
    ),
    Operation("PutObjectLegalHold", "PUT", "object", selector="legal-hold"),
    Operation("PutObjectLockConfiguration", "PUT", "bucket", selector="object-lock"),
    Operation("PutObjectRetention", "PUT", "object", selector="retention"),
    Operation("PutObjectTagging", "PUT", "object", selector="tagging"),
    Operation("PutPublicAccessBlock", "PUT", "bucket", selector="publicAccessBlock"),
    Operation("RenameObject", "PUT", "object", selector="renameObject", header=("x-amz-rename-source",)),
    Operation("RestoreObject", "POST", "object", selector="restore"),
    Operation("SelectObjectContent", "POST", "object", selector="select"),
    Operation(
        "UpdateBucketMetadataAnnotationTableConfiguration",
        "PUT",
        "bucket",
        selector="metadataAnnotationTable",
    ),
    Operation(
        "UpdateBucketMetadataInventoryTableConfiguration", "PUT", "bucket", selector="metadataInventoryTable"
    ),
    Operation(
        "UpdateBucketMetadataJournalTableConfiguration", "PUT", "bucket", selector="metadataJournalTable"
    ),
    Operation("UpdateObjectEncryption", "PUT", "object", selector="encryption"),
    Operation("UploadPart", "PUT", "object", query=("partNumber", "uploadId"), streams=True),
    Operation(
        "UploadPartCopy", "PUT", "object", query=("partNumber", "uploadId"), header=("x-amz-copy-source",)
    ),
    Operation(
        "WriteGetObjectResponse",
        "POST",
        "other",
        header=("x-amz-request-route", "x-amz-request-token"),
        streams=True,
    ),
)

SELECTORS: Final = frozenset(
    (
        "abac",
        "accelerate",
        "acl",
        "analytics",
        "annotation",
        "attributes",
        "cors",
        "delete",
        "encryption",
        "intelligent-tiering",
        "inventory",
        "legal-hold",
        "lifecycle",
        "list-type",
        "location",
        "logging",
        "metadataAnnotationTable",
        "metadataConfiguration",
        "metadataInventoryTable",
        "metadataJournalTable",
        "metadataTable",
        "metrics",
        "notification",
        "object-lock",
        "ownershipControls",
        "policy",
        "policyStatus",
        "publicAccessBlock",
        "renameObject",
        "replication",
        "requestPayment",
        "restore",
        "retention",
        "select",
        "session",
        "tagging",
        "torrent",
        "uploadId",
        "uploads",
        "versioning",
        "versions",
        "website",
    )
)
"""Every query key that selects an operation."""
