"""A small memory of what costs a database read and an unwrapping: bounded in number and in age."""

from __future__ import annotations

from typing import Generic, TypeVar

from holdfast.world.clock import Clock

K = TypeVar("K")
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """At most `limit` values, none older than `seconds`; the one kept longest goes first.

    A value is read from the database while others may change it. So: note `turn`, read, then `keep` with that
    turn; it is kept only if nothing was forgotten in between.
    """

    def __init__(self, limit: int, seconds: float, clock: Clock) -> None:
        self._limit = limit
        self._seconds = seconds
        self._clock = clock
        self._kept: dict[K, tuple[V, float]] = {}
        self.turn = 0

    def __len__(self) -> int:
        return len(self._kept)

    def recall(self, key: K) -> V | None:
        """The value, if it is remembered and young enough."""
        found = self._kept.get(key)
        if found is None:
            return None
        value, since = found
        if self._clock.monotonic() - since >= self._seconds:
            del self._kept[key]
            return None
        return value

    def keep(self, key: K, value: V, turn: int) -> None:
        """Remembers a value that was read when `turn` was the turn."""
        if turn != self.turn:
            return
        self._kept.pop(key, None)
        while len(self._kept) >= self._limit:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = (value, self._clock.monotonic())

    def forget(self, key: K) -> None:
        """Drops the value, and whatever is being read right now."""
        self.turn += 1
        self._kept.pop(key, None)
