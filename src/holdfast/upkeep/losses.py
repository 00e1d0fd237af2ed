"""The pass that takes nodes at their word when they report a loss of their own: no check, only repair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from holdfast.files.tending.mending import Mending
from holdfast.nodes.journal import Loss, Losses
from holdfast.upkeep.passes import Reading


@dataclass(frozen=True)
class LossPlan:
    """Shards to take out of their placements."""

    losses: tuple[Loss, ...]

    def lines(self) -> Sequence[str]:
        """Each step with its reason."""
        return [
            f"take shard {loss.shard_id.hex()} off node {loss.alias}: the node says it lost it"
            for loss in self.losses
        ]


class TakeLosses:
    """Reported losses, a page at a time. Each is settled in the transaction that changes the placement."""

    name = "losses"

    def __init__(self, *, losses: Losses, mending: Mending) -> None:
        self._losses = losses
        self._mending = mending

    async def read(self, after: Any) -> Reading[list[Loss]]:
        """A page; `after` is the last loss of the one before."""
        page = await self._losses.page(after)
        return Reading(page, page[-1] if page else None)

    def plan(self, page: list[Loss]) -> LossPlan:
        """All of them: a node knows best what it no longer has."""
        return LossPlan(tuple(page))

    async def do(self, plan: LossPlan) -> bool:
        """Takes the shards out; one that is placed elsewhere by now is only settled."""
        for loss in plan.losses:
            await self._mending.take_loss(loss)
        return False
