"""The pass that carries out the lifecycle rules of buckets.

It reads buckets with rules in force, and of these only what lies under the rules' prefixes: pages of keys
with all their versions, then uploads under way. A step is carried out on condition that its version still is
what was read; a bucket whose settings changed meanwhile is read again first. Several processes may do it at
once: what one has done the other finds done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple, Protocol

import msgspec
import structlog

from holdfast.files import locking
from holdfast.files.attributes import Attributes, Conditions
from holdfast.files.histories import Histories
from holdfast.files.multiparts import Multiparts
from holdfast.files.records import Bucket, Listed, Multipart, Version, VersionPage
from holdfast.files.tending.ageing import Ageing
from holdfast.files.tending.outbox import Outbox
from holdfast.files.writing import Removal
from holdfast.upkeep.passes import Reading
from holdfast.upkeep.plans.lifecycle import (
    DAY,
    Action,
    Aged,
    Facts,
    LifecyclePlan,
    Upload,
    plan_lifecycle,
    prefixes_of,
)
from holdfast.world.clock import MICROSECONDS, Clock
from holdfast.world.errors import Failure, Refusal

PAGE: Final = 1000
AT_ONCE: Final = 8
MOVES_AT_ONCE: Final = 2
"""Changes of storage class at a time: each reads and writes all bytes of its version."""
WHO: Final = {"principal": "s3-lifecycle"}
EXPIRED: Final = "s3:LifecycleExpiration:Delete"
MARKED: Final = "s3:LifecycleExpiration:DeleteMarkerCreated"
MOVED: Final = "s3:LifecycleTransition"

log = structlog.get_logger()


class Mover(Protocol):
    """What of the gateway is needed here."""

    async def rewrite(self, version: Version, storage_class: str) -> Version:
        """Keeps the version's bytes in another of Holdfast's classes; what S3 shows of it stays."""
        ...


class _Place(NamedTuple):
    """Where a page begins. `newer`: noncurrent versions of the key `marker` that were met before."""

    bucket_id: int
    prefix: int = 0
    uploads: bool = False
    key: str | None = None
    within: str | None = None
    newer: int = 0


ClassOf = Callable[[Bucket, str], str]
"""The name of Holdfast's class for S3's name of a storage class, in a bucket."""


class Lifecycle:
    """All buckets with rules in turn, a page at a time."""

    name = "lifecycle"

    def __init__(
        self,
        *,
        ageing: Ageing,
        histories: Histories,
        multiparts: Multiparts,
        outbox: Outbox,
        mover: Mover,
        class_of: ClassOf,
        clock: Clock,
        day_seconds: float = DAY / MICROSECONDS,
        page: int = PAGE,
    ) -> None:
        self._ageing = ageing
        self._histories = histories
        self._multiparts = multiparts
        self._outbox = outbox
        self._mover = mover
        self._class_of = class_of
        self._clock = clock
        self._day = round(day_seconds * MICROSECONDS)
        self._rows = page

    async def read(self, after: Any) -> Reading[Facts | None]:
        """A page of one bucket; None where no bucket has rules."""
        place: _Place | None = after
        if place is None:
            return await self._first_of(0)
        bucket = await self._ageing.bucket(place.bucket_id)
        prefixes = [] if bucket is None else prefixes_of(bucket.parsed.lifecycle)
        if bucket is None or place.prefix >= len(prefixes):
            return await self._first_of(place.bucket_id)
        return await self._page(bucket, prefixes, place)

    async def _first_of(self, after: int) -> Reading[Facts | None]:
        bucket = await self._ageing.next_bucket(after)
        if bucket is None:
            return Reading(None)
        return await self._page(bucket, prefixes_of(bucket.parsed.lifecycle), _Place(bucket.id))

    async def _page(self, bucket: Bucket, prefixes: Sequence[str], place: _Place) -> Reading[Facts | None]:
        prefix = prefixes[place.prefix]
        settings = bucket.parsed
        facts = Facts(
            bucket=bucket.name,
            rules=settings.lifecycle,
            versioning=bucket.versioning,
            minimum_size=settings.lifecycle_minimum_size,
            versions=(),
            owner=bucket,
        )
        if place.uploads:
            uploads = await self._multiparts.list(bucket, prefix, "", place.key, place.within, self._rows)
            facts = facts._replace(uploads=[_upload(row) for row in uploads.rows])
            following = place._replace(key=uploads.next_key, within=uploads.next_upload)
        else:
            page = await self._histories.list_versions(
                bucket, prefix, "", place.key, place.within, self._rows
            )
            whole = await self._ends_with_its_key(bucket, page)
            aged, newer = _aged(page.rows, place, now=self._clock.now(), whole=whole)
            facts = facts._replace(versions=aged)
            following = place._replace(key=page.next_key, within=page.next_version, newer=newer)
        return Reading(facts, following if following.key is not None else _next_part(bucket, place))

    async def _ends_with_its_key(self, bucket: Bucket, page: VersionPage) -> bool:
        """Whether the last key of the page has no more versions; asked only where it matters."""
        if page.next_version is None or not (page.rows and page.rows[-1].marker and page.rows[-1].latest):
            return page.next_version is None
        last = page.rows[-1].name
        beyond = await self._histories.list_versions(
            bucket, last, "", page.next_key, page.next_version, limit=1
        )
        return all(row.name != last for row in beyond.rows)

    def plan(self, page: Facts | None) -> LifecyclePlan:
        """What the rules ask for of this page."""
        if page is None:
            return LifecyclePlan(Facts("", (), "off", "", ()), ())
        return plan_lifecycle(page, now=self._clock.now(), day=self._day)

    async def do(self, plan: LifecyclePlan) -> bool:
        """Carries it out; True if the bucket has other settings by now, and must be read again."""
        bucket = plan.facts.owner
        if not plan.actions or not isinstance(bucket, Bucket):
            return False
        now = await self._ageing.bucket(bucket.id)
        if now is None:
            return False
        if now.revision != bucket.revision:
            return True
        places, moving = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(MOVES_AT_ONCE)
        await _all(
            self._lane(bucket, lane, moving if lane[0].kind == "transition" else places)
            for lane in _lanes(plan.actions)
        )
        return False

    async def _lane(self, bucket: Bucket, actions: Sequence[Action], places: asyncio.Semaphore) -> None:
        """The steps for one version, one after another; a failed one does not keep the next."""
        async with places:
            for action in actions:
                try:
                    await self._step(bucket, action)
                except Refusal as refusal:
                    # The version is not what it was, or may not go: the next round sees it as it is.
                    log.info(
                        "lifecycle step in vain", kind=action.kind, bucket=bucket.name, code=refusal.code
                    )
                except Failure as failure:
                    log.warning(
                        "lifecycle step failed", kind=action.kind, bucket=bucket.name, why=failure.message
                    )

    async def _step(self, bucket: Bucket, action: Action) -> None:
        row = action.subject.row
        if action.kind == "abort":
            assert isinstance(row, Multipart), "an upload was read as its row"
            await self._multiparts.abort(row)
            return
        assert isinstance(row, Listed), "a version was read as its row"
        if action.kind == "transition":
            await self._move(bucket, row, action.storage_class)
            return
        named = action.kind == "remove" and (row.marker or not row.latest)
        await self._histories.delete(
            bucket,
            row.name,
            removal=Removal(
                version_id=row.s3_version_id if named else None,
                conditions=Conditions(if_match=row.etag, modified=row.modified),
                event=EXPIRED,
                marker_event=MARKED,
                who=WHO,
                state=row.state if named else "",
            ),
        )

    async def _move(self, bucket: Bucket, row: Listed, shown: str) -> None:
        """Bytes first, then what is shown: stopped in between, the next round does the rest."""
        version = await self._histories.find(bucket, row.name, row.s3_version_id)
        if version.version_id != row.version_id:
            return
        wanted = self._class_of(bucket, shown)
        if version.storage_class != wanted and version.size:
            version = await self._mover.rewrite(version, wanted)

        def move(attributes: Attributes) -> Attributes:
            return msgspec.structs.replace(attributes, storage_class=shown, restored_until=0, restoring=False)

        version = await self._histories.change(bucket, version, move)
        if bucket.parsed.notifications:
            await self._outbox.tell(bucket, MOVED, version, WHO)


def _next_part(bucket: Bucket, place: _Place) -> _Place:
    """After the versions under a prefix come its uploads, if any rule is about these; then the next prefix.

    Past the last prefix the place is in no bucket's part, and reading it leads to the next bucket.
    """
    aborting = any(rule.abort_days is not None for rule in bucket.parsed.lifecycle)
    if aborting and not place.uploads:
        return _Place(bucket.id, place.prefix, uploads=True)
    return _Place(bucket.id, place.prefix + 1)


def _aged(rows: Sequence[Listed], place: _Place, *, now: int, whole: bool) -> tuple[list[Aged], int]:
    """The facts of a page, and how many noncurrent versions its last key has up to there.

    `whole`: the page ends with all versions of its last key.
    """
    found: list[Aged] = []
    key, newer = (place.key or "").encode() if place.within else None, place.newer
    for index, row in enumerate(rows):
        if row.key != key:
            key, newer = row.key, 0
        last = index + 1 == len(rows)
        ends = whole if last else rows[index + 1].key != row.key
        found.append(_fact(row, newer=newer, alone=row.latest and ends, now=now))
        newer += not row.latest
    return found, newer


def _fact(row: Listed, *, newer: int, alone: bool, now: int) -> Aged:
    attributes = row.parsed
    return Aged(
        key=row.name,
        version_id=row.s3_version_id,
        size=row.size,
        modified=row.modified,
        storage_class=attributes.storage_class,
        tags=attributes.tags,
        latest=row.latest,
        marker=row.marker,
        locked=locking.refuses_removal(attributes, now, False) is not None,
        superseded=row.superseded or row.modified,
        newer=newer,
        alone=alone,
        row=row,
    )


def _upload(row: Multipart) -> Upload:
    return Upload(row.name, row.upload_id, row.created, row)


def _lanes(actions: Iterable[Action]) -> list[list[Action]]:
    """Steps for the same version stay together, in their order."""
    lanes: dict[int, list[Action]] = {}
    for action in actions:
        lanes.setdefault(id(action.subject), []).append(action)
    return list(lanes.values())


async def _all(work: Iterable[Awaitable[None]]) -> None:
    await asyncio.gather(*work)
