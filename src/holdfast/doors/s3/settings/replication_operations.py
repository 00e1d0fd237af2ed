"""Replication configurations: which new versions are copied to which buckets; copying is for upkeep.

S3 has two forms of rules. The older one has a prefix in the rule; the newer one a filter, and then a priority
and a word on delete markers must be given. A document is wholly of one form.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NoReturn

import msgspec

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.settings.rule_filters import read_rule_filter, rule_filter_element
from holdfast.doors.s3.settings.settings_documents import (
    choice,
    done,
    expect,
    gone,
    invalid,
    leaf,
    malformed,
    need_leaf,
    save,
    sent,
    shown,
    whole,
)
from holdfast.doors.s3.wire.xml_reading import Node
from holdfast.doors.s3.wire.xml_writing import element, group, optional
from holdfast.files.bucket_settings import (
    BucketSettings,
    Replication,
    ReplicationClock,
    ReplicationRule,
)
from holdfast.world.errors import Refusal

if TYPE_CHECKING:
    from holdfast.doors.s3.door import Door
    from holdfast.doors.s3.request import Handler, S3Request, S3Response
    from holdfast.files.records import Bucket

RULES_MAX: Final = 1000
ID_LENGTH_MAX: Final = 255
ROLE_LENGTH_MAX: Final = 2048
ARN_PREFIX: Final = "arn:aws:s3:::"
MINUTES: Final = 15
"""The one number of minutes that S3 takes."""

CLASSES: Final = (
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER",
    "DEEP_ARCHIVE",
    "GLACIER_IR",
)


def read_replication(root: Node) -> Replication:
    """A `<ReplicationConfiguration>`; raises S3Error. Whether its buckets are there is not looked at."""
    expect(root, one="Role", many="Rule")
    role = need_leaf(root, "Role")
    nodes = root.all("Rule")
    if not 0 < len(nodes) <= RULES_MAX:
        malformed()
    if len(role) > ROLE_LENGTH_MAX or not role.isprintable():
        invalid("The Role is not well formed", "Role", role[:200])
    rules = tuple([_read_rule(node, number) for number, node in enumerate(nodes)])
    if len({rule.rule_id for rule in rules}) < len(rules):
        invalid("Rule Id must be unique. Found same Id for more than one rule", "ID")
    older = [rule for rule in rules if rule.filter.form == "legacy"]
    if older and len(older) < len(rules):
        _refuse("Filter element can only be used in V2 of the replication configuration schema.")
    priorities = [rule.priority for rule in rules if rule.priority is not None]
    for priority in priorities:
        if priorities.count(priority) > 1:
            _refuse(f"Found duplicate priorities {priority}. Priorities of rules must be unique.")
    return Replication(role=role, rules=rules)


def _read_rule(node: Node, number: int) -> ReplicationRule:
    expect(
        node,
        one="ID Priority Prefix Filter Status SourceSelectionCriteria ExistingObjectReplication Destination "
        "DeleteMarkerReplication",
    )
    rule_id = leaf(node, "ID") or ""
    if len(rule_id) > ID_LENGTH_MAX:
        invalid(f"ID length should not exceed allowed limit of {ID_LENGTH_MAX}", "ID", rule_id)
    rule = ReplicationRule(
        rule_id=rule_id,
        enabled=_status(node),
        destination="",
        priority=whole(leaf(node, "Priority")),
        filter=read_rule_filter(node, sizes=False),
        delete_markers=_optional_status(node.find("DeleteMarkerReplication")),
        existing_objects=_optional_status(node.find("ExistingObjectReplication")),
    )
    rule = _with_selection(rule, node.find("SourceSelectionCriteria"))
    rule = _with_destination(rule, node.need("Destination"))
    if not rule_id:
        digest = hashlib.blake2b(msgspec.msgpack.encode([number, rule]), digest_size=18)
        rule = msgspec.structs.replace(rule, rule_id=digest.hexdigest())
    _check_rule(rule)
    return rule


def _with_selection(rule: ReplicationRule, node: Node | None) -> ReplicationRule:
    if node is None:
        return rule
    expect(node, one="SseKmsEncryptedObjects ReplicaModifications")
    return msgspec.structs.replace(
        rule,
        kms_objects=_optional_status(node.find("SseKmsEncryptedObjects")),
        replica_changes=_optional_status(node.find("ReplicaModifications")),
    )


def _with_destination(rule: ReplicationRule, node: Node) -> ReplicationRule:
    expect(
        node,
        one="Bucket Account StorageClass AccessControlTranslation EncryptionConfiguration ReplicationTime "
        "Metrics",
    )
    bucket = need_leaf(node, "Bucket")
    if not bucket.startswith(ARN_PREFIX) or bucket == ARN_PREFIX or "/" in bucket:
        invalid("Invalid bucket ARN.", "Bucket", bucket[:200])
    storage_class = leaf(node, "StorageClass")
    if storage_class is not None:
        choice(storage_class, *CLASSES)
    translation = node.find("AccessControlTranslation")
    if translation is not None:
        expect(translation, one="Owner")
        choice(leaf(translation, "Owner"), "Destination")
    encryption = node.find("EncryptionConfiguration")
    if encryption is not None:
        expect(encryption, one="ReplicaKmsKeyID")
    return msgspec.structs.replace(
        rule,
        destination=bucket.removeprefix(ARN_PREFIX),
        storage_class=storage_class or "",
        account=leaf(node, "Account") or "",
        owner_changes=translation is not None,
        kms_key_id="" if encryption is None else need_leaf(encryption, "ReplicaKmsKeyID"),
        time_control=_read_clock(node.find("ReplicationTime"), "Time"),
        metrics=_read_clock(node.find("Metrics"), "EventThreshold"),
    )


def _read_clock(node: Node | None, name: str) -> ReplicationClock | None:
    if node is None:
        return None
    expect(node, one=f"Status {name}")
    limit = node.find(name)
    if limit is None:
        return malformed() if name == "Time" else ReplicationClock(enabled=_status(node))
    expect(limit, one="Minutes")
    minutes = whole(need_leaf(limit, "Minutes"))
    if minutes != MINUTES:
        invalid(f"The Minutes must be {MINUTES}.", "Minutes", str(minutes))
    return ReplicationClock(enabled=_status(node), minutes=MINUTES)


def _status(node: Node) -> bool:
    return choice(leaf(node, "Status"), "Enabled", "Disabled") == "Enabled"


def _optional_status(node: Node | None) -> bool | None:
    if node is None:
        return None
    expect(node, one="Status")
    return _status(node)


def _check_rule(rule: ReplicationRule) -> None:
    if rule.owner_changes and not rule.account:
        invalid("Account must be specified with AccessControlTranslation.", "Account")
    if rule.account and not (rule.account.isascii() and rule.account.isdecimal()):
        invalid("Invalid account.", "Account", rule.account[:200])
    if rule.kms_key_id and not rule.kms_objects:
        _refuse("SseKmsEncryptedObjects must be specified if EncryptionConfiguration is present.")
    if rule.kms_objects and not rule.kms_key_id:
        _refuse("EncryptionConfiguration must be specified if SseKmsEncryptedObjects tag is present.")
    if rule.filter.form != "legacy":
        _check_newer(rule)
    elif rule.priority is not None or rule.delete_markers is not None:
        _refuse("Priority and DeleteMarkerReplication need a Filter.")


def _check_newer(rule: ReplicationRule) -> None:
    schema = "must be specified for this version of Cross Region Replication configuration schema."
    if rule.priority is None:
        _refuse(f"Priority {schema}")
    if rule.priority < 0:
        invalid("Priority must not be negative.", "Priority", str(rule.priority))
    if rule.delete_markers is None:
        _refuse(f"DeleteMarkerReplication {schema}")
    if rule.delete_markers and rule.filter.tags:
        _refuse("Delete marker replication is not supported if any Tag filter is specified.")


def _refuse(message: str) -> NoReturn:
    raise S3Error("InvalidRequest", message)


async def _check_destinations(door: Door, request: S3Request, setting: Replication) -> None:
    """Each bucket must be there, keep versions, and be its owner's or allow the caller to copy into it."""
    targets: dict[str, Bucket] = {}
    for rule in setting.rules:
        name = rule.destination
        if name == request.bucket.name:
            _refuse("Destination bucket cannot be the same as the source bucket.")
        target = targets.get(name)
        if target is None:
            target = targets[name] = await _destination(door, name)
        if target.versioning != "on":
            _refuse("Destination bucket must have versioning enabled.")
        # Whoever sets the rule has done for it, from now on, what its access key must allow to be done.
        request.access.demand("s3:GetObjectVersionForReplication", rule.filter.prefix)
        request.access.for_bucket(target).demand("s3:ReplicateObject", rule.filter.prefix)


async def _destination(door: Door, name: str) -> Bucket:
    try:
        bucket: Bucket = await door.buckets.find(name)
    except Refusal as refusal:
        if refusal.code != "bucket.unknown":
            raise
        raise S3Error("InvalidRequest", "Destination bucket must exist.") from refusal
    return bucket


def replication_elements(setting: Replication) -> str:
    """What `<ReplicationConfiguration>` holds."""
    return element("Role", setting.role) + _rule_elements(setting.rules)


def _rule_elements(rules: Sequence[ReplicationRule]) -> str:
    return "".join([_rule_element(rule) for rule in rules])


def _rule_element(rule: ReplicationRule) -> str:
    selection = _status_element("SseKmsEncryptedObjects", rule.kms_objects) + _status_element(
        "ReplicaModifications", rule.replica_changes
    )
    return group(
        "Rule",
        element("ID", rule.rule_id),
        "" if rule.priority is None else element("Priority", rule.priority),
        rule_filter_element(rule.filter),
        element("Status", "Enabled" if rule.enabled else "Disabled"),
        group("SourceSelectionCriteria", selection) if selection else "",
        _status_element("ExistingObjectReplication", rule.existing_objects),
        _destination_element(rule),
        _status_element("DeleteMarkerReplication", rule.delete_markers),
    )


def _destination_element(rule: ReplicationRule) -> str:
    return group(
        "Destination",
        element("Bucket", ARN_PREFIX + rule.destination),
        optional("Account", rule.account),
        optional("StorageClass", rule.storage_class),
        group("AccessControlTranslation", element("Owner", "Destination")) if rule.owner_changes else "",
        group("EncryptionConfiguration", element("ReplicaKmsKeyID", rule.kms_key_id))
        if rule.kms_key_id
        else "",
        _clock_element("ReplicationTime", "Time", rule.time_control),
        _clock_element("Metrics", "EventThreshold", rule.metrics),
    )


def _status_element(name: str, enabled: bool | None) -> str:
    if enabled is None:
        return ""
    return group(name, element("Status", "Enabled" if enabled else "Disabled"))


def _clock_element(name: str, limit: str, clock: ReplicationClock | None) -> str:
    if clock is None:
        return ""
    minutes = group(limit, element("Minutes", clock.minutes)) if clock.minutes else ""
    return group(name, element("Status", "Enabled" if clock.enabled else "Disabled"), minutes)


async def get_bucket_replication(_door: Door, request: S3Request) -> S3Response:
    """GET ?replication."""
    setting = request.bucket.parsed.replication
    if setting is None:
        raise S3Error("ReplicationConfigurationNotFoundError", BucketName=request.bucket.name)
    return shown("ReplicationConfiguration", replication_elements(setting))


async def put_bucket_replication(door: Door, request: S3Request) -> S3Response:
    """PUT ?replication."""
    setting = read_replication(await sent(request, "ReplicationConfiguration"))
    await _check_destinations(door, request, setting)

    def change(bucket: Bucket, settings: BucketSettings) -> BucketSettings:
        if bucket.versioning != "on":
            raise S3Error(
                "InvalidRequest",
                "Versioning must be 'Enabled' on the bucket to apply a replication configuration",
            )
        return msgspec.structs.replace(settings, replication=setting)

    await door.buckets.change(request.bucket.id, change)
    return done()


async def delete_bucket_replication(door: Door, request: S3Request) -> S3Response:
    """DELETE ?replication."""
    await save(door, request, replication=None)
    return gone()


HANDLERS: Final[dict[str, Handler]] = {
    "GetBucketReplication": get_bucket_replication,
    "PutBucketReplication": put_bucket_replication,
    "DeleteBucketReplication": delete_bucket_replication,
}
