"""PutObject, and the upload of a browser form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from holdfast.doors.s3.contents import showing
from holdfast.doors.s3.contents.new_object import (
    announced,
    demand_size,
    etag_kind,
    new_object,
    write_conditions,
)
from holdfast.doors.s3.request import S3Response
from holdfast.doors.s3.settings.telling import told
from holdfast.gateway.wish import PutWish
from holdfast.world.errors import Refusal

if TYPE_CHECKING:
    from holdfast.doors.s3.door import Door
    from holdfast.doors.s3.request import Handler, S3Request
    from holdfast.files.records import Version


async def put_object(door: Door, request: S3Request) -> S3Response:
    """PUT of an object's bytes."""
    version = await store(door, request, "s3:ObjectCreated:Put")
    attributes = version.parsed
    headers = [("etag", f'"{version.etag}"')]
    headers += showing.checksum_headers(attributes)
    headers += showing.written_headers(door, request.bucket, version, attributes)
    return S3Response(headers=headers, object_size=version.size)


async def store(door: Door, request: S3Request, event: str) -> Version:
    """Stores the body as the request's headers ask; all of that is judged before its first byte is read.

    Raises:
        S3Error: whatever is wrong with the request.
        Refusal: what the gateway refuses.
    """
    demand_size(request.body.size)
    wanted = await new_object(door, request)
    claims = announced(request)
    event, who = told(request, event)
    wish = PutWish(
        attributes=wanted.attributes,
        storage_class=wanted.storage_class,
        conditions=write_conditions(request),
        expected=claims.expected,
        checksum=claims.checksum,
        customer_key=wanted.sealing.customer_key,
        etag=etag_kind(wanted.sealing),
        event=event,
        who=who,
    )
    try:
        version: Version = await door.gateway.put(request.bucket, request.object_key, request.body, wish)
    except Refusal as refusal:
        raise claims.in_s3(refusal) from refusal
    return version


HANDLERS: Final[dict[str, Handler]] = {"PutObject": put_object}
