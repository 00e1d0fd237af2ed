"""The simulated world: time that jumps, faults that stack, and histories that replay."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
from typing import Any

import pytest

from holdfast.world.errors import Trouble
from holdfast.world.network import DIAL_SECONDS, Address
from holdfast.world.simulated.links import Road
from holdfast.world.simulated.loop import StuckError, run
from holdfast.world.simulated.world import World, simulate

NORTH = Address("tls", "north", 7000)


class Echo(asyncio.BufferedProtocol):
    """Answers what it hears, or only keeps it."""

    def __init__(self, *, answers: bool = False) -> None:
        self.answers = answers
        self.heard = bytearray()
        self.lost: BaseException | str | None = None
        self._buffer = bytearray(1 << 16)
        self._news = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.heard += self._buffer[:nbytes]
        self._news.set()
        if self.answers:
            self.transport.write(bytes(self._buffer[:nbytes]))

    def eof_received(self) -> bool:
        return False

    async def hears(self, count: int) -> None:
        while len(self.heard) < count:
            self._news.clear()
            await self._news.wait()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost = exc or "closed"


async def meet(world: World, source: str = "south") -> tuple[Echo, Echo]:
    """Two ends of a connection from `source` to north."""
    far = Echo(answers=True)
    listener = await world.machine("north").network.listen(NORTH, lambda: far)
    _, near = await world.machine(source).network.dial(NORTH, Echo)
    await asyncio.sleep(1)
    await listener.close()
    assert isinstance(near, Echo)
    return near, far


# --- the loop --------------------------------------------------------------------------------------------


def test_a_day_passes_at_once() -> None:
    async def main(loop: Any) -> float:
        await asyncio.sleep(86_400)
        return float(loop.time())

    assert run(main) == 86_400


def test_timers_run_in_the_order_of_their_times() -> None:
    async def main(loop: Any) -> list[int]:
        order: list[int] = []
        for number in (3, 1, 2):
            loop.call_later(number, order.append, number)
        async with asyncio.timeout(10):
            await asyncio.sleep(5)
        return order

    assert run(main) == [1, 2, 3]


def test_waiting_for_what_cannot_come_names_the_waiters() -> None:
    async def lonely() -> None:
        await asyncio.Event().wait()

    async def main(_loop: object) -> None:
        await asyncio.gather(lonely(), lonely())

    with pytest.raises(StuckError, match=r"(?s)lonely.*lonely"):
        run(main)


def test_a_program_that_takes_too_long_is_stopped() -> None:
    async def main(_loop: object) -> None:
        await asyncio.sleep(61)

    with pytest.raises(StuckError, match="within 60 simulated seconds"):
        run(main, seconds_max=60)


def test_an_error_that_nobody_awaits_fails_the_run() -> None:
    async def stumble() -> None:
        raise ValueError("unheard")

    async def main(_loop: object) -> None:
        task = asyncio.create_task(stumble())
        await asyncio.sleep(1)
        del task

    with pytest.raises(ValueError, match="unheard"):
        run(main)


def test_threads_are_refused() -> None:
    async def main(_loop: object) -> None:
        await asyncio.to_thread(print)

    with pytest.raises(AssertionError, match="Offload"):
        run(main)


def test_tasks_left_over_are_ended_the_oldest_first() -> None:
    ended: list[int] = []

    async def linger(number: int) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append(number)

    async def main(loop: Any) -> None:
        loop.kept = [asyncio.create_task(linger(number)) for number in range(20)]
        await asyncio.sleep(1)

    run(main)
    assert ended == list(range(20))


# --- the network's faults --------------------------------------------------------------------------------


def test_a_cut_holds_what_is_sent_and_healing_delivers_it() -> None:
    async def story(world: World) -> None:
        near, far = await meet(world)
        world.network.part(["south"], ["north"])
        near.transport.write(b"message in a bottle")
        await asyncio.sleep(3600)
        assert (bytes(far.heard), far.lost, near.lost) == (b"", None, None)
        world.network.heal()
        await asyncio.sleep(1)
        assert bytes(far.heard) == bytes(near.heard) == b"message in a bottle"

    simulate(story, 1)


def test_a_cut_one_way_lets_the_other_way_through() -> None:
    async def story(world: World) -> None:
        near, far = await meet(world)
        world.network.cut("north", "south")
        near.transport.write(b"hello")
        await asyncio.sleep(60)
        assert (bytes(far.heard), bytes(near.heard)) == (b"hello", b"")

    simulate(story, 1)


def test_dialling_across_a_cut_takes_as_long_as_dialling_may() -> None:
    async def story(world: World) -> None:
        world.network.part(["south"], ["north"])
        started = world.loop.time()
        with pytest.raises(Trouble) as trouble:
            await world.machine("south").network.dial(NORTH, Echo)
        assert trouble.value.code == "node.unreachable"
        assert world.loop.time() - started == pytest.approx(DIAL_SECONDS)

    simulate(story, 1)


def test_a_machine_that_refuses_keeps_its_connections() -> None:
    async def story(world: World) -> None:
        near, far = await meet(world)
        await world.machine("north").network.listen(NORTH, Echo)
        world.network.refuse("north")
        with pytest.raises(Trouble, match="refused"):
            await world.machine("south").network.dial(NORTH, Echo)
        near.transport.write(b"still")
        await asyncio.sleep(1)
        assert bytes(near.heard) == b"still"
        world.network.refuse("north", refusing=False)
        await world.machine("south").network.dial(NORTH, Echo)
        assert far.lost is None

    simulate(story, 1)


def test_a_crash_resets_the_others_and_calls_nothing_of_the_dead() -> None:
    async def story(world: World) -> None:
        near, far = await meet(world)
        world.crash("north")
        await asyncio.sleep(1)
        assert isinstance(near.lost, ConnectionResetError)
        assert far.lost is None

    simulate(story, 1)


def test_after_a_silent_crash_nobody_hears_anything() -> None:
    async def story(world: World) -> None:
        near, far = await meet(world)
        world.crash("north", silently=True)
        near.transport.write(b"anybody?")
        await asyncio.sleep(3600)
        assert (near.lost, far.lost, bytes(far.heard)) == (None, None, b"")

    simulate(story, 1)


def test_a_dropped_connection_is_lost_at_both_ends() -> None:
    async def story(world: World) -> None:
        near, far = await meet(world)
        world.network.drop("north")
        await asyncio.sleep(1)
        assert isinstance(near.lost, ConnectionResetError)
        assert isinstance(far.lost, ConnectionResetError)

    simulate(story, 1)


def test_a_slow_machine_takes_that_much_longer() -> None:
    def seconds_for(times: float) -> float:
        async def story(world: World) -> float:
            world.network.pave(Road(delay_min=0.01, delay_max=0.01, bytes_per_second=1e6))
            near, far = await meet(world)
            far.answers = False
            world.network.slow("north", times)
            started = world.loop.time()
            near.transport.write(bytes(1_000_000))
            await far.hears(1_000_000)
            return world.loop.time() - started

        return simulate(story, 1)

    assert seconds_for(1) == pytest.approx(1.01, abs=0.3)
    assert seconds_for(10) == pytest.approx(10 * seconds_for(1), rel=0.1)


def test_a_buffer_reused_before_it_was_sent_is_found_out() -> None:
    async def story(world: World) -> None:
        near, far = await meet(world)
        buffer = bytearray(b"truth" * 100)
        near.transport.write(buffer)
        buffer[:] = b"wrong" * 100
        await asyncio.sleep(1)
        assert bytes(far.heard) == b"wrong" * 100

    simulate(story, 1)


def test_resets_on_the_road_are_as_frequent_as_asked_for() -> None:
    async def story(world: World) -> bool:
        world.network.pave(Road(resets=0.02))
        near, _ = await meet(world)
        for _ in range(100):
            near.transport.write(b"x" * 100)
            await asyncio.sleep(1)
        return near.lost is not None

    assert any(simulate(story, seed) for seed in range(5))


# --- the whole world -------------------------------------------------------------------------------------


async def storm(world: World) -> str:
    """Many machines talk, with every fault at once; what each heard, in a digest."""
    digest = hashlib.sha256()
    world.network.pave(Road(resets=0.001, refusals=0.1))
    await world.machine("north").network.listen(NORTH, lambda: Echo(answers=True))

    async def talk(name: str) -> None:
        machine = world.machine(name)
        for _ in range(5):
            await asyncio.sleep(machine.chance.unit())
            try:
                _, echo = await machine.network.dial(NORTH, Echo)
            except Trouble as trouble:
                digest.update(str(trouble).encode())
                continue
            assert isinstance(echo, Echo)
            echo.transport.write(machine.chance.bytes(80_000))
            file = machine.disk.open("log", create=True)
            file.append([machine.chance.bytes(100)])
            file.close()
            await asyncio.sleep(0.5)
            digest.update(
                bytes(echo.heard) + f"{world.loop.time():.9f}{machine.clock.now()}{echo.lost}".encode()
            )

    async def disturb() -> None:
        for _ in range(10):
            await asyncio.sleep(world.chance.unit())
            name = f"boat-{world.chance.below(8)}"
            world.network.part([name], ["north"])
            world.network.slow(name, 1 + world.chance.below(10))
            await asyncio.sleep(world.chance.unit())
            world.network.heal()
            world.crash(f"boat-{world.chance.below(8)}", silently=world.chance.happens(0.5))

    await asyncio.gather(disturb(), *(talk(f"boat-{number}") for number in range(8)))
    for number in range(8):
        disk = world.machine(f"boat-{number}").disk
        digest.update(b"".join(disk.read(name) for name in disk.names()))
    return f"{digest.hexdigest()} {world.loop.history:08x}"


def test_one_seed_is_one_history() -> None:
    first = [simulate(storm, seed) for seed in range(4)]
    assert first == [simulate(storm, seed) for seed in range(4)]
    assert len(set(first)) == 4


@pytest.mark.slow
def test_a_history_is_the_same_in_another_process() -> None:
    # Another process hashes strings otherwise, so that the order of a set would show.
    program = (
        "from tests.world.test_simulated import simulate, storm\n"
        "print(*(simulate(storm, seed) for seed in range(3)), sep='\\n', end='')"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": str(number)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for number in (1, 2)
    ]
    assert said[0] == said[1] == "\n".join(simulate(storm, seed) for seed in range(3))


def test_a_failure_names_its_seed() -> None:
    async def story(world: World) -> None:
        assert world.seed != 42, "found"

    with pytest.raises(AssertionError, match="found") as failure:
        simulate(story, 42)
    assert failure.value.__notes__ == ["simulated with seed 42"]


def test_a_machines_disk_outlives_its_crash() -> None:
    async def story(world: World) -> bytes:
        world.machine("north").disk.replace("key", b"kept")
        world.crash("north")
        return world.machine("north").disk.read("key")

    assert simulate(story, 1) == b"kept"
