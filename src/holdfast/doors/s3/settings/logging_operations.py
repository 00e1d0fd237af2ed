"""Where the requests of a bucket are written down: the setting; writing them is for upkeep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, cast

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.rights.access import lists_off
from holdfast.doors.s3.rights.acl_headers import URI_OF, grant_to
from holdfast.doors.s3.settings.settings_documents import (
    choice,
    done,
    expect,
    malformed,
    need_leaf,
    save,
    sent,
    shown,
)
from holdfast.doors.s3.wire.xml_reading import Node
from holdfast.doors.s3.wire.xml_writing import XSI, element, group, optional
from holdfast.files.attributes import Grant
from holdfast.files.bucket_settings import Logging
from holdfast.tenants.permits import allows_s3
from holdfast.world.errors import Refusal

if TYPE_CHECKING:
    from holdfast.doors.s3.door import Door
    from holdfast.doors.s3.request import Handler, S3Request, S3Response
    from holdfast.files.records import Bucket
    from holdfast.tenants.people import People

Permission = Literal["FULL_CONTROL", "READ", "WRITE"]
KeyFormat = Literal["", "simple", "event_time", "delivery_time"]

GRANTS_MAX: Final = 100

_DATE_SOURCES: Final[dict[str, KeyFormat]] = {"EventTime": "event_time", "DeliveryTime": "delivery_time"}
_SOURCE_OF: Final = {shown_format: source for source, shown_format in _DATE_SOURCES.items()}
_GRANTEES: Final = {
    "CanonicalUser": ("id", "ID"),
    "AmazonCustomerByEmail": ("emailaddress", "EmailAddress"),
    "Group": ("uri", "URI"),
}


class Asked(NamedTuple):
    """A `<BucketLoggingStatus>` as it was read: its grants still name people as the caller does."""

    target_bucket: str
    target_prefix: str
    key_format: KeyFormat
    grants: tuple[tuple[Permission, str, str], ...]


def read_logging(root: Node) -> Asked | None:
    """What is asked for; None to write nothing down. Raises S3Error MalformedXML."""
    expect(root, one="LoggingEnabled")
    node = root.find("LoggingEnabled")
    if node is None:
        return None
    expect(node, one="TargetBucket TargetPrefix TargetGrants TargetObjectKeyFormat")
    grants = node.find("TargetGrants")
    return Asked(
        need_leaf(node, "TargetBucket") or malformed(),
        need_leaf(node, "TargetPrefix"),
        _read_key_format(node.find("TargetObjectKeyFormat")),
        () if grants is None else _read_grants(grants),
    )


def _read_key_format(node: Node | None) -> KeyFormat:
    if node is None:
        return ""
    expect(node, one="SimplePrefix PartitionedPrefix")
    if len(node.children) != 1:
        malformed()
    only = node.children[0]
    if only.name == "SimplePrefix":
        expect(only)
        return "simple"
    expect(only, one="PartitionDateSource")
    return _DATE_SOURCES[choice(need_leaf(only, "PartitionDateSource"), *_DATE_SOURCES)]


def _read_grants(node: Node) -> tuple[tuple[Permission, str, str], ...]:
    expect(node, many="Grant")
    if len(node.children) > GRANTS_MAX:
        malformed()
    return tuple([_read_grant(each) for each in node.children])


def _read_grant(node: Node) -> tuple[Permission, str, str]:
    expect(node, one="Grantee Permission")
    permission = choice(need_leaf(node, "Permission"), "FULL_CONTROL", "READ", "WRITE")
    grantee = node.need("Grantee")
    expect(grantee, one="ID DisplayName EmailAddress URI")
    kind, name = _GRANTEES[choice(grantee.xsi_type, *_GRANTEES)]
    return cast("Permission", permission), kind, need_leaf(grantee, name)


async def _judged(door: Door, request: S3Request, asked: Asked) -> Logging:
    """The setting, if the target may be written to."""
    target = await _target(door, asked.target_bucket)
    if target.tenant != request.bucket.tenant:
        _refuse("The owner for the bucket to be logged and the target bucket must be the same.")
    _check_target(target, asked)
    permit = request.identity.permit
    if not allows_s3(permit, "s3:PutObject", target.name, asked.target_prefix).allowed:
        # An access key for one bucket does not write into another by way of logs.
        raise S3Error("AccessDenied")
    return Logging(
        target_bucket=asked.target_bucket,
        target_prefix=asked.target_prefix,
        grants=await _granted(door.people, asked),
        key_format=asked.key_format,
    )


async def _target(door: Door, name: str) -> Bucket:
    try:
        bucket: Bucket = await door.buckets.find(name)
    except Refusal as refusal:
        if refusal.code != "bucket.unknown":
            raise
        raise S3Error(
            "InvalidTargetBucketForLogging", "The target bucket for logging does not exist", TargetBucket=name
        ) from refusal
    return bucket


def _check_target(target: Bucket, asked: Asked) -> None:
    settings = target.parsed
    if settings.request_payer == "Requester":
        _refuse("The target bucket for logging must not be a requester pays bucket.")
    if settings.object_lock is not None and settings.object_lock.mode:
        _refuse("The target bucket for logging must not have a default retention.")
    if lists_off(settings):
        if asked.grants:
            raise S3Error("AccessControlListNotSupported", "The target bucket does not allow target grants")
        return
    # A bucket says by its policy or by its list that logs may come. One that was never asked to keep lists
    # takes its owner's logs as it takes everything of its owner.
    if settings.ownership and not settings.policy and not _list_admits_logs(target):
        _refuse("You must give the log-delivery group WRITE and READ_ACP permissions to the target bucket")


def _list_admits_logs(target: Bucket) -> bool:
    acl = target.parsed.acl
    given = {grant.permission for grant in acl.grants if grant.group == "LogDelivery"} if acl else set()
    return "FULL_CONTROL" in given or {"WRITE", "READ_ACP"} <= given


async def _granted(people: People, asked: Asked) -> tuple[Grant, ...]:
    return tuple([await grant_to(people, permission, kind, name) for permission, kind, name in asked.grants])


def _refuse(message: str) -> None:
    raise S3Error("InvalidTargetBucketForLogging", message)


def logging_elements(setting: Logging) -> str:
    """`<LoggingEnabled>`."""
    return group(
        "LoggingEnabled",
        element("TargetBucket", setting.target_bucket),
        group("TargetGrants", *[_grant_element(grant) for grant in setting.grants]) if setting.grants else "",
        _key_format_element(setting.key_format),
        element("TargetPrefix", setting.target_prefix),
    )


def _key_format_element(key_format: KeyFormat) -> str:
    if not key_format:
        return ""
    if key_format == "simple":
        return group("TargetObjectKeyFormat", group("SimplePrefix"))
    source = element("PartitionDateSource", _SOURCE_OF[key_format])
    return group("TargetObjectKeyFormat", group("PartitionedPrefix", source))


def _grant_element(grant: Grant) -> str:
    kind = "Group" if grant.group else "CanonicalUser"
    if grant.group:
        who = element("URI", URI_OF[grant.group])
    else:
        who = element("ID", grant.canonical_id) + optional("DisplayName", grant.display_name)
    grantee = f'<Grantee xmlns:xsi="{XSI}" xsi:type="{kind}">{who}</Grantee>'
    return group("Grant", grantee, element("Permission", grant.permission))


async def get_bucket_logging(_door: Door, request: S3Request) -> S3Response:
    """GET ?logging; an empty status if nothing is written down."""
    setting = request.bucket.parsed.logging
    return shown("BucketLoggingStatus", "" if setting is None else logging_elements(setting))


async def put_bucket_logging(door: Door, request: S3Request) -> S3Response:
    """PUT ?logging; an empty status ends it."""
    asked = read_logging(await sent(request, "BucketLoggingStatus"))
    setting = None if asked is None else await _judged(door, request, asked)
    await save(door, request, logging=setting)
    return done()


HANDLERS: Final[dict[str, Handler]] = {
    "GetBucketLogging": get_bucket_logging,
    "PutBucketLogging": put_bucket_logging,
}
