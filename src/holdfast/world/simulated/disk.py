"""A disk in memory that forgets what was not synced.

A crash keeps what `sync` promised and, of the rest, whatever chance leaves: a prefix, pages of zeros, all, or
nothing; names that were made or removed without `sync_names` may be back as they were. A failed sync is worse
than on most systems: what it was to save is never safe again, however often it is repeated, as happens where
the kernel marks pages clean after a failed write.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NoReturn

from holdfast.world.disk import Buffer, check_name
from holdfast.world.errors import Trouble
from holdfast.world.simulated.chance import SimulatedChance

PAGE: Final = 4096
CAPACITY: Final = 1 << 40


class _Content:
    """What one file holds, and what of it would survive a crash."""

    def __init__(self) -> None:
        self.bytes = bytearray()
        self.safe_size = 0
        """This many bytes from the start are durable."""
        self.before_cut: bytes | None = None
        """The durable content before a truncation that was not synced yet."""
        self.doomed_from: int | None = None
        """From here on a failed sync left bytes that no later one saves."""

    def sync(self) -> None:
        limit = len(self.bytes) if self.doomed_from is None else min(self.doomed_from, len(self.bytes))
        self.safe_size = limit
        self.before_cut = None

    def cut(self, size: int) -> None:
        if size < self.safe_size and self.before_cut is None:
            self.before_cut = bytes(self.bytes[: self.safe_size])
        self.safe_size = min(self.safe_size, size)
        if self.doomed_from is not None and size <= self.doomed_from:
            self.doomed_from = None
        if size < len(self.bytes):
            del self.bytes[size:]
        else:
            self.bytes.extend(bytes(size - len(self.bytes)))

    def survive(self, chance: SimulatedChance) -> None:
        """Becomes what a crash leaves of it."""
        if self.before_cut is not None and chance.happens(0.5):
            self.bytes = bytearray(self.before_cut)
        else:
            self._tear(chance)
        self.safe_size = len(self.bytes)
        self.before_cut = self.doomed_from = None

    def _tear(self, chance: SimulatedChance) -> None:
        """Keeps some of the tail that was not synced; pages of it may have been written in any order."""
        del self.bytes[self.safe_size + chance.below(len(self.bytes) - self.safe_size + 1) :]
        if not chance.happens(0.5):
            return
        for start in range(self.safe_size - self.safe_size % PAGE, len(self.bytes), PAGE):
            if chance.happens(0.5):
                first, last = max(start, self.safe_size), min(start + PAGE, len(self.bytes))
                self.bytes[first:last] = bytes(last - first)


class SimulatedDisk:
    """One folder of a simulated machine. Faults are set on it at any time, and stack."""

    def __init__(self, chance: SimulatedChance, *, capacity: int = CAPACITY) -> None:
        self._chance = chance
        self.capacity = capacity
        """Bytes the device has room for."""
        self.failing_reads = 0.0
        """The share of reads that fail."""
        self.failing_writes = 0.0
        """The share of appends that fail, having written some of it."""
        self.failing_syncs = 0.0
        """The share of syncs that fail."""
        self._files: dict[str, _Content] = {}
        self._safe_names: dict[str, _Content] = {}
        self._boots = 0

    # --- faults ------------------------------------------------------------------------------------------

    def crash(self) -> None:
        """Cuts the power: files that are open are lost to their holders, and the disk is what survived."""
        self._boots += 1
        names: dict[str, _Content] = {}
        for name in sorted(self._files.keys() | self._safe_names.keys()):
            now, safe = self._files.get(name), self._safe_names.get(name)
            content = now if now is safe or self._chance.happens(0.5) else safe
            if content is not None:
                names[name] = content
        for content in dict.fromkeys(names.values()):
            content.survive(self._chance)
        self._files = names
        self._safe_names = dict(names)

    def corrupt(self, name: str, offset: int) -> None:
        """Flips one bit of the byte at `offset`, silently, as bits rot."""
        self._content(name).bytes[offset] ^= 1 << self._chance.below(8)

    def size_of(self, name: str) -> int:
        """The file's length."""
        return len(self._content(name).bytes)

    # --- what the machine's programs ask of it -----------------------------------------------------------

    def names(self) -> list[str]:
        return sorted(self._files)

    def open(self, name: str, *, create: bool = False) -> SimulatedDiskFile:
        check_name(name)
        if create and name not in self._files:
            self._files[name] = _Content()
        return SimulatedDiskFile(self, name, self._content(name), self._boots)

    def read(self, name: str) -> bytes:
        check_name(name)
        content = self._content(name)
        self.try_reading(name)
        return bytes(content.bytes)

    def cached(self, length: int) -> int:
        """How much of a read of this length the system happens to have in memory: all, nothing, a part."""
        return length if self._chance.happens(0.5) else self._chance.below(length + 1)

    def replace(self, name: str, content: bytes) -> None:
        check_name(name)
        # The old content is there until the new one is durable, so both need room.
        if len(content) > self.free():
            _full(name)
        if self._chance.happens(self.failing_writes):
            _failed("write", name)
        fresh = _Content()
        fresh.bytes += content
        fresh.sync()
        self._files[name] = fresh
        self.sync_names()

    def remove(self, name: str) -> None:
        check_name(name)
        self._files.pop(name, None)

    def sync_names(self) -> None:
        if self._chance.happens(self.failing_syncs):
            _failed("make durable", "the folder")
        self._safe_names = dict(self._files)

    def free(self) -> int:
        return max(0, self.capacity - sum(len(content.bytes) for content in self._files.values()))

    # --- for its files -----------------------------------------------------------------------------------

    def _content(self, name: str) -> _Content:
        try:
            return self._files[name]
        except KeyError:
            raise FileNotFoundError(name) from None

    def try_reading(self, name: str) -> None:
        """Fails as often as reads do."""
        if self._chance.happens(self.failing_reads):
            _failed("read", name)

    def append_to(self, name: str, content: _Content, parts: Sequence[Buffer]) -> None:
        """Writes the parts, or some of them if the device is full or fails."""
        room = self.free()
        failing = self._chance.happens(self.failing_writes)
        if failing:
            room = min(room, self._chance.below(1 + sum(memoryview(part).nbytes for part in parts)))
        for part in parts:
            view = memoryview(part).cast("B")
            content.bytes += view[:room]
            if len(view) > room:
                if failing:
                    _failed("write to", name)
                _full(name)
            room -= len(view)
        if failing:
            _failed("write to", name)

    def sync_content(self, name: str, content: _Content) -> None:
        """Makes a file's bytes durable, or fails for good."""
        if self._chance.happens(self.failing_syncs):
            if content.doomed_from is None:
                content.doomed_from = content.safe_size
            _failed("make durable", name)
        content.sync()

    def check_alive(self, name: str, boot: int) -> None:
        """Fails for a file that was opened before the last crash."""
        if boot != self._boots:
            _failed("reach", name)


class SimulatedDiskFile:
    """One open file of a simulated disk."""

    def __init__(self, disk: SimulatedDisk, name: str, content: _Content, boot: int) -> None:
        self._disk = disk
        self._name = name
        self._content = content
        self._boot = boot
        self._closed = False

    def _check(self) -> None:
        assert not self._closed, f"{self._name} was closed"
        self._disk.check_alive(self._name, self._boot)

    def size(self) -> int:
        self._check()
        return len(self._content.bytes)

    def append(self, parts: Sequence[Buffer]) -> int:
        self._check()
        start = len(self._content.bytes)
        self._disk.append_to(self._name, self._content, parts)
        return start

    def read_into(self, offset: int, into: memoryview) -> int:
        self._check()
        self._disk.try_reading(self._name)
        with memoryview(self._content.bytes) as whole, whole[offset : offset + len(into)] as found:
            into[: len(found)] = found
            return len(found)

    def read_at_hand(self, offset: int, into: memoryview) -> int:
        # The end of what is cached may lie anywhere.
        found = into[: self._disk.cached(len(into))]
        try:
            return self.read_into(offset, found) if found else 0
        except Trouble:
            return 0

    def sync(self) -> None:
        self._check()
        self._disk.sync_content(self._name, self._content)

    def truncate(self, size: int) -> None:
        self._check()
        self._content.cut(size)

    def close(self) -> None:
        self._closed = True


def _failed(what: str, name: str) -> NoReturn:
    raise Trouble("disk.failed", f"The disk refused to {what} {name}: simulated.", retry=False)


def _full(name: str) -> NoReturn:
    raise Trouble(
        "disk.full",
        f"No space left to write to {name}: simulated.",
        retry=False,
        advice="Free some space on that disk, or allocate less.",
    )
