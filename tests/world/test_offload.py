"""One contract for every offload."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from holdfast.world.errors import Trouble
from holdfast.world.offload import InlineOffload, Offload, ThreadOffload
from holdfast.world.simulated.chance import SimulatedChance
from holdfast.world.simulated.offload import SimulatedOffload


@pytest.fixture(params=["threads", "inline", "simulated"])
def offload(request: pytest.FixtureRequest) -> Iterator[Offload]:
    made: Offload
    if request.param == "threads":
        made = ThreadOffload(2, "test")
    elif request.param == "inline":
        made = InlineOffload()
    else:
        made = SimulatedOffload(SimulatedChance(1), seconds_max=0.001)
    yield made
    made.close()


async def test_work_returns_or_raises_to_its_caller(offload: Offload) -> None:
    assert await offload.run(divmod, 17, 5) == (3, 2)
    with pytest.raises(ZeroDivisionError):
        await offload.run(divmod, 17, 0)


async def test_each_caller_gets_its_own_result(offload: Offload) -> None:
    found = await asyncio.gather(*(offload.run(pow, 2, number) for number in range(50)))
    assert found == [2**number for number in range(50)]


async def test_a_closed_offload_says_so(offload: Offload) -> None:
    offload.close()
    offload.close()
    with pytest.raises(Trouble) as trouble:
        await offload.run(divmod, 17, 5)
    assert (trouble.value.code, trouble.value.retry) == ("internal", False)


async def test_a_cancelled_caller_is_cancelled(offload: Offload) -> None:
    task = asyncio.create_task(offload.run(divmod, 17, 5))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_closing_threads_finishes_what_runs_and_refuses_what_waits() -> None:
    offload = ThreadOffload(1, "test")
    begun, gate = threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        gate.wait(5)
        return "done"

    running = asyncio.create_task(offload.run(work))
    waiting = asyncio.create_task(offload.run(divmod, 17, 5))
    await asyncio.to_thread(begun.wait, 5)
    closing = asyncio.create_task(asyncio.to_thread(offload.close))
    await asyncio.sleep(0.01)
    gate.set()
    await closing
    assert await running == "done"
    with pytest.raises(Trouble):
        await waiting
