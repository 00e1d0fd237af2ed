"""DeleteObject and DeleteObjects.

A delete of what is not there succeeds; only what may not be deleted, or is not as the caller requires it,
fails. Many keys are deleted side by side, a transaction each, and told of in the order they were given.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

from holdfast.doors.s3.contents import conditions
from holdfast.doors.s3.contents.new_object import demand_insight
from holdfast.doors.s3.contents.reading import wanted_version
from holdfast.doors.s3.contents.showing import XML
from holdfast.doors.s3.failures import S3Error, as_s3_error
from holdfast.doors.s3.request import Done, S3Response
from holdfast.doors.s3.settings.lock_operations import bypass_asked
from holdfast.doors.s3.settings.settings_documents import expect, leaf, need_leaf, truth
from holdfast.doors.s3.settings.telling import told
from holdfast.doors.s3.wire.xml_reading import Node, parse
from holdfast.doors.s3.wire.xml_writing import document, element, group, optional
from holdfast.files.attributes import Conditions
from holdfast.files.writing import Removal
from holdfast.world.errors import Failure, Refusal

if TYPE_CHECKING:
    from holdfast.doors.s3.door import Door
    from holdfast.doors.s3.request import Handler, S3Request
    from holdfast.files.records import Deleted

KEYS_MAX: Final = 1000
BODY_BYTES_MAX: Final = 4 << 20
"""A thousand keys of 1,024 bytes, each byte written as a reference, and what stands around them."""
ELEMENTS_MAX: Final = 8 * KEYS_MAX
AT_ONCE: Final = 32
_GONE: Final = 204
_REMOVED: Final = "s3:ObjectRemoved:Delete"
_MARKED: Final = "s3:ObjectRemoved:DeleteMarkerCreated"


class Entry(NamedTuple):
    """One object to delete."""

    key: str
    version_id: str | None
    conditions: Conditions


async def delete_object(door: Door, request: S3Request) -> S3Response:
    """DELETE of an object or of one of its versions."""
    version_id = wanted_version(request.query.get("versionId"))
    wanted = conditions.for_delete(request.headers)
    deleted = await _delete(
        door, request, Entry(request.object_key, version_id, wanted), bypass_asked(request)
    )
    headers: list[tuple[str, str]] = []
    if deleted.marker:
        headers.append(("x-amz-delete-marker", "true"))
    shown = deleted.version_id if deleted.version_id is not None else version_id
    if shown is not None and request.bucket.versioning != "off":
        headers.append(("x-amz-version-id", shown))
    return S3Response(status=204, headers=headers)


async def delete_objects(door: Door, request: S3Request) -> S3Response:
    """POST ?delete: up to a thousand keys, each with its own outcome."""
    _demand_digest(request)
    body = await request.body.document(BODY_BYTES_MAX)
    entries, quiet = read_entries(parse(body, "Delete", BODY_BYTES_MAX, ELEMENTS_MAX))
    bypass = bypass_asked(request)
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(entry: Entry) -> tuple[str, Done]:
        async with gate:
            return await _outcome(door, request, entry, bypass=bypass, quiet=quiet)

    outcomes = await asyncio.gather(*map(one, entries))
    content = document("DeleteResult", *[told for told, _ in outcomes])
    return S3Response(headers=[XML], content=content, batch=[done for _, done in outcomes])


def read_entries(root: Node) -> tuple[list[Entry], bool]:
    """What a `<Delete>` document names, and whether only failures are to be told.

    Raises:
        S3Error: MalformedXML, also for no key or more than a thousand.
    """
    expect(root, one="Quiet", many="Object")
    nodes = root.all("Object")
    if not 1 <= len(nodes) <= KEYS_MAX:
        raise S3Error("MalformedXML")
    return [_entry(node) for node in nodes], bool(truth(leaf(root, "Quiet")))


def _entry(node: Node) -> Entry:
    expect(node, one="Key VersionId ETag LastModifiedTime Size")
    version_id = leaf(node, "VersionId")
    wanted = conditions.delete_conditions(
        leaf(node, "ETag"), leaf(node, "Size"), leaf(node, "LastModifiedTime")
    )
    key = need_leaf(node, "Key")
    if not key:
        raise S3Error("UserKeyMustBeSpecified")
    return Entry(key, version_id or None, wanted)


async def _outcome(
    door: Door, request: S3Request, entry: Entry, *, bypass: bool, quiet: bool
) -> tuple[str, Done]:
    """What is told of one key, and what is noted of it."""
    named = element("Key", entry.key) + optional("VersionId", entry.version_id)
    try:
        _demand_form(entry.version_id)
        deleted = await _delete(door, request, entry, bypass)
    except (S3Error, Failure) as failure:
        error = failure if isinstance(failure, S3Error) else as_s3_error(failure)
        said = group("Error", named, element("Code", error.code), element("Message", error.message))
        return said, Done(entry.key, entry.version_id or "", error.status, error.code)
    done = Done(entry.key, entry.version_id or "", _GONE)
    if quiet:
        return "", done
    told = ""
    if deleted.marker:
        told = "<DeleteMarker>true</DeleteMarker>" + optional("DeleteMarkerVersionId", deleted.version_id)
    return group("Deleted", named, told), done


def _demand_form(version_id: str | None) -> None:
    """Raises S3Error NoSuchVersion for what no version can be called: of many keys one is no bad request."""
    try:
        wanted_version(version_id)
    except S3Error as error:
        raise S3Error("NoSuchVersion") from error


async def _delete(door: Door, request: S3Request, entry: Entry, bypass: bool) -> Deleted:
    action = "s3:DeleteObject" if entry.version_id is None else "s3:DeleteObjectVersion"
    request.access.demand(action, entry.key)
    demand_insight(request, entry.key, entry.conditions)
    bypass = bypass and request.access.allows("s3:BypassGovernanceRetention", entry.key)
    event, who = told(request, _REMOVED)
    try:
        removal = Removal(entry.version_id, entry.conditions, bypass, event, _MARKED if event else "", who)
        deleted: Deleted = await door.histories.delete(request.bucket, entry.key, removal=removal)
    except Refusal as refusal:
        if refusal.code == "version.locked":
            raise S3Error(
                "AccessDenied", "Access Denied because object protected by object lock."
            ) from refusal
        if refusal.code == "object.unknown":
            raise S3Error("NoSuchKey", Key=entry.key) from refusal
        raise
    return deleted


def _demand_digest(request: S3Request) -> None:
    """A document that deletes must come with a digest of it; raises S3Error InvalidRequest."""
    headers = request.headers
    named = any(name.startswith("x-amz-checksum-") for name in headers)
    if "content-md5" not in headers and not named and "x-amz-trailer" not in headers:
        raise S3Error(
            "InvalidRequest",
            "Missing required header for this request: Content-MD5 OR x-amz-checksum-*",
        )


HANDLERS: Final[dict[str, Handler]] = {"DeleteObject": delete_object, "DeleteObjects": delete_objects}
