"""What a session remembers of one request and its reply, and of a body on its way out."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from holdfast.protocol.states import Buffer, Phase

EMPTY: Final = memoryview(b"")


class Sending:
    """A body on its way out."""

    __slots__ = ("admitted", "eager_used", "left", "offset", "parts", "stream", "total")

    def __init__(self, stream: int, body: Sequence[Buffer], total: int, *, admitted: bool) -> None:
        self.stream = stream
        self.parts = deque(memoryview(part).cast("B") for part in body if len(part))
        self.total = total
        self.left = total
        self.offset = 0
        self.admitted = admitted
        self.eager_used = 0

    def cut(self, size: int, out: list[Buffer]) -> None:
        """Appends the next `size` bytes to `out`, by reference."""
        self.offset += size
        self.left -= size
        while size:
            part = self.parts[0]
            if len(part) <= size:
                out.append(self.parts.popleft())
                size -= len(part)
            else:
                out.append(part[:size])
                self.parts[0] = part[size:]
                size = 0


class Stream:
    """One request and its reply, from either side."""

    __slots__ = (
        "admitted",
        "body",
        "into",
        "length",
        "message",
        "phase",
        "quiet",
        "received",
        "room",
        "sending",
    )

    def __init__(self, phase: Phase, room: int, into: memoryview | None = None) -> None:
        self.phase = phase
        self.room = room
        self.into = into
        self.message: Buffer = b""
        self.body = EMPTY
        self.length = 0
        self.received = 0
        self.admitted = False
        self.quiet = False
        self.sending: Sending | None = None
