"""Which of a bucket's notification targets and replication rules an event concerns: pure functions.

Event names are S3's with the `s3:` before them, `s3:ObjectCreated:Put`; a target asks for one, or for all of
a kind by `s3:ObjectCreated:*`.
"""

from __future__ import annotations

from typing import Final

from holdfast.files.bucket_settings import (
    BucketSettings,
    LifecycleFilter,
    NotificationTarget,
    ReplicationRule,
)

CREATED: Final = "s3:ObjectCreated:"
MARKED: Final = "s3:ObjectRemoved:DeleteMarkerCreated"
REPLICATOR: Final = "s3-replication"
"""The principal that makes copies: what it makes is not copied on."""
REPLICA: Final = "REPLICA"
PENDING: Final = "PENDING"


def asks_for(target: NotificationTarget, event: str, key: str) -> bool:
    """Whether the target wants to hear of this event of this key."""
    if target.prefix and not key.startswith(target.prefix):
        return False
    if target.suffix and not key.endswith(target.suffix):
        return False
    return any(_names(wanted, event) for wanted in target.events)


def _names(wanted: str, event: str) -> bool:
    return event.startswith(wanted[:-1]) if wanted.endswith(":*") else wanted == event


def targets_for(settings: BucketSettings, event: str, key: str) -> list[NotificationTarget]:
    """The targets that want to hear of it, in the order they were set."""
    return [target for target in settings.notifications if asks_for(target, event, key)]


def filter_fits(wanted: LifecycleFilter, key: str, tags: dict[str, str]) -> bool:
    """Whether prefix and tags agree; sizes are not looked at."""
    return key.startswith(wanted.prefix) and all(
        tags.get(name) == value for name, value in wanted.tags.items()
    )


def replication_rules_for(settings: BucketSettings, key: str, tags: dict[str, str]) -> list[ReplicationRule]:
    """The rule for each destination that a new version goes to: the one of the highest priority.

    Rules without a priority are of the older form, whose rules do not overlap; they rank lowest, and the
    first of equals wins.
    """
    if settings.replication is None:
        return []
    chosen: dict[str, ReplicationRule] = {}
    for rule in settings.replication.rules:
        if not rule.enabled or not filter_fits(rule.filter, key, tags):
            continue
        held = chosen.get(rule.destination)
        if held is None or _rank(rule) > _rank(held):
            chosen[rule.destination] = rule
    return list(chosen.values())


def _rank(rule: ReplicationRule) -> int:
    return -1 if rule.priority is None else rule.priority


def first_status(settings: BucketSettings, key: str, tags: dict[str, str]) -> str:
    """The `replication_status` that a version begins with: PENDING if it will be copied, else nothing."""
    return PENDING if replication_rules_for(settings, key, tags) else ""


def may_replicate(settings: BucketSettings, event: str, key: str) -> bool:
    """Whether the event makes a version, or a marker, that some rule may copy; tags are judged later."""
    if settings.replication is None or not (event.startswith(CREATED) or event == MARKED):
        return False
    return any(rule.enabled and key.startswith(rule.filter.prefix) for rule in settings.replication.rules)
