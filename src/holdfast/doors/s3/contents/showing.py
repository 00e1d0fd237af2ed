"""A version in response headers: everything that reads and writes tell of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from holdfast.doors.s3.contents import checksums, encryption, metadata_headers
from holdfast.doors.s3.settings.settings_documents import exact_time_text
from holdfast.doors.s3.wire.xml_writing import http_date
from holdfast.files.attributes import Attributes
from holdfast.tenants.names import account_of
from holdfast.upkeep.plans.lifecycle import expiration_of
from holdfast.world.clock import MICROSECONDS

if TYPE_CHECKING:
    from holdfast.doors.s3.door import Door
    from holdfast.doors.s3.rights.access import Access
    from holdfast.files.records import Bucket, Version

Headers = list[tuple[str, str]]
ACCEPT_RANGES: Final = ("accept-ranges", "bytes")
XML: Final = ("content-type", "application/xml")


def version_id_headers(record: Bucket, version: Version) -> Headers:
    """`x-amz-version-id`, unless the bucket never had versions."""
    return [] if record.versioning == "off" else [("x-amz-version-id", version.s3_version_id)]


def validators(record: Bucket, version: Version) -> Headers:
    """What identifies the version: the part of the headers that also goes with 304."""
    shown = [("etag", f'"{version.etag}"'), ("last-modified", http_date(version.modified))]
    if record.versioning != "off":
        shown.append(("x-amz-version-id", version.s3_version_id))
    return shown


def read_headers(
    door: Door,
    record: Bucket,
    version: Version,
    attributes: Attributes,
    overrides: Mapping[str, str],
) -> Headers:
    """What GET and HEAD show of a version, whatever part of it is asked for."""
    shown = [ACCEPT_RANGES, *validators(record, version)]
    shown += metadata_headers.answer_headers(attributes, overrides)
    shown += sealing_headers(door, record, attributes)
    if attributes.storage_class:
        shown.append(("x-amz-storage-class", attributes.storage_class))
        shown += restore_headers(attributes)
    if attributes.replication_status:
        shown.append(("x-amz-replication-status", attributes.replication_status))
    if record.settings and version.state == "current":
        shown += expiration_headers(door, record, version, attributes)
    return shown


def permitted_headers(access: Access, key: str, attributes: Attributes) -> Headers:
    """What only those are shown who may read it by itself: locks, the number of tags."""
    shown: Headers = []
    acl, tags = attributes.acl, attributes.tags
    if tags and access.allows("s3:GetObjectTagging", key, acl=acl, tags=tags):
        shown.append(("x-amz-tagging-count", str(len(tags))))
    retention = attributes.retention
    if retention is not None and access.allows("s3:GetObjectRetention", key, acl=acl, tags=tags):
        shown.append(("x-amz-object-lock-mode", retention.mode))
        shown.append(("x-amz-object-lock-retain-until-date", exact_time_text(retention.until)))
    if (attributes.legal_hold or attributes.legal_hold_ended) and access.allows(
        "s3:GetObjectLegalHold", key, acl=acl, tags=tags
    ):
        shown.append(("x-amz-object-lock-legal-hold", "ON" if attributes.legal_hold else "OFF"))
    return shown


def written_headers(door: Door, record: Bucket, version: Version, attributes: Attributes) -> Headers:
    """What the answer to a write tells of the version it made, but for its ETag."""
    shown = version_id_headers(record, version)
    shown += sealing_headers(door, record, attributes)
    shown += encryption.context_header(attributes)
    if record.settings:
        shown += expiration_headers(door, record, version, attributes)
    return shown


def sealing_headers(door: Door, record: Bucket, attributes: Attributes) -> Headers:
    """How it is encrypted."""
    if not attributes.sse or attributes.sse == "AES256":
        return encryption.MANAGED
    managed = encryption.managed_key_name(door.region, account_of(record.tenant))
    return encryption.answer_headers(attributes, managed)


def expiration_headers(door: Door, record: Bucket, version: Version, attributes: Attributes) -> Headers:
    """`x-amz-expiration`, if a lifecycle rule is going to end the object."""
    rules = record.parsed.lifecycle
    if not rules:
        return []
    ending = expiration_of(
        rules,
        key=version.name,
        tags=attributes.tags,
        size=version.size,
        created=version.modified,
        day=door.lifecycle_day_seconds * MICROSECONDS,
    )
    if ending is None:
        return []
    when, rule_id = ending
    return [("x-amz-expiration", f'expiry-date="{http_date(when)}", rule-id="{quote(rule_id, safe="")}"')]


def restore_headers(attributes: Attributes) -> Headers:
    """`x-amz-restore`, for an archived version that is being restored or can be read for a while."""
    if attributes.restoring:
        return [("x-amz-restore", 'ongoing-request="true"')]
    if attributes.restored_until:
        until = http_date(attributes.restored_until)
        return [("x-amz-restore", f'ongoing-request="false", expiry-date="{until}"')]
    return []


def checksum_headers(attributes: Attributes) -> Headers:
    """The checksum kept with the version."""
    return checksums.answer_headers(attributes)


def part_checksum_headers(attributes: Attributes, value: str) -> Headers:
    """The checksum of one part."""
    header = checksums.HEADERS.get(attributes.checksum_algorithm)
    if header is None or not value:
        return []
    return [(header, value), ("x-amz-checksum-type", checksums.shown_type(attributes))]
