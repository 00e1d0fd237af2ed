"""The lines of a request log, the names of its objects, and whether a bucket lets it in: pure functions.

A line is one request in S3's format for server access logs, with all of its 26 fields.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from holdfast.files.records import Bucket
from holdfast.files.tending.request_log import LogKey, RequestFacts
from holdfast.tenants.identity import Identity
from holdfast.tenants.names import account_of, canonical_id_of
from holdfast.tenants.policies import ALLOW, DENY, policy_of
from holdfast.world.clock import MICROSECONDS

SERVICE: Final = "logging.s3.amazonaws.com"
"""The principal that policies let write logs."""
WRITER: Final = Identity(canonical_id=canonical_id_of(SERVICE), account=account_of(SERVICE))
"""That principal as somebody who can be judged."""
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAY_SECONDS: Final = 86_400
_MILLISECOND: Final = 1000


@dataclass(frozen=True)
class LogPlan:
    """What to write: lines by where they go; and how many were dropped before."""

    batches: dict[LogKey, list[RequestFacts]]
    dropped: int

    def lines(self) -> Sequence[str]:
        """Each step with its reason."""
        return [
            f"write {len(held)} lines of '{key.bucket}' into '{key.logging.target_bucket}': they are due"
            for key, held in self.batches.items()
        ]


def line(facts: RequestFacts) -> str:
    """One request; what is not known is a hyphen."""
    fields = (
        facts.owner or "-",
        facts.bucket,
        _log_time(facts.time),
        facts.remote or "-",
        facts.requester or "-",
        facts.request_id or "-",
        facts.operation or "-",
        "-" if facts.key is None else quote(facts.key, safe="/") or "-",
        f'"{_clean(facts.method)} {_clean(facts.uri)} HTTP/1.1"',
        str(facts.status) if facts.status else "-",
        facts.error or "-",
        _number(facts.sent) if facts.sent else "-",
        _number(facts.size),
        _number(facts.total // _MILLISECOND if facts.total >= 0 else -1),
        _number(facts.turnaround // _MILLISECOND if facts.turnaround >= 0 else -1),
        f'"{_clean(facts.referer) or "-"}"',
        f'"{_clean(facts.agent) or "-"}"',
        facts.version_id or "-",
        facts.host_id or "-",
        facts.signature or "-",
        facts.cipher or "-",
        facts.authentication or "-",
        _clean(facts.host).replace(" ", "%20") or "-",
        facts.tls or "-",
        "-",
        "Yes" if facts.acl_required else "-",
    )
    return " ".join(fields)


def _number(value: int) -> str:
    return "-" if value < 0 else str(value)


def _clean(text: str) -> str:
    """Without what would end a field or a line: a caller must not be able to write lines of its own."""
    if text.isprintable() and '"' not in text:
        return text
    return "".join(c if c.isprintable() and c != '"' else quote(c, safe="", errors="replace") for c in text)


def _log_time(time: int) -> str:
    then = datetime.fromtimestamp(time // MICROSECONDS, UTC)
    return f"[{then:%d}/{_MONTHS[then.month - 1]}/{then:%Y:%H:%M:%S} +0000]"


def object_key(key: LogKey, *, now: int, unique: str, region: str) -> str:
    """The name of a log object in one of S3's forms: simple, or parted by days of events or of delivery."""
    logging = key.logging
    if logging.key_format in {"", "simple"}:
        then = datetime.fromtimestamp(now // MICROSECONDS, UTC)
        return f"{logging.target_prefix}{then:%Y-%m-%d-%H-%M-%S}-{unique}"
    by_event = logging.key_format == "event_time"
    then = datetime.fromtimestamp(key.day * _DAY_SECONDS if by_event else now // MICROSECONDS, UTC)
    place = f"{key.account}/{region}/{key.bucket}/{then:%Y/%m/%d}"
    return f"{logging.target_prefix}{place}/{then:%Y-%m-%d-%H-%M-%S}-{unique}"


def refusal_of(target: Bucket, name: str, key: LogKey) -> str:
    """Why the bucket does not let this log object in; empty if it does.

    As S3 has it: the target belongs to the same owner, and either a statement of its policy allows the
    logging service to put objects there, or its list, where lists count, lets the log group write.
    """
    if account_of(target.tenant) != key.account:
        return "it belongs to somebody else"
    settings = target.parsed
    if settings.policy:
        said = policy_of(_with_writer(settings.policy)).judge(
            WRITER, "s3:PutObject", target.name, name, key.account, _context(key)
        )
        if said == DENY:
            return "a statement of its policy denies it"
        if said == ALLOW:
            return ""
    if settings.ownership != "BucketOwnerEnforced" and settings.acl is not None:
        for grant in settings.acl.grants:
            if grant.group == "LogDelivery" and grant.permission in {"WRITE", "FULL_CONTROL"}:
                return ""
    return "neither its policy nor its access control list lets the logging service write"


def _context(key: LogKey) -> dict[str, str | list[str]]:
    return {
        "aws:sourcearn": f"arn:aws:s3:::{key.bucket}",
        "aws:sourceaccount": key.account,
        "aws:principalservicename": SERVICE,
        "aws:securetransport": "true",
    }


def _with_writer(policy: str) -> str:
    """The policy with the logging service's name replaced by one that the judge of policies knows."""
    if SERVICE not in policy:
        return policy
    document = json.loads(policy)
    written = document.get("Statement", [])
    for statement in written if isinstance(written, list) else [written]:
        for field in ("Principal", "NotPrincipal"):
            principal = statement.get(field)
            if isinstance(principal, dict) and SERVICE in _listed(principal.get("Service")):
                named = [*_listed(principal.get("CanonicalUser")), WRITER.canonical_id]
                statement[field] = principal | {"CanonicalUser": named}
    return json.dumps(document)


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [] if value is None else [value]
