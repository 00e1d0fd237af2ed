"""Transfer acceleration: there is none, which is what its status says. Switching it on is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from holdfast.doors.s3.settings.settings_documents import shown

if TYPE_CHECKING:
    from holdfast.doors.s3.door import Door
    from holdfast.doors.s3.request import Handler, S3Request, S3Response


async def get_bucket_accelerate_configuration(_door: Door, _request: S3Request) -> S3Response:
    """GET ?accelerate."""
    return shown("AccelerateConfiguration")


HANDLERS: Final[dict[str, Handler]] = {
    "GetBucketAccelerateConfiguration": get_bucket_accelerate_configuration,
}
