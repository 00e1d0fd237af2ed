"""How failures are said over HTTP: one table from code to status."""

from __future__ import annotations

from typing import Final

from holdfast.protocol.failures import FailureReply, reply_of
from holdfast.world.errors import Failure

STATUS: Final[dict[str, int]] = {
    "access.denied": 403,
    "access.unknown": 401,
    "bucket.exists": 409,
    "bucket.invalid": 400,
    "bucket.not_empty": 409,
    "bucket.unknown": 404,
    "class.unknown": 400,
    "clock.skewed": 403,
    "config.invalid": 400,
    "config.missing": 400,
    "digest.wrong": 400,
    "fleet.too_small": 507,
    "format.invalid": 400,
    "format.newer": 400,
    "grant.expired": 403,
    "grant.foreign": 403,
    "grant.oversized": 403,
    "grant.unsigned": 403,
    "grant.used": 403,
    "invitation.invalid": 403,
    "key.unknown": 409,
    "key.mismatch": 409,
    "key.wrong": 409,
    "multipart.unknown": 404,
    "name.invalid": 400,
    "node.unknown": 404,
    "node.full": 507,
    "node.running": 409,
    "node.state": 409,
    "object.unknown": 404,
    "path.escapes": 400,
    "policy.malformed": 400,
    "part.unknown": 409,
    "precondition.conflict": 409,
    "precondition.failed": 412,
    "request.incomplete": 400,
    "request.invalid": 400,
    "request.too_large": 413,
    "shard.exists": 409,
    "shard.unknown": 404,
    "signature.invalid": 401,
    "source.changed": 409,
    "tenant.exists": 409,
    "tenant.unknown": 404,
    "upload.incomplete": 409,
    "upload.unknown": 404,
    "version.locked": 403,
    "user.exists": 409,
    "user.unknown": 404,
    "version.unsupported": 400,
    "chunk.lost": 503,
    "database.busy": 503,
    "database.unreachable": 503,
    "disk.failed": 500,
    "disk.full": 507,
    "endpoint.unreachable": 503,
    "metadata.forged": 502,
    "node.unreachable": 503,
    "node.corrupt": 502,
    "target.refused": 502,
    "internal": 500,
}


def failure_reply(failure: Failure, request_id: str) -> tuple[int, FailureReply]:
    """The HTTP status and body that say this failure."""
    return STATUS[failure.code], reply_of(failure, request_id=request_id)
