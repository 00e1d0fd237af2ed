"""Heavy work off the event loop: sealing, opening, hashing, blocking file reads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from holdfast.world.errors import Trouble

T = TypeVar("T")


class Offload(Protocol):
    """Runs plain functions that release the GIL, or block, without holding up the event loop."""

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        """What `work(*arguments)` returns or raises; Trouble("internal", retry=False) once closed.

        A cancelled caller stops waiting. Work that has begun goes on to its end all the same: memory that it
        was given may not be reused before.
        """
        ...

    def close(self) -> None:
        """Waits for the work under way, then refuses what waits and what comes."""
        ...


def _refused() -> Trouble:
    return Trouble("internal", "Work was handed to a pool of threads that is closed.", retry=False)


class ThreadOffload:
    """A pool of `threads` worker threads, named for profiles."""

    def __init__(self, threads: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._closed = False

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        try:
            future = self._pool.submit(work, *arguments)
        except RuntimeError:
            raise _refused() from None
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed and task is not None and not task.cancelling():
                # Nobody cancelled the caller: `close` took its work out of the queue.
                raise _refused() from None
            raise

    def close(self) -> None:
        self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)


class InlineOffload:
    """Runs the work at once, where it was asked for: for programs without an event loop to hold up."""

    def __init__(self) -> None:
        self._closed = False

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        if self._closed:
            raise _refused()
        return work(*arguments)

    def close(self) -> None:
        self._closed = True
