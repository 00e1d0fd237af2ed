"""What an interrupted transfer goes on from: one small file per transfer, locked while it is under way.

An entry's name is a hash of everything that makes two transfers the same: endpoint, bucket, key, and the
file's path (with size and time of change for an upload). It holds the id under which the coordinator knows
the transfer, and no secret. Whoever finds an entry locked works without one: two transfers never share it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from pathlib import Path

import msgspec

from holdfast.world.untrusted import UNREADABLE


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """`upload_id` of an upload or `version_id` of a download; the rest is for people who look."""

    upload_id: str = ""
    version_id: str = ""
    bucket: str = ""
    key: str = ""
    path: str = ""
    version: int = 1


class JournalEntry:
    """An entry held by this process: read it, write it, and end with `forget` or `keep`."""

    def __init__(self, path: Path, fd: int) -> None:
        self._path = path
        self._fd = fd

    def read(self) -> Entry | None:
        """What an earlier attempt left; None if there was none or it cannot be understood."""
        content = os.pread(self._fd, 1 << 16, 0)
        try:
            entry = msgspec.json.decode(content, type=Entry)
        except UNREADABLE:
            return None
        return entry if entry.version == 1 else None

    def write(self, entry: Entry) -> None:
        """Replaces the content. A torn one reads as None: the transfer then starts from the beginning."""
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, msgspec.json.encode(entry), 0)

    def forget(self) -> None:
        """The transfer is over: nothing to go on from."""
        if self._fd >= 0:
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()
        self.keep()

    def keep(self) -> None:
        """Leaves the entry for the next attempt and unlocks it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Journal:
    """The folder of entries; made when first needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def hold(self, *identity: object) -> JournalEntry | None:
        """The entry of the transfer with this identity, locked; None if another process holds it.

        None also where the folder cannot be written to: a transfer needs no journal to succeed.
        """
        name = hashlib.sha256("\0".join(map(str, identity)).encode()).hexdigest()[:32] + ".json"
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            path = self._folder / name
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            gone = os.fstat(fd).st_nlink == 0
        except OSError:
            gone = True
        if gone:
            # Locked by another, or removed between opening and locking by one that just ended.
            os.close(fd)
            return None
        return JournalEntry(path, fd)
