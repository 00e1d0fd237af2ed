"""How far a transfer is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Standing:
    """`done` plain bytes of `total` (None while unknown) are safe, in `chunks` chunks.

    `skipped` of the bytes needed no sending: an earlier attempt had done them.
    """

    done: int
    total: int | None
    chunks: int
    skipped: int = 0


ProgressCallback = Callable[[Standing], None]


@dataclass(slots=True)
class Meter:
    """Counts, and tells the callback if there is one."""

    total: int | None
    callback: ProgressCallback | None = None
    done: int = 0
    chunks: int = 0
    skipped: int = field(default=0)

    def add(self, count: int, *, skipped: bool = False) -> None:
        """One more chunk of `count` bytes is done."""
        self.done += count
        self.chunks += 1
        if skipped:
            self.skipped += count
        if self.callback is not None:
            self.callback(Standing(self.done, self.total, self.chunks, self.skipped))
