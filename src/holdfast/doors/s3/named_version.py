"""Which version a request about tags or locks of an object names, and what is said if there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.doors.s3.failures import S3Error
from holdfast.files.records import Bucket, Version
from holdfast.world.errors import Refusal

if TYPE_CHECKING:
    from holdfast.doors.s3.door import Door
    from holdfast.doors.s3.request import S3Request


async def named_version(door: Door, request: S3Request, action: str, versioned_action: str = "") -> Version:
    """The version that `versionId` names, or the latest, once the caller is allowed the action on it.

    Args:
        door: the rooms.
        request: a request about an object.
        action: as S3 names it.
        versioned_action: what is demanded instead where a version id is given.

    Raises:
        S3Error: NoSuchKey, NoSuchVersion, InvalidArgument for an empty version id, MethodNotAllowed for a
            delete marker, AccessDenied.
    """
    version_id = request.query.get("versionId")
    if version_id == "":
        raise S3Error(
            "InvalidArgument",
            "Version id cannot be the empty string",
            ArgumentName="versionId",
            ArgumentValue="",
        )
    wanted = versioned_action if versioned_action and version_id is not None else action
    key = request.object_key
    try:
        version: Version = await door.histories.find(request.bucket, key, version_id)
    except Refusal as refusal:
        if refusal.code != "object.unknown":
            raise
        request.access.demand(wanted, key)
        raise _unknown(request, version_id, refusal) from refusal
    attributes = version.parsed
    request.access.demand(wanted, key, acl=attributes.acl, tags=attributes.tags)
    if version.marker:
        raise S3Error(
            "MethodNotAllowed",
            headers=[("x-amz-delete-marker", "true"), ("x-amz-version-id", version.s3_version_id)],
            Method=request.method,
            ResourceType="DeleteMarker",
        )
    return version


def version_header(bucket: Bucket, version: Version) -> list[tuple[str, str]]:
    """`x-amz-version-id`, where the bucket has versions at all."""
    return [] if bucket.versioning == "off" else [("x-amz-version-id", version.s3_version_id)]


def _unknown(request: S3Request, version_id: str | None, refusal: Refusal) -> S3Error:
    key = request.object_key
    if not request.access.allows("s3:ListBucket"):
        # Who may not list is not told what is there.
        return S3Error("AccessDenied")
    if version_id is not None:
        return S3Error("NoSuchVersion", Key=key, VersionId=version_id)
    headers = [("x-amz-delete-marker", "true")] if refusal.facts.get("marker") else []
    return S3Error("NoSuchKey", headers=headers, Key=key)
