"""The pass that copies new versions, and delete markers, into the buckets that replication rules name.

Copies of a key are made in the order of its versions. A copy names the version that it was made of: one that
was made before its maker was stopped is found, and not made twice. Where the destination refuses, the version
is FAILED at once; where the world fails, it is tried again with growing rests before it is. What is copied
shares its chunks with the original where class and keys allow it; then no bytes move.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec
import structlog

from holdfast.files.attributes import Attributes
from holdfast.files.bucket_records import BucketRecords
from holdfast.files.bucket_settings import ReplicationRule
from holdfast.files.histories import Histories
from holdfast.files.notifying import CREATED, MARKED, REPLICATOR
from holdfast.files.outbox_rows import CopyRow
from holdfast.files.records import Bucket, Version
from holdfast.files.tending.ageing import Ageing
from holdfast.files.tending.outbox import Outbox
from holdfast.files.writing import Removal
from holdfast.gateway.wish import PutWish
from holdfast.upkeep.passes import Reading
from holdfast.upkeep.plans.delivery import ATTEMPTS_MAX, rest_before
from holdfast.upkeep.plans.replication import (
    COMPLETED,
    FAILED,
    CopyPlan,
    plan_copies,
    refusal_of,
    replica_attributes,
    rules_for,
)
from holdfast.world.chance import Chance
from holdfast.world.clock import MICROSECONDS, Clock
from holdfast.world.errors import Failure, Refusal, Trouble

PAGE: Final = 100
AT_ONCE: Final = 4
LEASE: Final = 60 * MICROSECONDS
"""Others keep off versions that are being copied for so long; a large one has it renewed."""
WHO: Final = {"principal": REPLICATOR}
COPIED: Final = f"{CREATED}Put"
GIVEN_UP: Final = "s3:Replication:OperationFailedReplication"

PASSING: Final = frozenset({"fleet.too_small", "node.full", "precondition.conflict"})
"""Refusals that may be over soon."""

ClassOf = Callable[[Bucket, str], str]
"""The name of Holdfast's class for S3's name of a storage class, in a bucket."""

log = structlog.get_logger()


class Copying(Protocol):
    """What of the gateway is needed here."""

    async def copy(
        self, source: Version, source_bucket: Bucket, bucket: Bucket, key: str, wish: PutWish
    ) -> Version:
        """Stores an object with the bytes of another."""
        ...


class Replicate:
    """Due copies, a page at a time."""

    name = "replication"

    def __init__(
        self,
        *,
        outbox: Outbox,
        ageing: Ageing,
        buckets: BucketRecords,
        histories: Histories,
        copying: Copying,
        class_of: ClassOf,
        clock: Clock,
        chance: Chance,
    ) -> None:
        self._outbox = outbox
        self._ageing = ageing
        self._buckets = buckets
        self._histories = histories
        self._copying = copying
        self._class_of = class_of
        self._clock = clock
        self._chance = chance

    async def read(self, after: Any) -> Reading[list[CopyRow]]:
        """The oldest that are due. There is one page: what is copied leaves it."""
        assert after is None, "replication reads one page over and over"
        return Reading(await self._outbox.due_copies(PAGE))

    def plan(self, page: list[CopyRow]) -> CopyPlan:
        """What is copied, in which order."""
        return plan_copies(page, limit=PAGE)

    async def do(self, plan: CopyPlan) -> bool:
        """Takes the page, copies, and writes down what came of it; whether there may be more."""
        if not plan.rows:
            return False
        taken = await self._outbox.take_copies(plan.rows, self._clock.now() + LEASE)
        rows = {row.id: row for row in taken}
        places = asyncio.Semaphore(AT_ONCE)

        async def copy(lane: list[CopyRow]) -> int:
            async with places:
                return await self._lane([rows[row.id] for row in lane if row.id in rows])

        done = await asyncio.gather(*(copy(lane) for lane in plan.lanes))
        return plan.full and any(done)

    async def _lane(self, lane: list[CopyRow]) -> int:
        """Copies the versions of a key one after another, up to the first that has to wait; how many."""
        for position, row in enumerate(lane):
            held = await self._outbox.renew_copy(row, self._clock.now() + LEASE)
            if held is None:
                return position
            later = await self._holding(held)
            if later is not None:
                now = self._clock.now()
                others = [(other, other._replace(due=now)) for other in lane[position + 1 :]]
                await self._outbox.put_back_copies([later, *others])
                return position
            await self._outbox.finish_copy(held)
        return len(lane)

    async def _holding(self, row: CopyRow) -> tuple[CopyRow, CopyRow] | None:
        """Copies while keeping others off; None, or the row as it is held and as it is to be kept."""
        held = [row]

        async def renew() -> None:
            while True:
                await asyncio.sleep(LEASE / MICROSECONDS / 3)
                with contextlib.suppress(Trouble):
                    kept = await self._outbox.renew_copy(held[0], self._clock.now() + LEASE)
                    held[0] = kept or held[0]

        renewing = asyncio.create_task(renew(), name="replication-lease")
        try:
            later = await self._copy(row)
        finally:
            renewing.cancel()
            await asyncio.wait([renewing])
        return None if later is None else (held[0], later)

    async def _copy(self, row: CopyRow) -> CopyRow | None:
        """None if no more is to be done about it, else the row as it is kept."""
        bucket = await self._ageing.bucket(row.bucket_id)
        if bucket is None or row.version_id is None:
            return None
        try:
            version = await self._histories.find(bucket, row.key.decode(), row.version_id)
        except Refusal:
            return None  # It is gone: there is nothing to copy.
        rules = rules_for(bucket, version)
        try:
            for rule in rules:
                await self._send(bucket, version, rule)
        except Failure as failure:
            attempts = row.attempts + 1
            final = isinstance(failure, Refusal) and failure.code not in PASSING
            if final or attempts >= ATTEMPTS_MAX:
                await self._fail(bucket, version, failure.message)
                return None
            log.info("copy put off", bucket=bucket.name, attempts=attempts, why=failure.message)
            rest = rest_before(attempts, self._chance.unit())
            return row._replace(attempts=attempts, due=self._clock.now() + rest)
        if rules and not version.marker:
            await self._tell(bucket, version, COMPLETED)
        return None

    async def _send(self, bucket: Bucket, version: Version, rule: ReplicationRule) -> None:
        """Copies to one destination, unless that was done before."""
        target = await self._buckets.find(rule.destination)
        why = refusal_of(bucket, target, version.name, marker=version.marker)
        if not why and version.parsed.sse == "customer":
            why = "its key is only the customer's"
        if why:
            raise Refusal("access.denied", f"The copy cannot be made: {why}.")
        latest = await self._latest(target, version.name)
        if version.marker:
            if latest is not None and not latest.marker:
                await self._histories.delete(
                    target, version.name, removal=Removal(marker_event=MARKED, who=WHO)
                )
            return
        if latest is not None and latest.parsed.replica_of == version.version_id:
            return
        attributes = replica_attributes(version, rule)
        wish = PutWish(
            attributes=attributes,
            storage_class=self._class_of(target, attributes.storage_class),
            event=COPIED,
            who=WHO,
        )
        made = await self._copying.copy(version, bucket, target, version.name, wish)
        await self._keep_checksum(target, made, version.parsed)

    async def _keep_checksum(self, target: Bucket, made: Version, source: Attributes) -> None:
        """The same bytes have the same checksums: the one that the original shows, if it is another kind."""
        if not source.checksum_algorithm or made.parsed.checksum_value == source.checksum_value:
            return

        def keep(attributes: Attributes) -> Attributes:
            return msgspec.structs.replace(
                attributes,
                checksum_algorithm=source.checksum_algorithm,
                checksum_value=source.checksum_value,
                checksum_type=source.checksum_type,
                parts=source.parts,
            )

        await self._histories.change(target, made, keep)

    async def _latest(self, bucket: Bucket, key: str) -> Version | None:
        try:
            return await self._histories.find(bucket, key)
        except Refusal as refusal:
            if refusal.code != "object.unknown":
                raise
            hiding = refusal.facts.get("version_id") if refusal.facts.get("marker") else None
            return None if hiding is None else await self._histories.find(bucket, key, str(hiding))

    async def _fail(self, bucket: Bucket, version: Version, why: str) -> None:
        log.warning("version not copied", bucket=bucket.name, version=version.s3_version_id, why=why)
        if not version.marker:
            await self._tell(bucket, version, FAILED)
        await self._outbox.tell(bucket, GIVEN_UP, version, WHO)

    async def _tell(self, bucket: Bucket, version: Version, status: str) -> None:
        def tell(attributes: Attributes) -> Attributes:
            return msgspec.structs.replace(attributes, replication_status=status)

        try:
            await self._histories.change(bucket, version, tell)
        except Refusal as refusal:
            log.info("copied version is gone", bucket=bucket.name, code=refusal.code)
