"""Where random bytes and choices come from: keys, ids, salts, placement draws, jitter."""

from __future__ import annotations

import os
import random
from typing import Protocol


class Chance(Protocol):
    """A source of chance. The system's is fit for keys; the simulated one replays from its seed."""

    def bytes(self, count: int) -> bytes:
        """`count` random bytes."""
        ...

    def below(self, bound: int) -> int:
        """A whole number in [0, bound), all equally likely."""
        ...

    def unit(self) -> float:
        """A float in [0, 1)."""
        ...


class SystemChance:
    """The operating system's generator."""

    def __init__(self) -> None:
        self._random = random.SystemRandom()

    def bytes(self, count: int) -> bytes:
        return os.urandom(count)

    def below(self, bound: int) -> int:
        return self._random.randrange(bound)

    def unit(self) -> float:
        return self._random.random()
