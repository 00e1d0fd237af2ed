"""The pass that writes noted requests into the buckets that their owners chose for them.

Log objects belong to the owner of the bucket they are in. A target that is gone, or does not let logs in,
gets nothing: the lines are dropped, with a warning. What the world kept from being written is tried again.
"""

from __future__ import annotations

from typing import Any, Protocol

import structlog

from holdfast.files.attributes import Acl, Attributes
from holdfast.files.bucket_records import BucketRecords
from holdfast.files.records import Bucket, Version
from holdfast.files.tending.request_log import LogKey, RequestFacts, RequestLog
from holdfast.gateway.body import Body, BytesBody
from holdfast.gateway.wish import PutWish
from holdfast.tenants.names import canonical_id_of
from holdfast.upkeep.passes import Reading
from holdfast.upkeep.plans.request_log import LogPlan, line, object_key, refusal_of
from holdfast.world.chance import Chance
from holdfast.world.clock import MICROSECONDS, Clock
from holdfast.world.errors import Failure, Refusal

FLUSH_SECONDS = 300.0
FLUSH_LINES = 10_000
LINES_OF_OBJECT = 50_000
UNIQUE_BYTES = 8
PASSING = frozenset({"fleet.too_small", "node.full", "precondition.conflict"})
"""Refusals that may be over soon."""

log = structlog.get_logger()


class Putting(Protocol):
    """What of the gateway is needed here."""

    async def put(self, bucket: Bucket, key: str, body: Body, wish: PutWish) -> Version:
        """Writes an object."""
        ...


class RequestLogging:
    """Everything that is held, once it is old enough or there is enough of it."""

    name = "request-log"

    def __init__(
        self,
        *,
        request_log: RequestLog,
        buckets: BucketRecords,
        gateway: Putting,
        clock: Clock,
        chance: Chance,
        region: str,
        flush_seconds: float = FLUSH_SECONDS,
    ) -> None:
        self._held = request_log
        self._buckets = buckets
        self._gateway = gateway
        self._clock = clock
        self._chance = chance
        self._region = region
        self._flush_age = round(flush_seconds * MICROSECONDS)
        self._closing = False

    async def read(self, after: Any) -> Reading[LogPlan]:
        """What is due, taken out of memory."""
        assert after is None, "there is one page"
        return Reading(LogPlan(*self._held.take()) if self._due() else LogPlan({}, 0))

    def _due(self) -> bool:
        oldest = self._held.oldest()
        if oldest is None:
            return False
        old = self._clock.now() - oldest >= self._flush_age
        return old or self._closing or len(self._held) >= FLUSH_LINES

    def plan(self, page: LogPlan) -> LogPlan:
        """All of it."""
        return page

    async def do(self, plan: LogPlan) -> bool:
        """Writes each batch; one that fails does not keep the others."""
        if plan.dropped:
            log.warning("requests not logged", lines=plan.dropped, why="too many were waiting")
        batches = [
            (key, held[start : start + LINES_OF_OBJECT])
            for key, held in plan.batches.items()
            for start in range(0, len(held), LINES_OF_OBJECT)
        ]
        unwritten = [batch for _, batch in batches]
        try:
            for key, batch in batches:
                if await self._write(key, batch):
                    unwritten.remove(batch)
        finally:
            # Also when this pass is stopped: what it took is written before the program ends.
            self._held.give_back([facts for batch in unwritten for facts in batch])
        return False

    async def flush(self) -> None:
        """Writes all that is held, whatever its age: before the program ends."""
        self._closing = True
        await self.do(self.plan((await self.read(None)).page))

    async def _write(self, key: LogKey, batch: list[RequestFacts]) -> bool:
        """Whether there is no more to be done about these lines."""
        unique = self._chance.bytes(UNIQUE_BYTES).hex().upper()
        name = object_key(key, now=self._clock.now(), unique=unique, region=self._region)
        facts = {"bucket": key.bucket, "target": key.logging.target_bucket, "lines": len(batch)}
        try:
            target = await self._buckets.find(key.logging.target_bucket)
            why = refusal_of(target, name, key)
            if why:
                log.warning("requests not logged", **facts, why=why)
                return True
            text = "".join(f"{line(each)}\n" for each in batch)
            await self._gateway.put(target, name, BytesBody(text.encode()), _wish(target, key))
        except Failure as failure:
            if isinstance(failure, Refusal) and failure.code not in PASSING:
                log.warning("requests not logged", **facts, why=failure.message)
                return True
            log.warning("request log put off", **facts, code=failure.code, why=failure.message)
            return False
        return True


def _wish(target: Bucket, key: LogKey) -> PutWish:
    grants = key.logging.grants
    shared = bool(grants) and target.parsed.ownership != "BucketOwnerEnforced"
    acl = Acl(owner_id=canonical_id_of(target.tenant), grants=grants) if shared else None
    attributes = Attributes(headers={"content-type": "text/plain"}, acl=acl)
    return PutWish(attributes=attributes, event="s3:ObjectCreated:Put", who={"principal": "s3-log-delivery"})
