"""Several pieces of work at once, whose endings are told one by one in the order they happened.

The standard library hands finished tasks out of sets and cancels task groups in the order of a set; both
would show in a replayed simulation. Here every order is the order of starting or of ending.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

Tag = TypeVar("Tag")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ending(Generic[Tag, T]):
    """How one attempt ended: with a value, or with the failure it raised."""

    tag: Tag
    value: T | None
    failure: BaseException | None
    seconds: float

    def result(self) -> T:
        """The value; raises the attempt's failure."""
        if self.failure is not None:
            raise self.failure
        return self.value  # type: ignore[return-value]  # set whenever there is no failure


class Attempts(Generic[Tag, T]):
    """Use as `async with`: leaving stops whatever still runs and waits until it has stopped."""

    def __init__(self) -> None:
        self._running: dict[Tag, asyncio.Task[T]] = {}
        self._ended: deque[Ending[Tag, T]] = deque()
        self._waiter: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def running(self) -> list[Tag]:
        """What is under way, oldest first."""
        return list(self._running)

    @property
    def busy(self) -> int:
        """How many are under way or have an ending nobody has taken yet."""
        return len(self._running) + len(self._ended)

    def start(self, tag: Tag, work: Coroutine[Any, Any, T]) -> None:
        """Begins; the tag must not be running already."""
        assert tag not in self._running, f"{tag!r} is already under way"
        loop = asyncio.get_running_loop()
        task = loop.create_task(work)
        self._running[tag] = task
        begun = loop.time()
        task.add_done_callback(lambda done: self._note(tag, done, loop.time() - begun))

    def stop(self, tag: Tag) -> None:
        """Cancels one; its ending is told with a CancelledError."""
        self._running[tag].cancel()

    async def next(self, seconds: float | None = None) -> Ending[Tag, T] | None:
        """The next ending; None when there was none within `seconds`."""
        if not self._ended:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(seconds):
                    await self._waiter
            except TimeoutError:
                return None
            finally:
                self._waiter = None
        return self._ended.popleft()

    async def settled(self) -> Ending[Tag, T]:
        """The next ending, however long it takes; something must be under way."""
        assert self.busy, "nothing is under way that could end"
        ending = await self.next()
        assert ending is not None, "without a time limit there is always an ending"
        return ending

    async def close(self) -> None:
        """Stops everything and waits for it; endings not yet taken are forgotten."""
        left = list(self._running.values())
        for task in left:
            task.cancel()
        cancelled: asyncio.CancelledError | None = None
        for task in left:
            while not task.done():
                try:
                    await asyncio.wait([task])
                except asyncio.CancelledError as error:
                    cancelled = error
        self._ended.clear()
        if cancelled is not None:
            raise cancelled

    def _note(self, tag: Tag, task: asyncio.Task[T], seconds: float) -> None:
        del self._running[tag]
        failure = asyncio.CancelledError() if task.cancelled() else task.exception()
        value = None if failure is not None else task.result()
        self._ended.append(Ending(tag, value, failure, seconds))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
