"""RestoreObject: an archived version can be read for some days.

What is archived here lies on nodes like everything else, so that restoring is a note in the version and done
at once; the days count to the midnight (UTC) that ends them. Upkeep takes the note away when they are over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from holdfast.doors.s3.contents.named_version import named_version
from holdfast.doors.s3.contents.storage_classes import ARCHIVED
from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.request import S3Response
from holdfast.doors.s3.settings.settings_documents import choice, expect, leaf, sent, whole
from holdfast.doors.s3.settings.telling import told
from holdfast.files.attributes import Attributes
from holdfast.upkeep.plans.lifecycle import due_at
from holdfast.world.clock import MICROSECONDS

if TYPE_CHECKING:
    from holdfast.doors.s3.door import Door
    from holdfast.doors.s3.request import Handler, S3Request
    from holdfast.doors.s3.wire.xml_reading import Node

DAYS_MAX: Final = 36_500
TIERS: Final = ("Standard", "Bulk", "Expedited")


async def restore_object(door: Door, request: S3Request) -> S3Response:
    """POST ?restore: 202 for one that could not be read before, 200 where only its end is moved."""
    # Judged before a byte of the document is taken from somebody who may not.
    version = await named_version(door, request, "s3:RestoreObject")
    days = read_days(await sent(request, "RestoreRequest"))
    until = due_at(request.now, days, door.lifecycle_day_seconds * MICROSECONDS)
    if version.parsed.storage_class not in ARCHIVED:
        raise S3Error("InvalidObjectState", "Restore is not allowed for the object's current storage class")
    readable: list[bool] = []

    def change(attributes: Attributes) -> Attributes:
        readable.append(attributes.restored_until > request.now)
        return msgspec.structs.replace(attributes, restored_until=until, restoring=False)

    event, who = told(request, "s3:ObjectRestore:Post")
    await door.histories.change(request.bucket, version, change, event=event, who=who)
    if door.restores is not None:
        await door.restores.note(request.bucket.id, version.key, version.version_id, until)
    return S3Response(status=200 if readable[-1] else 202)


def read_days(root: Node) -> int:
    """How many days a `<RestoreRequest>` asks for.

    Raises:
        S3Error: MalformedXML; InvalidArgument for days that are none; NotImplemented for a query over the
            object.
    """
    if root.find("SelectParameters") is not None or root.find("OutputLocation") is not None:
        raise S3Error("NotImplemented", "Select queries are not implemented.")
    expect(root, one="Days GlacierJobParameters Type Tier Description")
    parameters = root.find("GlacierJobParameters")
    if parameters is not None:
        expect(parameters, one="Tier")
        choice(leaf(parameters, "Tier"), *TIERS)
    tier = leaf(root, "Tier")
    if tier is not None:
        choice(tier, *TIERS)
    days = whole(leaf(root, "Days"))
    if days is None:
        raise S3Error("MalformedXML")
    if not 1 <= days <= DAYS_MAX:
        raise S3Error(
            "InvalidArgument",
            "restoration days should be at least 1",
            ArgumentName="Days",
            ArgumentValue=str(days),
        )
    return days


HANDLERS: Final[dict[str, Handler]] = {"RestoreObject": restore_object}
