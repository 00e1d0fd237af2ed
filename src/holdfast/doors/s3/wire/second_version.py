"""Signature Version 2 where SDKs still write it unasked: in the query of presigned URLs, and in forms.

Some SDKs presign so for every region that once knew it, us-east-1 among them, unless they are told otherwise.
Authorization headers of this version are refused: no SDK writes these by itself.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Mapping
from typing import Final

from holdfast.doors.s3.operation_table import SELECTORS

ACCESS: Final = "AWSAccessKeyId"
EXPIRES: Final = "Expires"
SIGNATURE: Final = "Signature"

SIGNED_QUERY: Final = frozenset(
    ("accelerate", "acl", "analytics", "cors", "defaultObjectAcl", "delete", "inventory", "lifecycle",
     "location", "logging", "metrics", "notification", "object-lock", "partNumber", "policy",
     "replication", "requestPayment", "response-cache-control", "response-content-disposition",
     "response-content-encoding", "response-content-language", "response-content-type",
     "response-expires", "restore", "select", "select-type", "storageClass", "tagging", "torrent",
     "uploadId", "uploads", "versionId", "versioning", "versions", "website")
)  # fmt: skip
"""The parts of a query that are signed; all others may be changed by whoever holds the URL."""


def text_to_sign(
    method: str, raw_path: str, bucket_in_host: str, headers: Mapping[str, str], query: Mapping[str, str]
) -> str:
    """What a presigned URL's signature is over.

    Args:
        method: of the request.
        raw_path: as it came; a bucket's may be signed with a slash behind it that the URL has not.
        bucket_in_host: the bucket, if the host names it and the path does not.
        headers: by lower-case name; what would be headers may stand in the query instead.
        query: decoded.
    """

    def said(name: str) -> str:
        return headers.get(name, query.get(name, ""))

    amz = {name.lower(): value for name, value in query.items() if name.lower().startswith("x-amz-")}
    amz |= {name: value for name, value in headers.items() if name.startswith("x-amz-")}
    lines = [method, said("content-md5"), said("content-type"), query.get(EXPIRES, "")]
    lines += [f"{name}:{amz[name].strip()}" for name in sorted(amz)]
    signed = [
        f"{name}={query[name]}" if query[name] else name for name in sorted(query) if name in SIGNED_QUERY
    ]
    resource = (f"/{bucket_in_host}" if bucket_in_host else "") + raw_path
    lines.append(f"{resource}?{'&'.join(signed)}" if signed else resource)
    return "\n".join(lines)


def is_covered(query: Mapping[str, str]) -> bool:
    """Whether all of a query that selects an operation is signed.

    What this version knows nothing of could be added to a URL by whoever holds it, and make it another
    request: `?legal-hold` behind the name of an object that may be written.
    """
    return all(name in SIGNED_QUERY or name not in SELECTORS or name == "list-type" for name in query)


def signature(secret: str, text: str) -> str:
    """HMAC-SHA1 in base64: of the text of a URL, or of a form's encoded policy."""
    return b64encode(hmac.digest(secret.encode(), text.encode("utf-8", "surrogateescape"), "sha1")).decode()


def matches(expected: str, provided: str) -> bool:
    """Compares in the same time wherever they differ."""
    return hmac.compare_digest(expected.encode(), provided.encode("utf-8", "replace"))
