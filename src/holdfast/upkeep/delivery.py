"""The pass that tells the operator's targets what happened in buckets: events, out of the outbox.

Where to send is only ever read from the operator's settings: a tenant names an ARN, never a URL. An event is
told at least once; those of one key to one target in the order in which they happened, each until it was
taken or given up. Given up events are kept for the operator to look at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

import structlog

from holdfast.files.outbox_rows import EventRow
from holdfast.files.tending.outbox import Outbox
from holdfast.upkeep.passes import Reading
from holdfast.upkeep.plans.delivery import ATTEMPTS_MAX, DeliveryPlan, message, plan_delivery, rest_before
from holdfast.world.chance import Chance
from holdfast.world.clock import MICROSECONDS, Clock
from holdfast.world.errors import Failure

PAGE = 200
AT_ONCE = 16
LEASE = 120 * MICROSECONDS
"""Others keep off events that are being told for so long; telling a page may not take longer."""
PAGE_SECONDS = 90.0
DEAD_KEPT = 30 * 86_400 * MICROSECONDS
"""How long an operator can look at what was given up."""
FORGET_EVERY = 3600 * MICROSECONDS
REST = 15 * MICROSECONDS
"""A target that refused several times in a row is left alone for so long."""
REFUSALS_IN_A_ROW = 3

log = structlog.get_logger()


class Sender(Protocol):
    """Carries one message to a target."""

    async def send(self, url: str, body: bytes) -> None:
        """Returns when the target has taken it; raises Trouble("target.refused") if it has not."""
        ...

    async def close(self) -> None:
        """Hangs up."""
        ...


class Delivery:
    """Due events, a page at a time, several targets and keys at once."""

    name = "delivery"

    def __init__(
        self,
        *,
        outbox: Outbox,
        sender: Sender,
        targets: Mapping[str, str],
        clock: Clock,
        chance: Chance,
        region: str,
    ) -> None:
        self._outbox = outbox
        self._sender = sender
        self._targets = dict(targets)
        self._known = frozenset(targets)
        self._clock = clock
        self._chance = chance
        self._region = region
        self._refusals: dict[str, int] = {}
        self._resting: dict[str, int] = {}
        self._forgets_at = 0

    async def read(self, after: Any) -> Reading[list[EventRow]]:
        """The oldest events that are due. There is one page: what is told leaves it."""
        assert after is None, "delivery reads one page over and over"
        return Reading(await self._outbox.due_events(PAGE))

    def plan(self, page: list[EventRow]) -> DeliveryPlan:
        """Who is told what, in which order."""
        return plan_delivery(page, self._known, limit=PAGE)

    async def do(self, plan: DeliveryPlan) -> bool:
        """Takes the page, tells it, and writes down what came of it; whether there may be more."""
        await self._forget()
        if not plan.rows:
            return False
        held = self._clock.now() + LEASE
        taken = {row.id: row for row in await self._outbox.take_events(plan.rows, held)}
        told: list[EventRow] = []
        left = dict(taken)
        failed = [self._give_up(left.pop(row.id), "no target") for row in plan.unnamed if row.id in taken]
        places = asyncio.Semaphore(AT_ONCE)

        async def tell(lane: list[EventRow]) -> None:
            async with places:
                for row in lane:
                    if row.id not in taken:
                        return
                    outcome = await self._tell(taken[row.id])
                    del left[row.id]
                    if outcome is not None:
                        failed.append(outcome)
                        return
                    told.append(row)

        try:
            async with asyncio.timeout(PAGE_SECONDS):
                await asyncio.gather(*(tell(lane) for lane in plan.lanes))
        except TimeoutError:
            log.warning("delivery is slow", told=len(told), left=len(left))
        now = self._clock.now()
        # What was not reached is due again at once, unless an earlier event of its key is not.
        failed += [row._replace(due=now) for row in left.values()]
        await self._outbox.settle_events(told, failed, held)
        return plan.full and bool(told)

    async def _forget(self) -> None:
        """Drops, now and then, what was given up so long ago that nobody will ask for it."""
        now = self._clock.now()
        if now >= self._forgets_at:
            self._forgets_at = now + FORGET_EVERY
            dropped = await self._outbox.forget_dead(now - DEAD_KEPT)
            if dropped:
                log.warning("given up events dropped", events=dropped)

    async def close(self) -> None:
        """Hangs up."""
        await self._sender.close()

    async def _tell(self, row: EventRow) -> EventRow | None:
        """None if the target took it, else the row as it is kept."""
        now = self._clock.now()
        rests_until = self._resting.get(row.arn, 0)
        if now < rests_until:
            # Its events wait without an attempt being counted: it is the target that is ill, not they.
            return row._replace(due=rests_until)
        try:
            await self._sender.send(self._targets[row.arn], message(row, region=self._region))
        except Failure as failure:
            self._note_refusal(row.arn)
            attempts = row.attempts + 1
            log.info("event not taken", arn=row.arn, event_id=row.id, attempts=attempts, why=failure.message)
            row = row._replace(attempts=attempts, failure=failure.message[:200])
            if attempts >= ATTEMPTS_MAX:
                return self._give_up(row, failure.message)
            return row._replace(due=self._clock.now() + rest_before(attempts, self._chance.unit()))
        self._refusals.pop(row.arn, None)
        return None

    def _note_refusal(self, arn: str) -> None:
        self._refusals[arn] = self._refusals.get(arn, 0) + 1
        if self._refusals[arn] >= REFUSALS_IN_A_ROW:
            self._resting[arn] = self._clock.now() + REST

    def _give_up(self, row: EventRow, why: str) -> EventRow:
        log.warning("event given up", arn=row.arn, event_id=row.id, attempts=row.attempts, why=why)
        return row._replace(state="dead", failure=why[:200], due=self._clock.now())
