"""A disk in memory that loses power: stricter than a real one about what was never synced.

After a power cut each 512-byte sector that was written and not synced is there, or zero, or (at the end) not
there; a cut that was not synced may be undone; a new name may be gone and a removed one back. Reading a torn
disk twice gives the same bytes: what was lost is lost. Further faults are switched on by its attributes.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from holdfast.world.disk import Buffer
from holdfast.world.errors import Trouble

SECTOR = 512


class _Content:
    def __init__(self) -> None:
        self.now = bytearray()
        self.safe = b""
        # The file was never shorter than this since its last sync.
        self.shortest = 0

    def synced(self) -> None:
        self.safe = bytes(self.now)
        self.shortest = len(self.now)

    def lose(self, random: Random) -> None:
        """Keeps what was synced, and by chance some of what came after."""
        kept = bytearray(self.safe)
        if self.shortest < len(self.safe) and random.random() < 0.5:
            del kept[self.shortest :]
        length = random.randint(min(len(kept), len(self.now)), max(len(kept), len(self.now)))
        while len(kept) < length:
            start = len(kept)
            stop = min(length, (start // SECTOR + 1) * SECTOR)
            fresh = self.now[start:stop] if random.random() < 0.8 else b""
            kept += fresh + bytes(stop - start - len(fresh))
        self.now = kept
        self.synced()


class CrashingDisk:
    """See the module. `capacity` bytes in all; `crash` cuts the power, after which old files are useless."""

    def __init__(self, capacity: int = 1 << 40) -> None:
        self.capacity = capacity
        self.syncs_fail = False
        self.truncates_fail = False
        self.reads_fail = False
        self.removals_fail = False
        self.syncs = 0
        self.life = 0
        self.files: dict[str, _Content] = {}
        self._safe_names: dict[str, _Content] = {}

    def crash(self, random: Random) -> None:
        """Cuts the power."""
        self.life += 1
        self.syncs_fail = self.truncates_fail = self.reads_fail = self.removals_fail = False
        for name in sorted(self._safe_names.keys() ^ self.files.keys()):
            if random.random() < 0.5:
                if name in self.files:
                    del self.files[name]
                else:
                    self.files[name] = self._safe_names[name]
        for name in sorted(self.files):
            self.files[name].lose(random)
        self._safe_names = dict(self.files)

    def flip(self, name: str, bit: int) -> None:
        """Turns one bit of a file over, on the medium."""
        content = self.files[name]
        for data in (content.now, safe := bytearray(content.safe)):
            if bit // 8 < len(data):
                data[bit // 8] ^= 1 << bit % 8
        content.safe = bytes(safe)

    def used(self) -> int:
        return sum(len(content.now) for content in self.files.values())

    def names(self) -> list[str]:
        return sorted(self.files)

    def open(self, name: str, *, create: bool = False) -> CrashingFile:
        if create:
            self.files.setdefault(name, _Content())
        if name not in self.files:
            raise FileNotFoundError(name)
        return CrashingFile(self, self.files[name])

    def read(self, name: str) -> bytes:
        if name not in self.files:
            raise FileNotFoundError(name)
        return bytes(self.files[name].now)

    def replace(self, name: str, content: bytes) -> None:
        self.files[name] = self._safe_names[name] = _Content()
        self.files[name].now += content
        self.files[name].synced()

    def remove(self, name: str) -> None:
        if self.removals_fail:
            raise Trouble("disk.failed", "The disk would not remove it.")
        self.files.pop(name, None)

    def sync_names(self) -> None:
        self._safe_names = dict(self.files)

    def free(self) -> int:
        return max(0, self.capacity - self.used())


class CrashingFile:
    """An open file of a `CrashingDisk`."""

    def __init__(self, disk: CrashingDisk, content: _Content) -> None:
        self._disk = disk
        self._content = content
        self._life = disk.life
        self._open = True

    def _check(self) -> None:
        assert self._open, "the file was closed"
        assert self._life == self._disk.life, "the power was cut since this file was opened"

    def size(self) -> int:
        self._check()
        return len(self._content.now)

    def append(self, parts: Sequence[Buffer]) -> int:
        self._check()
        start = len(self._content.now)
        data = b"".join(parts)
        room = self._disk.free()
        self._content.now += data[:room]
        if len(data) > room:
            raise Trouble("disk.full", "The disk is full.", retry=False)
        return start

    def read_into(self, offset: int, into: memoryview) -> int:
        self._check()
        if self._disk.reads_fail:
            raise Trouble("disk.failed", "The disk would not read.")
        data = self._content.now[offset : offset + len(into)]
        into[: len(data)] = data
        return len(data)

    def sync(self) -> None:
        self._check()
        if self._disk.syncs_fail:
            raise Trouble("disk.failed", "The disk would not make it durable.")
        self._disk.syncs += 1
        self._content.synced()

    def truncate(self, size: int) -> None:
        self._check()
        if self._disk.truncates_fail:
            raise Trouble("disk.failed", "The disk would not cut the file.")
        del self._content.now[size:]
        self._content.shortest = min(self._content.shortest, size)

    def close(self) -> None:
        self._open = False
