"""Object lock: the bucket's configuration, and retention and legal hold of a version.

The rules themselves are in `files.locking`, and are applied in the transaction that changes the version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, cast

import msgspec

from holdfast.doors.s3.contents.named_version import named_version
from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.settings.settings_documents import (
    choice,
    done,
    exact_time_text,
    expect,
    invalid,
    leaf,
    malformed,
    moment,
    need_leaf,
    parse_moment,
    sent,
    shown,
    whole,
)
from holdfast.doors.s3.settings.telling import told
from holdfast.doors.s3.wire.xml_reading import Node
from holdfast.doors.s3.wire.xml_writing import element, group
from holdfast.files import locking
from holdfast.files.attributes import Attributes, Retention
from holdfast.files.bucket_settings import BucketSettings, ObjectLock
from holdfast.world.errors import Refusal

if TYPE_CHECKING:
    from holdfast.doors.s3.door import Door
    from holdfast.doors.s3.request import Handler, S3Request, S3Response
    from holdfast.files.records import Bucket

Mode = Literal["GOVERNANCE", "COMPLIANCE"]

MODE_HEADER: Final = "x-amz-object-lock-mode"
UNTIL_HEADER: Final = "x-amz-object-lock-retain-until-date"
HOLD_HEADER: Final = "x-amz-object-lock-legal-hold"
BYPASS_HEADER: Final = "x-amz-bypass-governance-retention"
DOCUMENT_BYTES_MAX: Final = 16 << 10
DAYS_MAX: Final = 36_500
YEARS_MAX: Final = 100

_MODES: Final = ("GOVERNANCE", "COMPLIANCE")


def lock_from_headers(
    request: S3Request, settings: BucketSettings, now: int
) -> tuple[Retention | None, bool]:
    """The retention and the legal hold that a request's headers ask for; (None, False) for none.

    The bucket's default retention is not looked at: it is applied where the version is made.

    Raises:
        S3Error: InvalidRequest where the bucket keeps no locks, InvalidArgument for what cannot be.
    """
    headers = request.headers
    mode, until, hold = headers.get(MODE_HEADER), headers.get(UNTIL_HEADER), headers.get(HOLD_HEADER)
    if mode is None and until is None and hold is None:
        return None, False
    _demand_lock(settings)
    if (mode is None) != (until is None):
        invalid(
            f"{UNTIL_HEADER} and {MODE_HEADER} must both be supplied", MODE_HEADER if until else UNTIL_HEADER
        )
    retention = None if mode is None or until is None else _retention_from_headers(mode, until, now)
    if hold is not None and hold not in {"ON", "OFF"}:
        invalid("Legal Hold must be either of 'ON' or 'OFF'", HOLD_HEADER, hold)
    return retention, hold == "ON"


def _retention_from_headers(mode: str, until: str, now: int) -> Retention:
    if mode not in _MODES:
        invalid("Unknown wormMode directive.", MODE_HEADER, mode)
    end = parse_moment(until.strip())
    if end is None:
        return invalid("The retain until date must be provided in ISO 8601 format", UNTIL_HEADER, until)
    if end <= now:
        invalid("The retain until date must be in the future!", UNTIL_HEADER, until)
    return Retention(mode=cast("Mode", mode), until=end)


def bypass_asked(request: S3Request) -> bool:
    """Whether the caller asks to pass over GOVERNANCE; that it may is another question."""
    return request.headers.get(BYPASS_HEADER, "").strip().lower() == "true"


def read_lock(root: Node) -> ObjectLock:
    """An `<ObjectLockConfiguration>`; raises S3Error MalformedXML or InvalidArgument."""
    expect(root, one="ObjectLockEnabled Rule")
    choice(leaf(root, "ObjectLockEnabled"), "Enabled")
    rule = root.find("Rule")
    if rule is None:
        return ObjectLock()
    expect(rule, one="DefaultRetention")
    default = rule.need("DefaultRetention")
    if default.find("DefaultEventHold") is not None:
        raise S3Error("NotImplemented")
    expect(default, one="Mode Days Years")
    mode = choice(leaf(default, "Mode"), *_MODES)
    days, years = whole(leaf(default, "Days")), whole(leaf(default, "Years"))
    if (days is None) == (years is None):
        malformed()
    _check_period("Days", days, DAYS_MAX)
    _check_period("Years", years, YEARS_MAX)
    return ObjectLock(mode=cast("Mode", mode), days=days or 0, years=years or 0)


def _check_period(name: str, value: int | None, most: int) -> None:
    if value is None:
        return
    if value <= 0:
        invalid("Default retention period must be a positive integer value.", name, str(value))
    if value > most:
        invalid(f"Default retention period too large: at most {most} {name.lower()}.", name, str(value))


def lock_document(lock: ObjectLock) -> S3Response:
    """The configuration as S3 shows it."""
    rule = ""
    if lock.mode:
        period = element("Days", lock.days) if lock.days else element("Years", lock.years)
        rule = group("Rule", group("DefaultRetention", element("Mode", lock.mode), period))
    return shown("ObjectLockConfiguration", element("ObjectLockEnabled", "Enabled"), rule)


async def get_object_lock_configuration(_door: Door, request: S3Request) -> S3Response:
    """GET ?object-lock."""
    lock = request.bucket.parsed.object_lock
    if lock is None:
        raise S3Error("ObjectLockConfigurationNotFoundError", BucketName=request.bucket.name)
    return lock_document(lock)


async def put_object_lock_configuration(door: Door, request: S3Request) -> S3Response:
    """PUT ?object-lock: also switches locks on, for a bucket that keeps versions."""
    lock = read_lock(await sent(request, "ObjectLockConfiguration"))

    def change(bucket: Bucket, settings: BucketSettings) -> BucketSettings:
        if bucket.versioning != "on":
            raise S3Error(
                "InvalidBucketState",
                "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration",
            )
        return msgspec.structs.replace(settings, object_lock=lock)

    await door.buckets.change(request.bucket.id, change)
    return done()


def read_retention(root: Node, now: int) -> Retention | None:
    """A `<Retention>`; None for an empty one. Raises S3Error MalformedXML or InvalidArgument."""
    if root.find("EventHold") is not None or root.find("EventHoldDuration") is not None:
        raise S3Error("NotImplemented")
    expect(root, one="Mode RetainUntilDate")
    mode, until = leaf(root, "Mode"), moment(leaf(root, "RetainUntilDate"))
    if mode is None and until is None:
        return None
    if until is None:
        malformed()
    choice(mode, *_MODES)
    if until <= now:
        invalid("The retain until date must be in the future!", "RetainUntilDate")
    return Retention(mode=cast("Mode", mode), until=until)


def _retention_context(retention: Retention | None, now: int) -> dict[str, str | list[str]] | None:
    if retention is None:
        return None
    return {
        "s3:object-lock-mode": retention.mode,
        "s3:object-lock-retain-until-date": exact_time_text(retention.until),
        "s3:object-lock-remaining-retention-days": str((retention.until - now) // locking.DAY),
    }


async def get_object_retention(door: Door, request: S3Request) -> S3Response:
    """GET ?retention of an object."""
    version = await named_version(door, request, "s3:GetObjectRetention")
    _demand_lock(request.bucket.parsed)
    retention = version.parsed.retention
    if retention is None:
        raise S3Error("NoSuchObjectLockConfiguration", Key=request.object_key)
    return shown(
        "Retention",
        element("Mode", retention.mode),
        element("RetainUntilDate", exact_time_text(retention.until)),
    )


async def put_object_retention(door: Door, request: S3Request) -> S3Response:
    """PUT ?retention of an object."""
    # How long is asked for may be what a policy asks about, so it is read before it is asked.
    retention = read_retention(await sent(request, "Retention", DOCUMENT_BYTES_MAX), request.now)
    context = _retention_context(retention, request.now)
    version = await named_version(door, request, "s3:PutObjectRetention", context=context)
    _demand_lock(request.bucket.parsed)
    attributes = version.parsed
    bypass = bypass_asked(request) and request.access.allows(
        "s3:BypassGovernanceRetention",
        request.object_key,
        acl=attributes.acl,
        tags=attributes.tags,
        context=context,
    )

    def change(old: Attributes) -> Attributes:
        locking.check_change(old.retention, retention, request.now, bypass)
        return msgspec.structs.replace(old, retention=retention)

    event, who = told(request, "s3:ObjectRetention:Put")
    try:
        await door.histories.change(request.bucket, version, change, event=event, who=who)
    except Refusal as refusal:
        raise _protected(refusal) from refusal
    return done()


async def get_object_legal_hold(door: Door, request: S3Request) -> S3Response:
    """GET ?legal-hold of an object."""
    version = await named_version(door, request, "s3:GetObjectLegalHold")
    _demand_lock(request.bucket.parsed)
    attributes = version.parsed
    if not attributes.legal_hold and not attributes.legal_hold_ended:
        raise S3Error("NoSuchObjectLockConfiguration", Key=request.object_key)
    return shown("LegalHold", element("Status", "ON" if attributes.legal_hold else "OFF"))


async def put_object_legal_hold(door: Door, request: S3Request) -> S3Response:
    """PUT ?legal-hold of an object."""
    root = await sent(request, "LegalHold", DOCUMENT_BYTES_MAX)
    expect(root, one="Status")
    status = choice(need_leaf(root, "Status"), "ON", "OFF")
    held = status == "ON"
    context = {"s3:object-lock-legal-hold": status}
    version = await named_version(door, request, "s3:PutObjectLegalHold", context=context)
    _demand_lock(request.bucket.parsed)

    def change(old: Attributes) -> Attributes:
        return msgspec.structs.replace(old, legal_hold=held, legal_hold_ended=not held)

    await door.histories.change(request.bucket, version, change)
    return done()


def _demand_lock(settings: BucketSettings) -> None:
    if settings.object_lock is None:
        raise S3Error("InvalidRequest", "Bucket is missing Object Lock Configuration")


def _protected(refusal: Refusal) -> S3Error | Refusal:
    if refusal.code != "version.locked":
        return refusal
    return S3Error("AccessDenied", "Access Denied because object protected by object lock.")


HANDLERS: Final[dict[str, Handler]] = {
    "GetObjectLockConfiguration": get_object_lock_configuration,
    "PutObjectLockConfiguration": put_object_lock_configuration,
    "GetObjectRetention": get_object_retention,
    "PutObjectRetention": put_object_retention,
    "GetObjectLegalHold": get_object_legal_hold,
    "PutObjectLegalHold": put_object_legal_hold,
}
