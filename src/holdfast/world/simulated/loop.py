"""An event loop whose time is simulated: when nobody has anything to do, it jumps to the next timer.

Hours pass in milliseconds, and the same program with the same chance takes the same steps. It is stricter
than the real loop: threads are refused, a wait that nothing can end is an error that names the waiters, so is
a loop that spins without time passing, and so is an exception that nobody awaited.
"""

from __future__ import annotations

import asyncio
import struct
import weakref
import zlib
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from concurrent.futures import Executor
from contextvars import Context
from typing import Any, Final, NoReturn, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

SECONDS_MAX: Final = 366 * 86_400.0
SPINS_MAX: Final = 1_000_000
"""How often the loop may turn without time passing."""

_STEP: Final = struct.Struct("<dI")


class StuckError(AssertionError):
    """The simulated program will never end: what it waits for cannot come."""


class _Jump:
    """What the loop takes for a selector: waiting is a jump of the clock."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[object]:
        self._loop.jump(timeout)
        return []


class SimulatedLoop(asyncio.BaseEventLoop):
    """An event loop in simulated time, which starts at 0."""

    # What asyncio's own loop keeps, and we look at.
    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _selector: object

    def __init__(self, *, seconds_max: float = SECONDS_MAX) -> None:
        super().__init__()
        self._selector = _Jump(self)
        self._now = 0.0
        self._spins = 0
        self._seconds_max = seconds_max
        self._order: weakref.WeakKeyDictionary[asyncio.Task[Any], int] = weakref.WeakKeyDictionary()
        self._tasks_made = 0
        self._unheard: list[BaseException] = []
        self.history = 0
        """A checksum over when the loop did how much: equal for equal runs, and cheap."""
        self.set_task_factory(self._make_task)
        self.set_exception_handler(self._hear)

    def time(self) -> float:
        return self._now

    def jump(self, timeout: float | None) -> None:
        """Lets time pass until the next timer."""
        self.history = zlib.crc32(_STEP.pack(self._now, len(self._ready)), self.history)
        if timeout == 0:
            self._spins += 1
            if self._spins > SPINS_MAX:
                self._raise_stuck("The program spins without time passing.")
            return
        self._spins = 0
        if timeout is None:
            self._raise_stuck("Nothing is under way that could wake anybody.")
        self._now = max(self._now, self._scheduled[0].when())
        if self._now > self._seconds_max:
            self._raise_stuck(f"The program was to end within {self._seconds_max:g} simulated seconds.")

    def _raise_stuck(self, why: str) -> NoReturn:
        waiting = "\n".join(f"  {_described(task)}" for task in self.tasks_in_order())
        raise StuckError(f"{why} At {self._now:.6f} s these wait:\n{waiting}")

    def tasks_in_order(self) -> list[asyncio.Task[Any]]:
        """The tasks that are not done, the oldest first: asyncio's own set of them has no stable order."""
        tasks = [task for task in asyncio.all_tasks(self) if task in self._order]
        return sorted(tasks, key=lambda task: self._order[task])

    def _make_task(
        self,
        loop: asyncio.AbstractEventLoop,
        coroutine: Coroutine[Any, Any, T] | Generator[Any, None, T],
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        task: asyncio.Task[T] = asyncio.Task(coroutine, loop=loop, context=context)
        self._tasks_made += 1
        self._order[task] = self._tasks_made
        return task

    def _hear(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception") or AssertionError(context.get("message", "an error without words"))
        error.add_note(f"simulated: {context.get('message')}, at {self._now:.6f} s")
        self._unheard.append(error)

    def unheard(self) -> list[BaseException]:
        """Errors that no part of the program awaited so far."""
        return self._unheard

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> NoReturn:
        """Refused."""
        raise AssertionError(f"a thread called into a simulated loop, which spoils the replay: {callback}")

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> NoReturn:
        """Refused."""
        raise AssertionError(f"a thread would spoil the replay: take an Offload that is handed in for {func}")

    def _process_events(self, _events: list[object]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


def _described(task: asyncio.Task[Any]) -> str:
    frames = task.get_stack(limit=1)
    place = f" at {frames[0].f_code.co_filename}:{frames[0].f_lineno}" if frames else ""
    return f"{getattr(task.get_coro(), '__qualname__', task.get_name())}{place}"


def run(main: Callable[[SimulatedLoop], Awaitable[T]], *, seconds_max: float = SECONDS_MAX) -> T:
    """What `main(loop)` returns, run to its end in a new simulated loop.

    Tasks that are left over are cancelled. Raises StuckError if `main` cannot end, or takes more than
    `seconds_max` simulated seconds, and what a part of the program raised without anybody awaiting it.
    """

    async def start() -> T:
        return await main(loop)

    loop = SimulatedLoop(seconds_max=seconds_max)
    asyncio.set_event_loop(loop)
    try:
        result = loop.run_until_complete(start())
        _cancel_the_rest(loop)
        loop.run_until_complete(loop.shutdown_asyncgens())
    except BaseException:
        _abandon(loop)
        raise
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    if loop.unheard():
        raise loop.unheard()[0]
    return result


def _cancel_the_rest(loop: SimulatedLoop) -> None:
    while tasks := loop.tasks_in_order():
        for task in tasks:
            task.cancel("the simulation ends")

        async def wait(left: list[asyncio.Task[Any]] = tasks) -> None:
            await asyncio.wait(left)

        loop.run_until_complete(wait())


def _abandon(loop: SimulatedLoop) -> None:
    """Ends what a failed run left, so that nothing of it speaks up later in another test."""
    loop.set_exception_handler(lambda _loop, _context: None)
    for task in loop.tasks_in_order():
        task.cancel("the simulation failed")
    try:
        _cancel_the_rest(loop)
    except BaseException as error:  # noqa: BLE001 - the run's own error is the one to show
        loop.unheard().append(error)
