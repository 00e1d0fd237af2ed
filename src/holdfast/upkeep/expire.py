"""The pass that ends what is over and gives its space back."""

from __future__ import annotations

from typing import Any

from holdfast.files.tending.trash import Leftovers, Trash
from holdfast.upkeep.passes import Reading
from holdfast.upkeep.plans.expire import ExpirePlan, ExpireRules, plan_expire
from holdfast.world.clock import Clock

PAGE = 200
CHUNKS_A_TRANSACTION = 200


class Expire:
    """Trashed versions, idle uploads, and then, page by page, the chunks they leave behind."""

    name = "expire"

    def __init__(self, *, trash: Trash, clock: Clock, rules: ExpireRules | None = None) -> None:
        self._trash = trash
        self._clock = clock
        self._rules = rules or ExpireRules()

    async def read(self, after: Any) -> Reading[Leftovers]:
        """The oldest of each kind. There is one page: what is done leaves it, and the next moves up."""
        assert after is None, "expire reads one page over and over"
        now = self._clock.now()
        page = await self._trash.look(
            trashed_before=now - self._rules.trash_period,
            idle_since=now - self._rules.upload_idle,
            answered_before=now - self._rules.answers_kept,
            limit=PAGE,
        )
        return Reading(page)

    def plan(self, page: Leftovers) -> ExpirePlan:
        """What of it is over."""
        return plan_expire(page, self._rules, self._clock.now())

    async def do(self, plan: ExpirePlan) -> bool:
        """Ends it; streams doomed by this page are freed when it is read again."""
        if plan.versions:
            await self._trash.end_versions(plan.versions)
        if plan.uploads:
            await self._trash.end_uploads(plan.uploads)
        for stream in plan.streams:
            while await self._trash.free(stream, CHUNKS_A_TRANSACTION):
                pass
        if plan.answers:
            await self._trash.forget_answers(plan.now - self._rules.answers_kept, PAGE)
        return bool(plan.versions or plan.uploads or plan.streams or plan.answers)
