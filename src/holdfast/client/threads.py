"""Work in threads on pooled buffers: a cancelled wait first lets the thread finish.

A thread cannot be stopped. If the buffer it fills went back to the pool meanwhile, it would write into the
bytes of another transfer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from holdfast.world.offload import Offload

T = TypeVar("T")


async def run_whole(
    offload: Offload, work: Callable[..., T], *arguments: object, wake: Callable[[], None] | None = None
) -> T:
    """What `work(*arguments)` returns; when cancelled, calls `wake` and raises after the work has ended."""
    running = asyncio.ensure_future(offload.run(work, *arguments))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        if wake is not None:
            wake()
        while not running.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([running])
        if not running.cancelled():
            running.exception()
        raise
