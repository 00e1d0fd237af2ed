"""Whether a bucket keeps the versions of its objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.settings.settings_documents import choice, done, expect, leaf, save, sent, shown
from holdfast.doors.s3.wire.xml_reading import Node
from holdfast.doors.s3.wire.xml_writing import optional

if TYPE_CHECKING:
    from holdfast.doors.s3.door import Door
    from holdfast.doors.s3.request import Handler, S3Request, S3Response
    from holdfast.files.records import Bucket

MFA_HEADER: Final = "x-amz-mfa"

_SHOWN: Final = {"off": "", "on": "Enabled", "suspended": "Suspended"}


def read_versioning(root: Node) -> tuple[str, str]:
    """A `<VersioningConfiguration>`: its status and its MfaDelete; empty what is not there.

    Raises:
        S3Error: MalformedXML; IllegalVersioningConfigurationException without a status.
    """
    expect(root, one="Status MfaDelete")
    status, mfa_delete = leaf(root, "Status"), leaf(root, "MfaDelete")
    if status is not None:
        choice(status, "Enabled", "Suspended")
    if mfa_delete is not None:
        choice(mfa_delete, "Enabled", "Disabled")
    if status is None:
        raise S3Error("IllegalVersioningConfigurationException", "The Versioning element must be specified")
    return status, mfa_delete or ""


def _check_mfa(request: S3Request, mfa_delete: str) -> None:
    """Nobody has a device here: MfaDelete can be said to be off, and cannot be put on."""
    if mfa_delete != "Enabled":
        return
    if MFA_HEADER in request.headers:
        raise S3Error("TokenCodeInvalidError")
    raise S3Error("AccessDenied", "Mfa Authentication must be used for this request")


def _check_suspension(bucket: Bucket) -> None:
    settings = bucket.parsed
    if settings.object_lock is not None:
        raise S3Error(
            "InvalidBucketState",
            "An Object Lock configuration is present on this bucket, so the versioning state cannot be "
            "changed.",
        )
    if settings.replication is not None:
        raise S3Error(
            "InvalidBucketState",
            "A replication configuration is present on this bucket, so you cannot change the versioning "
            "state. To change the versioning state, first delete the replication configuration.",
        )


async def get_bucket_versioning(_door: Door, request: S3Request) -> S3Response:
    """GET ?versioning; says nothing of a bucket that never kept versions."""
    bucket = request.bucket
    status = _SHOWN[bucket.versioning]
    mfa_delete = bucket.parsed.mfa_delete
    return shown("VersioningConfiguration", optional("Status", status), optional("MfaDelete", mfa_delete))


async def put_bucket_versioning(door: Door, request: S3Request) -> S3Response:
    """PUT ?versioning."""
    status, mfa_delete = read_versioning(await sent(request, "VersioningConfiguration"))
    _check_mfa(request, mfa_delete)
    bucket = request.bucket
    if status == "Suspended":
        await door.buckets.set_versioning(bucket.id, "suspended", _check_suspension)
    else:
        await door.buckets.set_versioning(bucket.id, "on")
    if mfa_delete and mfa_delete != bucket.parsed.mfa_delete:
        await save(door, request, mfa_delete=mfa_delete)
    return done()


HANDLERS: Final[dict[str, Handler]] = {
    "GetBucketVersioning": get_bucket_versioning,
    "PutBucketVersioning": put_bucket_versioning,
}
