"""What is told to whom when objects come and go: the setting; telling it is for upkeep.

An ARN stands for a URL that the operator has set. No event may concern two configurations: S3 refuses those
whose events, prefixes and suffixes all overlap.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from holdfast.doors.s3.settings.settings_documents import (
    done,
    expect,
    invalid,
    leaf,
    malformed,
    need_leaf,
    save,
    sent,
    shown,
)
from holdfast.doors.s3.wire.xml_reading import Node
from holdfast.doors.s3.wire.xml_writing import element, group
from holdfast.files.bucket_settings import NotificationTarget

if TYPE_CHECKING:
    from holdfast.doors.s3.door import Door
    from holdfast.doors.s3.request import Handler, S3Request, S3Response

Kind = Literal["Queue", "Topic", "CloudFunction"]

SKIP_HEADER: Final = "x-amz-skip-destination-validation"
TARGETS_MAX: Final = 100
ID_LENGTH_MAX: Final = 255
VALUE_BYTES_MAX: Final = 1024

EVENTS: Final = frozenset(
    {
        "s3:IntelligentTiering",
        "s3:LifecycleExpiration:*",
        "s3:LifecycleExpiration:Delete",
        "s3:LifecycleExpiration:DeleteMarkerCreated",
        "s3:LifecycleTransition",
        "s3:ObjectAcl:Put",
        "s3:ObjectCreated:*",
        "s3:ObjectCreated:CompleteMultipartUpload",
        "s3:ObjectCreated:Copy",
        "s3:ObjectCreated:Post",
        "s3:ObjectCreated:Put",
        "s3:ObjectRemoved:*",
        "s3:ObjectRemoved:Delete",
        "s3:ObjectRemoved:DeleteMarkerCreated",
        "s3:ObjectRestore:*",
        "s3:ObjectRestore:Completed",
        "s3:ObjectRestore:Delete",
        "s3:ObjectRestore:Post",
        "s3:ObjectRetention:Put",
        "s3:ObjectTagging:*",
        "s3:ObjectTagging:Delete",
        "s3:ObjectTagging:Put",
        "s3:ReducedRedundancyLostObject",
        "s3:Replication:*",
        "s3:Replication:OperationFailedReplication",
        "s3:Replication:OperationMissedThreshold",
        "s3:Replication:OperationNotTracked",
        "s3:Replication:OperationReplicatedAfterThreshold",
    }
)

_KIND_OF: Final[dict[str, Kind]] = {
    "QueueConfiguration": "Queue",
    "TopicConfiguration": "Topic",
    "CloudFunctionConfiguration": "CloudFunction",
}


def read_notifications(root: Node) -> tuple[tuple[NotificationTarget, ...], bool]:
    """A `<NotificationConfiguration>`: its targets, and whether EventBridge is told.

    Raises:
        S3Error: MalformedXML, InvalidArgument.
    """
    expect(root, one="EventBridgeConfiguration", many=" ".join(_KIND_OF))
    bridge = root.find("EventBridgeConfiguration")
    if bridge is not None:
        expect(bridge)
    nodes = [child for child in root.children if child.name in _KIND_OF]
    if len(nodes) > TARGETS_MAX:
        invalid(f"The number of notification configurations is limited to {TARGETS_MAX}.")
    targets = tuple([_read_target(node, number) for number, node in enumerate(nodes)])
    if len({target.target_id for target in targets}) < len(targets):
        invalid("Same ID used for multiple configurations. IDs must be unique", "Id")
    _check_overlap(targets)
    return targets, bridge is not None


def _read_target(node: Node, number: int) -> NotificationTarget:
    kind = _KIND_OF[node.name]
    role = " InvocationRole" if kind == "CloudFunction" else ""
    expect(node, one=f"Id Filter {kind}{role}", many="Event")
    arn = need_leaf(node, kind)
    if arn.count(":") < 5 or not arn.startswith("arn:") or not arn.isprintable():  # noqa: PLR2004 - its form
        invalid("The ARN could not be parsed", kind, arn[:200])
    events = tuple([event.text for event in node.all("Event")])
    if not events:
        malformed()
    for event in events:
        if event not in EVENTS:
            invalid("A specified event is not supported for notifications.", "Event", event[:200])
    target_id = leaf(node, "Id") or ""
    if len(target_id) > ID_LENGTH_MAX:
        invalid(f"ID length should not exceed allowed limit of {ID_LENGTH_MAX}", "Id", target_id)
    prefix, suffix = _read_filter(node.find("Filter"))
    return NotificationTarget(
        target_id=target_id or _made_id(number, kind, arn, events, prefix, suffix),
        kind=kind,
        arn=arn,
        events=events,
        prefix=prefix,
        suffix=suffix,
    )


def _made_id(*facts: object) -> str:
    return hashlib.blake2b(msgspec.json.encode(facts), digest_size=18).hexdigest()


def _read_filter(node: Node | None) -> tuple[str | None, str | None]:
    if node is None:
        return None, None
    expect(node, one="S3Key")
    key = node.find("S3Key")
    if key is None:
        return None, None
    expect(key, many="FilterRule")
    found: dict[str, str] = {}
    for rule in key.children:
        expect(rule, one="Name Value")
        name, value = need_leaf(rule, "Name").lower(), need_leaf(rule, "Value")
        if name not in {"prefix", "suffix"}:
            invalid("filter rule name must be either prefix or suffix", "FilterRule.Name", name[:200])
        if name in found:
            invalid(f"Cannot specify more than one {name} rule in a filter.", "FilterRule.Name", name)
        if len(value.encode("utf-8", "surrogatepass")) > VALUE_BYTES_MAX:
            invalid(
                f"Size of filter rule value cannot exceed {VALUE_BYTES_MAX} bytes in UTF-8 representation",
                "FilterRule.Value",
                value[:200],
            )
        found[name] = value
    return found.get("prefix"), found.get("suffix")


def _check_overlap(targets: Sequence[NotificationTarget]) -> None:
    for number, one in enumerate(targets):
        for other in targets[:number]:
            if not _overlap(one, other):
                continue
            if one.prefix or one.suffix or other.prefix or other.suffix:
                invalid(
                    "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if "
                    "the prefixes are overlapping for the same event type."
                )
            invalid(
                "Configurations overlap. Configurations on the same bucket cannot share a common event type.",
                "Event",
                ", ".join(other.events),
            )


def _overlap(one: NotificationTarget, other: NotificationTarget) -> bool:
    prefixes = sorted([one.prefix or "", other.prefix or ""], key=len)
    suffixes = sorted([one.suffix or "", other.suffix or ""], key=len)
    return (
        prefixes[1].startswith(prefixes[0])
        and suffixes[1].endswith(suffixes[0])
        and any(_same_event(mine, theirs) for mine in one.events for theirs in other.events)
    )


def _same_event(one: str, other: str) -> bool:
    return (
        one == other
        or (one.endswith("*") and other.startswith(one[:-1]))
        or (other.endswith("*") and one.startswith(other[:-1]))
    )


def _check_known(targets: Sequence[NotificationTarget], known: Mapping[str, str]) -> None:
    for target in targets:
        if target.arn not in known:
            invalid(
                "Unable to validate the following destination configurations",
                target.arn[:200],
                "The destination is not known here",
            )


def notification_elements(targets: Sequence[NotificationTarget], *, eventbridge: bool) -> str:
    """What `<NotificationConfiguration>` holds."""
    parts = [_target_element(target) for target in targets]
    if eventbridge:
        parts.append(group("EventBridgeConfiguration"))
    return "".join(parts)


def _target_element(target: NotificationTarget) -> str:
    rules = "".join(
        [
            group("FilterRule", element("Name", name), element("Value", value))
            for name, value in (("prefix", target.prefix), ("suffix", target.suffix))
            if value is not None
        ]
    )
    return group(
        f"{target.kind}Configuration",
        element("Id", target.target_id),
        element(target.kind, target.arn),
        *[element("Event", event) for event in target.events],
        group("Filter", group("S3Key", rules)) if rules else "",
    )


async def get_bucket_notification(_door: Door, request: S3Request) -> S3Response:
    """GET ?notification; an empty configuration if there is none."""
    settings = request.bucket.parsed
    return shown(
        "NotificationConfiguration",
        notification_elements(settings.notifications, eventbridge=settings.notifications_eventbridge),
    )


async def put_bucket_notification(door: Door, request: S3Request) -> S3Response:
    """PUT ?notification; an empty configuration ends all."""
    targets, bridge = read_notifications(await sent(request, "NotificationConfiguration"))
    if request.headers.get(SKIP_HEADER, "").lower() != "true":
        _check_known(targets, door.notification_targets)
    await save(door, request, notifications=targets, notifications_eventbridge=bridge)
    if door.outbox is not None:
        who = {"request_id": request.request_id}
        known = request.bucket.parsed.notifications
        await door.outbox.test(request.bucket, [each for each in targets if each not in known], who)
    return done()


HANDLERS: Final[dict[str, Handler]] = {
    "GetBucketNotificationConfiguration": get_bucket_notification,
    "GetBucketNotification": get_bucket_notification,
    "PutBucketNotificationConfiguration": put_bucket_notification,
    "PutBucketNotification": put_bucket_notification,
}
