"""Threads that each hold one thing (a database connection) and run jobs on it for an event loop.

Jobs wait in one queue. A holder is given as many as are waiting, up to its limit, so that it can share costs
between them (one fsync for many transactions), and all their callers are woken by one call into the loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from sqlalchemy import Connection

from holdfast.world.errors import Trouble


class Job:
    """One piece of work for a connection, and how it ended. A holder sets `result` or `error`."""

    __slots__ = ("_arguments", "_keywords", "_work", "brief", "error", "future", "loop", "reading", "result")

    def __init__(
        self, work: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any], *, reading: bool
    ) -> None:
        self._work = work
        self._arguments = arguments
        self._keywords = keywords
        self.reading = reading
        self.brief = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.future: asyncio.Future[Any] | None = None

    def perform(self, connection: Connection) -> None:
        """Runs the work once more from a clean slate; its outcome is kept, never raised."""
        self.result = self.error = None
        try:
            self.result = self._work(connection, *self._arguments, **self._keywords)
        except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the caller, who awaits it
            self.error = error

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.future is not None and self.future.cancelled()

    def settle(self) -> None:
        """Tells the caller; in the caller's event loop."""
        if self.future is None or self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


class Holder(Protocol):
    """What a thread of a crew holds. Its methods are called in that one thread."""

    group_max: int
    """How many jobs it takes at a time at most."""

    def run(self, jobs: Sequence[Job]) -> None:
        """Carries the jobs out and sets how each ended; does not raise."""
        ...

    def close(self) -> None:
        """Gives up what it holds."""
        ...


class Crew:
    """One thread for each holder, on one queue."""

    def __init__(self, name: str, holders: Sequence[Holder]) -> None:
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._closed = False
        # One entry for each thread that waits for work: a deque's ends need no lock.
        self._idle: deque[None] = deque()
        self._threads = [
            threading.Thread(target=self._work, args=(holder,), name=f"{name}-{number}", daemon=True)
            for number, holder in enumerate(holders)
        ]
        for thread in self._threads:
            thread.start()

    async def submit(self, job: Job) -> Any:
        """The job's result, or its error raised. Raises Trouble("database.unreachable") after `close`."""
        if self._closed:
            raise Trouble("database.unreachable", "The database was closed by this program.", retry=False)
        job.loop = asyncio.get_running_loop()
        job.future = job.loop.create_future()
        self._queue.put(job)
        return await job.future

    async def close(self) -> None:
        """Carries out what was submitted, then ends the threads."""
        if not self._closed:
            self._closed = True
            for _ in self._threads:
                self._queue.put(None)
        loop = asyncio.get_running_loop()
        for thread in self._threads:
            await loop.run_in_executor(None, thread.join)

    def _work(self, holder: Holder) -> None:
        try:
            while (job := self._next()) is not None:
                jobs = self._gather(job, holder.group_max)
                if jobs:
                    _run(holder, jobs)
                    _deliver(jobs)
        finally:
            holder.close()

    def _next(self) -> Job | None:
        self._idle.append(None)
        try:
            return self._queue.get()
        finally:
            self._idle.pop()

    def _gather(self, first: Job, limit: int) -> list[Job]:
        jobs = [first]
        # What an idle thread can take at once must not wait for a group to end.
        while len(jobs) < limit and self._queue.qsize() > len(self._idle):
            try:
                job = self._queue.get_nowait()
            except Empty:
                break
            if job is None:
                # The sign to stop is for whoever asks next: this thread, or another one.
                self._queue.put(None)
                break
            jobs.append(job)
        return [job for job in jobs if not job.abandoned]


def _run(holder: Holder, jobs: Sequence[Job]) -> None:
    """Has the jobs carried out. A holder that raises all the same is at fault; callers must still be told."""
    try:
        holder.run(jobs)
    except BaseException as error:  # noqa: BLE001 - a thread that died of it would leave everybody waiting
        for job in jobs:
            job.error = error


def _deliver(jobs: Sequence[Job]) -> None:
    """Wakes the callers: one call for all jobs of a loop, which are nearly always of the same one."""
    for loop in {id(job.loop): job.loop for job in jobs}.values():
        assert loop is not None, "a submitted job knows its loop"
        try:
            loop.call_soon_threadsafe(_settle_all, [job for job in jobs if job.loop is loop])
        except RuntimeError:
            # The caller's loop was closed while it waited: there is nobody left to tell.
            continue


def _settle_all(jobs: Sequence[Job]) -> None:
    for job in jobs:
        job.settle()
