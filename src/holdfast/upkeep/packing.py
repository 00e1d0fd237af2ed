"""The passes of small objects: one packs them, one writes packs anew of which too little is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from holdfast.files.smalls import PackUse, Smalls, Waiting
from holdfast.gateway.objects import Gateway
from holdfast.gateway.packs import Packs
from holdfast.nodes.classes import Classes
from holdfast.upkeep.passes import Reading
from holdfast.upkeep.plans.packing import (
    CompactionPlan,
    PackingPlan,
    PackingRules,
    plan_compaction,
    plan_packing,
)
from holdfast.world.clock import Clock
from holdfast.world.errors import Failure

PACKS_A_PAGE = 200
PACKING_SECONDS = 2.0
"""How often it is looked whether something is to be packed."""

log = structlog.get_logger()


class Packing:
    """What lies in the metadata store goes to the nodes, many small objects at a time."""

    name = "packing"

    def __init__(
        self,
        *,
        smalls: Smalls,
        packs: Packs,
        classes: Classes,
        clock: Clock,
        rules: PackingRules | None = None,
    ) -> None:
        self._smalls = smalls
        self._packs = packs
        self._classes = classes
        self._clock = clock
        self._rules = rules or PackingRules()

    async def read(self, after: Any) -> Reading[list[Waiting]]:
        """All classes of which something waits."""
        assert after is None, "there is one page"
        return Reading(await self._smalls.waiting())

    def plan(self, page: list[Waiting]) -> PackingPlan:
        """Which of them to pack now."""
        return plan_packing(page, chunk_sizes(self._classes), self._rules, self._clock.now())

    async def do(self, plan: PackingPlan) -> bool:
        """Writes one pack of each; whether there may be more to do at once."""
        packed = 0
        for name, _ in plan.classes:
            try:
                packed += await self._packs.pack(name)
            except Failure as failure:
                # The others need not wait for a class that has too few nodes now.
                log.warning("packing failed", storage_class=name, code=failure.code, why=failure.message)
        return bool(packed)


class Compaction:
    """Space of small objects that are gone is given back, and thin packs are put together."""

    name = "compaction"

    def __init__(
        self,
        *,
        smalls: Smalls,
        packs: Packs,
        classes: Classes,
        clock: Clock,
        rules: PackingRules | None = None,
    ) -> None:
        self._smalls = smalls
        self._packs = packs
        self._classes = classes
        self._clock = clock
        self._rules = rules or PackingRules()

    async def read(self, after: Any) -> Reading[Sequence[PackUse]]:
        """A page of packs; `after` is a stream."""
        page = await self._smalls.uses(0 if after is None else after, PACKS_A_PAGE)
        return Reading(page, page[-1].pack.stream if len(page) == PACKS_A_PAGE else None)

    def plan(self, page: Sequence[PackUse]) -> CompactionPlan:
        """What becomes of them."""
        return plan_compaction(page, chunk_sizes(self._classes), self._rules, self._clock.now())

    async def do(self, plan: CompactionPlan) -> bool:
        """Carries it out; what is written anew is looked at again in the next round."""
        for use in plan.empty:
            await self._packs.take_away(use.pack)
        for each in plan.rewritings:
            try:
                await self._packs.rewrite(each.storage_class, each.uses)
            except Failure as failure:
                names = [use.pack.name for use in each.uses]
                log.warning("compaction failed", packs=names, code=failure.code, why=failure.message)
        return False


def packing_passes(gateway: Gateway, classes: Classes, clock: Clock) -> tuple[Packing, Compaction]:
    """Both passes over what this gateway keeps."""
    smalls, packs = gateway.kit.smalls, gateway.packs
    return (
        Packing(smalls=smalls, packs=packs, classes=classes, clock=clock),
        Compaction(smalls=smalls, packs=packs, classes=classes, clock=clock),
    )


def chunk_sizes(classes: Classes) -> Mapping[str, int]:
    """How long a chunk of each class is."""
    return {known.class_name: known.chunk_size for known in classes}
