"""Lifecycle configurations: what is asked for, checked rule by rule, and shown again.

Carrying them out is for upkeep. S3's least ages for its cheaper classes (30 days) come from how they are
billed and are not asked for here; the order of the classes is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import msgspec

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.settings.rule_filters import read_rule_filter, rule_filter_element
from holdfast.doors.s3.settings.settings_documents import (
    MIDNIGHT,
    choice,
    done,
    expect,
    gone,
    invalid,
    leaf,
    malformed,
    moment,
    need_leaf,
    save,
    sent,
    shown,
    truth,
    whole,
)
from holdfast.doors.s3.wire.xml_reading import Node
from holdfast.doors.s3.wire.xml_writing import element, group, groups, time_text
from holdfast.doors.s3.wire.xml_writing import truth as truth_element
from holdfast.files.bucket_settings import LifecycleFilter, LifecycleRule, Transition

if TYPE_CHECKING:
    from holdfast.doors.s3.door import Door
    from holdfast.doors.s3.request import Handler, S3Request, S3Response

RULES_MAX: Final = 1000
ID_LENGTH_MAX: Final = 255
NEWER_KEPT_MAX: Final = 100
MINIMUM_SIZE_HEADER: Final = "x-amz-transition-default-minimum-object-size"
MINIMUM_SIZES: Final = ("all_storage_classes_128K", "varies_by_storage_class")
DOCUMENT_BYTES_MAX: Final = 4 << 20
"""A thousand rules with long prefixes and tags."""

COLDER: Final = ("STANDARD_IA", "INTELLIGENT_TIERING", "ONEZONE_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE")
"""S3's classes that objects may be moved to, each only after those before it."""


def read_lifecycle(root: Node) -> tuple[LifecycleRule, ...]:
    """A `<LifecycleConfiguration>`'s rules; raises S3Error."""
    expect(root, many="Rule")
    if not 0 < len(root.children) <= RULES_MAX:
        malformed()
    rules = [_read_rule(node, number) for number, node in enumerate(root.children)]
    if len({rule.rule_id for rule in rules}) < len(rules):
        invalid("Rule ID must be unique. Found same ID for more than one rule")
    older = [rule for rule in rules if rule.filter.form == "legacy"]
    if older and len(older) < len(rules):
        raise S3Error("InvalidRequest", "Filter element can only be used in Lifecycle V2.")
    _check_overlap(older)
    return tuple(rules)


def _read_rule(node: Node, number: int) -> LifecycleRule:
    expect(
        node,
        one="ID Prefix Filter Status Expiration NoncurrentVersionExpiration AbortIncompleteMultipartUpload",
        many="Transition NoncurrentVersionTransition",
    )
    rule_id = leaf(node, "ID") or _made_id(node, number)
    if len(rule_id) > ID_LENGTH_MAX:
        invalid(f"ID length should not exceed allowed limit of {ID_LENGTH_MAX}", "ID", rule_id)
    days, date, marker = _read_expiration(node.find("Expiration"))
    noncurrent_days, newer_kept = _read_noncurrent_expiration(node.find("NoncurrentVersionExpiration"))
    rule = LifecycleRule(
        rule_id=rule_id,
        enabled=choice(leaf(node, "Status"), "Enabled", "Disabled") == "Enabled",
        filter=read_rule_filter(node, sizes=True),
        expire_days=days,
        expire_date=date,
        expire_marker=marker,
        noncurrent_days=noncurrent_days,
        noncurrent_newer_kept=newer_kept,
        transitions=tuple([_read_transition(each) for each in node.all("Transition")]),
        noncurrent_transitions=tuple(
            [_read_noncurrent_transition(each) for each in node.all("NoncurrentVersionTransition")]
        ),
        abort_days=_read_abort(node.find("AbortIncompleteMultipartUpload")),
    )
    _check_rule(rule)
    return rule


def _made_id(node: Node, number: int) -> str:
    """An id for a rule that came without: the same for the same document."""

    def told(each: Node) -> object:
        return [each.name, each.text, [told(child) for child in each.children]]

    return hashlib.blake2b(msgspec.json.encode([number, told(node)]), digest_size=24).hexdigest()


def _read_expiration(node: Node | None) -> tuple[int | None, int | None, bool | None]:
    if node is None:
        return None, None, None
    expect(node, one="Days Date ExpiredObjectDeleteMarker")
    if len(node.children) != 1:
        malformed()
    days = _positive(whole(leaf(node, "Days")), "Days", "Expiration")
    date = _midnight(moment(leaf(node, "Date")))
    return days, date, truth(leaf(node, "ExpiredObjectDeleteMarker"))


def _read_noncurrent_expiration(node: Node | None) -> tuple[int | None, int]:
    if node is None:
        return None, 0
    expect(node, one="NoncurrentDays NewerNoncurrentVersions")
    days = whole(need_leaf(node, "NoncurrentDays"))
    return _positive(days, "NoncurrentDays", "NoncurrentVersionExpiration"), _read_newer_kept(node)


def _read_newer_kept(node: Node) -> int:
    count = whole(leaf(node, "NewerNoncurrentVersions"))
    if count is None:
        return 0
    if not 0 < count <= NEWER_KEPT_MAX:
        invalid(
            f"'NewerNoncurrentVersions' must be between 1 and {NEWER_KEPT_MAX}",
            "NewerNoncurrentVersions",
            str(count),
        )
    return count


def _read_transition(node: Node) -> Transition:
    expect(node, one="Days Date StorageClass")
    days, date = whole(leaf(node, "Days")), _midnight(moment(leaf(node, "Date")))
    if (days is None) == (date is None):
        malformed()
    _not_negative(days, "Days", "Transition")
    return Transition(storage_class=_read_class(node), days=days, date=date)


def _read_noncurrent_transition(node: Node) -> Transition:
    expect(node, one="NoncurrentDays NewerNoncurrentVersions StorageClass")
    days = whole(need_leaf(node, "NoncurrentDays"))
    _not_negative(days, "NoncurrentDays", "NoncurrentVersionTransition")
    return Transition(storage_class=_read_class(node), days=days, newer_kept=_read_newer_kept(node))


def _read_class(node: Node) -> str:
    return choice(leaf(node, "StorageClass"), *COLDER)


def _read_abort(node: Node | None) -> int | None:
    if node is None:
        return None
    expect(node, one="DaysAfterInitiation")
    days = whole(need_leaf(node, "DaysAfterInitiation"))
    return _positive(days, "DaysAfterInitiation", "AbortIncompleteMultipartUpload")


def _positive(days: int | None, name: str, action: str) -> int | None:
    if days is not None and days <= 0:
        invalid(f"'{name}' for {action} action must be a positive integer", name, str(days))
    return days


def _not_negative(days: int | None, name: str, action: str) -> None:
    if days is not None and days < 0:
        invalid(f"'{name}' in {action} action must be nonnegative", name, str(days))


def _midnight(date: int | None) -> int | None:
    if date is not None and date % MIDNIGHT:
        invalid("'Date' must be at midnight GMT", "Date")
    return date


def _check_rule(rule: LifecycleRule) -> None:
    """Whether the actions of one rule go together."""
    if not _kinds(rule):
        raise S3Error("InvalidRequest", "At least one action needs to be specified in a rule.")
    wanted = rule.filter
    if wanted.tags and rule.expire_marker is not None:
        raise S3Error("InvalidRequest", "ExpiredObjectDeleteMarker cannot be specified with Tags.")
    if rule.abort_days is not None:
        if wanted.tags:
            raise S3Error("InvalidRequest", "AbortIncompleteMultipartUpload cannot be specified with Tags.")
        if wanted.size_over is not None or wanted.size_under is not None:
            raise S3Error(
                "InvalidRequest", "AbortIncompleteMultipartUpload cannot be specified with Object Size."
            )
    dated = [each.date is not None for each in rule.transitions]
    if rule.expire_days is not None or rule.expire_date is not None:
        dated.append(rule.expire_date is not None)
    if any(dated) and not all(dated):
        raise S3Error(
            "InvalidRequest",
            "Found mixed 'Date' and 'Days' based Expiration and Transition actions in lifecycle rule for "
            f"{_said(wanted)}",
        )
    expires = rule.expire_date if any(dated) else rule.expire_days
    unit = "Date" if any(dated) else "Days"
    _check_order(rule.transitions, expires, unit, "Transition", "Expiration", wanted)
    _check_order(
        rule.noncurrent_transitions,
        # Versions that are kept by their number outlive the days.
        None if rule.noncurrent_newer_kept else rule.noncurrent_days,
        "NoncurrentDays",
        "NoncurrentVersionTransition",
        "NoncurrentVersionExpiration",
        wanted,
    )


def _check_order(
    transitions: Sequence[Transition],
    expires: int | None,
    unit: str,
    action: str,
    end: str,
    wanted: LifecycleFilter,
) -> None:
    """Colder classes come later, each once, and the end comes after all of them."""
    ages = {each.storage_class: _age(each) for each in transitions}
    if len(ages) < len(transitions):
        raise S3Error("InvalidRequest", f"Found the same StorageClass in more than one '{action}' action.")
    ordered = [(name, ages[name]) for name in COLDER if name in ages]
    for (warm, sooner), (cold, later) in pairwise(ordered):
        if later <= sooner:
            invalid(
                f"'{unit}' in the '{action}' action for StorageClass '{cold}' for {_said(wanted)} must be "
                f"greater than '{unit}' for StorageClass '{warm}'"
            )
    if expires is not None and any(age >= expires for age in ages.values()):
        invalid(
            f"'{unit}' in the {end} action for {_said(wanted)} must be greater than '{unit}' in the {action} "
            "action"
        )


def _age(transition: Transition) -> int:
    age = transition.days if transition.date is None else transition.date
    assert age is not None, "a transition has days or a date"
    return age


def _said(wanted: LifecycleFilter) -> str:
    return f"prefix '{wanted.prefix}'"


def _kinds(rule: LifecycleRule) -> list[str]:
    found = {
        "Expiration": rule.expire_days is not None or rule.expire_date is not None,
        "ExpiredObjectDeleteMarker": rule.expire_marker is not None,
        "Transition": bool(rule.transitions),
        "NoncurrentVersionExpiration": rule.noncurrent_days is not None,
        "NoncurrentVersionTransition": bool(rule.noncurrent_transitions),
        "AbortIncompleteMultipartUpload": rule.abort_days is not None,
    }
    return [kind for kind, there in found.items() if there]


def _check_overlap(rules: Sequence[LifecycleRule]) -> None:
    """In the older form two rules may not ask for the same action where one's prefix begins the other's."""
    of_kind: dict[str, list[str]] = {}
    for rule in rules:
        for kind in _kinds(rule):
            of_kind.setdefault(kind, []).append(rule.filter.prefix)
    for kind, prefixes in of_kind.items():
        # Sorted, a prefix stands right before the first of those that begin with it.
        ordered = sorted(prefixes)
        for shorter, longer in pairwise(ordered):
            if longer.startswith(shorter):
                raise S3Error(
                    "InvalidRequest",
                    f"Found overlapping prefixes '{shorter}' and '{longer}' for same action type '{kind}'",
                )


def lifecycle_elements(rules: Sequence[LifecycleRule]) -> str:
    """`<Rule>` elements."""
    return "".join([_rule_element(rule) for rule in rules])


def _rule_element(rule: LifecycleRule) -> str:
    return group(
        "Rule",
        element("ID", rule.rule_id),
        rule_filter_element(rule.filter),
        element("Status", "Enabled" if rule.enabled else "Disabled"),
        _expiration_element(rule),
        groups("Transition", [_transition_content(each, "Days") for each in rule.transitions]),
        _noncurrent_expiration_element(rule),
        groups(
            "NoncurrentVersionTransition",
            [_transition_content(each, "NoncurrentDays") for each in rule.noncurrent_transitions],
        ),
        ""
        if rule.abort_days is None
        else group("AbortIncompleteMultipartUpload", element("DaysAfterInitiation", rule.abort_days)),
    )


def _expiration_element(rule: LifecycleRule) -> str:
    if rule.expire_days is not None:
        return group("Expiration", element("Days", rule.expire_days))
    if rule.expire_date is not None:
        return group("Expiration", element("Date", time_text(rule.expire_date)))
    if rule.expire_marker is not None:
        return group("Expiration", truth_element("ExpiredObjectDeleteMarker", rule.expire_marker))
    return ""


def _noncurrent_expiration_element(rule: LifecycleRule) -> str:
    if rule.noncurrent_days is None:
        return ""
    kept = rule.noncurrent_newer_kept
    return group(
        "NoncurrentVersionExpiration",
        element("NewerNoncurrentVersions", kept) if kept else "",
        element("NoncurrentDays", rule.noncurrent_days),
    )


def _transition_content(transition: Transition, unit: str) -> str:
    if transition.date is not None:
        when = element("Date", time_text(transition.date))
    else:
        when = element(unit, transition.days or 0)
    kept = transition.newer_kept
    return "".join(
        [
            when,
            element("NewerNoncurrentVersions", kept) if kept else "",
            element("StorageClass", transition.storage_class),
        ]
    )


async def get_bucket_lifecycle(_door: Door, request: S3Request) -> S3Response:
    """GET ?lifecycle."""
    settings = request.bucket.parsed
    if not settings.lifecycle:
        raise S3Error("NoSuchLifecycleConfiguration", BucketName=request.bucket.name)
    minimum = settings.lifecycle_minimum_size or MINIMUM_SIZES[0]
    return shown(
        "LifecycleConfiguration",
        lifecycle_elements(settings.lifecycle),
        headers=[(MINIMUM_SIZE_HEADER, minimum)],
    )


async def put_bucket_lifecycle(door: Door, request: S3Request) -> S3Response:
    """PUT ?lifecycle, in the present and in the older form."""
    minimum = request.headers.get(MINIMUM_SIZE_HEADER, "")
    if minimum and minimum not in MINIMUM_SIZES:
        invalid("Invalid value for the default minimum object size.", MINIMUM_SIZE_HEADER, minimum)
    rules = read_lifecycle(await sent(request, "LifecycleConfiguration", DOCUMENT_BYTES_MAX))
    await save(door, request, lifecycle=rules, lifecycle_minimum_size=minimum)
    response = done()
    response.headers.append((MINIMUM_SIZE_HEADER, minimum or MINIMUM_SIZES[0]))
    return response


async def delete_bucket_lifecycle(door: Door, request: S3Request) -> S3Response:
    """DELETE ?lifecycle."""
    await save(door, request, lifecycle=(), lifecycle_minimum_size="")
    return gone()


HANDLERS: Final[dict[str, Handler]] = {
    "GetBucketLifecycleConfiguration": get_bucket_lifecycle,
    "GetBucketLifecycle": get_bucket_lifecycle,
    "PutBucketLifecycleConfiguration": put_bucket_lifecycle,
    "PutBucketLifecycle": put_bucket_lifecycle,
    "DeleteBucketLifecycle": delete_bucket_lifecycle,
}
