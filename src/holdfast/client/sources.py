"""Where an upload's bytes come from. Each source is read once, from its beginning, straight into our buffers.

Blocking reads run in the offload's threads. `fill` returns fewer bytes than asked only at the end.
"""

from __future__ import annotations

import os
import select
import stat
from collections.abc import AsyncIterable, AsyncIterator
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from holdfast.client.threads import run_whole
from holdfast.world.disk import Buffer
from holdfast.world.errors import Refusal
from holdfast.world.offload import Offload

POLL_SECONDS = 0.2


@runtime_checkable
class ByteSource(Protocol):
    """A stream of bytes; `size` is its length where that is known beforehand."""

    size: int | None

    async def fill(self, into: memoryview) -> int:
        """Fills `into` with the next bytes; returns how many there were."""
        ...

    async def check(self) -> None:
        """After the last byte: raises Refusal("source.changed") if what was read is not one state of it."""
        ...

    def close(self) -> None:
        """Gives the file back, and wakes a read that still waits for bytes."""
        ...


class MemorySource:
    """Bytes at hand."""

    def __init__(self, content: Buffer) -> None:
        self._content = memoryview(content).cast("B")
        self._at = 0
        self.size: int | None = len(self._content)

    async def fill(self, into: memoryview) -> int:
        piece = self._content[self._at : self._at + len(into)]
        into[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    async def check(self) -> None:
        pass

    def close(self) -> None:
        self._content.release()


class FileSource:
    """A regular file, which must stay as it is while it is read: its size and time of change are compared."""

    def __init__(self, path: Path | str, offload: Offload) -> None:
        """Raises Refusal("config.invalid" | "config.missing") if there is no such readable regular file."""
        self.path = Path(path)
        self._offload = offload
        try:
            self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise Refusal("config.missing", f"There is no file {self.path}.") from error
        except OSError as error:
            raise Refusal("config.invalid", f"{self.path} cannot be read: {error.strerror}.") from error
        self._begun = os.fstat(self._fd)
        if not stat.S_ISREG(self._begun.st_mode):
            self.close()
            raise Refusal(
                "config.invalid", f"{self.path} is not a regular file.", advice="Use -r for a directory."
            )
        os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        self._at = 0
        self.size: int | None = self._begun.st_size
        self.modified_ns = self._begun.st_mtime_ns

    async def fill(self, into: memoryview) -> int:
        count = await run_whole(self._offload, read_at, self._fd, into, self._at)
        self._at += count
        return count

    async def check(self) -> None:
        now = os.fstat(self._fd)
        same = (now.st_size, now.st_mtime_ns) == (self._begun.st_size, self._begun.st_mtime_ns)
        if not same or self._at != self._begun.st_size:
            raise Refusal(
                "source.changed",
                f"{self.path} changed while it was read; nothing of it was stored.",
                advice="Try again when nothing writes to it, or put a snapshot of it.",
                path=str(self.path),
            )

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class StreamSource:
    """A pipe, a terminal or any binary file object, of unknown length."""

    def __init__(self, stream: BinaryIO, offload: Offload) -> None:
        self.size: int | None = None
        self._stream = stream
        self._offload = offload
        self._closed = False

    async def fill(self, into: memoryview) -> int:
        return await run_whole(self._offload, self._read, into, wake=self.close)

    async def check(self) -> None:
        pass

    def close(self) -> None:
        self._closed = True

    def _read(self, into: memoryview) -> int:
        read = getattr(self._stream, "readinto", None)
        polled = _pollable(self._stream)
        done = 0
        while done < len(into):
            if polled is not None:
                # Waiting in short turns lets an interrupted program leave although nothing ever arrives.
                while not select.select([polled], [], [], POLL_SECONDS)[0]:
                    if self._closed:
                        return done
                count = os.readv(polled, [into[done:]])
            elif read is not None:
                count = read(into[done:]) or 0
            else:
                piece = self._stream.read(len(into) - done)
                count = len(piece)
                into[done : done + count] = piece
            if count == 0:
                break
            done += count
        return done


class IteratorSource:
    """Pieces of any length from an async iterator."""

    def __init__(self, pieces: AsyncIterable[Buffer], size: int | None = None) -> None:
        self.size = size
        self._pieces: AsyncIterator[Buffer] = aiter(pieces)
        self._left = memoryview(b"")

    async def fill(self, into: memoryview) -> int:
        done = 0
        while done < len(into):
            if not self._left:
                try:
                    self._left = memoryview(await anext(self._pieces)).cast("B")
                except StopAsyncIteration:
                    break
                continue
            count = min(len(self._left), len(into) - done)
            into[done : done + count] = self._left[:count]
            self._left = self._left[count:]
            done += count
        return done

    async def check(self) -> None:
        if self.size is not None and await self.fill(memoryview(bytearray(1))):
            raise Refusal("source.changed", f"More than the {self.size} announced bytes came.")

    def close(self) -> None:
        self._left = memoryview(b"")


Putable = ByteSource | Path | str | bytes | bytearray | memoryview | BinaryIO | AsyncIterable[Buffer]


def source_of(content: Putable, offload: Offload) -> ByteSource:
    """A source for whatever a caller hands to `put`; text is a path. Raises what opening a file raises."""
    if isinstance(content, str | Path):
        path = Path(content)
        if path.exists() and not path.is_file() and not path.is_dir():
            return StreamSource(_opened(path), offload)
        return FileSource(path, offload)
    if isinstance(content, bytes | bytearray | memoryview):
        return MemorySource(content)
    if isinstance(content, ByteSource):
        return content
    if isinstance(content, AsyncIterable):
        return IteratorSource(content)
    return StreamSource(content, offload)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb", buffering=0)
    except OSError as error:
        raise Refusal("config.invalid", f"{path} cannot be read: {error.strerror}.") from error


def read_at(fd: int, into: memoryview, offset: int) -> int:
    """Fills `into` from the file at `offset`; fewer bytes only at its end. Blocks."""
    done = 0
    while done < len(into):
        count = os.preadv(fd, [into[done:]], offset + done)
        if count == 0:
            break
        done += count
    return done


def _pollable(stream: BinaryIO) -> int | None:
    """The descriptor to wait on, for raw pipes: a buffered file may hold bytes that a poll cannot see."""
    try:
        fd = stream.fileno()
        mode = os.fstat(fd).st_mode
    except (AttributeError, OSError):
        return None
    unbuffered = not hasattr(stream, "peek")
    return fd if unbuffered and not stat.S_ISREG(mode) else None
