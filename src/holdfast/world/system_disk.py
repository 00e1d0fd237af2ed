"""A folder of this machine's file system, straight through system calls: nothing is buffered in between."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from holdfast.world.disk import Buffer, check_name
from holdfast.world.errors import Trouble

PARTS_MAX: Final = 1024
"""How many buffers Linux takes in one call (IOV_MAX)."""

_NO_WAITING: Final[int | None] = getattr(os, "RWF_NOWAIT", None)
"""Linux can read what is cached, and only that; elsewhere nothing counts as being at hand."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def _reported(what: str, path: Path) -> Iterator[None]:
    """Turns the system's errors into ours; a missing file stays FileNotFoundError."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise trouble(error, what, path) from error


def trouble(error: OSError, what: str, path: Path) -> Trouble:
    """What to say when the system refused to do `what`."""
    if error.errno in _FULL:
        return Trouble(
            "disk.full",
            f"No space left to {what} {path}.",
            retry=False,
            advice="Free some space on that disk, or allocate less.",
        )
    return Trouble(
        "disk.failed",
        f"The disk refused to {what} {path}: {error.strerror or error}.",
        retry=error.errno in {errno.EINTR, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM},
        advice="Look at the health of the disk and at who may use the folder.",
    )


class SystemDiskFile:
    """One open file. It has a single appender; any number of threads may read meanwhile."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def size(self) -> int:
        with _reported("look at", self._path):
            return os.fstat(self._descriptor).st_size

    def append(self, parts: Sequence[Buffer]) -> int:
        start = self.size()
        waiting = [memoryview(part).cast("B") for part in parts if len(part)]
        with _reported("write to", self._path):
            self._write_all(waiting, start)
        return start

    def _write_all(self, waiting: list[memoryview], offset: int) -> None:
        first = 0
        while first < len(waiting):
            written = os.pwritev(self._descriptor, waiting[first : first + PARTS_MAX], offset)
            offset += written
            # The kernel may stop anywhere, most often because the disk is full: go on from there.
            while first < len(waiting) and written >= len(waiting[first]):
                written -= len(waiting[first])
                first += 1
            if written:
                waiting[first] = waiting[first][written:]

    def read_into(self, offset: int, into: memoryview) -> int:
        done = 0
        with _reported("read", self._path):
            while done < len(into):
                count = os.preadv(self._descriptor, [into[done:]], offset + done)
                if count == 0:
                    break
                done += count
        return done

    def read_at_hand(self, offset: int, into: memoryview) -> int:
        if _NO_WAITING is None:
            return 0
        try:
            return os.preadv(self._descriptor, [into], offset, _NO_WAITING)
        except OSError:
            # Most often EAGAIN; whatever else it is, a read that may wait meets it again and says so.
            return 0

    def sync(self) -> None:
        with _reported("make durable", self._path):
            os.fdatasync(self._descriptor)

    def truncate(self, size: int) -> None:
        with _reported("cut", self._path):
            os.ftruncate(self._descriptor, size)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class SystemDisk:
    """The folder `folder`, made if missing (with mode 700: what lies in it is nobody else's)."""

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        with _reported("make", self._folder):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / check_name(name)

    def names(self) -> list[str]:
        with _reported("list", self._folder), os.scandir(self._folder) as entries:
            return sorted(entry.name for entry in entries if entry.name[0] != "." and entry.is_file())

    def open(self, name: str, *, create: bool = False) -> SystemDiskFile:
        path = self._path(name)
        with _reported("open", path):
            flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
            return SystemDiskFile(path, os.open(path, flags, 0o600))

    def read(self, name: str) -> bytes:
        path = self._path(name)
        with _reported("read", path):
            return path.read_bytes()

    def replace(self, name: str, content: bytes) -> None:
        path = self._path(name)
        # A name with a dot in front is never listed; what a crash leaves behind is overwritten next time.
        draft = self._folder / f".{name}.draft"
        with _reported("write", path):
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            file = SystemDiskFile(draft, descriptor)
            try:
                file.append([content])
                file.sync()
            finally:
                file.close()
            draft.replace(path)
        self.sync_names()

    def remove(self, name: str) -> None:
        path = self._path(name)
        with _reported("remove", path):
            path.unlink(missing_ok=True)

    def sync_names(self) -> None:
        with _reported("make durable", self._folder):
            descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def free(self) -> int:
        with _reported("look at", self._folder):
            status = os.statvfs(self._folder)
        return status.f_bavail * status.f_frsize
