"""Simulated wall clocks over one simulated time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from holdfast.world.clock import MICROSECONDS

START: Final = 1_750_000_000 * MICROSECONDS
"""When simulations begin: a June day of 2025."""


class SimulatedClock:
    """Wall time that runs along with `elapsed` (a simulated loop's `time`) and may be wrong.

    A machine with a wrong clock has its own: `skewed` makes it.
    """

    def __init__(self, elapsed: Callable[[], float], *, start: int = START) -> None:
        self._elapsed = elapsed
        self._start = start

    def now(self) -> int:
        return self._start + round(self._elapsed() * MICROSECONDS)

    def monotonic(self) -> float:
        return self._elapsed()

    def skewed(self, seconds: float) -> SimulatedClock:
        """Another machine's clock, `seconds` ahead of this one."""
        return SimulatedClock(self._elapsed, start=self._start + round(seconds * MICROSECONDS))

    def jump(self, seconds: float) -> None:
        """What happens when an operator sets the clock: wall time jumps, monotonic time does not."""
        self._start += round(seconds * MICROSECONDS)
