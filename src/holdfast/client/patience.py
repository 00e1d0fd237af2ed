"""How long to wait and when to try again: plain functions, and the control that uses them.

Operations are idempotent, some by the token they carry, so a request whose answer was lost is simply asked
again. (An invitation that is asked for twice is made twice; the one nobody saw expires unused.)
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from holdfast.protocol.control import Control, Operation
from holdfast.world.chance import Chance
from holdfast.world.clock import Clock
from holdfast.world.errors import Trouble

FIRST_SECONDS = 0.1
PAUSE_SECONDS_MAX = 5.0
STRANGER_SECONDS = 0.5
"""An endpoint that never answered yet gets this long before we say so: most often it is just not running."""
FRIEND_SECONDS = 60.0
"""One that answered before gets time for a restart."""

SLACK_SECONDS = 0.001
"""A timer counts as due this much before its time: adding and subtracting floats does not come out even."""


def pause(attempt: int, chance: Chance) -> float:
    """Seconds before attempt number `attempt` (1 is the second try): doubling, with full jitter."""
    ceiling = min(PAUSE_SECONDS_MAX, FIRST_SECONDS * 2.0 ** (attempt - 1))
    return ceiling * (0.5 + chance.unit() / 2)


class PatientControl:
    """A Control that asks again, after a pause, when the trouble says that it may help."""

    def __init__(self, control: Control, *, clock: Clock, chance: Chance) -> None:
        self._control = control
        self._clock = clock
        self._chance = chance
        self._answered = False

    async def call(self, request: Operation) -> Any:
        begun = self._clock.monotonic()
        attempt = 0
        while True:
            try:
                reply = await self._control.call(request)
            except Trouble as trouble:
                attempt += 1
                wait = pause(attempt, self._chance)
                allowed = FRIEND_SECONDS if self._answered else STRANGER_SECONDS
                spent = self._clock.monotonic() - begun + wait
                if not trouble.retry or spent > allowed:
                    raise
                await asyncio.sleep(wait)
            else:
                self._answered = True
                return reply

    async def close(self) -> None:
        await self._control.close()


@dataclass(frozen=True, slots=True)
class Tail:
    """When shards that lag behind the rest of their chunk are given up. Seconds.

    A laggard gets `factor` times the median of those that made it, at least `least` and at most `grace`;
    while too few have made it to know what is usual, `stuck`.
    """

    factor: float = 3.0
    least: float = 2.0
    grace: float = 10.0
    stuck: float = 30.0

    def allowance(self, seconds: list[float], needed: int) -> float:
        """How long the others may take, from the start of the chunk; `seconds` are of those that made it."""
        if not seconds or 2 * len(seconds) < needed:
            return self.stuck
        ordered = sorted(seconds)
        median = ordered[len(ordered) // 2]
        return max(ordered[-1], median) + min(max(self.least, self.factor * median), self.grace)


@dataclass(frozen=True, slots=True)
class Hedge:
    """When a reader asks one more node for a shard, beside the slow one. Seconds."""

    factor: float = 3.0
    least: float = 0.25
    stuck: float = 3.0
    give_up: float = 30.0

    def allowance(self, seconds: list[float], expected: float, needed: int) -> float:
        """How long to wait, from the start of the chunk, before one more source is asked.

        `expected` is the slowest answer foreseen from earlier ones, 0 where nothing is known.
        """
        if 2 * len(seconds) >= needed and seconds:
            ordered = sorted(seconds)
            return max(self.least, self.factor * ordered[len(ordered) // 2])
        return max(self.least, self.factor * expected) if expected else self.stuck
