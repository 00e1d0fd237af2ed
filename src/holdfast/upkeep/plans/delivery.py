"""How an event is told, and when it is tried again: pure functions.

The body is S3's event message. A key is written in it as S3 writes it, as in a form: spaces are plus signs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote_plus

import msgspec

from holdfast.files.outbox_rows import EventRow
from holdfast.files.tending.outbox import TEST_EVENT
from holdfast.tenants.names import canonical_id_of
from holdfast.world.clock import MICROSECONDS

ATTEMPTS_MAX: Final = 16
"""After as many an event is given up: about a day after the first."""
REST_FIRST: Final = 2 * MICROSECONDS
REST_MAX: Final = 3 * 3600 * MICROSECONDS

_LATER_KINDS: Final = (
    "s3:LifecycleExpiration:",
    "s3:LifecycleTransition",
    "s3:ObjectAcl:",
    "s3:ObjectTagging:",
    "s3:ObjectRestore:Delete",
)


@dataclass(frozen=True)
class DeliveryPlan:
    """Events in the order noted, in rows that must be told one after another."""

    rows: list[EventRow]
    lanes: list[list[EventRow]]
    unnamed: list[EventRow]
    """Events for targets that the operator has not set (any more): given up at once."""
    full: bool
    """Whether more may be due."""

    def lines(self) -> Sequence[str]:
        """Each step with its reason."""
        unnamed = {row.id for row in self.unnamed}
        return [
            f"give up {row.event} of '{_text(row)}' in '{row.bucket}': no target is set for {row.arn}"
            if row.id in unnamed
            else f"tell {row.arn} of {row.event} of '{_text(row)}' in '{row.bucket}'"
            f"{f': attempt {row.attempts + 1}, before: {row.failure}' if row.attempts else ''}"
            for row in self.rows
        ]


def plan_delivery(rows: Sequence[EventRow], known: frozenset[str], *, limit: int) -> DeliveryPlan:
    """Sorts a page of events into lanes, one for each target and key; `known` are the ARNs that are set."""
    lanes: dict[tuple[str, int, bytes], list[EventRow]] = {}
    unnamed: list[EventRow] = []
    for row in rows:
        if row.arn in known:
            lanes.setdefault((row.arn, row.bucket_id, row.key), []).append(row)
        else:
            unnamed.append(row)
    return DeliveryPlan(list(rows), list(lanes.values()), unnamed, full=len(rows) >= limit)


def rest_before(attempts: int, chance: float) -> int:
    """Microseconds to wait after so many failed attempts, jittered by a number in [0, 1)."""
    whole = min(REST_FIRST << min(attempts - 1, 30), REST_MAX)
    return whole // 2 + int(whole * chance) // 2


def message(row: EventRow, *, region: str) -> bytes:
    """The body that is sent."""
    who: dict[str, str] = msgspec.json.decode(row.who)
    if row.event == TEST_EVENT:
        return msgspec.json.encode(
            {
                "Service": "Amazon S3",
                "Event": TEST_EVENT,
                "Time": _iso(row.time),
                "Bucket": row.bucket,
                "RequestId": who.get("request_id", ""),
                "HostId": "",
            }
        )
    record = {
        "eventVersion": _version(row.event),
        "eventSource": "aws:s3",
        "awsRegion": region,
        "eventTime": _iso(row.time),
        "eventName": row.event.removeprefix("s3:"),
        "userIdentity": {"principalId": who.get("principal", "")},
        "requestParameters": {"sourceIPAddress": who.get("ip", "")},
        "responseElements": {"x-amz-request-id": who.get("request_id", ""), "x-amz-id-2": ""},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": row.target_id,
            "bucket": {
                "name": row.bucket,
                "ownerIdentity": {"principalId": canonical_id_of(row.tenant)},
                "arn": f"arn:aws:s3:::{row.bucket}",
            },
            "object": _object(row),
        },
    }
    return msgspec.json.encode({"Records": [record]})


def _object(row: EventRow) -> dict[str, Any]:
    found: dict[str, Any] = {"key": quote_plus(row.key, safe="/*")}
    if not row.event.startswith(("s3:ObjectRemoved:", "s3:LifecycleExpiration:")):
        found["size"] = row.size
    if row.etag:
        found["eTag"] = row.etag
    if row.version_id is not None:
        found["versionId"] = row.version_id
    # Compared as text, of two events of one key the later one is the greater: rows are numbered as they come.
    found["sequencer"] = f"{row.id:016X}"
    return found


def _version(event: str) -> str:
    if event.startswith("s3:Replication:"):
        return "2.2"
    return "2.3" if event.startswith(_LATER_KINDS) else "2.1"


def _iso(time: int) -> str:
    told = datetime.fromtimestamp(time / MICROSECONDS, UTC).isoformat(timespec="milliseconds")
    return told.replace("+00:00", "Z")


def _text(row: EventRow) -> str:
    return row.key.decode(errors="replace")
