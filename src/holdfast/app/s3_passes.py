"""The passes that work on buckets, and how often: lifecycle, restores, replication, events, request logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from holdfast.doors.s3.contents.storage_classes import redundancy_now
from holdfast.files.tending.ageing import Ageing
from holdfast.upkeep.delivery import Delivery
from holdfast.upkeep.lifecycle import Lifecycle
from holdfast.upkeep.passes import Loop
from holdfast.upkeep.replication import Replicate
from holdfast.upkeep.request_log import FLUSH_SECONDS, RequestLogging
from holdfast.upkeep.restores import EndRestores
from holdfast.upkeep.senders import Senders

if TYPE_CHECKING:
    from holdfast.app.s3_rooms import S3Rooms
    from holdfast.files.records import Bucket
    from holdfast.world.chance import Chance
    from holdfast.world.clock import Clock
    from holdfast.world.database import Database

OUTBOX_SECONDS: Final = 1.0
"""How often it is looked whether there is something to tell or to copy."""
LIFECYCLE_SECONDS_MAX: Final = 3600.0
RESTORES_SECONDS_MAX: Final = 60.0
PARTS_OF_DAY: Final = 10
"""What days are about is looked at as many times a day, where days are short."""


class S3Passes:
    """Made once per process, from the rooms that they work on."""

    def __init__(self, s3: S3Rooms, database: Database, clock: Clock, chance: Chance) -> None:
        self._s3 = s3
        self._clock = clock
        self._chance = chance
        self._ageing = Ageing(database)
        self._senders = Senders(clock)
        day = s3.door.lifecycle_day_seconds
        self._beat = max(1.0, day / PARTS_OF_DAY)
        self._flush_seconds = min(FLUSH_SECONDS, self._beat)
        self.logging = RequestLogging(
            request_log=s3.request_log,
            buckets=s3.buckets,
            gateway=s3.gateway,
            clock=clock,
            chance=chance,
            region=s3.door.region,
            flush_seconds=self._flush_seconds,
        )

    def lifecycle(self) -> Lifecycle:
        """The pass that carries out lifecycle rules."""
        s3 = self._s3
        return Lifecycle(
            ageing=self._ageing,
            histories=s3.histories,
            multiparts=s3.multiparts,
            outbox=s3.outbox,
            mover=s3.gateway,
            class_of=self._class_of,
            clock=self._clock,
            day_seconds=s3.door.lifecycle_day_seconds,
        )

    def restores(self) -> EndRestores:
        """The pass that archives again what was restored for some days."""
        s3 = self._s3
        return EndRestores(
            restores=s3.restores,
            ageing=self._ageing,
            histories=s3.histories,
            outbox=s3.outbox,
            clock=self._clock,
        )

    def replication(self) -> Replicate:
        """The pass that copies new versions to where rules say."""
        s3 = self._s3
        return Replicate(
            outbox=s3.outbox,
            ageing=self._ageing,
            buckets=s3.buckets,
            histories=s3.histories,
            copying=s3.gateway,
            class_of=self._class_of,
            clock=self._clock,
            chance=self._chance,
        )

    def delivery(self) -> Delivery:
        """The pass that tells events."""
        door = self._s3.door
        return Delivery(
            outbox=self._s3.outbox,
            sender=self._senders,
            targets=door.notification_targets,
            clock=self._clock,
            chance=self._chance,
            region=door.region,
        )

    def _class_of(self, bucket: Bucket, shown: str) -> str:
        return redundancy_now(self._s3.door, bucket, shown)

    def loops(self) -> list[Loop]:
        """Every one of them in its loop, not started."""
        chance = self._chance
        flush = max(1.0, min(RESTORES_SECONDS_MAX, self._flush_seconds / 2))
        return [
            Loop(self.delivery(), period_seconds=OUTBOX_SECONDS, chance=chance),
            Loop(self.replication(), period_seconds=OUTBOX_SECONDS, chance=chance),
            Loop(self.lifecycle(), period_seconds=min(self._beat, LIFECYCLE_SECONDS_MAX), chance=chance),
            Loop(self.restores(), period_seconds=min(self._beat, RESTORES_SECONDS_MAX), chance=chance),
            Loop(self.logging, period_seconds=flush, chance=chance),
        ]

    async def close(self) -> None:
        """Writes the requests that are still to be logged, and hangs up; the loops must have ended."""
        await self.logging.flush()
        await self._senders.close()
