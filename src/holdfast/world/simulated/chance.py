"""Chance that replays from a seed."""

from __future__ import annotations

import hashlib
import random


class SimulatedChance:
    """A stream of chance that its seed decides.

    Streams are independent: what one party draws does not change what another one will, so a fault added to
    one disk leaves the rest of a history as it was. Each party gets its own by `fork`.
    """

    def __init__(self, seed: int | str) -> None:
        self.name = str(seed)
        digest = hashlib.sha256(b"holdfast chance\0" + self.name.encode()).digest()
        self._random = random.Random(int.from_bytes(digest, "big"))

    def fork(self, name: str) -> SimulatedChance:
        """The stream called `name` beneath this one; the same each time, whatever was drawn here."""
        return SimulatedChance(f"{self.name}/{name}")

    def bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def below(self, bound: int) -> int:
        return self._random.randrange(bound)

    def unit(self) -> float:
        return self._random.random()

    def between(self, least: float, most: float) -> float:
        """A float from `least` to `most`."""
        return least + (most - least) * self._random.random()

    def happens(self, share: float) -> bool:
        """True in this share of cases. For 0 nothing is drawn: a fault not asked for changes nothing."""
        return share > 0 and self._random.random() < share
