"""How bytes get from one simulated machine to another: speed, delay, cuts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from holdfast.world.simulated.chance import SimulatedChance


@dataclass(frozen=True, kw_only=True)
class Road:
    """What a way from one machine to another is like. Seconds, bytes a second, shares of 1."""

    delay_min: float = 0.0002
    delay_max: float = 0.002
    bytes_per_second: float = 125e6
    resets: float = 0.0
    """The share of segments that arrive as a connection reset."""
    refusals: float = 0.0
    """The share of dials that are refused."""


class Lane:
    """One direction between two machines. What is sent on one connection arrives in order."""

    def __init__(self, chance: SimulatedChance) -> None:
        self.chance = chance
        self.road = Road()
        self.slowness = 1.0
        self.cut = False
        self._free_at = 0.0
        self._held: deque[Callable[[], None]] = deque()

    def delay(self) -> float:
        """How long the next thing is on its way, in seconds."""
        return self.slowness * self.chance.between(self.road.delay_min, self.road.delay_max)

    def arrival(self, now: float, length: int) -> float:
        """When `length` bytes sent now arrive; all connections of the lane share its speed."""
        self._free_at = max(self._free_at, now) + self.slowness * length / self.road.bytes_per_second
        return self._free_at + self.delay()

    def hold(self, arrive: Callable[[], None]) -> None:
        """Keeps what reached a cut until the lane heals, as TCP sends again until it gets through."""
        self._held.append(arrive)

    def heal(self) -> None:
        """Ends the cut: what was held arrives."""
        self.cut = False
        while self._held:
            self._held.popleft()()
