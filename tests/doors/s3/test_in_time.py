"""What waits is bounded; what need not wait meets no timer."""

from __future__ import annotations

import asyncio

import pytest

from holdfast.doors.s3.in_time import in_time


async def at_once(value: int) -> int:
    return value


async def later(value: int, pauses: int) -> int:
    for _ in range(pauses):
        await asyncio.sleep(0)
    await asyncio.sleep(0.001)
    return value


async def failing(pauses: int) -> None:
    for _ in range(pauses):
        await asyncio.sleep(0)
    raise KeyError("mine")


async def test_what_is_there_or_comes_in_time_is_handed_on() -> None:
    assert await in_time(at_once(1), 0) == 1
    assert await in_time(later(2, 0), 10) == 2
    assert await in_time(later(3, 50), 10) == 3


@pytest.mark.parametrize("pauses", [0, 1, 5])
async def test_what_fails_fails_as_it_did(pauses: int) -> None:
    with pytest.raises(KeyError, match="mine"):
        await in_time(failing(pauses), 10)


async def test_what_takes_too_long_is_stopped() -> None:
    stopped = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(True)

    with pytest.raises(TimeoutError):
        await in_time(forever(), 0.01)
    assert stopped == [True]


async def test_a_caller_who_is_cancelled_stops_the_work() -> None:
    stopped = []

    async def forever() -> None:
        try:
            await asyncio.sleep(0)
            await asyncio.Event().wait()
        finally:
            stopped.append(True)

    task = asyncio.ensure_future(in_time(forever(), 10))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stopped == [True]


async def test_work_that_takes_its_stopping_for_a_sign_to_end_ends() -> None:
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        return "ended"

    assert await in_time(stubborn(), 0.01) == "ended"
