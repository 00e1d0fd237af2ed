"""Work whose endings are told in order."""

from __future__ import annotations

import asyncio

import pytest

from holdfast.client.attempts import Attempts
from holdfast.client.threads import run_whole
from holdfast.world.offload import ThreadOffload
from holdfast.world.simulated.loop import SimulatedLoop, run


async def after(seconds: float, value: str) -> str:
    await asyncio.sleep(seconds)
    if value == "bad":
        raise ValueError(value)
    return value


def test_endings_come_in_the_order_they_happened_with_their_times() -> None:
    async def story(_: SimulatedLoop) -> None:
        async with Attempts[str, str]() as attempts:
            for tag, seconds in (("slow", 3.0), ("quick", 1.0), ("bad", 2.0)):
                attempts.start(tag, after(seconds, tag))
            assert await attempts.next(0.5) is None
            told = [await attempts.settled() for _ in range(3)]
            assert [each.tag for each in told] == ["quick", "bad", "slow"]
            assert [each.seconds for each in told] == [1, 2, 3]
            assert told[0].result() == "quick"
            with pytest.raises(ValueError, match="bad"):
                told[1].result()
            assert attempts.busy == 0

    run(story)


def test_leaving_stops_what_still_runs_and_waits_for_it() -> None:
    async def story(loop: SimulatedLoop) -> None:
        ended: list[str] = []

        async def stubborn(name: str) -> None:
            try:
                await asyncio.sleep(100)
            finally:
                await asyncio.sleep(1)
                ended.append(name)

        async with Attempts[str, None]() as attempts:
            attempts.start("a", stubborn("a"))
            attempts.start("b", stubborn("b"))
            await asyncio.sleep(1)
        assert ended == ["a", "b"]
        assert loop.time() == 2

    run(story)


def test_a_stopped_attempt_ends_as_cancelled() -> None:
    async def story(_: SimulatedLoop) -> None:
        async with Attempts[str, str]() as attempts:
            attempts.start("a", after(5, "a"))
            attempts.stop("a")
            assert isinstance((await attempts.settled()).failure, asyncio.CancelledError)

    run(story)


async def test_a_cancelled_wait_for_a_thread_outlives_the_thread() -> None:
    import threading

    offload = ThreadOffload(1, "test")
    loop = asyncio.get_running_loop()
    begun, go_on = asyncio.Event(), threading.Event()
    finished = False

    def work() -> None:
        nonlocal finished
        loop.call_soon_threadsafe(begun.set)
        go_on.wait()
        finished = True

    task = asyncio.create_task(run_whole(offload, work, wake=go_on.set))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert finished
    offload.close()
