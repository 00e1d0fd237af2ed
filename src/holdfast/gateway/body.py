"""Bodies: streams of plain bytes with what their senders claim of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Protocol

from holdfast.world.disk import Buffer
from holdfast.world.errors import Refusal


class Body(Protocol):
    """What a request brings; `size` is its length in plain bytes, where that was announced."""

    size: int | None

    async def fill(self, into: memoryview) -> int:
        """Fills `into` with the next bytes; fewer than asked only at the end.

        Raises Refusal("request.incomplete") if the connection went, and what its sender did wrong.
        """
        ...

    async def ended(self) -> dict[str, str]:
        """After the last byte: checksums that came behind the body, by algorithm, in base64.

        Raises if the body was cut short, went on beyond its size, or its signatures were wrong.
        """
        ...


class BytesBody:
    """Bytes at hand."""

    def __init__(self, content: Buffer, trailer: Mapping[str, str] | None = None) -> None:
        self._content = memoryview(content).cast("B")
        self._trailer = dict(trailer or {})
        self._at = 0
        self.size: int | None = len(self._content)

    async def fill(self, into: memoryview) -> int:
        piece = self._content[self._at : self._at + len(into)]
        into[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    async def ended(self) -> dict[str, str]:
        return self._trailer


class PiecesBody:
    """The pieces of an object that is read while it is written anew; each is valid until the next."""

    def __init__(self, pieces: AsyncGenerator[memoryview], size: int) -> None:
        self.size: int | None = size
        self._pieces = pieces
        self._left = memoryview(b"")

    async def fill(self, into: memoryview) -> int:
        done = 0
        while done < len(into):
            if not self._left:
                try:
                    self._left = await anext(self._pieces)
                except StopAsyncIteration:
                    break
                continue
            count = min(len(self._left), len(into) - done)
            into[done : done + count] = self._left[:count]
            self._left = self._left[count:]
            done += count
        return done

    async def ended(self) -> dict[str, str]:
        return {}

    async def close(self) -> None:
        """Stops reading."""
        self._left = memoryview(b"")
        async with aclosing(self._pieces):
            pass


def incomplete(came: int, announced: int) -> Refusal:
    """The body ended before its announced end."""
    return Refusal(
        "request.incomplete",
        f"{announced} bytes were announced, but only {came} came; nothing was stored.",
        advice="Send the whole body again.",
        announced=announced,
        came=came,
    )
