"""What the S3 door is made of beside the coordinator's rooms: gateway, histories, passes for buckets."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from holdfast.app.s3_passes import S3Passes
from holdfast.app.settings import CoordinatorSettings, listed
from holdfast.doors.s3.application import Application
from holdfast.doors.s3.door import Door
from holdfast.doors.s3.request_lines import NoLines, RequestLines
from holdfast.files.bucket_records import BucketRecords
from holdfast.files.histories import Histories
from holdfast.files.multiparts import Multiparts
from holdfast.files.tending.endings import StreamUploads
from holdfast.files.tending.outbox import Outbox
from holdfast.files.tending.request_log import RequestLog
from holdfast.files.tending.restores import Restores
from holdfast.gateway.objects import Gateway
from holdfast.nodes.journal import journal_deletions
from holdfast.upkeep.packing import PACKING_SECONDS, Compaction, Packing
from holdfast.upkeep.passes import Loop, Pass
from holdfast.upkeep.senders import parse_targets
from holdfast.world.offload import Offload, ThreadOffload

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.app.rooms import Outside, Rooms
    from holdfast.files.operations import Handler
    from holdfast.protocol import control

COUNT_SECONDS: Final = 1.0


class S3Rooms:
    """The rooms of S3, wired from those of a coordinator; one per process."""

    def __init__(
        self,
        rooms: Rooms,
        outside: Outside,
        handlers: Mapping[type[control.Operation], Handler],
        offload: Offload,
    ) -> None:
        settings: CoordinatorSettings = rooms.settings
        database, clock, chance = outside.database, outside.clock, outside.chance
        self._settings = settings
        self._rooms = rooms
        self.buckets = BucketRecords(database, clock)
        self.histories = Histories(database, clock, chance)
        self.multiparts = Multiparts(database, clock, chance)
        self.request_log = RequestLog()
        self.restores = Restores(database, clock)
        self.outbox = Outbox(database, clock)
        self.gateway = Gateway(
            database=database,
            handlers=handlers,
            places=rooms.places,
            histories=self.histories,
            multiparts=self.multiparts,
            uploads=StreamUploads(
                database=database,
                places=rooms.places,
                journal=journal_deletions,
                clock=clock,
                chance=chance,
                offload=outside.offload,
            ),
            keys=rooms.keys,
            people=rooms.people,
            network=outside.network,
            clock=clock,
            chance=chance,
            offload=offload,
        )
        self._online = 0
        self._counted_until = 0.0
        self.door = self._door()
        self.passes = S3Passes(self, database, clock, chance)

    def _door(self) -> Door:
        rooms, settings = self._rooms, self._settings
        return Door(
            buckets=self.buckets,
            histories=self.histories,
            multiparts=self.multiparts,
            gateway=self.gateway,
            people=rooms.people,
            keys=rooms.keys,
            classes=rooms.classes,
            clock=rooms.clock,
            chance=rooms.chance,
            region=settings.region,
            domains=listed(settings.s3_domains),
            website_domains=listed(settings.s3_website_domains),
            lifecycle_day_seconds=settings.s3_lifecycle_day_seconds,
            notification_targets=parse_targets(settings.s3_notification_targets),
            request_log=self.request_log,
            default_ownership=settings.s3_default_ownership,
            restores=self.restores,
            outbox=self.outbox,
            usable_nodes=self._usable_nodes,
        )

    def _usable_nodes(self) -> int:
        """How many nodes are online, counted anew once a while: every upload asks."""
        now = self._rooms.clock.monotonic()
        if now >= self._counted_until:
            self._online = self._rooms.fleet.count().online
            self._counted_until = now + COUNT_SECONDS
        return self._online

    def application(self) -> Application:
        """The S3 door."""
        settings = self._settings
        lines = NoLines() if settings.s3_log == "none" else RequestLines(as_json=settings.log == "json")
        return Application(self.door, lines)

    def loops(self) -> list[Loop]:
        """Every background pass for buckets in its loop, not started."""
        chance = self._rooms.chance
        return [
            *self.passes.loops(),
            Loop(self._packing(Packing), period_seconds=PACKING_SECONDS, chance=chance),
            Loop(self._packing(Compaction), period_seconds=self._settings.pass_seconds, chance=chance),
        ]

    def _packing(self, kind: type[Packing | Compaction]) -> Pass[Any, Any]:
        return kind(
            smalls=self.gateway.kit.smalls,
            packs=self.gateway.packs,
            classes=self._rooms.classes,
            clock=self._rooms.clock,
        )

    async def close(self) -> None:
        """Ends what is under way; requests and passes must have ended."""
        await self.passes.close()
        await self.gateway.close()


def gateway_offload() -> ThreadOffload:
    """Threads that seal, open and digest: one for each processor."""
    return ThreadOffload(os.cpu_count() or 1, "gateway")
