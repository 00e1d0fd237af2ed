"""What an operation says of itself to those whom a bucket's owner wants told of events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from holdfast.doors.s3.request import S3Request

_NOBODY: Final[dict[str, str]] = {}


def told(request: S3Request, event: str) -> tuple[str, Mapping[str, str]]:
    """The event and who caused it; empty where the bucket tells nobody."""
    settings = request.bucket.parsed
    if not settings.notifications and not settings.notifications_eventbridge and settings.replication is None:
        return "", _NOBODY
    return event, {
        "principal": request.identity.canonical_id,
        "ip": request.remote,
        "request_id": request.request_id,
    }
