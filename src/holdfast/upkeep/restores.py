"""The pass that ends the time for which archived versions could be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import structlog

from holdfast.files.attributes import Attributes
from holdfast.files.histories import Histories
from holdfast.files.outbox_rows import Restore
from holdfast.files.records import NULL, Bucket, Version
from holdfast.files.tending.ageing import Ageing
from holdfast.files.tending.outbox import Outbox
from holdfast.files.tending.restores import Restores
from holdfast.upkeep.passes import Reading
from holdfast.world.clock import Clock
from holdfast.world.errors import Refusal

PAGE: Final = 200
WHO: Final = {"principal": "s3-lifecycle"}
ENDED: Final = "s3:ObjectRestore:Delete"

log = structlog.get_logger()


@dataclass(frozen=True)
class RestorePlan:
    """What is over."""

    ended: list[Restore]

    def lines(self) -> Sequence[str]:
        """Each step with its reason."""
        return [
            f"archive version {each.version_id} of '{each.key.decode(errors='replace')}' again: "
            "the days it was restored for are over"
            for each in self.ended
        ]


class EndRestores:
    """Restores whose days are over, a page at a time."""

    name = "restores"

    def __init__(
        self, *, restores: Restores, ageing: Ageing, histories: Histories, outbox: Outbox, clock: Clock
    ) -> None:
        self._restores = restores
        self._ageing = ageing
        self._histories = histories
        self._outbox = outbox
        self._clock = clock

    async def read(self, after: Any) -> Reading[list[Restore]]:
        """Those longest over. There is one page: what is ended leaves it."""
        assert after is None, "this pass reads one page over and over"
        return Reading(await self._restores.ended(PAGE))

    def plan(self, page: list[Restore]) -> RestorePlan:
        """All of them."""
        return RestorePlan(page)

    async def do(self, plan: RestorePlan) -> bool:
        """Takes the note out of each version, unless it was restored for longer meanwhile."""
        for restore in plan.ended:
            await self._end(restore)
            await self._restores.forget(restore)
        return len(plan.ended) >= PAGE

    async def _end(self, restore: Restore) -> None:
        bucket = await self._ageing.bucket(restore.bucket_id)
        if bucket is None:
            return
        now = self._clock.now()
        over: list[bool] = []

        def end(attributes: Attributes) -> Attributes:
            over.append(0 < attributes.restored_until <= now)
            return msgspec.structs.replace(attributes, restored_until=0) if over[-1] else attributes

        try:
            version = await self._histories.change(bucket, await self._version(bucket, restore), end)
        except Refusal as refusal:
            log.info("restored version is gone", bucket=bucket.name, code=refusal.code)
            return
        if over[-1]:
            await self._outbox.tell(bucket, ENDED, version, WHO)

    async def _version(self, bucket: Bucket, restore: Restore) -> Version:
        """The version, which may be the null version of its key."""
        key = restore.key.decode()
        try:
            return await self._histories.find(bucket, key, restore.version_id)
        except Refusal as refusal:
            version = await self._histories.find(bucket, key, NULL)
            if version.version_id != restore.version_id:
                raise refusal from None
            return version
