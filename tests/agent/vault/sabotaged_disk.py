"""The simulated disk with what only the vault's tests need: a power cut at any step, and stubborn calls."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.world.disk import Buffer
from holdfast.world.errors import Trouble
from holdfast.world.simulated.chance import SimulatedChance
from holdfast.world.simulated.disk import CAPACITY, SimulatedDisk, SimulatedDiskFile


class PowerCutError(Exception):
    """The machine is off: whatever was under way never returns."""


class SabotagedDisk(SimulatedDisk):
    """A simulated disk that stops after `steps_left` changes, until `crash`; None: never."""

    def __init__(self, *, seed: int = 1, capacity: int = CAPACITY) -> None:
        super().__init__(SimulatedChance(seed), capacity=capacity)
        self.steps_left: int | None = None
        self.truncates_fail = False
        self.removals_fail = False
        self.syncs = 0

    def step(self) -> None:
        """Before each change: the power may be gone."""
        if self.steps_left is not None:
            self.steps_left -= 1
            if self.steps_left < 0:
                raise PowerCutError

    def crash(self) -> None:
        super().crash()
        self.steps_left = None
        self.truncates_fail = self.removals_fail = False
        self.failing_reads = self.failing_writes = self.failing_syncs = 0.0

    def flip(self, name: str, bit: int) -> None:
        """Turns this bit of a file over."""
        self._content(name).bytes[bit // 8] ^= 1 << bit % 8

    def used(self) -> int:
        return sum(map(self.size_of, self.names()))

    def open(self, name: str, *, create: bool = False) -> SabotagedFile:
        if create:
            self.step()
        super().open(name, create=create)
        return SabotagedFile(self, name, self._content(name), self._boots)

    def replace(self, name: str, content: bytes) -> None:
        self.step()
        super().replace(name, content)

    def remove(self, name: str) -> None:
        self.step()
        if self.removals_fail:
            raise Trouble("disk.failed", "The disk would not remove it.")
        super().remove(name)

    def sync_names(self) -> None:
        self.step()
        super().sync_names()


class SabotagedFile(SimulatedDiskFile):
    """An open file of a `SabotagedDisk`."""

    _disk: SabotagedDisk

    def append(self, parts: Sequence[Buffer]) -> int:
        self._disk.step()
        return super().append(parts)

    def sync(self) -> None:
        self._disk.step()
        super().sync()
        self._disk.syncs += 1

    def truncate(self, size: int) -> None:
        self._disk.step()
        if self._disk.truncates_fail:
            raise Trouble("disk.failed", "The disk would not cut the file.")
        super().truncate(size)
