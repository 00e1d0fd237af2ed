"""What lifecycle rules ask for, the slow way: every rule and every part of it is asked about every version.

Written from what S3 documents and from nothing of ours; keys are whole here, not paged.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from holdfast.files.bucket_settings import LifecycleFilter, LifecycleRule
from holdfast.upkeep.plans.lifecycle import Aged

ORDER = [
    "STANDARD",
    "STANDARD_IA",
    "INTELLIGENT_TIERING",
    "ONEZONE_IA",
    "GLACIER_IR",
    "GLACIER",
    "DEEP_ARCHIVE",
]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)


def days_later(since: int, days: int) -> datetime:
    """The first midnight at which that many days are over."""
    over = moment(since) + timedelta(days=days)
    midnight = over.replace(hour=0, minute=0, second=0, microsecond=0)
    return over if over == midnight else midnight + timedelta(days=1)


def is_about(wanted: LifecycleFilter, version: Aged) -> bool:
    asks_more = bool(wanted.tags) or wanted.size_over is not None or wanted.size_under is not None
    if version.marker and asks_more:
        return False
    if not version.key.startswith(wanted.prefix):
        return False
    for name, value in wanted.tags.items():
        if name not in version.tags or version.tags[name] != value:
            return False
    if wanted.size_over is not None and not version.size > wanted.size_over:
        return False
    return not (wanted.size_under is not None and not version.size < wanted.size_under)


def outcome(
    rules: list[LifecycleRule], version: Aged, *, versioning: str, minimum: str, now: int
) -> tuple[bool, bool, str]:
    """(it goes for good, it is hidden by a marker, the class it moves to)."""
    today = moment(now)
    goes = hidden = False
    moves: list[str] = []
    for rule in rules:
        if not rule.enabled or not is_about(rule.filter, version):
            continue
        expired = any(
            when is not None and when <= today
            for when in (
                days_later(version.modified, rule.expire_days) if rule.expire_days is not None else None,
                moment(rule.expire_date) if rule.expire_date is not None else None,
            )
        )
        if version.latest and version.marker:
            goes = goes or (version.alone and (expired or bool(rule.expire_marker)))
        elif version.latest:
            goes = goes or (expired and versioning == "off" and not version.locked)
            hidden = hidden or (expired and versioning != "off")
            if expired and versioning == "off" and version.locked:
                return False, False, ""
        elif rule.noncurrent_days is not None and version.newer >= rule.noncurrent_newer_kept:
            over = days_later(version.superseded, rule.noncurrent_days) <= today
            goes = goes or (over and not version.locked)
        moves += wished(rule, version, minimum, today)
    if goes or version.marker:
        return goes, hidden, ""
    here = ORDER.index(version.storage_class or "STANDARD")
    colder = [name for name in moves if ORDER.index(name) > here]
    return goes, hidden, max(colder, key=ORDER.index, default="")


def wished(rule: LifecycleRule, version: Aged, minimum: str, today: datetime) -> list[str]:
    """The classes that one rule would have a version in by now."""
    found: list[str] = []
    since = version.modified if version.latest else version.superseded
    for move in rule.transitions if version.latest else rule.noncurrent_transitions:
        if not version.latest and version.newer < move.newer_kept:
            continue
        when = moment(move.date or 0) if move.days is None else days_later(since, move.days)
        sizes_said = rule.filter.size_over is not None or rule.filter.size_under is not None
        archive = move.storage_class in {"GLACIER", "DEEP_ARCHIVE"}
        held_back = minimum in {"", "all_storage_classes_128K"} or not archive
        if version.size < 131072 and not sizes_said and held_back:
            continue
        if when <= today:
            found.append(move.storage_class)
    return found
