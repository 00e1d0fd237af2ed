"""A clock that stands still until it is set."""

from __future__ import annotations

from holdfast.world.clock import MICROSECONDS

START = 1_750_000_000 * MICROSECONDS


class Watch:
    def __init__(self) -> None:
        self.time = START

    def now(self) -> int:
        return self.time

    def monotonic(self) -> float:
        return self.time / MICROSECONDS

    def forward(self, seconds: float) -> None:
        self.time += round(seconds * MICROSECONDS)
