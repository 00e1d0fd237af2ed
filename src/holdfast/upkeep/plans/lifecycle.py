"""What a bucket's lifecycle rules ask for, version by version: pure functions of facts, the time and a day.

A day's end is S3's: what falls due during a day falls due at the midnight (UTC) that ends it. Where an
operator has made a day shorter, for tests, nothing is rounded. When several rules are about the same version:

- what removes data for good goes before a transition; the soonest rule is named as the reason;
- a transition goes before a delete marker, and does not keep it from being made;
- of several transitions that are due the coldest class is taken, and a version never grows warmer;
- what a lock keeps stays, but may be hidden by a delete marker.

A rule that asks for tags or sizes is not about delete markers nor about uploads under way: these have none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from holdfast.files.bucket_settings import LifecycleFilter, LifecycleRule, Transition
from holdfast.files.notifying import filter_fits
from holdfast.world.clock import MICROSECONDS

DAY: Final = 86_400 * MICROSECONDS

COLDNESS: Final = {
    "": 0,
    "STANDARD": 0,
    "REDUCED_REDUNDANCY": 0,
    "STANDARD_IA": 1,
    "INTELLIGENT_TIERING": 2,
    "ONEZONE_IA": 3,
    "GLACIER_IR": 4,
    "GLACIER": 5,
    "DEEP_ARCHIVE": 6,
}
"""S3's storage classes in the order in which a version may go through them."""
ARCHIVES: Final = frozenset({"GLACIER", "DEEP_ARCHIVE"})
SMALL: Final = 128 << 10
"""Bytes under which a version stays where it is, unless a rule speaks of sizes or the bucket's owner chose
VARIES: then it may go to an archive."""
VARIES: Final = "varies_by_storage_class"


class Aged(NamedTuple):
    """One version, or delete marker, with what its age depends on.

    `superseded`: when the next newer version of the key came; 0 for the latest. `newer`: how many noncurrent
    versions of the key are newer. `alone`: the key has no other version. `row`: for who carries the plan out.
    """

    key: str
    version_id: str
    size: int = 0
    modified: int = 0
    storage_class: str = ""
    tags: dict[str, str] = {}  # noqa: RUF012 - shared and never changed
    latest: bool = True
    marker: bool = False
    locked: bool = False
    superseded: int = 0
    newer: int = 0
    alone: bool = False
    row: object = None


class Upload(NamedTuple):
    """A multipart upload under way."""

    key: str
    upload_id: str
    created: int
    row: object = None


class Facts(NamedTuple):
    """A page of one bucket: its settings, and some of what is in it."""

    bucket: str
    rules: tuple[LifecycleRule, ...]
    versioning: str
    minimum_size: str
    versions: Sequence[Aged]
    uploads: Sequence[Upload] = ()
    owner: object = None
    """The bucket's row, for who carries the plan out."""


Kind = Literal["remove", "mark", "transition", "abort"]


class Action(NamedTuple):
    """One step: `remove` takes a version for good, `mark` makes a delete marker, `transition` changes the
    storage class, `abort` ends an upload.
    """

    kind: Kind
    subject: Aged | Upload
    rule_id: str
    reason: str
    storage_class: str = ""


_VERBS: Final = {"remove": "remove", "mark": "hide", "transition": "move", "abort": "abort"}


@dataclass(frozen=True)
class LifecyclePlan:
    """The steps for one page, in the order in which they are done."""

    facts: Facts
    actions: tuple[Action, ...]

    def lines(self) -> Sequence[str]:
        """Each step with its reason."""
        return [_line(self.facts.bucket, action) for action in self.actions]


def plan_lifecycle(facts: Facts, *, now: int, day: int = DAY) -> LifecyclePlan:
    """What the rules ask for now; `day` is the length of a day in microseconds."""
    rules = [rule for rule in facts.rules if rule.enabled]
    actions: list[Action] = []
    for version in facts.versions:
        fitting = [rule for rule in rules if _fits(rule.filter, version)]
        if fitting:
            actions += _steps(fitting, version, facts, _Time(now, day))
    for upload in facts.uploads:
        actions += _abortion(rules, upload, _Time(now, day))
    return LifecyclePlan(facts, tuple(actions))


def expiration_of(
    rules: Iterable[LifecycleRule],
    *,
    key: str,
    tags: Mapping[str, str],
    size: int,
    created: int,
    day: int = DAY,
) -> tuple[int, str] | None:
    """When the current version of a key expires, and by which rule, as S3 tells in `x-amz-expiration`.

    It is told in real days, always rounded up to midnight UTC: a shorter `day` changes nothing here.
    """
    version = Aged(key, "", size=size, modified=created, tags=dict(tags))
    fitting = (rule for rule in rules if rule.enabled and _fits(rule.filter, version))
    return _expiry(fitting, created, max(day, DAY))


def prefixes_of(rules: Iterable[LifecycleRule]) -> list[str]:
    """The parts of a bucket that rules in force are about: no key has two of these prefixes."""
    wanted: list[str] = []
    for prefix in sorted({rule.filter.prefix for rule in rules if rule.enabled}):
        if not wanted or not prefix.startswith(wanted[-1]):
            wanted.append(prefix)
    return wanted


def due_at(since: int, days: int, day: int) -> int:
    """When something is so many days old: at the end of that day, unless days are shortened."""
    end = since + days * day
    return -(-end // day) * day if day >= DAY else end


class _Time(NamedTuple):
    now: int
    day: int


def _fits(wanted: LifecycleFilter, version: Aged) -> bool:
    if version.marker:
        return _for_anything(wanted) and version.key.startswith(wanted.prefix)
    if wanted.size_over is not None and version.size <= wanted.size_over:
        return False
    if wanted.size_under is not None and version.size >= wanted.size_under:
        return False
    return filter_fits(wanted, version.key, version.tags)


def _for_anything(wanted: LifecycleFilter) -> bool:
    return not wanted.tags and wanted.size_over is None and wanted.size_under is None


def _expiry(rules: Iterable[LifecycleRule], created: int, day: int) -> tuple[int, str] | None:
    """The soonest time at which one of these rules ends a current version, and the rule's id."""
    soonest: tuple[int, str] | None = None
    for rule in rules:
        for when in (
            None if rule.expire_days is None else due_at(created, rule.expire_days, day),
            rule.expire_date,
        ):
            if when is not None and (soonest is None or when < soonest[0]):
                soonest = (when, rule.rule_id)
    return soonest


def _steps(rules: Sequence[LifecycleRule], version: Aged, facts: Facts, time: _Time) -> list[Action]:
    if version.marker and version.latest:
        return _last_marker(rules, version, time)
    if version.latest:
        return _current(rules, version, facts, time)
    return _noncurrent(rules, version, facts, time)


def _last_marker(rules: Sequence[LifecycleRule], version: Aged, time: _Time) -> list[Action]:
    """A delete marker that hides nothing any more goes."""
    if not version.alone:
        return []
    for rule in rules:
        if rule.expire_marker:
            return [Action("remove", version, rule.rule_id, "a delete marker with nothing behind it")]
    expiry = _expiry(rules, version.modified, time.day)
    if expiry is None or expiry[0] > time.now:
        return []
    return [Action("remove", version, expiry[1], "an expired delete marker with nothing behind it")]


def _current(rules: Sequence[LifecycleRule], version: Aged, facts: Facts, time: _Time) -> list[Action]:
    expiry = _expiry(rules, version.modified, time.day)
    over = expiry is not None and expiry[0] <= time.now
    if over and expiry is not None and facts.versioning == "off":
        if version.locked:
            return []
        return [Action("remove", version, expiry[1], _age("stored", version.modified, time))]
    steps = _transition(
        [(rule, move) for rule in rules for move in rule.transitions], version, facts, version.modified, time
    )
    if over and expiry is not None:
        steps.append(Action("mark", version, expiry[1], _age("stored", version.modified, time)))
    return steps


def _noncurrent(rules: Sequence[LifecycleRule], version: Aged, facts: Facts, time: _Time) -> list[Action]:
    soonest: tuple[int, str] | None = None
    for rule in rules:
        if rule.noncurrent_days is None or version.newer < rule.noncurrent_newer_kept:
            continue
        when = due_at(version.superseded, rule.noncurrent_days, time.day)
        if soonest is None or when < soonest[0]:
            soonest = (when, rule.rule_id)
    if soonest is not None and soonest[0] <= time.now and not version.locked:
        return [Action("remove", version, soonest[1], _age("noncurrent", version.superseded, time))]
    if version.marker:
        return []
    moves = [
        (rule, move)
        for rule in rules
        for move in rule.noncurrent_transitions
        if version.newer >= move.newer_kept
    ]
    return _transition(moves, version, facts, version.superseded, time)


def _transition(
    moves: Iterable[tuple[LifecycleRule, Transition]],
    version: Aged,
    facts: Facts,
    since: int,
    time: _Time,
) -> list[Action]:
    """The move to the coldest class that is due and colder than where the version is; at most one."""
    coldness = COLDNESS.get(version.storage_class)
    if coldness is None:
        return []
    chosen: Action | None = None
    for rule, move in moves:
        target = COLDNESS.get(move.storage_class, -1)
        if target <= coldness or _too_small(rule, move, version, facts.minimum_size, time.day):
            continue
        when = move.date if move.days is None else due_at(since, move.days, time.day)
        if when is not None and when <= time.now:
            reason = _age("stored" if version.latest else "noncurrent", since, time)
            chosen = Action("transition", version, rule.rule_id, reason, move.storage_class)
            coldness = target
    return [] if chosen is None else [chosen]


def _too_small(rule: LifecycleRule, move: Transition, version: Aged, minimum_size: str, day: int) -> bool:
    """A rule that says something of sizes means it; else the bucket's choice counts, or S3's.

    Where days are shortened for tests nothing is too small unless the bucket's owner chose: what tests move
    is a few bytes long.
    """
    if version.size >= SMALL or rule.filter.size_over is not None or rule.filter.size_under is not None:
        return False
    if not minimum_size and day < DAY:
        return False
    return minimum_size != VARIES or move.storage_class not in ARCHIVES


def _abortion(rules: Iterable[LifecycleRule], upload: Upload, time: _Time) -> list[Action]:
    for rule in rules:
        if rule.abort_days is None or not _for_anything(rule.filter):
            continue
        fits = upload.key.startswith(rule.filter.prefix)
        if fits and due_at(upload.created, rule.abort_days, time.day) <= time.now:
            return [Action("abort", upload, rule.rule_id, _age("begun", upload.created, time))]
    return []


def _age(verb: str, since: int, time: _Time) -> str:
    return f"{verb} {(time.now - since) / time.day:.1f} days ago"


def _line(bucket: str, action: Action) -> str:
    subject = action.subject
    if isinstance(subject, Upload):
        what = f"upload {subject.upload_id} of '{subject.key}'"
    else:
        kind = "delete marker" if subject.marker else "version"
        what = f"{kind} {subject.version_id} of '{subject.key}'"
    target = f" to {action.storage_class}" if action.storage_class else ""
    return f"{_VERBS[action.kind]} {what} in '{bucket}'{target}: {action.reason} (rule '{action.rule_id}')"
