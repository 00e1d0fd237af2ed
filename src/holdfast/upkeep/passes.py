"""The one loop of upkeep: read a page, plan (a pure function), do; then rest a while and begin again.

A pass never stops for one failure: it is logged, and the next round meets the same state again. Rests are
jittered, so that many processes started together do not all read at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import structlog

from holdfast.world.chance import Chance
from holdfast.world.errors import Failure

PageT = TypeVar("PageT")
PlanT = TypeVar("PlanT", bound="Plan")

log = structlog.get_logger()


class Plan(Protocol):
    """What a pass decided about one page."""

    def lines(self) -> Sequence[str]:
        """Each step with its reason, for people; nothing to do is no line."""
        ...


@dataclass(frozen=True)
class Reading(Generic[PageT]):
    """A page, and where the next one begins; `after` is None on the last page of a round."""

    page: PageT
    after: Any = None


class Pass(Protocol[PageT, PlanT]):
    """One background loop over part of the state."""

    name: str

    async def read(self, after: Any) -> Reading[PageT]:
        """The page that begins at `after` (None: the first)."""
        ...

    def plan(self, page: PageT) -> PlanT:
        """What to do about it: a pure function of what was read."""
        ...

    async def do(self, plan: PlanT) -> bool:
        """Carries the plan out; whether the same place must be read again, for there was more than a page."""
        ...


async def run_round(work: Pass[PageT, PlanT]) -> int:
    """Reads, plans and does every page once; how many steps were planned."""
    after, steps = None, 0
    while True:
        reading = await work.read(after)
        plan = work.plan(reading.page)
        lines = plan.lines()
        steps += len(lines)
        for line in lines:
            log.info("upkeep", work=work.name, step=line)
        again = await work.do(plan)
        if again:
            continue
        if reading.after is None:
            return steps
        after = reading.after


async def dry_run(work: Pass[PageT, PlanT]) -> AsyncIterator[str]:
    """The lines of what a round would do, without doing it."""
    after = None
    while True:
        reading = await work.read(after)
        for line in work.plan(reading.page).lines():
            yield line
        if reading.after is None:
            return
        after = reading.after


class Loop:
    """A pass that runs round after round, `period_seconds` apart (give or take a tenth), until stopped."""

    def __init__(self, work: Pass[PageT, PlanT], *, period_seconds: float, chance: Chance) -> None:
        self._work = work
        self._period = period_seconds
        self._chance = chance
        self._task: asyncio.Task[None] | None = None
        self.rounds = 0
        self.failures = 0

    def start(self) -> None:
        """Begins with a rest of part of a period."""
        assert self._task is None, "a loop is started once"
        self._task = asyncio.create_task(self._run(), name=f"upkeep-{self._work.name}")

    async def stop(self) -> None:
        """Stops at the next await; a pass can be stopped at any of them."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _run(self) -> None:
        await asyncio.sleep(self._period * self._chance.unit())
        while True:
            try:
                await run_round(self._work)
                self.rounds += 1
            except Failure as failure:
                self.failures += 1
                log.warning("upkeep failed", work=self._work.name, code=failure.code, why=failure.message)
            except Exception:
                # A fault of ours ends the round, but must not end upkeep as long as the program runs.
                self.failures += 1
                log.exception("upkeep failed", work=self._work.name, code="internal")
            await asyncio.sleep(self._period * (0.9 + 0.2 * self._chance.unit()))
