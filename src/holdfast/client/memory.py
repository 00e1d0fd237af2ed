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
KINDS_KEPT = 2
"""Kinds of buffers that are never given back to the system while idle: those of the transfer under way."""
STEP_SMALL = 64 << 10
STEP = 1 << 20
SLOTS_MAX = 1 << 16
"""Never reached: the budget ends the number of slots long before."""

Kind = tuple[int, int]
"""PLAIN or SLOT, and the size in bytes."""


class _Shelf:
    """Buffers of one kind: how many there are, and how many of them are leased."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.pool = Pool(size, SLOTS_MAX)
        self.made = 0
        self.out = 0
        self.dropped = False


class Lease:
    """A buffer for plain bytes and a slot for sealed ones; each can be given back by itself."""

    def __init__(self, memory: Memory, holder: int, taken: list[tuple[_Shelf, memoryview]]) -> None:
        self._memory = memory
        self._holder = holder
        self._taken: list[tuple[_Shelf, memoryview] | None] = list(taken)
        self.plain, self.slot = (slot for _, slot in taken)

    async def slot_to_fill(self) -> memoryview:
        """The slot, when it is there to be written to."""
        return self.slot

    def give_plain(self) -> None:
        """Gives the plain buffer back; nothing may use a view of it any more."""
        self._give(PLAIN)

    def give_slot(self) -> None:
        """Gives the slot back; nothing may use a view of it any more."""
        self._give(SLOT)

    def close(self) -> None:
        """Gives back what is left."""
        for position, taken in enumerate(self._taken):
            if taken is not None:
                self._give(position)

    def _give(self, position: int) -> None:
        taken = self._taken[position]
        assert taken is not None, "the buffer was given back before"
        self._taken[position] = None
        self._memory.returned(self._holder, *taken)


class Memory:
    """At most `budget` bytes of buffers in use at a time (but for first leases), and few idle ones beside."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._used = 0
        self._made = 0
        self._held: dict[int, int] = {}
        self._shelves: dict[Kind, _Shelf] = {}
        self._waiting: deque[tuple[asyncio.Future[None], int, int]] = deque()

    @property
    def used(self) -> int:
        """Bytes leased now."""
        return self._used

    @property
    def made(self) -> int:
        """Bytes of all buffers there are, leased or idle."""
        return self._made

    async def lease(self, holder: object, *, plain: int, slot: int) -> Lease:
        """Buffers of at least these sizes; `holder` is the transfer they are for."""
        taken = await self.take(holder, [(PLAIN, rounded(plain)), (SLOT, rounded(slot))])
        return Lease(self, id(holder), taken)

    async def take(self, holder: object, kinds: list[Kind]) -> list[tuple[_Shelf, memoryview]]:
        """A buffer of each kind, all of them or none yet; each is brought back by `returned`."""
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
                self._serve()
                raise
        else:
            self._reserve(mark, total)
        return [self._take(kind) for kind in kinds]

    def returned(self, holder: int, shelf: _Shelf, buffer: memoryview) -> None:
        """A lease gave back a buffer."""
        shelf.pool.give(buffer)
        shelf.out -= 1
        if shelf.dropped:
            self._empty(shelf)
        self._release(holder, shelf.size)
        self._serve()

    def close(self) -> None:
        """Gives idle memory back to the system."""
        for kind in list(self._shelves):
            self._drop(kind)

    def _fits(self, mark: int, total: int) -> bool:
        return self._used + total <= self.budget or mark not in self._held

    def _may_pass(self, mark: int) -> bool:
        return mark not in self._held

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
        while self._waiting:
            turn, mark, total = self._waiting.popleft()
            if turn.done():
                continue
            if self._fits(mark, total) and (not again or self._may_pass(mark)):
                self._reserve(mark, total)
                turn.set_result(None)
            else:
                again.append((turn, mark, total))
        self._waiting = again

    def _take(self, kind: Kind) -> tuple[_Shelf, memoryview]:
        shelf = self._shelves.pop(kind, None) or _Shelf(kind[1])
        self._shelves[kind] = shelf
        if shelf.made == shelf.out:
            self._trim(shelf.size)
            shelf.made += 1
            self._made += shelf.size
        shelf.out += 1
        return shelf, shelf.pool.take()

    def _trim(self, wanted: int) -> None:
        """Before a buffer is made: kinds used least lately lose what lies idle, if there is too much."""
        for kind in list(self._shelves)[:-KINDS_KEPT]:
            if self._made + wanted <= self.budget:
                return
            self._drop(kind)

    def _drop(self, kind: Kind) -> None:
        shelf = self._shelves.pop(kind)
        shelf.dropped = True
        self._empty(shelf)

    def _empty(self, shelf: _Shelf) -> None:
        """Gives the idle buffers of a dropped shelf back to the system."""
        self._made -= (shelf.made - shelf.out) * shelf.size
        shelf.made = shelf.out
        # A traceback that somebody keeps may still hold a view; its memory then goes when that does.
        with suppress(BufferError):
            shelf.pool.close()


def rounded(size: int) -> int:
    """The size of the buffer in which so many bytes are kept: few kinds serve all."""
    step = STEP_SMALL if size <= STEP else STEP
    return max(step, -(-size // step) * step)
