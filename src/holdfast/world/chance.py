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


Block = bytes
BLOCK_BYTES = 16
BLOCKS_AT_A_TIME = 256
_ASKED_FOR_ALONE = 4 * BLOCK_BYTES


class SystemChance:
    """The operating system's generator.

    It is asked for some blocks at a time: a system call for each key and id shows where requests are small.
    Taking a block off a list is one step of the interpreter, so no two threads ever get the same.
    """

    def __init__(self) -> None:
        self._random = random.SystemRandom()
        self._blocks: list[Block] = []
        # A copy of this process must not hand out what this one does.
        os.register_at_fork(after_in_child=self._blocks.clear)

    def bytes(self, count: int) -> bytes:
        if count > _ASKED_FOR_ALONE:
            return os.urandom(count)
        if count <= BLOCK_BYTES:
            return self._block()[:count]
        return b"".join([self._block() for _ in range(0, count, BLOCK_BYTES)])[:count]

    def _block(self) -> Block:
        try:
            return self._blocks.pop()
        except IndexError:
            fresh = os.urandom(BLOCK_BYTES * BLOCKS_AT_A_TIME)
            self._blocks += [
                fresh[at : at + BLOCK_BYTES] for at in range(BLOCK_BYTES, len(fresh), BLOCK_BYTES)
            ]
            return fresh[:BLOCK_BYTES]

    def below(self, bound: int) -> int:
        return self._random.randrange(bound)

    def unit(self) -> float:
        return self._random.random()
