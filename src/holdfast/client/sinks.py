"""Where a download's bytes go.

In any order into a file that appears when it is whole, or in order into a stream.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from holdfast.client.sources import read_at
from holdfast.client.threads import run_whole
from holdfast.world.errors import Refusal, Trouble
from holdfast.world.offload import Offload

PART_SUFFIX = ".holdfast-part"


@runtime_checkable
class ByteSink(Protocol):
    """Takes verified plain bytes. `ordered`: it wants them from the first to the last."""

    ordered: bool

    async def write(self, offset: int, content: memoryview) -> None:
        """Takes the bytes at `offset`; `content` is the caller's again afterwards."""
        ...


class MemorySink:
    """Fills a buffer that is handed in, or one of its own."""

    ordered = False

    def __init__(self, into: memoryview) -> None:
        self._into = into

    async def write(self, offset: int, content: memoryview) -> None:
        self._into[offset : offset + len(content)] = content


class StreamSink:
    """A pipe or any binary file object."""

    ordered = True

    def __init__(self, stream: BinaryIO, offload: Offload) -> None:
        self._stream = stream
        self._at = 0
        self._offload = offload

    async def write(self, offset: int, content: memoryview) -> None:
        assert offset == self._at, "a stream takes its bytes in order"
        await run_whole(self._offload, self._write, content)
        self._at += len(content)

    def _write(self, content: memoryview) -> None:
        while content:
            # A raw stream may take only a part; a buffered one answers the whole length.
            content = content[self._stream.write(content) or 0 :]


class FileSink:
    """A file that is written beside its place as `NAME.holdfast-part` and moved there when it is whole."""

    ordered = False

    def __init__(self, path: Path, offload: Offload, *, mark: str = "", resume: bool = False) -> None:
        """`mark` tells parts of several writers apart.

        Raises Refusal("config.invalid") if the folder cannot be written to.
        """
        self.path = path
        self.part = path.with_name(path.name + PART_SUFFIX + mark)
        self._offload = offload
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | (0 if resume else os.O_TRUNC)
        try:
            self._fd = os.open(self.part, flags, 0o666)
        except OSError as error:
            raise Refusal(
                "config.invalid", f"{self.part} cannot be written: {error.strerror}.", path=str(path)
            ) from error
        self.resumed = os.fstat(self._fd).st_size
        """Bytes that an earlier attempt left, good or not."""

    async def write(self, offset: int, content: memoryview) -> None:
        await run_whole(self._offload, _write_at, self._fd, content, offset)

    async def read(self, offset: int, into: memoryview) -> int:
        """What an earlier attempt left at `offset`; fewer bytes than asked at the end."""
        return await run_whole(self._offload, read_at, self._fd, into, offset)

    def finish(self, size: int) -> None:
        """Moves the part to its place; raises Trouble("disk.failed")."""
        try:
            os.ftruncate(self._fd, size)
            self.part.replace(self.path)
        except OSError as error:
            raise _disk_trouble(error) from error
        self.close()

    def abandon(self) -> None:
        """Takes the part away."""
        with contextlib.suppress(OSError):
            self.part.unlink()
        self.close()

    def close(self) -> None:
        """Leaves the part where it is, for another attempt."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def absolute(path: Path | str) -> Path:
    """The path from the root on, with symbolic links as they are."""
    return Path(path).absolute()


def _write_at(fd: int, content: memoryview, offset: int) -> None:
    try:
        done = 0
        while done < len(content):
            done += os.pwrite(fd, content[done:], offset + done)
    except OSError as error:
        raise _disk_trouble(error) from error


def _disk_trouble(error: OSError) -> Trouble:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Trouble(
            "disk.full",
            "There is no space left where the file is written.",
            retry=False,
            advice="Free some and run the same command again: it goes on where it stopped.",
        )
    return Trouble("disk.failed", f"The file cannot be written: {error.strerror}.", retry=False)
