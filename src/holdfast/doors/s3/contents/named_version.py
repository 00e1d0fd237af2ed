"""Which version a request about tags or locks of an object names, once the caller is allowed the action."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.doors.s3.contents.reading import unknown, wanted_version
from holdfast.doors.s3.failures import S3Error
from holdfast.files.records import Bucket, Version
from holdfast.world.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.doors.s3.door import Door
    from holdfast.doors.s3.request import S3Request


async def named_version(
    door: Door,
    request: S3Request,
    action: str,
    versioned_action: str = "",
    context: Mapping[str, str | list[str]] | None = None,
) -> Version:
    """The version that `versionId` names, or the latest.

    Args:
        door: the rooms.
        request: a request about an object.
        action: as S3 names it.
        versioned_action: what is demanded instead where a version id is given.
        context: values of condition keys that the request's document tells.

    Raises:
        S3Error: NoSuchKey, NoSuchVersion, InvalidArgument for an empty version id, MethodNotAllowed for a
            delete marker, AccessDenied.
    """
    version_id = wanted_version(request.query.get("versionId"))
    wanted = versioned_action if versioned_action and version_id is not None else action
    key, access = request.object_key, request.access
    try:
        version: Version = await door.histories.find(request.bucket, key, version_id)
    except Refusal as refusal:
        if refusal.code != "object.unknown":
            raise
        access.demand(wanted, key, context=context)
        raise unknown(access, key, version_id, refusal) from refusal
    attributes = version.parsed
    access.demand(wanted, key, acl=attributes.acl, tags=attributes.tags, context=context)
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
