"""Heavy work in a simulation: done at once, but after a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from holdfast.world.errors import Trouble
from holdfast.world.simulated.chance import SimulatedChance

T = TypeVar("T")


class SimulatedOffload:
    """Runs work in one piece at some moment within `seconds_max`, so that others run before and after it."""

    def __init__(self, chance: SimulatedChance, *, seconds_max: float = 0.002) -> None:
        self._chance = chance
        self._seconds_max = seconds_max
        self._closed = False

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        await asyncio.sleep(self._chance.unit() * self._seconds_max)
        if self._closed:
            raise Trouble("internal", "Work was handed to a pool that is closed.", retry=False)
        return work(*arguments)

    def close(self) -> None:
        self._closed = True
