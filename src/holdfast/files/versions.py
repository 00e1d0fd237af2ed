"""Versions: found by key or by id, shown, and moved to the trash."""

from __future__ import annotations

from sqlalchemy import Connection

from holdfast.files import names, writing
from holdfast.files.buckets import owned_bucket
from holdfast.files.records import Bucket, Version, unpack_metadata
from holdfast.files.stores import store_versions
from holdfast.files.writing import Removal
from holdfast.protocol.nouns import VersionInfo
from holdfast.world.errors import Refusal

REMOVED = "s3:ObjectRemoved:Delete"
MARKED = "s3:ObjectRemoved:DeleteMarkerCreated"


def version_info(bucket: str, version: Version) -> VersionInfo:
    """The version as its owner sees it."""
    return VersionInfo(
        bucket=bucket,
        key=names.decode_key(version.key),
        version_id=version.version_id,
        size=version.size,
        created=version.created,
        storage_class=version.storage_class,
        checksum=version.checksum,
        chunk_count=version.chunk_count,
        metadata=unpack_metadata(version.user_metadata),
    )


def find(
    connection: Connection, tenant: str, bucket_name: str, key: bytes, version_id: str | None
) -> tuple[Bucket, Version]:
    """The key's current version, or the one of this id, in the trash or not.

    Raises Refusal("bucket.unknown" | "object.unknown").
    """
    bucket = owned_bucket(connection, tenant, bucket_name)
    if version_id is None:
        version = store_versions.current_version(connection, bucket.id, key)
    else:
        version = store_versions.version_by_id(connection, bucket.id, version_id)
    if version is None or version.marker or version.key != key:
        raise unknown_object(bucket_name, names.decode_key(key))
    return bucket, version


def find_by_id(
    connection: Connection, tenant: str, bucket_name: str, version_id: str
) -> tuple[Bucket, Version]:
    """The version of this id; one that went to the trash while it is read is still read to its end.

    Raises Refusal("bucket.unknown" | "object.unknown").
    """
    bucket = owned_bucket(connection, tenant, bucket_name)
    version = store_versions.version_by_id(connection, bucket.id, version_id)
    if version is None or version.marker:
        raise unknown_object(bucket_name, f"version {version_id[:80]}")
    return bucket, version


def remove(
    connection: Connection,
    tenant: str,
    bucket_name: str,
    key: bytes,
    if_version: str | None,
    marker_id: str,
    now: int,
) -> tuple[Bucket, Version]:
    """Deletes the key, as its bucket's versioning has it, and returns what was current.

    Raises Refusal("bucket.unknown" | "object.unknown" | "precondition.failed").
    """
    bucket, version = find(connection, tenant, bucket_name, key, None)
    if if_version is not None and version.version_id != if_version:
        raise Refusal(
            "precondition.failed",
            "The object is not the version that was to be removed.",
            advice="Look at it again, and decide anew.",
            version_id=version.version_id,
        )
    looked = writing.look(connection, bucket.id, key)
    events = Removal(event=REMOVED, marker_event=MARKED)
    writing.put_marker(connection, looked, key, marker_id, events, now)
    return bucket, version


def stream_of(version: Version) -> int:
    """Where the version's chunks are; 0, which has none, for an empty object without a stream.

    Raises Refusal("key.unknown") for what lies packed or in parts: only the gateway reads that.
    """
    if version.stream is not None:
        return version.stream
    if version.size:
        raise Refusal(
            "key.unknown",
            "The object was sealed by the gateway, in parts or among others.",
            advice="Read it through S3.",
        )
    return 0


def unknown_object(bucket: str, key: str) -> Refusal:
    """There is no such object for this tenant."""
    return Refusal(
        "object.unknown",
        f"There is no object '{key[:200]}' in the bucket '{bucket}'.",
        advice="List the bucket to see what is there.",
        bucket=bucket,
        key=key[:200],
    )
