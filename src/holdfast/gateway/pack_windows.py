"""Sealed bytes of packs kept at hand, a window at a time.

A record of a chunk is 64 KiB: reading one small object opens the record, so its neighbours come for nothing,
and what was written together is most often read together. What is kept is sealed, as it is on the nodes.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from holdfast.chunks.layout import RECORD_BYTES
from holdfast.files.small_rows import Pack

WINDOW_BYTES = RECORD_BYTES
KEPT_BYTES = 64 << 20

Fetch = Callable[[Pack, int, int], Awaitable[bytes]]
"""Bytes [start, stop) of a pack from its nodes."""


class PackWindows:
    """At most KEPT_BYTES, the least lately used go first. What many want at once is fetched once."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._kept: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._bytes = 0
        self._coming: dict[tuple[int, int], asyncio.Future[bytes]] = {}

    async def read(self, pack: Pack, start: int, stop: int) -> bytes:
        """Bytes [start, stop); raises what reading the pack raises."""
        first, last = start // WINDOW_BYTES, (stop - 1) // WINDOW_BYTES
        if first == last:
            window = await self._window(pack, first)
            return window[start - first * WINDOW_BYTES : stop - first * WINDOW_BYTES]
        windows = [await self._window(pack, number) for number in range(first, last + 1)]
        return b"".join(windows)[start - first * WINDOW_BYTES : stop - first * WINDOW_BYTES]

    def keep(self, stream: int, content: memoryview) -> None:
        """Takes over a pack that was just written."""
        for at in range(0, len(content), WINDOW_BYTES):
            self._keep((stream, at // WINDOW_BYTES), bytes(content[at : at + WINDOW_BYTES]))

    def forget(self) -> None:
        """Lets go of everything."""
        self._kept.clear()
        self._bytes = 0

    async def _window(self, pack: Pack, number: int) -> bytes:
        place = (pack.stream, number)
        kept = self._kept.get(place)
        if kept is not None:
            self._kept.move_to_end(place)
            return kept
        coming = self._coming.get(place)
        if coming is None:
            coming = self._coming[place] = asyncio.ensure_future(self._come(pack, number))
            coming.add_done_callback(lambda done: self._came(place, done))
        # Whoever stops waiting does not stop it for the others.
        return await asyncio.shield(coming)

    def _came(self, place: tuple[int, int], done: asyncio.Future[bytes]) -> None:
        del self._coming[place]
        if not done.cancelled():
            # Told to those who wait, if anybody still does.
            done.exception()

    async def _come(self, pack: Pack, number: int) -> bytes:
        start = number * WINDOW_BYTES
        window = await self._fetch(pack, start, min(start + WINDOW_BYTES, pack.size))
        self._keep((pack.stream, number), window)
        return window

    def _keep(self, place: tuple[int, int], window: bytes) -> None:
        before = self._kept.pop(place, b"")
        self._kept[place] = window
        self._bytes += len(window) - len(before)
        while self._bytes > KEPT_BYTES:
            _, gone = self._kept.popitem(last=False)
            self._bytes -= len(gone)
