"""A bound on waiting that costs nothing where nothing is waited for.

Most of what a request awaits is there already: its small body came with its head, its answer fits the socket.
A timer of the event loop for each would cost more than the work itself, so one is set only once it is known
that there is something to wait for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

T = TypeVar("T")


async def in_time(work: Awaitable[T], seconds: float) -> T:
    """What `work` returns or raises; TimeoutError if it takes longer. Cancelled with its caller."""
    steps: Generator[Any, Any, T] = work.__await__()
    try:
        waits_for = next(steps)
    except StopIteration as done:
        result: T = done.value
        return result
    async with asyncio.timeout(seconds):
        rest: T = await _Rest(waits_for, steps)
    return rest


class _Rest:
    """Goes on with a coroutine that has taken its first step."""

    def __init__(self, waits_for: Any, steps: Generator[Any, Any, Any]) -> None:
        self._waits_for = waits_for
        self._steps = steps

    def __await__(self) -> Generator[Any, Any, Any]:
        waits_for = self._waits_for
        while True:
            go_on: Callable[[Any], Any]
            try:
                sent = yield waits_for
            except BaseException as error:  # noqa: BLE001 - a cancellation, say, is for whom it reaches
                go_on, what = self._steps.throw, error
            else:
                go_on, what = self._steps.send, sent
            try:
                waits_for = go_on(what)
            except StopIteration as done:
                return done.value
