"""A folder of append-only files, as a vault needs it. Calls block: make them from a thread of your own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

Buffer = bytes | bytearray | memoryview


def check_name(name: str) -> str:
    """The name itself if it is a plain file name: without separators, and no dot in front."""
    assert name, "a file needs a name"
    assert name[0] != ".", f"'{name}': names with a dot in front are the disk's own"
    assert "/" not in name, f"'{name}' would lead out of the folder"
    assert "\0" not in name, "a file's name has no NUL"
    return name


class DiskFile(Protocol):
    """One open file. Every call raises Trouble("disk.failed") or Trouble("disk.full", retry=False)."""

    def size(self) -> int:
        """Its length in bytes now."""
        ...

    def append(self, parts: Sequence[Buffer]) -> int:
        """Writes the parts one after another at the end; returns the offset of the first byte.

        After a failure the tail may be torn: the caller truncates back to the size it knew.
        """
        ...

    def read_into(self, offset: int, into: memoryview) -> int:
        """Fills `into` from `offset`; returns how many bytes there were (fewer only at the end)."""
        ...

    def read_at_hand(self, offset: int, into: memoryview) -> int:
        """As `read_into`, but stops where the device would have to be waited for: perhaps at once.

        The one call of a file that an event loop may make. It raises nothing: what fails is not at hand.
        """
        ...

    def sync(self) -> None:
        """Returns when everything appended survives a power cut (fdatasync)."""
        ...

    def truncate(self, size: int) -> None:
        """Cuts the file to `size` bytes."""
        ...

    def close(self) -> None:
        """Gives the file back."""
        ...


class Disk(Protocol):
    """One folder. Names are plain file names, without separators and without a dot in front."""

    def names(self) -> list[str]:
        """All files, sorted."""
        ...

    def open(self, name: str, *, create: bool = False) -> DiskFile:
        """Opens for reading and appending; with `create`, makes it (durable after `sync_names`)."""
        ...

    def read(self, name: str) -> bytes:
        """The whole content of a small file; raises FileNotFoundError."""
        ...

    def replace(self, name: str, content: bytes) -> None:
        """Atomically and durably makes `content` the content of the small file `name`."""
        ...

    def remove(self, name: str) -> None:
        """Removes the file; missing is fine."""
        ...

    def sync_names(self) -> None:
        """Returns when created and removed names survive a power cut."""
        ...

    def free(self) -> int:
        """Bytes an ordinary user can still write on this device."""
        ...
