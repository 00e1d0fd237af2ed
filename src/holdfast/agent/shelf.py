"""The open files of a vault's volumes: lent to readers in any thread, bounded in number."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from holdfast.agent.volume import name_of
from holdfast.world.disk import Disk, DiskFile


class GoneError(Exception):
    """The volume was removed after its records were copied elsewhere: look the shard up again."""


@dataclass(slots=True)
class _Opened:
    file: DiskFile
    holders: int = 0
    gone: bool = False


class Shelf:
    """Opens volumes on demand and keeps up to `files_max` of those open that nobody holds just now."""

    def __init__(self, disk: Disk, files_max: int) -> None:
        self.disk = disk
        self._files_max = files_max
        self._opened: OrderedDict[int, _Opened] = OrderedDict()
        self._keys: dict[int, bytes] = {}
        self._lock = threading.Lock()

    def add(self, number: int, key: bytes) -> None:
        """The volume exists, and this key keys the checks of its records."""
        self._keys[number] = key

    def key(self, number: int) -> bytes:
        """The key of the volume's checks; raises GoneError."""
        try:
            return self._keys[number]
        except KeyError:
            raise GoneError from None

    def hold(self, number: int) -> DiskFile:
        """The open file, until `release`; raises GoneError, or Trouble if it cannot be opened."""
        with self._lock:
            if number not in self._keys:
                raise GoneError
            opened = self._opened.get(number)
            if opened is None:
                opened = self._opened[number] = _Opened(self.disk.open(name_of(number)))
            self._opened.move_to_end(number)
            opened.holders += 1
            self._close_surplus()
            return opened.file

    def hold_at_once(self, number: int) -> DiskFile | None:
        """As `hold`, but for an event loop: None where the file would have to be opened first.

        Raises GoneError.
        """
        # A thread may hold the lock while it opens a file.
        if not self._lock.acquire(blocking=False):
            return None
        try:
            if number not in self._keys:
                raise GoneError
            opened = self._opened.get(number)
            if opened is None:
                return None
            self._opened.move_to_end(number)
            opened.holders += 1
            return opened.file
        finally:
            self._lock.release()

    def release(self, number: int, file: DiskFile) -> None:
        """The holder is done with the file."""
        with self._lock:
            opened = self._opened.get(number)
            if opened is None or opened.file is not file:
                return
            opened.holders -= 1
            if opened.gone and opened.holders == 0:
                self._close(number)

    @contextmanager
    def lend(self, number: int) -> Iterator[DiskFile]:
        """Holds the file for a block."""
        file = self.hold(number)
        try:
            yield file
        finally:
            self.release(number, file)

    def forget(self, number: int) -> None:
        """The volume is being removed: nobody gets it any more, and its file closes with its last holder."""
        with self._lock:
            self._keys.pop(number, None)
            opened = self._opened.get(number)
            if opened is not None:
                opened.gone = True
                if opened.holders == 0:
                    self._close(number)

    def close(self) -> None:
        """Closes every file."""
        with self._lock:
            for number in list(self._opened):
                self._close(number)
            self._keys.clear()

    def _close_surplus(self) -> None:
        surplus = len(self._opened) - self._files_max
        if surplus > 0:
            for number in [one for one, opened in self._opened.items() if opened.holders == 0][:surplus]:
                self._close(number)

    def _close(self, number: int) -> None:
        self._opened.pop(number).file.close()
