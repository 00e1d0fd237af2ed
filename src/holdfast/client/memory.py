"""The buffers of all transfers of a session, within one budget.

A chunk's buffers are leased together or not at all, and first come is first served, so transfers can never
wait for each other in a circle. A transfer that holds nothing gets its first lease even above the budget:
a chunk that is larger than the budget, or a reader that another one waits for, must still go on.

Buffers for plain bytes and slots for sealed ones are never exchanged: whatever a link that was given up still
sends of a slot, it can only be sealed bytes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

from holdfast.chunks.buffers import Pool

PLAIN, SLOT = 0, 1
SIZES_MAX = 8
"""Sizes of buffers that are kept for another use; a session has few, most often two."""
STEP_SMALL = 64 << 10
STEP = 1 << 20
SLOTS_MAX = 4096
"""Never reached: the budget ends the number of slots long before."""


class Lease:
    """A buffer for plain bytes and a slot for sealed ones; `plain` can be given back early."""

    def __init__(self, memory: Memory, holder: object, taken: list[tuple[Pool, memoryview]]) -> None:
        self._memory = memory
        self._holder = holder
        self._taken: list[tuple[Pool, memoryview] | None] = list(taken)
        self.plain, self.slot = (slot for _, slot in taken)

    def give_plain(self) -> None:
        """Gives the plain buffer back; nothing may use a view of it any more."""
        self._give(PLAIN)

    def give_slot(self) -> None:
        """Gives the slot back; nothing may use a view of it any more."""
        self._give(SLOT)

    def _give(self, position: int) -> None:
        taken = self._taken[position]
        assert taken is not None, "the buffer was given back before"
        self._taken[position] = None
        pool, slot = taken
        size = len(slot)
        pool.give(slot)
        self._memory.returned(self._holder, size)

    def close(self) -> None:
        """Gives back what is left."""
        for position, taken in enumerate(self._taken):
            if taken is not None:
                self._give(position)


class Memory:
    """At most `budget` bytes of buffers in use at a time (but for first leases), and about as many idle."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._used = 0
        self._held: dict[int, int] = {}
        self._pools: dict[tuple[int, int], Pool] = {}
        self._waiting: deque[tuple[asyncio.Future[None], int, int]] = deque()

    @property
    def used(self) -> int:
        """Bytes leased now."""
        return self._used

    async def lease(self, holder: object, *, plain: int, slot: int) -> Lease:
        """Buffers of at least these sizes; `holder` is the transfer they are for."""
        kinds = [(PLAIN, _rounded(plain)), (SLOT, _rounded(slot))]
        total = sum(size for _, size in kinds)
        mark = id(holder)
        if self._waiting or not self._fits(mark, total):
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((turn, mark, total))
            self._serve()
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._release(mark, total)
                else:
                    self._waiting = deque(entry for entry in self._waiting if entry[0] is not turn)
                self._serve()
                raise
        else:
            self._reserve(mark, total)
        return Lease(self, holder, [(pool, pool.take()) for pool in map(self._pool, kinds)])

    def returned(self, holder: object, size: int) -> None:
        """A lease gave back a buffer of `size` bytes."""
        self._release(id(holder), size)
        self._serve()

    def close(self) -> None:
        """Gives idle memory back to the system."""
        for pool in self._pools.values():
            # A traceback that somebody keeps may still hold a view; its memory then goes when that does.
            with suppress(BufferError):
                pool.close()
        self._pools.clear()

    def _fits(self, mark: int, total: int) -> bool:
        return self._used + total <= self.budget or mark not in self._held

    def _reserve(self, mark: int, total: int) -> None:
        self._used += total
        self._held[mark] = self._held.get(mark, 0) + total

    def _release(self, mark: int, size: int) -> None:
        self._used -= size
        self._held[mark] -= size
        if self._held[mark] == 0:
            del self._held[mark]

    def _serve(self) -> None:
        """Wakes whoever's turn it is. One without any lease may pass those who wait for more."""
        again: deque[tuple[asyncio.Future[None], int, int]] = deque()
        blocked = False
        while self._waiting:
            turn, mark, total = self._waiting.popleft()
            if turn.done():
                continue
            if self._fits(mark, total) and (not blocked or mark not in self._held):
                self._reserve(mark, total)
                turn.set_result(None)
            else:
                blocked = True
                again.append((turn, mark, total))
        self._waiting = again

    def _pool(self, kind: tuple[int, int]) -> Pool:
        pool = self._pools.pop(kind, None)
        if pool is None:
            self._trim()
            pool = Pool(kind[1], SLOTS_MAX)
        self._pools[kind] = pool
        return pool

    def _trim(self) -> None:
        """Before a new size comes into use: what lies idle in the size used least lately goes."""
        if len(self._pools) >= SIZES_MAX:
            oldest = next(iter(self._pools))
            with suppress(BufferError):
                self._pools.pop(oldest).close()


def _rounded(size: int) -> int:
    step = STEP_SMALL if size <= STEP else STEP
    return max(step, -(-size // step) * step)
