"""Memory for bodies on their way in.

A fresh half-megabyte buffer costs more in page faults than its checksum, so a node keeps the buffers it has
and uses them again.
"""

from __future__ import annotations

import mmap
from typing import Final

SMALL_BYTES: Final = 16 << 10
"""Up to here the allocator is as good as a pool."""


class FreshBodies:
    """New memory each time: for replies that a client keeps."""

    def take(self, length: int) -> memoryview:
        return memoryview(bytearray(length))

    def give(self, body: memoryview) -> None:
        pass


class PooledBodies:
    """Page-aligned memory, used again; at most `idle_max` bytes of it lie idle.

    What a buffer held before is still in it: a session fills a body whole before it hands it on.
    """

    def __init__(self, idle_max: int) -> None:
        self._idle_max = idle_max
        self._idle_bytes = 0
        self._idle: dict[int, list[mmap.mmap]] = {}

    def take(self, length: int) -> memoryview:
        if length <= SMALL_BYTES:
            return memoryview(bytearray(length))
        size = _size_class(length)
        idle = self._idle.get(size)
        if idle:
            self._idle_bytes -= size
            return memoryview(idle.pop())[:length]
        return memoryview(mmap.mmap(-1, size))[:length]

    def give(self, body: memoryview) -> None:
        slot = body.obj
        if isinstance(slot, mmap.mmap) and self._idle_bytes + len(slot) <= self._idle_max:
            self._idle_bytes += len(slot)
            self._idle.setdefault(len(slot), []).append(slot)


def _size_class(length: int) -> int:
    """Four to seven eighths of a power of two: a fifth is wasted at most, and like lengths share buffers."""
    step = 1 << max(length.bit_length() - 3, 12)
    return (length + step - 1) // step * step
