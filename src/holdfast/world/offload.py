"""Heavy work off the event loop: sealing, opening, hashing, blocking file reads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

T = TypeVar("T")


class Offload(Protocol):
    """Runs plain functions that release the GIL, or block, without holding up the event loop."""

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        """What `work(*arguments)` returns or raises."""
        ...

    def close(self) -> None:
        """Waits for the work under way, then refuses more."""
        ...


class ThreadOffload:
    """A pool of `threads` worker threads, named for profiles."""

    def __init__(self, threads: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: work(*arguments))

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


class InlineOffload:
    """Runs the work at once, where it was asked for: for simulation, where threads would spoil the replay."""

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        return work(*arguments)

    def close(self) -> None:
        pass
