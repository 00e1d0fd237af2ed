"""A line in the log for every request, and the facts for buckets whose owners want them written down."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, Protocol, TextIO

import msgspec

from holdfast.doors.s3.operation_table import SELECTORS
from holdfast.doors.s3.wire.xml_writing import time_text
from holdfast.files.tending.request_log import RequestFacts, log_operation
from holdfast.tenants.names import account_of, canonical_id_of

if TYPE_CHECKING:
    from holdfast.doors.s3.door import Door
    from holdfast.doors.s3.exchange import Exchange

MICROSECONDS: Final = 1_000_000
_SECRET: Final = (
    "x-amz-signature",
    "signature=",
    "x-amz-server-side-encryption-customer-key=",
    "x-amz-copy-source-server-side-encryption-customer-key=",
)
"""What is left out of a target: what opens something by itself."""


class Lines(Protocol):
    """Is told of every request when it is over."""

    def tell(self, exchange: Exchange, seconds: float) -> None:
        """It took so many seconds."""
        ...


class RequestLines:
    """Writes one line a request: JSON for programs, or words for people. Cheaper than the log's own way."""

    def __init__(self, *, as_json: bool, to: TextIO | None = None) -> None:
        self._as_json = as_json
        self._to = sys.stderr if to is None else to

    def tell(self, exchange: Exchange, seconds: float) -> None:
        """Writes the line. Query values stay out: they may be signatures."""
        milliseconds = round(seconds * 1000, 2)
        if self._as_json:
            line = msgspec.json.encode(
                {
                    "time": time_text(exchange.now),
                    "event": "s3 request",
                    "level": "info",
                    "request_id": exchange.request_id,
                    "operation": exchange.operation,
                    "method": exchange.method,
                    "path": exchange.raw_path,
                    "status": exchange.status,
                    "error": exchange.error,
                    "tenant": exchange.identity.tenant_id,
                    "remote": exchange.remote,
                    "sent": exchange.sent,
                    "milliseconds": milliseconds,
                }
            ).decode()
        else:
            line = (
                f"{time_text(exchange.now)} s3 {exchange.operation or exchange.method} {exchange.raw_path} "
                f"{exchange.status} {exchange.error or '-'} {milliseconds} ms {exchange.request_id}"
            )
        self._to.write(line + "\n")


class NoLines:
    """Writes nothing."""

    def tell(self, exchange: Exchange, seconds: float) -> None:
        pass


def note_request(door: Door, exchange: Exchange, seconds: float, host_id: str) -> None:
    """Notes the request if its bucket's owner wants it in a log."""
    record = exchange.record
    if record is None or door.request_log is None:
        return
    settings = record.parsed
    if settings.logging is None:
        return
    identity = exchange.identity
    headers = exchange.headers
    facts = RequestFacts(
        bucket=record.name,
        owner=canonical_id_of(record.tenant),
        account=account_of(record.tenant),
        logging=settings.logging,
        time=exchange.now,
        remote=exchange.remote,
        requester=identity.arn if identity.user_name else identity.canonical_id,
        request_id=exchange.request_id,
        operation=logged_name(exchange),
        key=exchange.key,
        method=exchange.method,
        uri=_target(exchange),
        status=exchange.status,
        error=exchange.error,
        sent=exchange.sent,
        size=exchange.object_size,
        turnaround=round(max(0.0, exchange.answered_at - exchange.received_at) * MICROSECONDS),
        total=int(seconds * MICROSECONDS),
        referer=headers.get("referer", ""),
        agent=headers.get("user-agent", ""),
        version_id=exchange.query.get("versionId", ""),
        host_id=host_id,
        signature=f"SigV{exchange.signature_version}" if exchange.authentication else "",
        authentication=exchange.authentication.replace("POST", ""),
        host=exchange.host,
    )
    door.request_log.note(facts)
    for done in exchange.batch:
        one = facts._replace(
            operation="BATCH.DELETE.OBJECT",
            key=done.key,
            version_id=done.version_id,
            status=done.status,
            error=done.error,
            sent=-1,
            total=-1,
            turnaround=-1,
        )
        door.request_log.note(one)


def _target(exchange: Exchange) -> str:
    """The request's target; a signature in it still opens what it signs, so it is left out, as are keys."""
    if not exchange.raw_query:
        return exchange.raw_path
    parts = [part for part in exchange.raw_query.split("&") if not part.lower().startswith(_SECRET)]
    return f"{exchange.raw_path}?{'&'.join(parts)}"


_NAMES: Final = {
    "CopyObject": "REST.COPY.OBJECT",
    "DeleteObjects": "REST.POST.MULTI_OBJECT_DELETE",
    "ListObjectVersions": "REST.GET.BUCKETVERSIONS",
    "PostObject": "REST.POST.BUCKET",
    "PreflightRequest": "REST.OPTIONS.PREFLIGHT",
    "UploadPart": "REST.PUT.PART",
    "UploadPartCopy": "REST.COPY.PART",
}
_RESOURCES: Final = {
    "legal-hold": "OBJECT_LOCK_LEGALHOLD",
    "logging": "LOGGING_STATUS",
    "object-lock": "OBJECT_LOCK_CONFIGURATION",
    "ownershipControls": "OWNERSHIP_CONTROLS",
    "policy": "BUCKETPOLICY",
    "policyStatus": "BUCKET_POLICY_STATUS",
    "publicAccessBlock": "PUBLIC_ACCESS_BLOCK",
    "requestPayment": "REQUEST_PAYMENT",
    "retention": "OBJECT_LOCK_RETENTION",
    "uploadId": "UPLOAD",
}


def logged_name(exchange: Exchange) -> str:
    """What S3's logs call the operation: `REST.GET.OBJECT`, `REST.PUT.PART`, `WEBSITE.GET.OBJECT`."""
    if exchange.website:
        return f"WEBSITE.{exchange.method}.OBJECT"
    name = _NAMES.get(exchange.operation)
    return name or log_operation(exchange.method, exchange.key, _resource(exchange))


def _resource(exchange: Exchange) -> str:
    for name in exchange.query:
        if name in SELECTORS and name != "list-type":
            if name == "tagging" and exchange.key is not None:
                return "OBJECT_TAGGING"
            return _RESOURCES.get(name) or name.upper()
    return ""
