"""Buckets and versions without bytes, with the rooms that passes work on, on a clock that is set."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from tests.upkeep.watch import Watch

from holdfast.files.attributes import Attributes
from holdfast.files.bucket_records import BucketRecords
from holdfast.files.bucket_settings import BucketSettings, LifecycleRule
from holdfast.files.histories import Histories
from holdfast.files.multiparts import Multiparts
from holdfast.files.records import Bucket, Content, NewVersion, Version
from holdfast.files.tending.ageing import Ageing
from holdfast.files.tending.outbox import Outbox
from holdfast.files.tending.restores import Restores
from holdfast.gateway.wish import PutWish
from holdfast.upkeep.lifecycle import Lifecycle
from holdfast.upkeep.replication import Replicate
from holdfast.world.database import Database
from holdfast.world.simulated.chance import SimulatedChance

CREATED = "s3:ObjectCreated:Put"
CLASSES = {"": "test", "STANDARD": "test", "STANDARD_IA": "cool", "GLACIER": "cold", "DEEP_ARCHIVE": "cold"}


def class_of(_bucket: Bucket, shown: str) -> str:
    return CLASSES[shown]


def content(size: int) -> Content:
    return Content(size, "", "test", 2, 5, 4, 1 << 16, 0, "gateway", b"k", b"w", b"c")


class Carts:
    """What moves and copies bytes, where there are none; `failures` are raised first."""

    def __init__(self, histories: Histories) -> None:
        self._histories = histories
        self.moved: list[tuple[str, str]] = []
        self.copied: list[tuple[str, str]] = []
        self.failures: list[BaseException] = []

    async def rewrite(self, version: Version, storage_class: str) -> Version:
        await self._stumble()
        self.moved.append((version.name, storage_class))
        return version

    async def copy(
        self, source: Version, source_bucket: Bucket, bucket: Bucket, key: str, wish: PutWish
    ) -> Version:
        await self._stumble()
        self.copied.append((f"{source_bucket.name}/{key}", f"{bucket.name}/{wish.storage_class}"))
        new = NewVersion(
            content(source.size),
            msgspec.structs.replace(
                wish.attributes, checksum_algorithm="CRC64NVME", checksum_value="other", parts=()
            ),
            etag=source.etag,
            event=wish.event,
            who=wish.who,
        )
        return await self._histories.add(bucket, key, new, wish.conditions)

    async def _stumble(self) -> None:
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)


class Shelves:
    """A coordinator's buckets, and its passes."""

    def __init__(self, database: Database, clock: Any = None, chance: SimulatedChance | None = None) -> None:
        self.clock = clock or Watch()
        self.chance = chance or SimulatedChance("shelves")
        self.buckets = BucketRecords(database, self.clock)
        self.histories = Histories(database, self.clock, self.chance)
        self.multiparts = Multiparts(database, self.clock, self.chance)
        self.outbox = Outbox(database, self.clock)
        self.restores = Restores(database, self.clock)
        self.ageing = Ageing(database)
        self.carts = Carts(self.histories)

    async def bucket(
        self, name: str = "photos", *rules: LifecycleRule, versioning: str = "on", **settings: Any
    ) -> Bucket:
        made = BucketSettings(lifecycle=rules, **settings)
        return await self.buckets.create("alice", name, "test", made, versioning)

    async def set(self, bucket: Bucket, **changes: Any) -> Bucket:
        return await self.buckets.change(bucket.id, lambda _, old: msgspec.structs.replace(old, **changes))

    async def put(
        self, bucket: Bucket, key: str = "cat", *, size: int = 1 << 20, **attributes: Any
    ) -> Version:
        """A version, a second after whatever was before."""
        self.clock.forward(1)
        new = NewVersion(
            content(size),
            Attributes(**attributes),
            etag=f"etag-{size}",
            event=CREATED,
            who={"principal": "p"},
        )
        return await self.histories.add(bucket, key, new)

    def lifecycle(self, *, day_seconds: float = 86_400, page: int = 1000) -> Lifecycle:
        """As a process makes it; several share the buckets."""
        return Lifecycle(
            ageing=self.ageing, histories=self.histories, multiparts=self.multiparts, outbox=self.outbox,
            mover=self.carts, class_of=class_of, clock=self.clock, day_seconds=day_seconds, page=page,
        )  # fmt: skip

    def replicate(self) -> Replicate:
        return Replicate(
            outbox=self.outbox, ageing=self.ageing, buckets=self.buckets, histories=self.histories,
            copying=self.carts, class_of=class_of, clock=self.clock, chance=self.chance,
        )  # fmt: skip

    async def keys(self, bucket: Bucket) -> list[str]:
        """Every version there is, by key, newest first: `key` current, `key-` noncurrent, `key!` a marker."""
        found: list[str] = []
        key = version = None
        while True:
            page = await self.histories.list_versions(bucket, "", "", key, version)
            found += [
                f"{row.name}{'!' if row.marker else ''}{'' if row.latest else '-'}" for row in page.rows
            ]
            key, version = page.next_key, page.next_version
            if key is None:
                return found
