"""Pooled memory for chunks: page-aligned slots that are used again instead of being allocated.

A fresh five-megabyte buffer costs more in page faults than its encryption. A slot keeps what its last user
wrote; whoever hands on bytes it did not write itself (padding) must zero them first.
"""

from __future__ import annotations

import mmap
from collections import deque

_PAGE_HUGE = 2 << 20


class Pool:
    """At most `slots_max` slots of `slot_bytes` bytes each, made when first needed.

    Whoever waits for a slot does so outside, at a semaphore as wide as the pool: `take` itself never waits,
    and taking more than there are is a fault of ours. Taking and giving are safe from several threads.
    """

    def __init__(self, slot_bytes: int, slots_max: int) -> None:
        assert slot_bytes > 0, "a slot holds something"
        assert slots_max > 0, "a pool holds at least one slot"
        self.slot_bytes = slot_bytes
        self.slots_max = slots_max
        self._idle: deque[mmap.mmap] = deque()
        # One token per slot not yet made: popping a deque is atomic, counting would not be.
        self._unmade: deque[None] = deque([None] * slots_max)
        self._out: dict[int, mmap.mmap] = {}

    @property
    def available(self) -> int:
        """How many slots can be taken now."""
        return len(self._idle) + len(self._unmade)

    def take(self) -> memoryview:
        """A writable slot with arbitrary content, at least `slot_bytes` long to the byte."""
        try:
            memory = self._idle.pop()
        except IndexError:
            assert self._unmade, "more slots were taken than the pool holds"
            self._unmade.pop()
            # Shared memory, which is the default, gets no huge pages on most systems.
            memory = mmap.mmap(-1, self.slot_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            if self.slot_bytes >= _PAGE_HUGE and hasattr(mmap, "MADV_HUGEPAGE"):
                memory.madvise(mmap.MADV_HUGEPAGE)
        view = memoryview(memory)
        self._out[id(memory)] = memory
        return view

    def give(self, slot: memoryview) -> None:
        """Takes a slot back and releases the view; the giver uses no view of it any more."""
        memory = slot.obj
        assert isinstance(memory, mmap.mmap), "the slot came from a pool"
        assert self._out.pop(id(memory), None) is memory, "the slot is one of ours and still out"
        slot.release()
        self._idle.append(memory)

    def close(self) -> None:
        """Lets go of all memory; the system has it back with the last view of it."""
        self._idle.clear()
